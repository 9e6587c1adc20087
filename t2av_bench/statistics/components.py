"""How much of the clips' scatter is that of their groups: what another set, with other groups, would scatter by."""

import math

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.samples import Sample


def components(sample: Sample) -> tuple[float, float]:
    """Standard deviations between groups and within them: a set of n clips of G groups scatters by √(b² / G + w² / n).

    One-way random effects by analysis of variance, unequal sizes as by Searle et al. (1992), section 3.6; of
    pseudo-values for ratios and distances between sets. A difference between groups that is less than their clips'
    scatter explains is 0. Without groups, or with groups of a clip each, all scatter is within. Of signed shifts it is
    the scatter that a median has: √(π/2) times the half width of the middle 68 %, groups or not.
    Raises Unscorable below two clips.
    """
    if len(sample) < 2:
        raise Unscorable(f"{sample.described}: a scatter needs at least two")
    if sample.median:
        low, high = np.quantile(sample.numerators, [0.16, 0.84])
        return 0.0, float(high - low) / 2 * math.sqrt(math.pi / 2)
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
