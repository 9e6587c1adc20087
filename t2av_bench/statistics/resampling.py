"""Distances between sets at an infinite number of clips, extrapolated from subsets.

Nothing here runs a network: a clip is its stored features, generated (k, d) and reference (l, d), and ``ids`` are the
clips' ids, in the same order. Distances are functions of two feature arrays, as in ``t2av_bench.metrics.distances``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.influence import Clips
from t2av_bench.statistics.seeding import generator

Distance = Callable[[np.ndarray, np.ndarray], float]
LEAST_FIT = 0.9
SUBSETS = 20


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """A distance read off at 1/n = 0 (Chong & Forsyth 2020, arXiv 1911.07023).

    value: intercept of the line through mean distance against 1/n. standard_error: the intercept's, of the fit alone:
    the clips that there are were drawn once, which the fit cannot see. sizes, means: the points.
    """

    value: float
    standard_error: float
    slope: float
    sizes: tuple[int, ...]
    means: tuple[float, ...]


def extrapolate(ids: Sequence[str], clips: Clips, distance: Distance, *context: str) -> Extrapolation:
    """The distance that infinitely many clips would have, from subsets of both sides of equal size.

    20 subsets of each of 7 sizes, in even steps from a quarter of the clips to all of them. Raises Unscorable below 20
    clips, and where R² <= 0.9: then the distance is not a line in 1/n and the intercept means nothing.
    """
    n = len(clips)
    if len(set(ids)) != n or len(ids) != n:
        raise ValueError(f"expected one id for each of {n} clips and no id twice; got {len(ids)} ids")
    clips = [clip for _, clip in sorted(zip(ids, clips, strict=True), key=lambda pair: pair[0])]
    if n < 20:
        raise Unscorable(f"{n} clips; extrapolation to an infinite number needs at least 20")
    sizes = tuple(np.linspace(n / 4, n, 7).round().astype(int).tolist())
    random = generator("extrapolation", ids, *context)
    means = []
    for size in sizes:
        # All subsets of the full size are the same one.
        drawn = [np.sort(random.permutation(n)[:size]) for _ in range(SUBSETS if size < n else 1)]
        sides = ((np.concatenate([clips[i][side] for i in chosen]) for side in (0, 1)) for chosen in drawn)
        means.append(float(np.mean([distance(*pair) for pair in sides])))
    fit = scipy.stats.linregress(1.0 / np.array(sizes), means)
    r_squared = float(fit.rvalue) ** 2
    if not r_squared > LEAST_FIT:
        raise Unscorable(
            f"the distance does not fall on a line in 1/n (R² {r_squared:.2f}, expected above {LEAST_FIT}): "
            "no extrapolation; more clips may help"
        )
    return Extrapolation(float(fit.intercept), float(fit.intercept_stderr), float(fit.slope), sizes, tuple(means))
