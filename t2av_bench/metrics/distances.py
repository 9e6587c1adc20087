"""Distances between two sets of feature vectors, as pure functions in double precision.

Conventions: a set is an array (n, d), one row a sample, n >= 2; both sets have the same d. No result depends on the
order of the rows, not even in its last bit: rows are put into a canonical order first. Nothing here knows which
network the features came from.

Fréchet distance: Heusel et al. 2017 (arXiv 1706.08500). Polynomial MMD²: Bińkowski et al. 2018 (arXiv 1801.01401).
"""

import hashlib

import numpy as np

AT_THIS_NUMBER = (
    "intervals and tests of distances between sets hold for this number of clips alone; the distances' bias of about "
    "1/n need not be alike in two systems"
)
"""What tables and comparisons say of the differences of such distances."""

# Gram matrices up to this many entries (128 MB each) are computed once and shared by all subsets.
_SHARED_GRAM_ENTRIES = 1 << 24


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets as float64 in canonical row order."""
    sets = []
    for name, values in (("first", x), ("second", y)):
        values = np.ascontiguousarray(values, dtype=np.float64)
        if values.ndim != 2 or len(values) < 2 or values.shape[1] < 1:
            raise ValueError(f"the {name} set has shape {values.shape}; expected (n, d) with n >= 2 and d >= 1")
        if not np.isfinite(values).all():
            raise ValueError(f"the {name} set holds values that are not finite")
        rows = (values + 0.0).view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()
        sets.append(values[np.argsort(rows, kind="stable")])
    if sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(f"the sets have {sets[0].shape[1]} and {sets[1].shape[1]} dimensions; expected the same")
    return sets[0], sets[1]


def _covariance_root(values: np.ndarray, ddof: int) -> np.ndarray:
    """R (min(n, d), d) with RᵀR the covariance of the rows."""
    centred = (values - values.mean(axis=0)) / np.sqrt(len(values) - ddof)
    if len(centred) <= centred.shape[1]:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"))


def frechet_distance(x: np.ndarray, y: np.ndarray, *, ddof: int = 1) -> float:
    """Squared Fréchet distance of the two Gaussians with the sets' moments: ‖μx−μy‖² + tr(Σx + Σy − 2(ΣxΣy)^½).

    ddof: 1 for the sample covariance (FID), 0 for the population covariance (FVD of StyleGAN-V).

    With Σx = AᵀA and Σy = BᵀB, tr (ΣxΣy)^½ is the nuclear norm of ABᵀ. That needs no root of a nearly singular
    product, is always real and holds for n < d. A and B are the centred samples where n <= d, and their d x d
    triangular factors where n > d, so the matrix never exceeds d x d; unlike eigenvalues of ΣxΣy this squares no
    condition number.
    """
    x, y = _checked(x, y)
    a, b = _covariance_root(x, ddof), _covariance_root(y, ddof)
    shift = x.mean(axis=0) - y.mean(axis=0)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    # The distance is never negative; equal sets come out at -1e-13 of their trace.
    return float(max(0.0, shift @ shift + (a * a).sum() + (b * b).sum() - 2.0 * cross))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The polynomial kernel (x·y/d + 1)³ of every pair: (n, m)."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _unbiased(kxx: np.ndarray, kyy: np.ndarray, kxy: np.ndarray) -> float:
    n, m = kxy.shape
    within_x = (kxx.sum() - np.trace(kxx)) / (n * (n - 1))
    within_y = (kyy.sum() - np.trace(kyy)) / (m * (m - 1))
    return float(within_x + within_y - 2.0 * kxy.mean())


def polynomial_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of the full sets, kernel (x·y/d + 1)³ (KVD).

    Its expectation is 0 where both sets come from one distribution, whatever n; single values may be negative.
    """
    x, y = _checked(x, y)
    return _unbiased(_kernel(x, x), _kernel(y, y), _kernel(x, y))


def polynomial_mmd2_subsets(
    x: np.ndarray, y: np.ndarray, *, subsets: int = 100, subset_size: int = 1000
) -> tuple[float, float]:
    """Mean and standard deviation of the unbiased MMD² over random subsets (KID as clean-fid computes it).

    Each subset has min(subset_size, n, m) rows of either set, drawn without replacement. The draws are seeded by
    the sets' contents: equal sets give the equal value, in any order and on either side, and the global random state
    is neither read nor moved.
    """
    x, y = _checked(x, y)
    digests = [hashlib.sha256(values.tobytes()).digest() for values in (x, y)]
    if digests[1] < digests[0]:
        x, y = y, x
    size = min(subset_size, len(x), len(y))
    if len(x) == len(y) == size:
        return _unbiased(_kernel(x, x), _kernel(y, y), _kernel(x, y)), 0.0  # every subset is the whole set
    # RandomState: its streams are frozen across NumPy releases.
    random = np.random.RandomState(np.frombuffer(b"".join(sorted(digests)), dtype="<u4"))
    shared = None
    if max(len(x), len(y)) ** 2 <= _SHARED_GRAM_ENTRIES:
        shared = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    values = []
    for _ in range(subsets):
        i = random.choice(len(x), size, replace=False)
        j = random.choice(len(y), size, replace=False)
        if shared:
            kxx, kyy, kxy = shared
            values.append(_unbiased(kxx[np.ix_(i, i)], kyy[np.ix_(j, j)], kxy[np.ix_(i, j)]))
        else:
            values.append(_unbiased(_kernel(x[i], x[i]), _kernel(y[j], y[j]), _kernel(x[i], y[j])))
    return float(np.mean(values)), float(np.std(values, ddof=1)) if subsets > 1 else 0.0
