"""How far work is: a bar with time left on a terminal, elsewhere a line every tenth."""

import sys
import time
from collections import Counter

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from t2av_bench.cli.console import Console, TextColumn
from t2av_bench.evaluation.evaluate import Progress as Measured
from t2av_bench.scores import Status


class Display:
    """Of a run of many rows: progress on stderr, phase by phase. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=self.console, transient=True, disable=not self.console.is_terminal,
            speed_estimate_period=120.0,  # clips come in batches: a short window would see none, or eight at once
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None, rate="")
        self._what = self._unit = ""
        self._total = self._tenth = self._failed = 0
        self._first, self._started = 0, time.monotonic()

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False)

    def begin(self, what: str, total: int, unit: str, done: int = 0) -> None:
        """Start a phase (``making``, 240, ``clips``) of which ``done`` was there before."""
        self._what, self._unit, self._total = what, unit, total
        self._tenth, self._failed = 10 * done // max(total, 1), 0
        self._first, self._started = done, time.monotonic()
        self._bar.reset(self._task, total=total, completed=done, description=what, rate="")

    def advance(self, done: int, text: str, failed: bool = False) -> None:
        """Say how many of the phase's units are done, and which was the last."""
        self._failed += failed
        elapsed = time.monotonic() - self._started
        rate = f"{60 * (done - self._first) / elapsed:.3g} {self._unit}/min" if elapsed > 1 else ""
        self._bar.update(self._task, completed=done, description=f"{self._what} {text}"[:48].ljust(48), rate=rate)
        tenth = 10 * done // max(self._total, 1)
        if self._bar.disable and tenth > self._tenth:
            left = _duration(elapsed * (self._total - done) / max(done - self._first, 1))
            failures = f", {self._failed} failed" if self._failed else ""
            tail = f", {rate}, about {left} left" if rate and done < self._total else ""
            self.note(f"{self._what}: {done}/{self._total} {self._unit}{failures}{tail}")
        self._tenth = tenth


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


class EvaluationDisplay:
    """Of one evaluation: a progress bar with time left on a terminal; elsewhere a line every tenth of the work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts: Counter[Status] = Counter()
        self._tenth = 0
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console, transient=True,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "EvaluationDisplay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: Measured) -> None:
        self._counts[progress.status] += 1
        description = f"{progress.metric}  {progress.clip}"[:48]
        self._bar.update(self._task, total=progress.total, completed=progress.done, description=f"{description:<48}")
        tenth = 10 * progress.done // progress.total
        if self._bar.disable and tenth > self._tenth:
            failed = self._counts[Status.FAILED]
            self._console.print(f"{progress.done}/{progress.total} measurements, {failed} failed", markup=False)
        self._tenth = tenth
