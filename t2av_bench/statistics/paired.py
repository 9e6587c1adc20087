"""Two systems on the same clips: the difference, its interval and its p-value."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.scores import Unscorable
from t2av_bench.statistics.intervals import DRAWS, LEVEL, Interval, Method, bootstrap
from t2av_bench.statistics.permutation import FLIPS, swap_p
from t2av_bench.statistics.samples import Sample
from t2av_bench.statistics.seeding import generator


@dataclass(frozen=True, slots=True)
class Difference:
    """Second minus first, on the clips that both scored.

    first, second: set values on those clips. deviation: SD over clips of the difference (of pseudo-values for
    ratios and distances between sets), whence the number of clips that a decision needs. interval: None below
    LEAST_CLIPS clips. p: two-sided, not corrected for other tests.
    """

    first: float
    second: float
    clips: int
    deviation: float
    interval: Interval | None
    p: float

    @property
    def value(self) -> float:
        return self.second - self.first

    def as_dict(self) -> dict[str, Any]:
        return {
            "first": self.first, "second": self.second, "difference": self.value, "clips": self.clips,
            "deviation": self.deviation, "interval": self.interval.as_dict() if self.interval else None, "p": self.p,
        }  # fmt: skip


def paired_difference(
    first: Sample, second: Sample, *context: str, level: float = LEVEL, method: Method = "bca", draws: int = DRAWS,
    flips: int = FLIPS,
) -> Difference:  # fmt: skip
    """Compare two systems on the clips that both scored.

    context: quantity and protocol fingerprint, for the seed. Raises Unscorable where they share no clip or no weight.
    """
    common = sorted(set(first.clips) & set(second.clips))
    if not common:
        raise Unscorable("no clip was scored on both sides")
    first, second = first.on(common), second.on(common)
    values = first.value, second.value
    scatter = second.pseudo_values - first.pseudo_values
    if first.plain and second.plain:
        differences = second.numerators - first.numerators

        def statistic(index: np.ndarray) -> np.ndarray:
            return differences[index].mean(-1)
    else:

        def statistic(index: np.ndarray) -> np.ndarray:
            ratios = [side.numerators[index].sum(-1) / side.denominators[index].sum(-1) for side in (first, second)]
            return ratios[1] - ratios[0]

    try:
        random = generator("paired interval", common, *context)
        interval = bootstrap(statistic, len(common), random, level=level, method=method, draws=draws)
    except Unscorable:
        interval = None
    return Difference(
        *values,
        clips=len(common),
        deviation=float(np.std(scatter, ddof=1)) if len(common) > 1 else 0.0,
        interval=interval,
        p=swap_p(first, second, *context, flips=flips),
    )
