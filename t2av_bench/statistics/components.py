"""Components of variance: of clips and their groups, and of what is done to the same clips in several ways."""

import math
from itertools import combinations

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.samples import Sample


def components(sample: Sample) -> tuple[float, float]:
    """Standard deviations between groups and within them: a set of n clips of G groups scatters by √(b² / G + w² / n).

    One-way random effects by analysis of variance, unequal sizes as by Searle et al. (1992), section 3.6; of
    pseudo-values for ratios and distances between sets. A difference between groups that is less than their clips'
    scatter explains is 0. Without groups, or with groups of a clip each, all scatter is within. Of signed shifts it is
    the scatter that a median has (``_scatter``), groups or not.
    Raises Unscorable below two clips.
    """
    if len(sample) < 2:
        raise Unscorable(f"{sample.described}: a scatter needs at least two")
    if sample.median:
        return 0.0, math.sqrt(_scatter(sample.numerators, median=True))
    values, members = sample.pseudo_values, sample.membership
    clips, groups = len(values), sample.units
    if groups == clips:
        return 0.0, float(np.std(values, ddof=1))
    sizes = np.bincount(members)
    means = np.bincount(members, values) / sizes
    within = float(((values - means[members]) ** 2).sum()) / (clips - groups)
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (groups - 1)
    usual = (clips - float((sizes**2).sum()) / clips) / (groups - 1)
    return math.sqrt(max(0.0, (between - within) / usual)), math.sqrt(within)


def crossed(samples: list[Sample]) -> tuple[float, float]:
    """The same clips under several conditions: standard deviations of a condition's effect, and of a clip's own.

    The first, v, is what all clips of a set share; the second, e, is how differently clips take a condition, so that
    sets of n clips under two conditions differ by √(2 (v² + e² / n)). Two-way random effects with one observation a
    cell, by analysis of variance: v² = (MS_conditions − MS_residual) / clips and e² = MS_residual, written as half the
    mean variance of the clips' differences over all pairs of conditions, which is the same. A v² below what e explains
    is 0. Groups stand for their clips, and e is then what as many independent clips would have. Of pseudo-values for
    ratios and distances between sets; of signed shifts by medians and ``_scatter``.

    samples: one for each condition, of the same clips. Raises Unscorable below two conditions or two clips.
    """
    first = samples[0]
    if len(samples) < 2 or len(first) < 2:
        raise Unscorable(f"{first.described} under {len(samples)} conditions: expected two of each or more")
    median, units = first.median, len(first) if first.median else first.units
    values = [each.numerators if median else each.by_group().pseudo_values for each in samples]
    scatters = [_scatter(two - one, median=median) for one, two in combinations(values, 2)]
    own = float(np.mean(scatters)) / 2
    # Medians of differences from the first: those of the values themselves would mix in how the clips are spread.
    effects = [float(np.median(each - values[0]) if median else np.mean(each)) for each in values]
    shared = float(np.var(effects, ddof=1)) - own / units
    return math.sqrt(max(0.0, shared)), math.sqrt(own * len(first) / units)


def _scatter(values: np.ndarray, *, median: bool) -> float:
    """The variance whose n-th part the mean of n values has; of a median π/2 times the squared half width of the
    middle 68 %, which a few arbitrary values leave alone."""
    if not median:
        return float(np.var(values, ddof=1))
    low, high = np.quantile(values, [0.16, 0.84])
    return float((high - low) / 2) ** 2 * math.pi / 2
