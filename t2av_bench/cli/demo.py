"""``t2av-bench demo``: tables of the embedded benchmark on a few clips: ``run`` with a packaged file, and a page."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.errors import ItemError
from t2av_bench.utils.optional import require_all
from t2av_bench.utils.terminal_text import echo

if TYPE_CHECKING:
    from t2av_bench.cli.run_tables import TableResult
    from t2av_bench.experiment.config import Loaded
    from t2av_bench.generation.row import ExperimentRow

PACKAGES = (
    "PIL", "cv2", "espeakng_loader", "jiwer", "matplotlib", "onnxruntime", "pesq", "pocketsphinx", "pystoi",
    "python_speech_features", "pyworld", "resemblyzer", "speechmos", "torch", "transformers", "zhconv",
)  # fmt: skip
"""What its systems and metrics import, and its plots."""
FULL = Path(__file__).parents[1] / "gridface" / "experiment.toml"
KNOWN = ("1", "2", "3", "4", "5")
_STANDING = re.compile(r": \d+ of \d+ clips are there$")  # of eighteen rows, where the bar shows it for all


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clips, the runs, the tables and the page.")] = Path(
        "demo-run"
    ),
    items: Annotated[int, typer.Option(min=3, max=100, help="Clips of each split.")] = 4,
    tables: Annotated[str, typer.Option(metavar="N,…", help="Tables of the embedded benchmark to make, of 1 to 5.")] = (
        "1,2"
    ),
    every: Annotated[bool, typer.Option("--all", help="All five tables, in more than twice the time.")] = False,
) -> None:
    """Generate with the embedded systems, score, print tables of the embedded benchmark, and write a page of them.

    It takes minutes on 2 cores and needs no weights, no data and no GPU; the same command continues.
    """
    with usage_errors():
        require_all("demo", *PACKAGES)
        run(out, items, KNOWN if every else _wanted(tables))


def _wanted(typed: str) -> tuple[str, ...]:
    """The numbers of tables that were typed. Raises ItemError."""
    asked = {part.strip().removeprefix("embedded:") for part in typed.split(",")}
    if unknown := sorted(asked - set(KNOWN)):
        raise ItemError(f"--tables {typed}: there is no table {unknown[0]!r}; expected some of {','.join(KNOWN)}")
    return tuple(number for number in KNOWN if number in asked)


def run(out: Path, items: int, tables: Sequence[str]) -> None:
    """Generate with the systems of some tables, score, print the tables, write the page; all below ``out``.

    items: the first so many of each split. tables: numbers. Raises ValueError and OSError for what cannot be carried
    out.
    """
    from t2av_bench.cli.demo_page import make_page, reading, what_next
    from t2av_bench.cli.output import show_markdown
    from t2av_bench.cli.progress import Display
    from t2av_bench.cli.run import explain_failures, print_tables
    from t2av_bench.cli.run_tables import make_tables
    from t2av_bench.experiment import run as benchmark_run

    started = time.monotonic()
    loaded = chosen(out, items, tables)
    display = Display()
    with display:
        result = benchmark_run.run(
            loaded, display.step, lambda text: None if _STANDING.search(text) else display.note(text)
        )
        made = sorted(make_tables(loaded, out, display.note), key=lambda table: table.name)
    page = make_page(result, made, out / "page", items)
    print_tables([_in_short(table) for table in made])
    show_markdown(reading(made))
    explain_failures(result, display)
    echo()
    show_markdown(what_next(out))
    display.note(f"{time.monotonic() - started:.0f} s. The page: {page}\nOpen it, or: t2av-bench serve {page.parent}")


def chosen(out: Path, items: int, tables: Sequence[str]) -> "Loaded":
    """The rows of some tables of the full experiment, with the metrics that these show.

    Of systems with several training seeds the first one is taken, of Table 4's arrangements joint generation alone.
    Rows that make the same clips, as Tables 1 and 2 do of real ones, are one.
    """
    from t2av_bench.experiment.config import load

    loaded = load(FULL, {"out": out, "items": items})
    names = {f"embedded:{number}" for number in tables}
    found: dict[str, ExperimentRow] = {}
    for row in loaded.rows:
        mine = tuple(name for name in row.tables if name in names)
        if not mine or row.seed or (row.task != "t2av" and "checkpoint" in row.options):
            continue
        kind = json.dumps([row.system, row.task, row.split, row.items, row.options], sort_keys=True, default=str)
        first = found.get(kind)
        found[kind] = replace(
            first or row, tables=(*(first.tables if first else ()), *mine),
            metrics=tuple(dict.fromkeys([*(first.metrics if first else ()), *row.metrics])),
        )  # fmt: skip
    return replace(loaded, rows=tuple(replace(row, metrics=_shown(row)) for row in found.values()))


def _shown(row: "ExperimentRow") -> tuple[str, ...]:
    """A row's metrics that one of its tables has a column for."""
    from reports.tables import specification
    from t2av_bench.metrics import resolve

    taken = {
        name for table in row.tables for column in specification.load(str(table)).specification.columns
        for name in column.metrics
    }  # fmt: skip
    return tuple(name for name in row.metrics if taken.intersection(resolve([name])))


def _in_short(made: "TableResult") -> "TableResult":
    """The table as the page calls it, without what the page and its files say below it: what marks mean stays."""
    from t2av_bench.cli.demo_page import TITLES

    if made.table is None:
        return made
    signs = (*"¹²³⁴⁵⁶⁷⁸⁹†¶(", "Bold", "Nothing is bold")
    notes = [note for note in made.table.notes if note.startswith(signs)]
    return replace(made, table=replace(made.table, title=TITLES[made.name], caption="", notes=notes))
