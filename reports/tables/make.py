"""What ``t2av-bench table`` was asked for, as a table."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.tables import build as table
from reports.tables import from_specification, specification
from reports.tables.measured import read_run
from reports.tables.model import Table


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
    loaded = specification.load(first) if named else None
    folders = [Path(target) for target in (others if named else targets)]
    for folder in folders:
        if is_specification(str(folder)):
            raise ValueError(f"{folder} names a second table; one at a time, before its runs: table paper:1 RUN RUN")
    if loaded is None:
        if published:
            tables = [name for name in specification.names() if specification.load(name).rows]
            raise ValueError(
                f"--published shows the published rows of a table, and {first!r} is a run; "
                f"name a table first: {', '.join(tables)} or a TOML file"
            )
        asked = [name.strip() for name in columns.split(",") if name.strip()] if columns is not None else None
        if asked == []:
            raise ValueError("--columns names no column; expected names such as --columns sync_c,wer,fid")
        runs = [read_run(folder, notice) for folder in folders]
        return table.build(runs, allow_mixed=allow_mixed, columns=asked, intervals=intervals)
    if columns is not None:
        raise ValueError(f"--columns is for plain tables; the columns of {first} are those of its specification")
    if published and folders:
        raise ValueError("--published shows the published rows alone; leave it out to put runs under them")
    if not folders and not loaded.rows:
        raise ValueError(f"{first} has no published rows; name run folders: table {first} RUN")
    runs = [read_run(folder, notice) for folder in folders]
    return from_specification.build(loaded, runs, allow_mixed=allow_mixed, intervals=intervals)


def is_specification(target: str) -> bool:
    """Whether a target names a table instead of a run folder.

    Raises SpecificationError for a name that is neither, but is close to a table's.
    """
    path = Path(target)
    if path.is_dir():
        return False
    if target.endswith(".toml") or re.fullmatch(r"[a-z_]+:\w+", target):
        return True
    if not path.exists() and re.fullmatch(r"\w+[ :._-]?\d", target):
        raise specification.SpecificationError(f"{target} is no run folder, and {specification.unknown(target)}")
    return False
