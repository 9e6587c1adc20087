"""The tables of an experiment: their names checked before anything is made, and their files below ``OUT/tables``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reports.render.formats import FORMATS
from reports.tables import specification
from reports.tables.make import of_runs
from reports.tables.model import Table
from t2av_bench.experiment.config import Loaded
from t2av_bench.results.run import open_run, run_folders
from t2av_bench.utils.files import json_text, write_text
from t2av_bench.utils.progress import Notice

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
    """Read every specification that a row names. Raises ConfigError for one that cannot be used."""
    for name in dict.fromkeys(name for row in loaded.rows for name in row.tables):
        specification.load(name)


def make_tables(loaded: Loaded, out: Path, notice: Notice) -> list[TableResult]:
    """Make and write the tables of the rows that have been scored, each over its own rows."""
    wanted: dict[str, list[str]] = {}
    for row in loaded.rows:
        for name in row.tables or (PLAIN_TABLE,):
            wanted.setdefault(name, []).append(row.name)
    write_text(out / "tables" / INDEX, json_text(wanted, indent=1) + "\n")
    found = []
    for made in tables_of(out, wanted, notice):
        if made.table is not None:
            stem = Path(made.name).stem if made.name.endswith(".toml") else made.name.replace(":", "-")
            made.files.update(write_formats(made.table, out / "tables", stem))
        found.append(made)
    return found


def write_formats(table: Table, folder: Path, stem: str) -> dict[str, Path]:
    """Write a table in every format; format -> file."""
    files = {format: folder / f"{stem}.{SUFFIXES[format]}" for format in FORMATS}
    for format, file in files.items():
        write_text(file, FORMATS[format](table))
    return files


def tables_of(
    out: Path,
    wanted: Mapping[str, Sequence[str]],
    notice: Notice,
    *,
    columns: Sequence[str] | None = None,
    intervals: bool = False,
    allow_mixed: bool = False,
) -> list[TableResult]:
    """The tables of an experiment's folder. wanted: table -> its rows, see ``wanted_of``; the others as ``of_runs``."""
    found = []
    for name, rows in wanted.items():
        named = None if name == PLAIN_TABLE else name
        try:
            runs = [open_run(out / "runs" / row, notice) for row in rows]
            table = of_runs(
                runs, named, columns=None if named else columns, intervals=intervals, allow_mixed=allow_mixed
            )
            found.append(TableResult(name, table))
        except ValueError as error:
            found.append(TableResult(name, None, reason=str(error)))
    return found


def wanted_of(out: Path) -> dict[str, list[str]]:
    """Table -> its rows, as the last ``run`` noted them; one table of all runs where it noted nothing."""
    runs = [run.name for run in run_folders(out)]
    try:
        noted = json.loads((out / "tables" / INDEX).read_text(encoding="utf-8"))
        wanted = {str(name): [str(row) for row in rows if row in runs] for name, rows in noted.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {PLAIN_TABLE: runs}
    return {name: rows for name, rows in wanted.items() if rows} or {PLAIN_TABLE: runs}
