"""The tables of an experiment: their names checked before anything is made, and their files below ``OUT/tables``."""

from dataclasses import dataclass, field
from pathlib import Path

from reports.render.formats import FORMATS
from reports.tables import specification
from reports.tables.make import of_runs
from reports.tables.model import Table
from t2av_bench.experiment.config import Loaded
from t2av_bench.utils.files import write_text
from t2av_bench.utils.progress import Notice

PLAIN_TABLE = "all"
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
    wanted: dict[str, list[Path]] = {}
    for row in loaded.rows:
        for name in row.tables or (PLAIN_TABLE,):
            wanted.setdefault(name, []).append(out / "runs" / row.name)
    found = []
    for name, runs in wanted.items():
        try:
            table = of_runs(runs, None if name == PLAIN_TABLE else name, notice=notice)
        except ValueError as error:
            found.append(TableResult(name, None, reason=str(error)))
            continue
        stem = Path(name).stem if name.endswith(".toml") else name.replace(":", "-")
        files = {format: out / "tables" / f"{stem}.{SUFFIXES[format]}" for format in FORMATS}
        for format, path in files.items():
            write_text(path, FORMATS[format](table))
        found.append(TableResult(name, table, files))
    return found
