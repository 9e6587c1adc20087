"""What each clip adds to a distance between two sets: from features to per-clip pseudo-values, no network, no draws.

A distance between sets (FID, FVD, KID) is one number, but a smooth function of the weight of each clip. Its derivative
with respect to clip i's weight, the clip's influence, has mean 0 over the clips, and

    pseudo-value of clip i = distance + n · influence of clip i

has the distance as its mean and (deviation/√n) as the distance's standard error: the infinitesimal jackknife (Jaeckel
1972; Efron 1982). The jackknife's variance errs, if at all, on the large side (Efron & Stein 1981). The difference of
two systems' pseudo-values on the same clips then serves like any paired per-clip difference, and n numbers a system
replace its features. What it describes is the distance at this number of clips, with its bias of about 1/n in both
systems; see ``resampling.extrapolate`` for the bias itself.

A clip is a pair of arrays: generated (k, d) and reference (l, d) features. Clips come in the order of their ids.
"""

from collections.abc import Callable, Sequence

import numpy as np

from t2av_bench.errors import Unscorable

Clips = Sequence[tuple[np.ndarray, np.ndarray]]
# Kernel values held at a time: 32 MB.
_ENTRIES = 1 << 22


def _stacked(clips: Clips) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both sides as one float64 array each, and the numbers of samples by clip."""
    if len(clips) < 3:
        raise Unscorable(f"{len(clips)} clips; influences on a distance between sets need at least 3")
    sides, counts = [], []
    for side in (0, 1):
        arrays = [np.asarray(clip[side], dtype=np.float64) for clip in clips]
        if any(array.ndim != 2 or len(array) == 0 for array in arrays) or len({a.shape[1] for a in arrays}) > 1:
            raise ValueError(f"expected features (k, d) of equal d for every clip, got {[a.shape for a in arrays][:4]}")
        sides.append(np.concatenate(arrays))
        counts.append(np.array([len(array) for array in arrays]))
    if sides[0].shape[1] != sides[1].shape[1]:
        raise ValueError(f"the sides have {sides[0].shape[1]} and {sides[1].shape[1]} dimensions; expected the same")
    if not all(np.isfinite(side).all() for side in sides):
        raise ValueError("the features hold values that are not finite")
    return sides, counts


def _by_clip(values: np.ndarray, counts: np.ndarray, axis: int = 0) -> np.ndarray:
    return np.add.reduceat(values, np.cumsum(counts) - counts, axis=axis)


def _factor(samples: np.ndarray, ddof: int) -> tuple[np.ndarray | None, np.ndarray]:
    """(Q, R) with QR the centred samples over √(n − ddof); Q is None (identity) where there are few samples."""
    centred = (samples - samples.mean(axis=0)) / np.sqrt(len(samples) - ddof)
    if len(centred) <= centred.shape[1]:
        return None, centred
    return np.linalg.qr(centred, mode="reduced")


def frechet_pseudo_values(clips: Clips, *, ddof: int = 1) -> np.ndarray:
    """Pseudo-values (n,) of the squared Fréchet distance; their mean is ``distances.frechet_distance``.

    With centred sample matrices A and B, ABᵀ = UΣVᵀ, the term f = tr (ΣxΣy)^½ = tr Σ. Scaling row a of A by
    √(1+ε) moves f by ½ε (UΣUᵀ)ₐₐ, and the shift of the mean does not move it, because Uᵀ1 = 0. So one SVD gives the
    influence of all clips, also where samples are fewer than dimensions.
    """
    (x, y), counts = _stacked(clips)
    factors = [_factor(side, ddof) for side in (x, y)]
    u, singular, vt = np.linalg.svd(factors[0][1] @ factors[1][1].T, full_matrices=False)
    cross = singular.sum()
    shift = x.mean(axis=0) - y.mean(axis=0)
    total = np.zeros(len(clips))
    traces = 0.0
    for side, count, (q, _), vectors, sign in (
        (x, counts[0], factors[0], u, 1.0), (y, counts[1], factors[1], vt.T, -1.0)
    ):  # fmt: skip
        centred = side - side.mean(axis=0)
        size = len(side)
        moved = _by_clip(centred @ shift, count) / size  # shift · dμ
        spread = _by_clip(np.einsum("ij,ij->i", centred, centred), count) / (size - ddof)  # Σ of the clip's part
        trace = spread.sum()
        loads = vectors if q is None else q @ vectors
        overlap = _by_clip((loads * loads) @ singular, count)
        # Normalising by (size − ddof) makes the moments means: hence the share of the whole that is taken away.
        share = count / (size - ddof)
        total += 2 * sign * moved + (spread - share * trace) - (overlap - share * cross)
        traces += trace
    # The share sums to n/(n − ddof), not to 1: centring restores influences whose mean is exactly 0.
    influence = len(clips) * (total - total.mean())
    return max(0.0, float(shift @ shift + traces - 2 * cross)) + influence


def kernel_pseudo_values(clips: Clips) -> np.ndarray:
    """Pseudo-values (n,) of the unbiased MMD² with the kernel (x·y/d + 1)³, by leaving out each clip once.

    Sums of the kernel by pairs of clips are all that it takes; pairs of one sample with itself are left out of them.
    """
    (x, y), (nx, ny) = _stacked(clips)
    n = len(clips)
    sides = [(_kernel_sums(side, size, side, size, same=True), size) for side, size in ((x, nx), (y, ny))]
    cross = _kernel_sums(x, nx, y, ny, same=False)

    def distances(chosen: np.ndarray) -> np.ndarray:
        """Which clips are in, as 1 and 0 (B, n) -> their distances (B,)."""

        def over(sums: np.ndarray) -> np.ndarray:
            return np.einsum("bi,bi->b", chosen @ sums, chosen)

        within = []
        for sums, sizes in sides:
            pairs = np.multiply.outer(sizes, sizes).astype(np.float64)
            np.fill_diagonal(pairs, sizes * (sizes - 1.0))
            within.append(over(sums) / over(pairs))
        between = over(cross) / over(np.multiply.outer(nx, ny).astype(np.float64))
        return within[0] + within[1] - 2 * between

    whole = float(distances(np.ones((1, n)))[0])
    left_out = distances(1.0 - np.eye(n))
    return whole + (n - 1) * (left_out.mean() - left_out)


def _kernel_sums(x: np.ndarray, nx: np.ndarray, y: np.ndarray, ny: np.ndarray, *, same: bool) -> np.ndarray:
    """Kernel sums by pairs of clips (n, m), a few clips' rows at a time."""
    ends = np.cumsum(nx)
    starts = ends - nx
    step = max(1, int(_ENTRIES // (len(y) * max(1, nx.max()))))
    blocks = []
    for first in range(0, len(nx), step):
        last = min(first + step, len(nx))
        low, high = starts[first], ends[last - 1]
        base = x[low:high] @ y.T / x.shape[1] + 1.0
        kernel = base * base * base  # a general power is ten times slower
        if same:
            kernel[np.arange(high - low), np.arange(low, high)] = 0.0
        blocks.append(_by_clip(_by_clip(kernel, ny, axis=1), nx[first:last]))
    return np.concatenate(blocks)


def jackknife_pseudo_values(clips: int, statistic: Callable[[list[int]], float]) -> np.ndarray:
    """Pseudo-values (n,) of any statistic of a set of clips, by leaving out each clip once: n + 1 evaluations.

    statistic: positions of the clips that are in -> value. The pseudo-values are centred on the whole set's value.
    """
    if clips < 3:
        raise Unscorable(f"{clips} clips; leaving one out needs at least 3")
    everything = list(range(clips))
    whole = statistic(everything)
    left_out = np.array([statistic(everything[:i] + everything[i + 1 :]) for i in everything])
    return whole + (clips - 1) * (left_out.mean() - left_out)
