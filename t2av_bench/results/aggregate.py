"""From clips to one number a set: a value, how many of how many clips it covers, and why the others are missing."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from t2av_bench.scores import Quantity, Score, Status


@dataclass(frozen=True, slots=True)
class Summary:
    """One quantity over a set of clips.

    score: the set value, or why there is none.
    scored, total: clips that the value covers, and clips that there are.
    penalised: mean in which failures count as the quantity's penalty (where it defines one and some clip failed).
    reasons: why clips are missing, with their numbers. inapplicable: those of them that are nobody's failure.
    within_one: of a shift, the share of the scored clips that are at most one frame from 0.
    """

    score: Score
    scored: int
    total: int
    penalised: float | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    within_one: float | None = None
    inapplicable: frozenset[str] = frozenset()

    def as_dict(self) -> dict[str, Any]:
        return {
            "value": self.score.value,
            "status": str(self.score.status),
            "reason": self.score.reason,
            "scored": self.scored,
            "total": self.total,
            "penalised": self.penalised,
            "reasons": dict(self.reasons.most_common()),
            **({} if self.within_one is None else {"within_one": self.within_one}),
        }


def summarise(quantity: Quantity, scores: Sequence[Score]) -> Summary:
    """Aggregate per-clip scores of one quantity. The order of the clips does not matter (sums are exact)."""
    values = [(score.value, score.weight) for score in scores if score.value is not None]
    missing = [score for score in scores if score.value is None]
    reasons, inapplicable = reasons_of(missing)
    failed = [score for score in missing if score.status is Status.FAILED]
    if not values:
        status = Status.FAILED if failed else Status.NOT_APPLICABLE
        reason = reasons.most_common(1)[0][0] if reasons else "there are no clips"
        return Summary(Score(status, reason=reason), 0, len(scores), reasons=reasons, inapplicable=inapplicable)
    numbers = [value for value, _ in values]
    if quantity.is_shift:
        within = sum(abs(value) <= quantity.frame for value in numbers) / len(numbers)
        middle = Score.ok(statistics.median(numbers))
        return Summary(middle, len(values), len(scores), None, reasons, within, inapplicable)
    weights = [weight if quantity.aggregate == "weighted" else 1.0 for _, weight in values]
    if not sum(weights):
        return Summary(Score.failed("all weights are zero"), 0, len(scores), None, reasons, None, inapplicable)
    value = math.fsum(v * w for v, w in zip(numbers, weights, strict=True)) / math.fsum(weights)
    penalised = None
    if failed and quantity.penalty is not None:
        lost = _lost_weights(quantity, failed, math.fsum(weights) / len(weights))
        total = math.fsum([*weights, *lost])
        penalised = (value * math.fsum(weights) + _penalty(quantity, numbers, value) * math.fsum(lost)) / total
    return Summary(Score.ok(value), len(values), len(scores), penalised, reasons, None, inapplicable)


def reasons_of(scores: Sequence[Score]) -> tuple[Counter[str], frozenset[str]]:
    """Why scores have no value -> how many, and which of the reasons are nobody's failure."""
    missing = [score for score in scores if score.value is None]
    return (
        Counter(str(score.reason) for score in missing),
        frozenset(str(score.reason) for score in missing if score.status is Status.NOT_APPLICABLE),
    )


def _lost_weights(quantity: Quantity, failed: Sequence[Score], usual: float) -> list[float]:
    """Weights of the failed clips: their own, so that failing on many words costs many; the usual where unknown."""
    if quantity.aggregate != "weighted":
        return [1.0] * len(failed)
    return [score.weight or usual for score in failed]


def _penalty(quantity: Quantity, numbers: Sequence[float], value: float) -> float:
    """What a failed clip counts as; never better than the mean of the others, which failing must not improve."""
    if quantity.penalty == "worst":
        return min(numbers) if quantity.direction == "higher" else max(numbers)
    assert quantity.penalty is not None
    harsher = min if quantity.direction == "higher" else max
    return harsher(float(quantity.penalty), value)
