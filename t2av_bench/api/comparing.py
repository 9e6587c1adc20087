"""Runs against each other: paired differences, and the regression gate."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2av_bench.api.frames import frame
from t2av_bench.api.runs import Run
from t2av_bench.comparison import contrast as contrasts
from t2av_bench.comparison import gate, gate_report
from t2av_bench.comparison.margins import margins_of
from t2av_bench.results import read
from t2av_bench.results.recorded import Recorded
from t2av_bench.statistics.paired import Difference
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.text import names

if TYPE_CHECKING:
    from pandas import DataFrame

AnyPath = str | os.PathLike[str]
_DIFFERENCE = {"first": "float64", "second": "float64", "difference": "float64", "low": "float64", "high": "float64"}
COMPARISON = {
    "system": "text", "metric": "text", "quantity": "text", "label": "text", "direction": "text", **_DIFFERENCE,
    "p": "float64", "detectable": "float64", "clips": "int64", "lost": "int64", "gained": "int64", "stand_in": "bool",
    "fingerprint": "text",
}  # fmt: skip
ITEMS = {
    "system": "text", "quantity": "text", "clip": "text", "first": "float64", "second": "float64", "loss": "float64",
    "weight": "float64",
}  # fmt: skip
VERDICTS = {
    "metric": "text", "quantity": "text", "label": "text", "direction": "text", "verdict": "text", **_DIFFERENCE,
    "margin": "float64", "p": "float64", "detectable": "float64", "clips": "int64", "clips_to_decide": "Int64",
    "lost": "int64", "reason": "text", "fingerprint": "text",
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(contrasts.Comparison):
    """Every further run against the first, quantity by quantity."""

    def to_frame(self, *, items: bool = False) -> "DataFrame":
        """One row for every system and quantity.

        first, second: the quantity of the first run and of this one, over the clips that both scored; difference:
        second − first, low and high the ends of its 95 % interval. p: corrected by Holm. detectable: the true
        difference that these clips would show. lost, gained: clips that only one of the two scored.
        items: instead one row for every system, quantity and clip; loss: how much worse the clip has become.
        """
        if items:
            return frame((
                {"system": each.system, "quantity": each.quantity.name, "clip": item.item, "first": item.first,
                 "second": item.second, "loss": item.loss, "weight": item.weight}
                for each in self.contrasts for item in each.items
            ), ITEMS)  # fmt: skip
        return frame((
            {"system": each.system, "metric": each.metric, "quantity": each.quantity.name,
             "label": each.quantity.label, "direction": each.quantity.direction, **_difference(each.difference),
             "p": each.p, "detectable": each.detectable, "lost": len(each.lost), "gained": len(each.gained),
             "stand_in": each.embedded, "fingerprint": each.fingerprint}
            for each in self.contrasts
        ), COMPARISON)  # fmt: skip

    def to_markdown(self, *, worst: int = 5) -> str:
        """What ``t2av-bench compare`` prints. worst: items to list for each quantity."""
        return contrasts.markdown(self, worst=worst)

    def __repr__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


@dataclass(frozen=True, slots=True, repr=False)
class Gate(gate.Gate):
    """The regression gate's answer. ``status``: 0 no regression, 1 regression, 2 nothing was judged, 3 undecided;
    ``regressed``, ``judged``; ``verdicts``, worst first."""

    def to_frame(self) -> "DataFrame":
        """One row for every quantity, worst first; first: the baseline, second: the candidate, p corrected by Holm.

        verdict: ``worse``, ``undecided``, ``not judged``, ``better``, ``equivalent``, and in reason why. margin: the
        smallest difference that matters. clips_to_decide: how many would tell.
        """
        return frame((
            {"metric": each.metric, "quantity": each.quantity.name, "label": each.quantity.label,
             "direction": each.quantity.direction, "verdict": each.word, **_difference(each.difference),
             "margin": each.margin, "p": each.p, "detectable": each.detectable,
             "clips_to_decide": each.clips_to_decide, "lost": len(each.lost), "reason": each.reason,
             "fingerprint": each.fingerprint}
            for each in self.verdicts
        ), VERDICTS)  # fmt: skip

    def to_markdown(self) -> str:
        """What ``t2av-bench regress`` prints."""
        return gate_report.markdown(self)

    def to_junit(self) -> str:
        """JUnit XML, for a CI service."""
        return gate_report.junit(self)

    def __repr__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def compare(runs: Sequence[Run | AnyPath], *, quantities: str | Sequence[str] | None = None) -> Comparison:
    """Every further run (or run folder, or baseline file) against the first: ``t2av-bench compare``.

    quantities: quantities, metrics or families to compare; all where None. Raises ValueError where nothing can be
    paired.
    """
    with refusals():
        found = contrasts.contrast([_recorded(run) for run in runs], quantities=names(quantities))
    return Comparison(**{each.name: getattr(found, each.name) for each in fields(found)})


def regress(
    baseline: Run | AnyPath,
    candidate: Run | AnyPath,
    *,
    margins: AnyPath | Mapping[str, Any] | None = None,
    quantities: str | Sequence[str] | None = None,
    alpha: float = gate.ALPHA,
    max_lost_clips: int = 0,
    waive: str | Sequence[str] = (),
    undecided: gate.Undecided = "report",
    independent_clips: bool = False,
) -> Gate:
    """Is a candidate worse than a baseline? ``t2av-bench regress``, see docs/regression.md.

    baseline: a run, run folder or baseline file; candidate: a run or run folder. margins: a TOML file, or quantity ->
    smallest difference that matters (``{"sync_c": 0.2, "fid": "5%"}``), over the defaults. waive: metrics that the
    candidate may lack. undecided: what an open question is: a status of its own, ``pass`` or ``fail``.
    Raises ValueError (NotComparable, with all ``differences``) where the two cannot be compared.
    """
    with refusals():
        before, after = _recorded(baseline), _recorded(candidate)
        known = [name for _, name in (*before.quantities, *after.quantities)]
        found = gate.regress(
            before, after, margins=margins_of(margins, known), quantities=names(quantities),
            waived=names(waive) or (), alpha=alpha, lost_allowed=max_lost_clips, undecided=undecided,
            grouped=not independent_clips,
        )  # fmt: skip
    return Gate(**{each.name: getattr(found, each.name) for each in fields(found)})


def _recorded(given: Run | AnyPath) -> Recorded:
    return given.recorded() if isinstance(given, Run) else read(Path(given))


def _difference(found: Difference | None) -> dict[str, Any]:
    if found is None:
        return {name: None for name in _DIFFERENCE} | {"clips": 0}
    ends = found.interval
    return {
        "first": found.first, "second": found.second, "difference": found.value, "low": ends.low if ends else None,
        "high": ends.high if ends else None, "clips": found.clips,
    }  # fmt: skip
