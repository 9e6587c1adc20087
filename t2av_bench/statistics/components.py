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
    the scatter that a median has (``median_deviation``), groups or not.
    Raises Unscorable below two clips.
    """
    if len(sample) < 2:
        raise Unscorable(f"{sample.described}: a scatter needs at least two")
    if sample.median:
        return 0.0, median_deviation(sample.numerators)
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
    ratios and distances between sets; of signed shifts by medians and ``median_deviation``.

    samples: one for each condition, of the same clips. Raises Unscorable below two conditions or two clips.
    """
    first = samples[0]
    if len(samples) < 2 or len(first) < 2:
        raise Unscorable(f"{first.described} under {len(samples)} conditions: expected two of each or more")
    median, units = first.median, len(first) if first.median else first.units
    values = [each.numerators if median else each.by_group().pseudo_values for each in samples]
    changes = (two - one for one, two in combinations(values, 2))
    own = float(np.mean([median_deviation(each) ** 2 if median else np.var(each, ddof=1) for each in changes])) / 2
    # Medians of differences from the first: those of the values themselves would mix in how the clips are spread.
    effects = [float(np.median(each - values[0]) if median else np.mean(each)) for each in values]
    shared = float(np.var(effects, ddof=1)) - own / units
    return math.sqrt(max(0.0, shared)), math.sqrt(own * len(first) / units)


def median_deviation(values: np.ndarray) -> float:
    """What a median has in place of a standard deviation: by its √n-th part the median of n values scatters.

    The half width of the middle 68 % is an SD that a few arbitrary values leave alone; √(π/2) is what a median costs.
    """
    low, high = np.quantile(values, [0.16, 0.84])
    return float(high - low) / 2 * math.sqrt(math.pi / 2)
