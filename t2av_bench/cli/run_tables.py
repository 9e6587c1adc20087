"""The tables of an experiment: their names checked before anything is made, and their files below ``OUT/tables``."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from reports.render.formats import FORMATS
from reports.tables import specification
from reports.tables.absent import add_absent
from reports.tables.make import of_runs
from reports.tables.model import Table
from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.experiment.config import Loaded
from t2av_bench.generation.row import GroupTable
from t2av_bench.results.run import open_run, run_folders
from t2av_bench.results.subgroups import stated_keys
from t2av_bench.utils.config import ConfigError
from t2av_bench.utils.files import json_text, write_text
from t2av_bench.utils.progress import Notice
from t2av_bench.utils.text import some

PLAIN_TABLE = "all"
INDEX = "tables.json"
SUFFIXES = {"md": "md", "latex": "tex", "csv": "csv", "html": "html"}


@dataclass(frozen=True, slots=True)
class TableResult:
    """A table with its files by format; or, where it cannot be made, why."""

    name: str
    table: Table | None
    files: dict[str, Path] = field(default_factory=dict)
    reason: str | None = None


def check_tables(loaded: Loaded) -> None:
    """Read every specification that a row names, and look for the keys of tables by groups.

    Raises ConfigError for one that cannot be used. What the items of a benchmark state, its tables say later.
    """
    for name in dict.fromkeys(name for row in loaded.rows for name in row.tables):
        if isinstance(name, str):
            specification.load(name)
            continue
        manifests = {row.manifest for row in loaded.rows if name in row.tables}
        found = [read_manifest(path) for path in manifests if path is not None and path.is_file()]
        known = stated_keys(entry.item.model_dump() for entries in found for entry in entries)
        if name.by not in known and len(found) == len(manifests):
            there = ", ".join(known) or "nothing that could group them"
            unread = [entry.reason for entries in found for entry in entries if entry.reason]
            there += f" ({len(unread)} of their items cannot be used: {unread[0]})" if unread else ""
            raise ConfigError(f"tables: no item of {some(map(str, manifests))} states {name.by!r}; they state {there}")


def make_tables(
    loaded: Loaded, out: Path, notice: Notice, unscored: Mapping[str, str] = MappingProxyType({})
) -> list[TableResult]:  # fmt: skip
    """Make and write the tables, each over its own rows. unscored: rows that have no scores -> why, which they show."""
    wanted: dict[str | GroupTable, list[str]] = {}
    for row in loaded.rows:
        for name in row.tables or (PLAIN_TABLE,):
            wanted.setdefault(name, []).append(row.name)
    named = {name if isinstance(name, str) else name.name: rows for name, rows in wanted.items()}
    noted = named | {
        name.name: {**dict(name), "rows": rows} for name, rows in wanted.items() if not isinstance(name, str)
    }
    write_text(out / "tables" / INDEX, json_text(noted, indent=1) + "\n")
    found = []
    labels = {row.name: row.label for row in loaded.rows}
    scored = {name: [row for row in rows if row not in unscored] for name, rows in wanted.items()}
    for made, rows in zip(tables_of(out, scored, notice), wanted.values(), strict=True):
        if made.table is not None:
            add_absent(made.table, _reasons([row for row in rows if row in unscored], labels, unscored))
            stem = (
                Path(made.name).stem if made.name.endswith(".toml") else re.sub(r"[^\w.]+", "-", made.name).strip("-")
            )
            made.files.update(write_formats(made.table, out / "tables", stem))
        found.append(made)
    return found


def _reasons(
    rows: Sequence[str], labels: Mapping[str, str], unscored: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """Label -> why its rows have no scores, each reason once."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(labels[row], {})[unscored[row]] = None
    return {label: tuple(reasons) for label, reasons in found.items()}


def write_formats(table: Table, folder: Path, stem: str) -> dict[str, Path]:
    """Write a table in every format; format -> file."""
    files = {format: folder / f"{stem}.{SUFFIXES[format]}" for format in FORMATS}
    for format, file in files.items():
        write_text(file, FORMATS[format](table))
    return files


def tables_of(
    out: Path,
    wanted: Mapping[str | GroupTable, Sequence[str]],
    notice: Notice,
    *,
    columns: Sequence[str] | None = None,
    intervals: bool | None = None,
    allow_mixed: bool = False,
) -> list[TableResult]:
    """The tables of an experiment's folder. wanted: table -> its rows, see ``wanted_of``; the others as ``of_runs``."""
    found = []
    for asked, rows in wanted.items():
        name = asked if isinstance(asked, str) else asked.name
        try:
            runs = [open_run(out / "runs" / row, notice) for row in rows]
            if isinstance(asked, GroupTable):
                table = of_runs(
                    runs, columns=asked.columns if columns is None else columns, by=asked.by,
                    across=asked.across, allow_mixed=allow_mixed,
                    intervals=asked.intervals if intervals is None else intervals,
                )  # fmt: skip
            else:
                named = None if asked == PLAIN_TABLE else asked
                table = of_runs(
                    runs, named, columns=None if named else columns, intervals=intervals, allow_mixed=allow_mixed
                )
            found.append(TableResult(name, table))
        except ValueError as error:
            found.append(TableResult(name, None, reason=str(error)))
    return found


def wanted_of(out: Path) -> dict[str | GroupTable, list[str]]:
    """Table -> its rows, as the last ``run`` noted them; one table of all runs where it noted nothing."""
    runs = [run.name for run in run_folders(out)]
    wanted: dict[str | GroupTable, list[str]] = {}
    try:
        noted = json.loads((out / "tables" / INDEX).read_text(encoding="utf-8"))
        for name, given in noted.items():
            asked: str | GroupTable = str(name)
            if isinstance(given, dict):
                given = dict(given)
                rows = given.pop("rows")
                asked = GroupTable(**given)
            else:
                rows = given
            wanted[asked] = [str(row) for row in rows if row in runs]
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return {PLAIN_TABLE: runs}
    return {asked: rows for asked, rows in wanted.items() if rows} or {PLAIN_TABLE: runs}


def runs_of(folder: Path) -> list[Path]:
    """The runs of an experiment's folder in the order of its rows, as the last ``run`` noted them; else as found."""
    noted = list(dict.fromkeys(row for rows in wanted_of(folder).values() for row in rows))
    return sorted(run_folders(folder), key=lambda run: noted.index(run.name) if run.name in noted else len(noted))
