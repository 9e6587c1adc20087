"""From clips to one number a set: a value, how many of how many clips it covers, and why the others are missing."""

import math
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
    reasons: why clips are missing, with their numbers.
    """

    score: Score
    scored: int
    total: int
    penalised: float | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "value": self.score.value,
            "status": str(self.score.status),
            "reason": self.score.reason,
            "scored": self.scored,
            "total": self.total,
            "penalised": self.penalised,
            "reasons": dict(self.reasons.most_common()),
        }


def summarise(quantity: Quantity, scores: Sequence[Score]) -> Summary:
    """Aggregate per-clip scores of one quantity. The order of the clips does not matter (sums are exact)."""
    values = [(score.value, score.weight) for score in scores if score.value is not None]
    missing = [score for score in scores if score.value is None]
    reasons = Counter(str(score.reason) for score in missing)
    failed = sum(score.status is Status.FAILED for score in missing)
    if not values:
        status = Status.FAILED if failed else Status.NOT_APPLICABLE
        reason = reasons.most_common(1)[0][0] if reasons else "there are no clips"
        return Summary(Score(status, reason=reason), 0, len(scores), reasons=reasons)
    if quantity.aggregate == "mode":
        counts = Counter(value for value, _ in values)
        value = min(counts, key=lambda candidate: (-counts[candidate], abs(candidate), candidate))
    else:
        weights = [weight if quantity.aggregate == "weighted" else 1.0 for _, weight in values]
        if not sum(weights):
            return Summary(Score.failed("all weights are zero"), 0, len(scores), reasons=reasons)
        value = math.fsum(v * w for (v, _), w in zip(values, weights, strict=True)) / math.fsum(weights)
    penalised = None
    if failed and quantity.penalty is not None:
        numbers = [value for value, _ in values]
        worst = min(numbers) if quantity.direction == "higher" else max(numbers)
        penalty = worst if quantity.penalty == "worst" else float(quantity.penalty)
        penalised = (math.fsum(numbers) + failed * penalty) / (len(numbers) + failed)
    return Summary(Score.ok(value), len(values), len(scores), penalised, reasons)
