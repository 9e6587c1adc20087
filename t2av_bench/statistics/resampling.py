"""Subsets and resamples of clips for distances between sets: dispersion, intervals, floors, infinite sample size.

Nothing here runs a network: a clip is its stored features, generated (k, d) and reference (l, d), and ``ids`` are the
clips' ids, in the same order. Distances are functions of two feature arrays, as in ``t2av_bench.metrics.distances``.

A resample with repetition looks to a Fréchet distance like fewer clips, which inflates it: never read the bootstrap's
centre, only the spread of a *difference* in which the inflation of both systems cancels. The spread of one distance
comes from halves drawn without repetition. Each draw costs one or two distances (milliseconds for FVD, seconds for
FID of 200 × 16 frames); ``influence`` gives the same spread from one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.influence import Clips
from t2av_bench.statistics.intervals import LEAST_CLIPS, LEVEL, Interval, expanded_level
from t2av_bench.statistics.seeding import generator

Distance = Callable[[np.ndarray, np.ndarray], float]
DRAWS = 200
LEAST_FIT = 0.9


def _ordered(ids: Sequence[str], *sets: Clips) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """The sets in the order of the ids, so that the caller's order cannot matter."""
    if len(set(ids)) != len(ids) or any(len(clips) != len(ids) for clips in sets):
        raise ValueError(f"expected one id for each clip and no id twice; got {len(ids)} ids")
    order = sorted(range(len(ids)), key=lambda position: ids[position])
    return [[clips[position] for position in order] for clips in sets]


def _distance(distance: Distance, clips: Clips, chosen: Sequence[int] | np.ndarray) -> float:
    return distance(*(np.concatenate([clips[i][side] for i in chosen]) for side in (0, 1)))


def half_sample_deviation(
    ids: Sequence[str], clips: Clips, distance: Distance, *context: str, draws: int = DRAWS
) -> float:
    """Standard error of a distance at this number of clips, from random halves of the clips.

    Halves drawn without repetition scatter as the full set does from sample to sample: the delete-half jackknife
    (Shao & Wu 1989). With an odd number the ratio of the sizes is corrected for.
    """
    (clips,) = _ordered(ids, clips)
    n = len(clips)
    if n < 4:
        raise Unscorable(f"{n} clips; halves need at least 4")
    random = generator("halves", ids, *context)
    half = n // 2
    values = [_distance(distance, clips, np.sort(random.permutation(n)[:half])) for _ in range(draws)]
    return float(np.std(values, ddof=1) * np.sqrt(half / (n - half)))


def paired_bootstrap(
    ids: Sequence[str], first: Clips, second: Clips, distance: Distance, *context: str, draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval:  # fmt: skip
    """Interval of distance(second) − distance(first): the same clips drawn for both, generated and reference together.

    The ends are the observed difference plus and minus the quantiles of the bootstrap's scatter about its own mean:
    what inflation remains after the subtraction is not part of the difference.
    """
    first, second = _ordered(ids, first, second)
    n = len(first)
    if n < LEAST_CLIPS:
        raise Unscorable(f"{n} clips; an interval needs at least {LEAST_CLIPS} clips")
    random = generator("paired bootstrap", ids, *context)
    whole = range(n)
    observed = _distance(distance, second, whole) - _distance(distance, first, whole)
    scatter = np.empty(draws)
    for draw in range(draws):
        chosen = np.sort(random.randint(0, n, n))
        scatter[draw] = _distance(distance, second, chosen) - _distance(distance, first, chosen)
    wide = expanded_level(level, n)
    low, high = np.quantile(scatter - scatter.mean(), [(1 - wide) / 2, (1 + wide) / 2])
    return Interval(observed + float(low), observed + float(high), level, "paired bootstrap")


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """A distance read off at 1/n = 0 (Chong & Forsyth 2020, arXiv 1911.07023).

    value: intercept of the line through mean distance against 1/n. standard_error: the intercept's, of the fit alone:
    the clips that there are were drawn once, which the fit cannot see. r_squared: of the fit. sizes, means: the points.
    """

    value: float
    standard_error: float
    slope: float
    r_squared: float
    sizes: tuple[int, ...]
    means: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "value": self.value, "standard_error": self.standard_error, "slope": self.slope,
            "r_squared": self.r_squared, "sizes": list(self.sizes), "means": list(self.means),
        }  # fmt: skip


def extrapolate(
    ids: Sequence[str], clips: Clips, distance: Distance, *context: str, sizes: Sequence[int] | None = None,
    subsets: int = 20,
) -> Extrapolation:  # fmt: skip
    """The distance that infinitely many clips would have, from subsets of both sides of equal size.

    sizes: numbers of clips; by default 7 even steps from a quarter of the clips to all of them. Raises Unscorable
    below 20 clips, and where R² <= 0.9: then the distance is not a line in 1/n and the intercept means nothing.
    """
    from scipy import stats

    (clips,) = _ordered(ids, clips)
    n = len(clips)
    if n < 20:
        raise Unscorable(f"{n} clips; extrapolation to an infinite number needs at least 20")
    asked = tuple(sorted(set(sizes or np.linspace(n / 4, n, 7).round().astype(int).tolist())))
    if len(asked) < 3 or asked[0] < 2 or asked[-1] > n:
        raise ValueError(f"expected at least 3 sizes between 2 and {n} clips, got {asked}")
    random = generator("extrapolation", ids, *context)
    means = []
    for size in asked:
        # All subsets of the full size are the same one.
        drawn = [np.sort(random.permutation(n)[:size]) for _ in range(subsets if size < n else 1)]
        means.append(float(np.mean([_distance(distance, clips, chosen) for chosen in drawn])))
    fit = stats.linregress(1.0 / np.array(asked), means)
    r_squared = float(fit.rvalue) ** 2
    if not r_squared > LEAST_FIT:
        raise Unscorable(
            f"the distance does not fall on a line in 1/n (R² {r_squared:.2f}, expected above {LEAST_FIT}): "
            "no extrapolation; more clips may help"
        )
    return Extrapolation(
        float(fit.intercept), float(fit.intercept_stderr), float(fit.slope), r_squared, asked, tuple(means)
    )


@dataclass(frozen=True, slots=True)
class Floor:
    """What a blind system would score: mean over the random pairings, and their SD."""

    mean: float
    deviation: float
    draws: int
    clips: int

    def as_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation, "draws": self.draws, "clips": self.clips}


def random_pair_floor(
    ids: Sequence[str], score: Callable[[str, str], float], *context: str, draws: int = 5,
    groups: Sequence[str] | None = None,
) -> Floor:  # fmt: skip
    """What unrelated halves score: the mean of score(one clip's id, another clip's id), never a clip with itself.

    For Sync-C/D the picture of one clip with the sound of another, for speaker similarity two clips' voices.
    groups: of each clip (its speaker); clips of one group are not paired either. deviation is that of the draws' means.
    """
    _ordered(ids)
    order = sorted(range(len(ids)), key=lambda position: ids[position])
    names = [ids[position] for position in order]
    kinds = [groups[position] for position in order] if groups is not None else names
    if len(set(kinds)) < 2:
        raise Unscorable("a floor of random pairs needs clips of at least 2 groups")
    random = generator("random pairs", ids, *context)
    means = []
    for _ in range(draws):
        values = []
        for name, kind in zip(names, kinds, strict=True):
            others = [other for other, its in zip(names, kinds, strict=True) if its != kind]
            values.append(score(name, others[random.randint(len(others))]))
        means.append(float(np.mean(values)))
    return Floor(float(np.mean(means)), float(np.std(means, ddof=1)) if draws > 1 else 0.0, draws, len(names))
