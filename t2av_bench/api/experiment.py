"""``run``: an experiment's TOML file -> its runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from warnings import warn

from t2av_bench.api.evaluating import AnyPath, names
from t2av_bench.api.runs import Run
from t2av_bench.evaluation.config import ConfigError, check_device
from t2av_bench.experiment import run as experiment
from t2av_bench.experiment.config import Loaded, load, matching
from t2av_bench.utils.reasons import refusals

OnStep = Callable[[str, int, int], None]
"""Called with the phase (``making``, ``scoring``, …), how much of it is done, and how much there is."""


def run(
    config: AnyPath,
    *,
    out: AnyPath | None = None,
    only: str | Sequence[str] = (),
    regenerate: str | Sequence[str] = (),
    items: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    memory: float | None = None,
    max_failures: int | None = None,
    allow_missing: bool | None = None,
    progress: OnStep | None = None,
    notice: Callable[[str], None] | None = None,
) -> dict[str, Run]:
    """Make clips with the systems that a TOML file names, and score them: ``t2av-bench run``, see docs/run.md.

    The keywords go before the file's keys. only: names of rows; regenerate: rows whose clips are made again (``all``).
    progress: see ``OnStep``. notice: told of what is made again, and why.

    Returns row name -> Run, without the rows whose run folder cannot be used, of which a warning tells. No tables are
    written: ``table(list(runs.values()))``. Raises ValueError, with the sentence that the command would print.
    """
    given = {
        "out": None if out is None else Path(out), "items": items, "workers": workers, "device": device,
        "memory": memory, "max_failures": max_failures, "allow_missing": allow_missing,
    }  # fmt: skip
    with refusals():
        loaded = load(Path(config), given, names(only) or ())
        check_device(loaded.config.device)
        done = experiment.run(loaded, _Steps(progress, notice), made_again(loaded, names(regenerate) or ()))
    for name, reason in done.unscored.items():
        warn(f"{name}: not scored: {reason}", stacklevel=2)
    return {row.row.name: Run(row.run, config=row.config) for row in done.rows}


def made_again(loaded: Loaded, regenerate: Sequence[str]) -> set[str]:
    """Names of the rows whose clips are all made again. Raises ConfigError for a name that no row has, and for rows of
    finished clips."""
    finished = {row.name: row.clips for row in loaded.rows if row.clips is not None}
    rows = [row.name for row in loaded.rows]
    if "all" in regenerate:
        return set(rows) - finished.keys()
    found = set(matching(regenerate, rows, "--regenerate"))
    for name in sorted(found & finished.keys()):
        raise ConfigError(
            f"--regenerate {name}: its clips are the finished ones of {finished[name]}, which no system here makes; "
            "put others there, and they are scored again"
        )
    return found


class _Steps:
    """An experiment's display that hands everything on."""

    def __init__(self, progress: OnStep | None, notice: Callable[[str], None] | None) -> None:
        self._progress, self._notice = progress, notice
        self._phase, self._total = "", 0

    def note(self, text: str) -> None:
        if self._notice:
            self._notice(text)

    def begin(self, what: str, total: int, unit: str, done: int = 0) -> None:
        self._phase, self._total = what, total
        self.advance(done, "")

    def advance(self, done: int, text: str, failed: bool = False) -> None:
        if self._progress:
            self._progress(self._phase, done, self._total)
