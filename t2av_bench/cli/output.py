"""What commands print: progress, notes, reports as the terminal shows them or as Markdown, why clips have no score."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import typer

from t2av_bench.cli.console import Console
from t2av_bench.cli.progress import Display
from t2av_bench.evaluation.reasons import Reason, count
from t2av_bench.scores import Status
from t2av_bench.utils.files import json_text
from t2av_bench.utils.progress import Step
from t2av_bench.utils.terminal_text import echo, printable
from t2av_bench.utils.text import counted, some

if TYPE_CHECKING:
    from reports.tables.model import Table
    from t2av_bench.evaluation.evaluate import Progress

MOST_REASONS = 5


class Report(Protocol):
    """What a command found, for programs and for readers."""

    def as_dict(self) -> dict[str, Any]: ...
    @property
    def to_markdown(self) -> Callable[..., str]: ...


def on_terminal() -> bool:
    """Whether a person reads the output: it is a terminal that can show bold."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show_table(table: "Table", heading: str = "") -> None:
    """Print a table: fitted into the terminal, or as Markdown where the output goes elsewhere."""
    from reports.render.formats import markdown
    from reports.render.terminal import terminal

    if on_terminal():
        styled = typer.style(printable(heading), bold=True) + "\n\n" if heading else ""
        styled += terminal(table, styled=True, width=_width(), fit=True)
        typer.echo(styled, nl=False)
    else:
        echo((f"## {heading}\n\n" if heading else "") + markdown(table), nl=False)


def show_markdown(text: str) -> None:
    """Print a report: rendered for the terminal, or as the Markdown that it is where the output goes elsewhere."""
    if on_terminal():
        from reports.render.terminal import of_markdown

        styled = of_markdown(text, _width())
        typer.echo(styled, nl=False)
    else:
        echo(text, nl=False)


def show_report(found: Report, as_json: bool, **how: Any) -> None:
    """Print what was found: as JSON, or as ``show_markdown`` does. how: keywords of its ``to_markdown``."""
    if as_json:
        echo(json_text(found.as_dict(), indent=1))
    else:
        show_markdown(found.to_markdown(**how))


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def phase(display: Display, name: str, unit: str) -> Callable[..., None]:
    """A callback (units done, units in all, the last one, whether that failed) that shows one phase of the work."""
    return lambda done, total, text, failed=False: display.step(Step(name, done, total, unit, text, failed))


def measuring(display: Display, name: str) -> "Callable[[Progress], None]":
    """A callback of ``evaluate`` that shows how far it is."""
    show = phase(display, name, "measurements")
    return lambda at: show(at.done, at.total, f"{at.metric}  {at.clip}", at.status is Status.FAILED)


def tell(console: Console, what: str, reasons: Sequence[Reason]) -> None:
    """Reasons with the number of clips and the metrics they cost, the worst first; whatever is left out is counted."""
    for position, reason in enumerate(reasons[:MOST_REASONS]):
        if position == 0:
            console.print(f"{what}:")
        clips = f"{len(reason.clips)} clip{'s' if len(reason.clips) > 1 else ''}"
        text = reason.text + (" (the others alike)" if reason.alike else "")
        console.print(f"  {clips}  {some(reason.clips)}: {text}  [{some(reason.metrics, 6)}]", markup=False)
    if len(reasons) > MOST_REASONS:
        console.print(
            f"  and {len(reasons) - MOST_REASONS} more reasons: 't2av-bench scores RUN' lists every score with its own"
        )


def show_left_out(console: Console, left_out: Sequence[tuple[str, str]], what: str = "left out") -> None:
    """(clip, reason) by reason with the number of clips, the worst first."""
    reasons = count((id, "", reason) for id, reason in left_out)
    for reason in reasons[:MOST_REASONS]:
        alike = " (the others alike)" if reason.alike else ""
        console.print(f"{what}: {counted(len(reason.clips))} ({some(reason.clips)}): {reason.text}{alike}",
                      markup=False)  # fmt: skip
    if len(reasons) > MOST_REASONS:
        console.print(f"{what}: {len(reasons) - MOST_REASONS} more reasons")
