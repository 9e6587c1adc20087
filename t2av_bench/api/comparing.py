"""Runs against each other: paired differences, and the regression gate."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.comparison import contrast, gate
from t2av_bench.comparison.contrast import Comparison
from t2av_bench.comparison.margins import margins_between
from t2av_bench.comparison.verdicts import ALPHA, Gate, Undecided
from t2av_bench.results import read
from t2av_bench.results.budget import Budget, budget_of
from t2av_bench.results.recorded import Recorded
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.text import names


def compare(runs: Sequence[Run | AnyPath], *, quantities: str | Sequence[str] | None = None) -> Comparison:
    """Every further run (or run folder, or baseline file) against the first: ``t2av-bench compare``.

    quantities: quantities, metrics or families to compare; all where None. Raises ValueError where nothing can be
    paired.
    """
    with refusals():
        return contrast.contrast([recorded(run) for run in runs], quantities=names(quantities))


def regress(
    baseline: Run | AnyPath,
    candidate: Run | AnyPath,
    *,
    margins: AnyPath | Mapping[str, Any] | None = None,
    quantities: str | Sequence[str] | None = None,
    alpha: float = ALPHA,
    max_lost_clips: int = 0,
    waive: str | Sequence[str] = (),
    undecided: Undecided = "report",
    independent_clips: bool = False,
    budget: AnyPath | Budget | None = None,
) -> Gate:
    """Is a candidate worse than a baseline? ``t2av-bench regress``, see docs/regression.md.

    baseline: a run, run folder or baseline file; candidate: a run or run folder. margins: a TOML file, or quantity ->
    smallest difference that matters (``{"sync_c": 0.2, "fid": "5%"}``), over the defaults. waive: metrics that the
    candidate may lack. budget: of errors, or its file (the packaged one where None): no default margin is below what
    encoding alone makes. undecided: what an open question is: a status of its own, ``pass`` or ``fail``.
    Raises ValueError (NotComparable, with all ``differences``) where the two cannot be compared.
    """
    with refusals():
        before, after = recorded(baseline), recorded(candidate)
        return gate.regress(
            before, after, margins=margins_between(margins, before, after, budget_of(budget)),
            quantities=names(quantities), waived=names(waive) or (), alpha=alpha, lost_allowed=max_lost_clips,
            undecided=undecided, grouped=not independent_clips,
        )  # fmt: skip


def recorded(given: Run | AnyPath, notice: Callable[[str], None] | None = None) -> Recorded:
    """What comparisons read of a run, run folder or baseline file. notice: told of what takes long."""
    return given.result.recorded if isinstance(given, Run) else read(Path(given), notice)
