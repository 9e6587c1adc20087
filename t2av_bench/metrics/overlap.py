"""How much of the longer of two clips a paired metric must have looked at.

Paired metrics compare what both clips have. A clip of 2 s beside a reference of 8 s could get a perfect score for a
quarter of the task, so below ``least_overlap`` of the longer one's time the score is a failure of the clip, whichever
of the two is the short one.
"""

import math

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Metric, Settings

LEAST_OVERLAP = 0.9


class OverlapMetric(Metric):
    """A paired metric. least_overlap: share of the longer clip, from 0 to 1, that both must cover."""

    def __init__(self, settings: Settings | None = None, least_overlap: float = LEAST_OVERLAP) -> None:
        super().__init__(settings)
        if isinstance(least_overlap, bool) or not isinstance(least_overlap, int | float) or not 0 <= least_overlap <= 1:
            raise ValueError(f"least_overlap is a share of the longer clip, from 0 to 1, got {least_overlap!r}")
        self.least_overlap = float(least_overlap)


def require_overlap(generated_seconds: float, reference_seconds: float, least_overlap: float, what: str) -> None:
    """Raise Unscorable where the shorter one lasts less than ``least_overlap`` of the longer one.

    what: what was compared, for the reason ("sound", "video").
    """
    longer = max(generated_seconds, reference_seconds)
    shorter = min(generated_seconds, reference_seconds)
    # Lengths are counted in samples and frames: a whole number of them may not fail by rounding.
    if shorter >= least_overlap * longer - 1e-9:
        return
    share = f"{math.floor(100 * shorter / longer)} %"
    seconds = f"{shorter:.2f} of {longer:.2f} s"
    if generated_seconds < reference_seconds:
        found = f"the clip's {what} covers {share} of the reference ({seconds})"
    else:
        found = f"the reference's {what} covers {share} of the clip ({seconds})"
    raise Unscorable(f"{found}; at least {100 * least_overlap:g} % are needed (option least_overlap)")
