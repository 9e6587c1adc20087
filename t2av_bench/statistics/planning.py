"""How many clips a difference needs (metrics.md names the formula: n = 7.85 · 2(1−ρ)σ²/δ² for α .05, power .8)."""

import math

import scipy

# Decisions are promised with 95 % probability. The formulas hold for Student's test of normal values; random flips,
# bootstrap draws and scores that are not normal cost up to a point of power (measured by simulation).
DECIDING_POWER = 0.96


def clips_needed(deviation: float, difference: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Clips at which a two-sided paired test at level α finds a true difference with this probability.

    deviation: SD over clips of the two systems' differences. Normal quantiles, plus Guenther's z²/2 clips for the
    deviation being estimated too.
    """
    if difference == 0 or not math.isfinite(difference):
        raise ValueError("no number of clips finds a difference of 0")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"expected α and power between 0 and 1, got {alpha} and {power}")
    z = scipy.stats.norm.ppf(1 - alpha / 2)
    return max(2, math.ceil(((z + scipy.stats.norm.ppf(power)) * deviation / difference) ** 2 + z * z / 2))


def difference_found(deviation: float, clips: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true difference that so many clips find with this probability; the inverse of ``clips_needed``."""
    z = scipy.stats.norm.ppf(1 - alpha / 2)
    if clips <= z * z / 2:
        raise ValueError(f"{clips} clips find no difference at level {alpha}; at least {math.ceil(z * z / 2) + 1}")
    return float((z + scipy.stats.norm.ppf(power)) * deviation / math.sqrt(clips - z * z / 2))


def clips_to_decide(
    deviation: float, margin: float, *, tests: int = 1, alpha: float = 0.05, power: float = DECIDING_POWER
) -> int:
    """Clips at which "no difference" and "a loss of one margin" are told apart, each with 95 % probability.

    Two demands, the larger wins: a true loss of one margin is found at level α/tests (Holm's first and strictest
    step); and where there is no difference, the whole (1−α) interval fits between −margin and +margin.
    """
    found = clips_needed(deviation, margin, alpha=alpha / tests, power=power)
    z = scipy.stats.norm.ppf(1 - alpha / 2)
    fits = ((z + scipy.stats.norm.ppf((1 + power) / 2)) * deviation / margin) ** 2 + z * z / 2
    return max(found, math.ceil(fits))


def clips_if_it_stays(
    deviation: float, difference: float, margin: float | None, *, tests: int = 1, alpha: float = 0.05
) -> int | None:
    """Clips at which a difference of this size is decided either way; None where no number would (0 without margin).

    Either the interval leaves 0, or, for a difference below the margin, it fits inside the margin.
    """
    size = abs(difference)
    ways = []
    if size > 0:
        ways.append((scipy.stats.norm.ppf(1 - alpha / (2 * tests)) * deviation / size) ** 2)
    if margin is not None and size < margin:
        ways.append((scipy.stats.norm.ppf(1 - alpha / 2) * deviation / (margin - size)) ** 2)
    return math.ceil(min(ways)) if ways and math.isfinite(min(ways)) else None
