"""What ``t2av-bench table`` was asked for, as a table."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.tables import build as table
from reports.tables import from_specification, specification
from reports.tables.measured import RunResult, read_run
from reports.tables.model import Table
from t2av_bench.utils.config import ConfigError


def make(
    targets: Sequence[str],
    *,
    published: bool = False,
    columns: str | None = None,
    intervals: bool = False,
    allow_mixed: bool = False,
    notice: Callable[[str], None] | None = None,
) -> Table:
    """The table of some run folders, or of a specification (first target: ``paper:1`` or a TOML file) and runs.

    notice: told of what takes long. Raises ValueError for what cannot be made; the message says what to type next.
    """
    first, *others = targets
    named = is_specification(first)
    folders = [Path(target) for target in (others if named else targets)]
    for folder in folders:
        if is_specification(str(folder)):
            raise ValueError(f"{folder} names a second table; one at a time, before its runs: table paper:1 RUN RUN")
    asked = [name.strip() for name in columns.split(",") if name.strip()] if columns is not None else None
    return of_runs(
        folders, first if named else None, published=published, columns=asked, intervals=intervals,
        allow_mixed=allow_mixed, notice=notice,
    )  # fmt: skip


def of_runs(
    runs: Sequence[Path | RunResult],
    named: str | None = None,
    *,
    published: bool = False,
    columns: Sequence[str] | None = None,
    intervals: bool = False,
    allow_mixed: bool = False,
    notice: Callable[[str], None] | None = None,
) -> Table:
    """The table of runs, or run folders; named: the specification that they fill. Otherwise as ``make``."""
    loaded = specification.load(named) if named is not None else None
    if loaded is None:
        if published:
            tables = [name for name in specification.names() if specification.load(name).rows]
            held = f", and {str(_folder(runs[0]))!r} is a run" if runs else ""
            raise ValueError(
                f"--published shows the published rows of a table{held}; "
                f"name a table first: {', '.join(tables)} or a TOML file"
            )
        if columns is not None and not columns:
            raise ValueError("--columns names no column; expected names such as --columns sync_c,wer,fid")
        if not runs:
            raise ValueError(f"a table needs runs, or the name of a table: {', '.join(specification.names())}")
        return table.build(_read(runs, notice), allow_mixed=allow_mixed, columns=columns, intervals=intervals)
    if columns is not None:
        raise ValueError(f"--columns is for plain tables; the columns of {named} are those of its specification")
    if published and runs:
        raise ValueError("--published shows the published rows alone; leave it out to put runs under them")
    if not runs and not loaded.rows:
        raise ValueError(f"{named} has no published rows; name run folders: table {named} RUN")
    return from_specification.build(loaded, _read(runs, notice), allow_mixed=allow_mixed, intervals=intervals)


def _read(runs: Sequence[Path | RunResult], notice: Callable[[str], None] | None) -> list[RunResult]:
    return [read_run(run, notice) if isinstance(run, Path) else run for run in runs]


def _folder(run: Path | RunResult) -> Path:
    return run if isinstance(run, Path) else run.path


def is_specification(target: str) -> bool:
    """Whether a target names a table instead of a run folder.

    Raises ConfigError for a name that is neither, but is close to a table's.
    """
    path = Path(target)
    if path.is_dir():
        return False
    if target.endswith(".toml") or re.fullmatch(r"[a-z_]+:\w+", target):
        return True
    if not path.exists() and re.fullmatch(r"\w+[ :._-]?\d", target):
        raise ConfigError(f"{target} is no run folder, and {specification.unknown(target)}")
    return False
