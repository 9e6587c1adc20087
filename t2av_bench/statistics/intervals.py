"""Confidence intervals over clips, or over groups of clips where the items name speakers or source videos.

Percentile and BCa intervals (Efron 1987) are those of ``scipy.stats.bootstrap``, with the level widened for few clips
as Hesterberg 2015 (arXiv 1411.5279, "expanded percentile") does: plain bootstrap intervals are too short by about
√((n−1)/n) · z/t, which at 20 clips costs 2 to 3 points of coverage. Below 20 clips there is none: at 6 clips with
skewed scores such an interval covers the truth half the time.

Where a bootstrap has nothing to draw from, exact bounds take its place: Clopper & Pearson 1934 for an error rate
without errors (on words) and for shares of clips, order statistics for medians.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import scipy

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.samples import LEAST_CLIPS, NEEDS_CLIPS, Sample
from t2av_bench.statistics.seeding import generator

Method = Literal["bca", "percentile"]

DRAWS = 10_000
LEVEL = 0.95
LEAST_UNITS = 5  # below this a resample has too few distinct values for any interval
_ENTRIES = 1 << 17  # numbers resampled at a time: 1 MB an array, which stays in a processor's cache


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


Drawn = Callable[[np.ndarray], np.ndarray]
"""Values of all units (n,) -> those of the units that are in, by resamples (rows, m)."""
Statistic = Callable[[Drawn], np.ndarray]


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], units: int, random: np.random.RandomState, *,
    method: Method = "bca", draws: int = DRAWS,
) -> Interval:  # fmt: skip
    """The interval of any statistic of clips (or of groups of clips: whatever is drawn), see ``bootstraps``.

    statistic: indices of the units that are in (..., m) -> values (...). An end is NaN where a resample has no value.
    """
    numbers = np.arange(units)
    return bootstraps([lambda drawn: statistic(drawn(numbers))], units, random, method=method, draws=draws)[0]


def bootstraps(
    statistics: Sequence[Statistic], units: int, random: np.random.RandomState, *, method: Method = "bca",
    draws: int = DRAWS,
) -> list[Interval]:  # fmt: skip
    """The interval of each of several statistics of the same units, by the same draws: drawing is what takes long.

    A statistic is given a function ``drawn`` of values (n,), and returns its own value for each resample, which is a
    row of ``drawn(values)``: resamples with repetition, n−1 units, or all. Every interval is what
    ``scipy.stats.bootstrap`` gives from the same generator, to the last bit; that takes up to twice as long.
    Where all resamples agree the interval is that one value. Raises Unscorable below LEAST_UNITS.
    """
    if units < LEAST_UNITS:
        raise Unscorable(f"{units} to draw from; a bootstrap needs at least {LEAST_UNITS}")
    tail = (1 - expanded_level(LEVEL, units)) / 2

    def resampled(which: Sequence[Statistic]) -> np.ndarray:
        found = np.empty((len(which), draws))
        rows = max(1, _ENTRIES // units)
        for start in range(0, draws, rows):
            index = random.randint(0, units, (min(rows, draws - start), units))
            drawn = partial(np.take, indices=index, mode="clip")  # no index is outside, and not to look saves a third
            for mine, statistic in zip(found, which, strict=True):
                mine[start : start + len(index)] = statistic(drawn)
        return found

    with np.errstate(all="ignore"):
        distributions = resampled(statistics)
        ends: list[tuple[float, float]] = []
        for each, statistic in zip(distributions, statistics, strict=True):
            tails = _bca_tails(each, statistic, units, tail) if method == "bca" else (tail, 1 - tail)
            ends.append((_quantile(each, tails[0]), _quantile(each, tails[1])))
        # BCa divides by the jackknife's scatter: without any, its correction is void.
        void = [place for place, pair in enumerate(ends) if not np.isfinite(pair).all()]
        again = resampled([statistics[place] for place in void]) if void else np.empty((0, draws))
        for place, each in zip(void, again, strict=True):
            ends[place] = _quantile(each, tail), _quantile(each, 1 - tail)
    return [Interval(*pair, method="percentile" if place in void else method) for place, pair in enumerate(ends)]


def _bca_tails(distribution: np.ndarray, statistic: Statistic, units: int, tail: float) -> tuple[float, float]:
    """Which quantiles of the resamples' values (draws,) are the ends of the BCa interval (Efron 1987)."""
    value = statistic(lambda values: values[None])[0]
    below = np.count_nonzero(distribution < value) + np.count_nonzero(distribution <= value)
    bias = scipy.special.ndtri(below / (2 * len(distribution)))
    rows = max(1, _ENTRIES // units)
    blocks = np.split(np.arange(units), range(rows, units, rows))
    left_out = np.concatenate([statistic(partial(_without_one, places=block)) for block in blocks])
    scatter = (float(units) - 1) * (left_out.mean() - left_out)
    numerator, denominator = (np.sum(scatter**power) / float(units) ** power for power in (3, 2))
    acceleration = 1 / 6 * numerator / denominator**1.5
    z = scipy.special.ndtri(tail)
    low, high = (float(scipy.special.ndtr(bias + (bias + end) / (1 - acceleration * (bias + end)))) for end in (z, -z))
    return low, high


def _without_one(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(k, n - 1): values (n,) without the one at each of the places (k,)."""
    return np.where(np.arange(len(values) - 1) < places[:, None], values[:-1], values[1:])


def _quantile(values: np.ndarray, share: float) -> float:
    """By linear interpolation, in terms of ``scipy.stats.quantile``; NaN for a share that is none, and among NaNs."""
    if not 0 <= share <= 1 or np.isnan(values).any():
        return math.nan
    place = share * len(values) + (1 - share)  # counted from 1
    part, low = place % 1, min(max(int(place // 1) - 1, 0), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    ordered = np.partition(values, (low, high))
    return float((1 - part) * ordered[low] + part * ordered[high])


def check_enough(sample: Sample) -> None:
    """Raises Unscorable where there are too few clips, or too few groups of them, for any interval."""
    if len(sample) < LEAST_CLIPS:
        raise Unscorable(f"{sample.described}; {NEEDS_CLIPS}")
    if sample.units < LEAST_UNITS:
        raise Unscorable(f"{sample.described}; an interval needs at least {LEAST_UNITS} {sample.unit}")


def interval(sample: Sample, *context: str, method: Method = "bca", draws: int = DRAWS) -> Interval:
    """The interval of a mean, of a corpus ratio (Σ errors / Σ words) or of a median.

    Clips are resampled with their weights, groups of clips as a whole. context: quantity and protocol fingerprint, for
    the seed. Raises Unscorable for too few clips or no weight.
    """
    (found,) = intervals([sample], *context, method=method, draws=draws)
    if isinstance(found, Unscorable):
        raise found
    return found


def intervals(
    samples: Sequence[Sample], *context: str, method: Method = "bca", draws: int = DRAWS
) -> list[Interval | Unscorable]:
    """``interval`` of several samples of a quantity, or why it has none; those of the same clips share draws."""
    found: list[Interval | Unscorable | None] = []
    together: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for place, sample in enumerate(samples):
        found.append(None)
        try:
            if len(sample):
                sample.value  # noqa: B018 - raises where all weights are zero
            check_enough(sample)
        except Unscorable as error:
            found[place] = error
            continue
        if sample.median:
            found[place] = median_interval(sample, generator("interval", sample.clips, *context), draws=draws)
        elif exact := _exact(sample):
            found[place] = exact
        else:
            together.setdefault((sample.clips, sample.units), []).append(place)
    for (clips, units), places in together.items():
        statistics = [_value_of(samples[place].by_group()) for place in places]
        random = generator("interval", clips, *context)
        for place, each in zip(places, bootstraps(statistics, units, random, method=method, draws=draws), strict=True):
            found[place] = each
    return [each for each in found if each is not None]


def _value_of(sample: Sample) -> Statistic:
    """The value of a sample as a statistic of drawn units."""
    if sample.plain:
        return lambda drawn: drawn(sample.numerators).mean(-1)
    return lambda drawn: drawn(sample.numerators).sum(-1) / drawn(sample.denominators).sum(-1)


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
