"""Confidence intervals over clips, or over groups of clips where the items name speakers or source videos.

Percentile and BCa intervals (Efron 1987) come from ``scipy.stats.bootstrap``, with the level widened for few clips as
Hesterberg 2015 (arXiv 1411.5279, "expanded percentile") does: plain bootstrap intervals are too short by about
√((n−1)/n) · z/t, which at 20 clips costs 2 to 3 points of coverage. Below 20 clips there is none: at 6 clips with
skewed scores such an interval covers the truth half the time.

Where a bootstrap has nothing to draw from, exact bounds take its place: Clopper & Pearson 1934 for an error rate
without errors (on words) and for shares of clips, order statistics for medians.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.samples import Sample
from t2av_bench.statistics.seeding import generator

Method = Literal["bca", "percentile"]

DRAWS = 10_000
LEVEL = 0.95
LEAST_CLIPS = 20
LEAST_UNITS = 5  # below this a resample has too few distinct values for any interval
_ENTRIES = 1 << 21  # numbers resampled at a time: 16 MB an array


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of a confidence interval, and how it was made."""

    low: float
    high: float
    level: float = LEVEL
    method: str = "bca"

    def inside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies strictly between two numbers."""
        return low < self.low and self.high < high


def expanded_level(level: float, clips: int) -> float:
    """The level to ask of a bootstrap over so many clips, so that its interval covers ``level``."""
    reach = scipy.stats.t.ppf((1 + level) / 2, clips - 1) * np.sqrt(clips / (clips - 1))
    return float(2 * scipy.stats.norm.cdf(reach) - 1)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    clips: int,
    random: np.random.RandomState,
    *,
    method: Method = "bca",
    draws: int = DRAWS,
) -> Interval:
    """The interval of any statistic of clips (or of groups of clips: whatever is drawn).

    statistic: indices of clips (..., n) -> values (...), for resamples with repetition and for n−1 clips alike.
    Where all resamples agree the interval is that one value. Raises Unscorable below LEAST_UNITS.
    """
    if clips < LEAST_UNITS:
        raise Unscorable(f"{clips} to draw from; a bootstrap needs at least {LEAST_UNITS}")

    def evaluate(indices: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(np.asarray(indices, dtype=np.intp))

    def ask(method: Method) -> tuple[float, float]:
        found = scipy.stats.bootstrap(
            (np.arange(clips),), evaluate, vectorized=True, n_resamples=draws, batch=max(1, _ENTRIES // clips),
            confidence_level=expanded_level(LEVEL, clips), method="BCa" if method == "bca" else "percentile",
            random_state=random,
        ).confidence_interval  # fmt: skip
        return float(found.low), float(found.high)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns of degenerate distributions, which are handled below
        low, high = ask(method)
        if not np.isfinite([low, high]).all():
            # BCa divides by the jackknife's scatter: without any, its correction is void.
            method = "percentile"
            low, high = ask(method)
    return Interval(low, high, method=method)


def check_enough(sample: Sample) -> None:
    """Raises Unscorable where there are too few clips, or too few groups of them, for any interval."""
    if len(sample) < LEAST_CLIPS:
        raise Unscorable(f"{sample.described}; an interval needs at least {LEAST_CLIPS} clips")
    if sample.units < LEAST_UNITS:
        raise Unscorable(f"{sample.described}; an interval needs at least {LEAST_UNITS} {sample.unit}")


def interval(sample: Sample, *context: str, method: Method = "bca", draws: int = DRAWS) -> Interval:
    """The interval of a mean, of a corpus ratio (Σ errors / Σ words) or of a median.

    Clips are resampled with their weights, groups of clips as a whole. context: quantity and protocol fingerprint, for
    the seed. Raises Unscorable for too few clips or no weight.
    """
    if len(sample):
        sample.value  # noqa: B018 - raises where all weights are zero
    check_enough(sample)
    random = generator("interval", sample.clips, *context)
    if sample.median:
        return median_interval(sample, random, draws=draws)
    if exact := _exact(sample):
        return exact
    drawn = sample.by_group()
    numerators, denominators = drawn.numerators, drawn.denominators
    plain = drawn.plain

    def value(index: np.ndarray) -> np.ndarray:
        drawn = np.take(numerators, index)  # half the time of indexing
        return drawn.mean(-1) if plain else drawn.sum(-1) / np.take(denominators, index).sum(-1)

    return bootstrap(value, len(drawn), random, method=method, draws=draws)


def _exact(sample: Sample) -> Interval | None:
    """Clopper-Pearson bounds: of a share of clips, and of a rate without any error (on words); else None.

    Groups make a share of clips scatter more than its binomial: a bootstrap over them is asked where it has a width.
    """
    extreme = sample.share and len(set(sample.numerators.tolist())) == 1
    if not (sample.faultless or extreme or (sample.share and sample.groups is None)):
        return None
    trials = max(1, round(float(sample.trials.sum())))
    count = round(float(sample.numerators.sum()))
    return Interval(*exact_share(count, trials), method="Clopper-Pearson")


def exact_share(count: int, trials: int) -> tuple[float, float]:
    """Clopper-Pearson bounds of a share, ``count`` of ``trials``."""
    found = scipy.stats.binomtest(count, trials).proportion_ci(LEVEL, method="exact")
    return float(found.low), float(found.high)


def median_interval(sample: Sample, random: np.random.RandomState, *, draws: int = DRAWS) -> Interval:
    """Of the median of the numerators: order statistics, which hold for any distribution; groups are bootstrapped."""
    order = np.argsort(sample.numerators, kind="stable")
    values = sample.numerators[order]
    if sample.groups is None:
        # P(X < rank) of Binomial(n, 1/2) is how often the true median lies outside on each side.
        rank = int(scipy.stats.binom.ppf((1 - LEVEL) / 2, len(values), 0.5))
        return Interval(float(values[rank - 1]), float(values[len(values) - rank]), method="order statistics")
    members = sample.membership[order]
    medians = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(random.randint(0, sample.units, sample.units), minlength=sample.units)[members]
        reached = np.cumsum(times)
        places = np.searchsorted(reached, [(reached[-1] + 1) // 2, reached[-1] // 2 + 1])
        medians[draw] = values[places].mean()
    wide = expanded_level(LEVEL, sample.units)
    low, high = np.quantile(medians, [(1 - wide) / 2, (1 + wide) / 2])
    return Interval(float(low), float(high), method="percentile")
