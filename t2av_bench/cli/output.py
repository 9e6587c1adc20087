"""What commands say while they work, of what they made, and of clips that have no score."""

from collections.abc import Callable, Iterable
from typing import Any

from t2av_bench.cli.console import Console
from t2av_bench.cli.progress import Display
from t2av_bench.evaluation.reasons import Reason, count
from t2av_bench.utils.progress import Step
from t2av_bench.utils.text import some


def phase(display: Display, name: str, unit: str) -> Callable[..., None]:
    """A callback (units done, units in all, the last one, whether that failed) that shows one phase of the work."""
    return lambda done, total, text, failed=False: display.step(Step(name, done, total, unit, text, failed))


def note(display: Display, notes: Iterable[str]) -> None:
    """What a user should know about something that was made."""
    for text in notes:
        display.note(f"note: {text}")


def explain(console: Console, failed: list[dict[str, Any]]) -> None:
    """The reasons of ``failures``."""
    tell(console, "failed", count((row["clip"], row["metric"], row["reason"]) for row in failed))


def tell(console: Console, what: str, reasons: list[Reason], most: int = 12) -> None:
    """Reasons with the number of clips and the metrics they cost, the worst first; whatever is left out is counted."""
    for position, reason in enumerate(reasons[:most]):
        if position == 0:
            console.print(f"{what}:")
        clips = f"{len(reason.clips)} clip{'s' if len(reason.clips) > 1 else ''}"
        text = reason.text + (" (the others alike)" if reason.alike else "")
        console.print(f"  {clips}  {some(reason.clips)}: {text}  [{some(reason.metrics, 6)}]", markup=False)
    if len(reasons) > most:
        console.print(f"  and {len(reasons) - most} more reasons: evaluate --json lists all")
