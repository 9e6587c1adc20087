"""Paired tests without assumptions about distributions, and the correction for asking many questions.

By hand, because ``scipy.stats.permutation_test`` draws each sample's patterns anew and from a stream of its own (every
printed p-value would move), and SciPy has no Holm correction.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from t2av_bench.statistics.samples import Sample
from t2av_bench.statistics.seeding import generator

FLIPS = 10_000
EXACT_CLIPS = 13  # 2^13 = 8,192 sign patterns: all of them are fewer than FLIPS
# Signs drawn at a time: 2 MB, which stays in a processor's cache and keeps memory flat.
_ENTRIES = 1 << 18
# Sums of the same numbers in another order differ by rounding; a tie must count as one.
_TIE = 1e-12


def _exact(clips: int, flips: int) -> bool:
    """Whether all sign patterns are tried, for they are few."""
    return 2**clips <= min(flips, 2**EXACT_CLIPS)


def _signs(clips: int, flips: int, random: np.random.RandomState) -> Iterator[np.ndarray]:
    """Sign patterns (rows, n) in blocks."""
    if _exact(clips, flips):
        patterns = (np.arange(2**clips)[:, None] >> np.arange(clips)) & 1
        yield 1.0 - 2.0 * patterns
        return
    rows = max(1, _ENTRIES // max(1, clips))
    for start in range(0, flips, rows):
        # The lowest bits of the generator's words are what ``randint(0, 2)`` gives, in a third of its time.
        words = random.randint(0, 1 << 32, size=(min(rows, flips - start), clips), dtype=np.uint32)
        words &= 1
        signs = words.astype(np.float64)
        signs *= -2.0
        signs += 1.0
        yield signs


def _p(extreme: np.ndarray, clips: int, flips: int) -> np.ndarray:
    return extreme / 2**clips if _exact(clips, flips) else (1.0 + extreme) / (1.0 + flips)


def sign_flip_p(differences: np.ndarray, random: np.random.RandomState, *, flips: int = FLIPS) -> np.ndarray:
    """Two-sided p-value of "the differences are as likely +d as −d": (..., n) -> (...).

    All 2ⁿ sign patterns where those are few, else p = (1 + #) / (1 + flips) over random ones, # being the patterns
    whose |mean| is at least the observed one. Leading axes share the patterns.
    """
    differences = np.asarray(differences, dtype=np.float64)
    clips = differences.shape[-1]
    if not clips:
        raise ValueError("a test of no clips")
    observed = np.abs(differences.sum(-1))
    tie = _TIE * np.abs(differences).sum(-1)
    extreme = np.zeros(observed.shape)
    for signs in _signs(clips, flips, random):
        extreme += (np.abs(differences @ signs.T) >= (observed - tie)[..., None]).sum(-1)
    return _p(extreme, clips, flips)


def swap_p(first: Sample, second: Sample, *context: str, flips: int = FLIPS) -> float:
    """Two-sided p-value of "the two systems' results on a clip could be exchanged", for means and corpus ratios.

    Both samples cover the same clips. Swapping moves a clip's errors together with its words. For plain means this
    is the sign-flip test of the differences.
    """
    return swap_ps([(first, second)], *context, flips=flips)[0]


def swap_ps(pairs: Sequence[tuple[Sample, Sample]], *context: str, flips: int = FLIPS) -> list[float]:
    """``swap_p`` of several pairs, in order; pairs of the same clips share their patterns, which is what takes long."""
    found = [math.nan] * len(pairs)
    together: dict[tuple[str, ...], list[int]] = {}
    for place, (first, second) in enumerate(pairs):
        if first.clips != second.clips:
            raise ValueError("a paired test needs the same clips on both sides")
        together.setdefault(first.clips, []).append(place)
    for clips, places in together.items():
        tests = [_extreme(*pairs[place]) for place in places]
        counts = np.zeros(len(places))
        for signs in _signs(len(clips), flips, generator("swap", clips, *context)):
            counts += [test(signs) for test in tests]
        for place, p in zip(places, _p(counts, len(clips), flips), strict=True):
            found[place] = float(p)
    return found


def _extreme(first: Sample, second: Sample) -> Callable[[np.ndarray], int]:
    """How many of some sign patterns (rows, n) give a difference at least as large as the observed one."""
    if np.array_equal(first.denominators, second.denominators):
        change = first.numerators - second.numerators
        least = abs(change.sum()) - _TIE * np.abs(change).sum()
        return lambda signs: int(np.count_nonzero(np.abs(signs @ change) >= least))
    half = [(first.numerators - second.numerators) / 2, (first.denominators - second.denominators) / 2]
    mean = [(first.numerators + second.numerators).sum() / 2, (first.denominators + second.denominators).sum() / 2]

    def difference(signs: np.ndarray) -> np.ndarray:
        numerators, denominators = signs @ half[0], signs @ half[1]
        return (mean[0] + numerators) / (mean[1] + denominators) - (mean[0] - numerators) / (mean[1] - denominators)

    observed = abs(float(difference(np.ones((1, len(first))))[0]))
    least = observed - _TIE * (abs(first.value) + abs(second.value))
    return lambda signs: int(np.count_nonzero(np.abs(difference(signs)) >= least))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values adjusted for their number by Holm 1979: (..., k) -> (..., k); reject where the result is at most α.

    The chance of any false rejection stays at most α, however the tests depend on one another.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size == 0:
        return p
    order = np.argsort(p, axis=-1, kind="stable")
    factors = np.arange(p.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p, order, -1) * factors, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), -1)
    return adjusted
