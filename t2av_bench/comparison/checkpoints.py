"""What a history is: checkpoints in order, each quantity with its interval, the gate's answers on every step."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from t2av_bench.comparison.comparable import NotComparable
from t2av_bench.comparison.gate import Key
from t2av_bench.comparison.verdicts import (
    NO_REGRESSION,
    NOT_COMPARABLE,
    OPEN,
    REGRESSION,
    UNDECIDED,
    Gate,
    Verdict,
    Word,
)
from t2av_bench.scores import Quantity, with_variant
from t2av_bench.statistics.intervals import Interval
from t2av_bench.statistics.paired import as_row
from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import counted, some

if TYPE_CHECKING:
    from pandas import DataFrame

Against = Literal["previous", "reference"]
AGAINST: tuple[Against, ...] = ("previous", "reference")
_JUDGED = {
    "verdict": "text", "against": "text", "difference": "float64", "low": "float64", "high": "float64", "p": "float64",
    "margin": "float64", "detectable": "float64", "clips": "int64", "lost": "int64", "reason": "text",
}  # fmt: skip
HISTORY = {
    "checkpoint": "text", "metric": "text", "quantity": "text", "label": "text", "direction": "text",
    "value": "float64", "low": "float64", "high": "float64", "scored": "int64", "total": "int64", "reason": "text",
    "other": "text", "fingerprint": "text",
    **{f"{against}_{name}": kind for against in AGAINST for name, kind in _JUDGED.items()},
}  # fmt: skip
STEPS = {
    "checkpoint": "text", "path": "text", "clips": "int64",
    **{f"{against}{part}": "text" for against in AGAINST for part in ("", "_answer", "_reason")},
    **{f"{against}_lost": "int64" for against in AGAINST},
}  # fmt: skip
_WORDS = {
    NO_REGRESSION: "no regression", REGRESSION: "regression", NOT_COMPARABLE: "not judged", UNDECIDED: "undecided",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One quantity of one checkpoint, over the clips that it scored.

    value: None with its ``reason``, which otherwise says why there is no interval. scored, total: clips. other: why the
    value does not compare at sight with the reference's; None where it does. other_protocol: for the protocol's sake.
    state: equal for two that do: protocol, items, scored clips.
    """

    value: float | None = None
    interval: Interval | None = None
    reason: str | None = None
    scored: int = 0
    total: int = 0
    fingerprint: str | None = None
    other: str | None = None
    other_protocol: bool = False
    state: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The gate's answers on a checkpoint, with the verdict on each quantity, or the reason why there is none.

    against: quantity -> name of what it is judged against: of the checkpoints before it, the nearest that compares.
    skipped: quantities for which that is not the one just before it.
    """

    outcome: Gate | NotComparable
    verdicts: Mapping[Key, Verdict]
    reasons: Mapping[Key, str]
    against: Mapping[Key, str]
    skipped: frozenset[Key] = frozenset()

    def word(self, key: Key) -> Word | None:
        """The verdict on a quantity; None where there is none."""
        verdict = self.verdicts.get(key)
        return verdict.word if verdict else None

    @property
    def lost(self) -> dict[str, str]:
        """Clips that the other one scored and this one did not, with the reasons."""
        return self.outcome.lost if isinstance(self.outcome, Gate) else {}

    @property
    def words(self) -> str | None:
        """``regression, 2 clips lost``, ``no regression in 8 of 10`` (quantities); None: nothing could be compared."""
        if isinstance(self.outcome, NotComparable):
            return None
        text = _WORDS[self.outcome.status]
        if self.outcome.coverage_regressed:
            text += f", {counted(len(self.lost))} lost"
        text += f" vs {self.outcome.baseline}" if self.skipped else ""
        return text + (f" in {len(self.verdicts)} of {len(self.verdicts) + len(self.reasons)}" if self.reasons else "")

    @property
    def reason(self) -> str | None:
        """Why nothing could be compared."""
        if isinstance(self.outcome, Gate):
            return None
        reasons = list(dict.fromkeys(self.reasons.values()))
        return reasons[0] if len(reasons) == 1 else "no quantity can be compared: each for its own reason"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One run: its points, and the answers. previous: None for the first one. reference: None for the reference."""

    name: str
    path: Path
    items: int
    points: Mapping[Key, Point]
    previous: Answer | None = None
    reference: Answer | None = None

    def answer(self, against: Against) -> Answer | None:
        return self.previous if against == "previous" else self.reference


@dataclass(frozen=True, slots=True, repr=False)
class History:
    """Checkpoints in the order given. quantities: what is judged, with whether a stand-in made it.

    baseline: the reference where it is none of the checkpoints. asked: how often the gate was asked. command: what
    makes this history again; empty where nobody knows it.
    """

    checkpoints: tuple[Checkpoint, ...]
    quantities: Mapping[Key, tuple[Quantity, bool]]
    baseline: Checkpoint | None
    asked: int
    alpha: float
    notes: tuple[str, ...]
    command: str = ""

    @property
    def reference(self) -> Checkpoint:
        """What all checkpoints are judged against."""
        return self.baseline or self.checkpoints[0]

    def words(self, against: Against) -> str:
        """``vs previous``, ``vs first``, or ``vs`` the baseline's name."""
        return "vs previous" if against == "previous" else f"vs {self.baseline.name if self.baseline else 'first'}"

    def labels(self) -> dict[Key, str]:
        """What a reader sees: the quantity's label, with the metric's variant where two share it."""
        labels = [quantity.label for quantity, _ in self.quantities.values()]
        return {
            (metric, name): with_variant(quantity.label, metric, labels, " ")
            for (metric, name), (quantity, _) in self.quantities.items()
        }

    def worse(self, against: Against) -> dict[Key, list[int]]:
        """Quantity -> places of the checkpoints at which it is worse."""
        found: dict[Key, list[int]] = {}
        for place, each in enumerate(self.checkpoints):
            answer = each.answer(against)
            for key in self.quantities:
                if answer and answer.word(key) == "worse":
                    found.setdefault(key, []).append(place)
        return found

    def drifts(self) -> dict[Key, tuple[int, bool]]:
        """Quantity -> place of the first checkpoint that is worse than the reference although no step up to it is, and
        whether steps that were judged lead there from the first checkpoint."""
        places: dict[str, int] = {}
        for place, each in enumerate(self.checkpoints):
            places.setdefault(each.name, place)  # a run that is given twice is the same one
        found: dict[Key, tuple[int, bool]] = {}
        for key, (first, *_) in self.worse("reference").items():
            steps = [each.previous for each in self.checkpoints[1 : first + 1] if each.previous]
            # What a saved baseline has lost at the first checkpoint, no step here could show.
            if not first or "worse" in [step.word(key) for step in steps]:
                continue
            at = first
            while at and (step := self.checkpoints[at].previous) and step.word(key) not in (None, "not judged"):
                at = places[step.against[key]]
            found[key] = first, not at
        return found

    def findings(self) -> Iterator[str]:
        """What a reader should know first, a sentence each."""
        if len(self.checkpoints) < 2 and not self.baseline:
            yield "One checkpoint: there is no step to judge."
            return
        labels, reference, names = self.labels(), self.reference.name, [each.name for each in self.checkpoints]
        for against, than in zip(AGAINST, ("the checkpoint before it", reference), strict=True):
            worse = self.worse(against)
            if told := [f"{labels[key]} at {some(names[place] for place in worse[key])}" for key in worse]:
                yield f"Worse than {than}: {'; '.join(told)}."
            elif any(each.answer(against) for each in self.checkpoints):
                yield f"No checkpoint was judged worse than {than}."
        drifts = self.drifts()
        for complete, what in ((True, "Small steps add up"), (False, "Lost where a step could not be judged")):
            if told := [f"{labels[key]} (from {names[at]})" for key, (at, each) in drifts.items() if each == complete]:
                yield f"{what}: {', '.join(told)}: worse than {reference}, and no step up to there was judged worse."
        questions = [
            (answer, key) for each in self.checkpoints for against in AGAINST if (answer := each.answer(against))
            for key in self.quantities
        ]  # fmt: skip
        unanswered = [key for answer, key in questions if answer.word(key) in (None, *OPEN)]
        if unanswered:
            yield f"Without an answer: {len(unanswered)} of {len(questions)} verdicts (undecided, or not judged)."
        lost = [f"{each.name} ({counted(len(each.previous.lost))})" for each in self.checkpoints
                if each.previous and each.previous.lost]  # fmt: skip
        if lost:
            yield f"Without a score that the checkpoint before had: {some(lost)}."

    def rows(self) -> Iterator[dict[str, Any]]:
        """One for every checkpoint and quantity, with the columns of ``HISTORY``."""
        labels = self.labels()
        for each in self.checkpoints:
            for key, point in each.points.items():
                ends = point.interval
                yield {
                    "checkpoint": each.name, "metric": key[0], "quantity": key[1], "label": labels[key],
                    "direction": self.quantities[key][0].direction, "value": point.value,
                    "low": ends.low if ends else None, "high": ends.high if ends else None, "scored": point.scored,
                    "total": point.total, "reason": point.reason, "other": point.other,
                    "fingerprint": point.fingerprint, **_judged(each, key),
                }  # fmt: skip

    def to_frame(self, *, steps: bool = False) -> "DataFrame":
        """One row for every checkpoint and quantity.

        value, low, high: over the ``scored`` of ``total`` clips, with a 95 % interval; reason: why there is none.
        other: why the value does not compare at sight with the reference's. previous_…, reference_…: the gate's verdict
        against the nearest checkpoint before that compares, and the reference, with the paired difference, its interval
        and p (Holm's), the margin and the lost clips; reason: why it is open or was not asked.
        steps: instead one row for every checkpoint: what it was judged against, the answer over all quantities, clips
        lost.
        """
        return frame(map(_step, self.checkpoints), STEPS) if steps else frame(self.rows(), HISTORY)

    def as_dict(self) -> dict[str, Any]:
        """What ``t2av-bench history --format json`` prints."""
        return {
            "reference": self.reference.name, "alpha": self.alpha, "comparisons": self.asked,
            "findings": list(self.findings()),
            "checkpoints": [
                {
                    "name": each.name, "path": str(each.path), "items": each.items,
                    "points": [
                        {"metric": metric, "quantity": name,
                         **{field: value for field, value in asdict(point).items() if field != "state"}}
                        for (metric, name), point in each.points.items()
                    ],
                    **{against: _answered(each.answer(against)) for against in AGAINST},
                } for each in self.checkpoints
            ],
            "notes": list(self.notes),
        }  # fmt: skip


def _judged(each: Checkpoint, key: Key) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for against in AGAINST:
        answer = each.answer(against)
        verdict = answer.verdicts.get(key) if answer else None
        row: dict[str, Any] = as_row(verdict.difference if verdict else None)
        if answer and verdict:
            row |= {"verdict": verdict.word, "against": answer.against[key], "p": verdict.p, "margin": verdict.margin,
                    "reason": verdict.reason, "detectable": verdict.detectable,
                    "lost": len(verdict.lost)}  # fmt: skip
        else:
            reason = answer.reasons.get(key) if answer else None
            row |= dict.fromkeys(_JUDGED.keys() - row.keys()) | {"lost": 0, "reason": reason}
        found |= {f"{against}_{name}": row[name] for name in _JUDGED}
    return found


def _step(each: Checkpoint) -> dict[str, Any]:
    found: dict[str, Any] = {"checkpoint": each.name, "path": str(each.path), "clips": each.items}
    for against in AGAINST:
        answer = each.answer(against)
        others = ", ".join(dict.fromkeys(answer.against.values())) if answer else None
        found |= {
            against: others or None, f"{against}_answer": answer and answer.words,
            f"{against}_reason": answer and answer.reason,
            f"{against}_lost": len(answer.lost) if answer else 0,
        }  # fmt: skip
    return found


def _answered(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    reasons = [{"metric": metric, "quantity": name, "reason": why} for (metric, name), why in answer.reasons.items()]
    return {**answer.outcome.as_dict(), "without_verdict": reasons}
