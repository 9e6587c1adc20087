"""How far work is, on stderr: a bar with time left on a terminal, elsewhere a line at the start and every tenth."""

import time

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from t2av_bench.cli.console import Console, TextColumn
from t2av_bench.utils.progress import Step


class Display:
    """The one display of all commands. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=self.console, transient=True, disable=not self.console.is_terminal,
            speed_estimate_period=120.0,  # clips come in batches: a short window would see none, or eight at once
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None, rate="")
        self._last: Step | None = None
        self._failed = self._first = 0
        self._started = time.monotonic()

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False)

    def notice(self, text: str) -> None:
        """What a user should know about something that was made."""
        self.note(f"note: {text}")

    def step(self, step: Step) -> None:
        """Show a step; one of another phase, or one that goes back, begins anew."""
        last = self._last
        if last is None or last.phase != step.phase or step.done < last.done:
            last = None
            self._failed, self._first, self._started = 0, step.done, time.monotonic()
            self._bar.reset(self._task, total=step.total, completed=step.done, description=step.phase, rate="")
        self._last = step
        self._failed += step.failed
        elapsed, moved = time.monotonic() - self._started, step.done - self._first
        rate = f"{_short(60 * moved / elapsed)} {step.unit}/min" if elapsed > 1 else ""
        said = f"{step.phase} {step.text}"[:48].ljust(48)
        self._bar.update(self._task, completed=step.done, total=step.total, description=said, rate=rate)
        if self._bar.disable and (last is None or _tenth(step) > _tenth(last)):
            failed = f", {self._failed} failed" if self._failed else ""
            left = _duration(elapsed * (step.total - step.done) / max(moved, 1))
            tail = f", {rate}, about {left} left" if rate and step.done < step.total else ""
            self.note(f"{step.phase}: {step.done}/{step.total} {step.unit}{failed}{tail}")


def _tenth(step: Step) -> int:
    return 10 * step.done // max(step.total, 1)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _short(rate: float) -> str:
    """Three digits, without an exponent."""
    return f"{rate:.3g}" if rate < 999.5 else f"{float(f'{rate:.3g}'):,.0f}"
