"""Set distances against published vectors, closed forms, a matrix square root and clean-fid's own functions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from t2av_bench.metrics.distances import frechet_distance, polynomial_mmd2, polynomial_mmd2_subsets


@pytest.fixture(scope="module")
def published() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(0)
    return random.randn(50, 8), random.randn(60, 8) * 1.5 + 0.3


def square_root_form(x: np.ndarray, y: np.ndarray, ddof: int = 1) -> float:
    """The textbook formula with a matrix square root; needs covariances of full rank."""
    a, b = (np.cov(values, rowvar=False, ddof=ddof) for values in (x, y))
    shift = x.mean(axis=0) - y.mean(axis=0)
    return float(shift @ shift + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real))


def with_moments(random, n: int, mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """n samples whose sample mean is exactly ``mean`` and whose sample covariance is exactly rootᵀ root."""
    white = random.standard_normal((n, len(mean)))
    white -= white.mean(axis=0)
    white = np.linalg.qr(white)[0] * np.sqrt(n - 1)
    return white @ root + mean


def test_published_vectors(published):
    x, y = published
    assert frechet_distance(x, y) == pytest.approx(3.474265563149139, rel=1e-12)
    assert frechet_distance(x, y, ddof=0) == pytest.approx(3.443031904212223, rel=1e-12)
    assert polynomial_mmd2(x, y) == pytest.approx(0.7420628481671625, rel=1e-12)
    assert polynomial_mmd2(x, y[:50]) == pytest.approx(0.7953789154895774, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 60, 8), (2000, 900, 16), (65, 64, 32), (4000, 40, 24)])
def test_frechet_equals_the_matrix_square_root(n, m, d):
    random = np.random.default_rng(n)
    x = random.standard_normal((n, d)) @ random.standard_normal((d, d))
    y = random.standard_normal((m, d)) @ random.standard_normal((d, d)) + random.standard_normal(d)
    for ddof in (0, 1):
        assert frechet_distance(x, y, ddof=ddof) == pytest.approx(square_root_form(x, y, ddof), rel=1e-8)


@pytest.mark.parametrize("n", [20, 40, 400])
def test_frechet_of_commuting_gaussians_has_a_closed_form(n):
    random = np.random.default_rng(1)
    d = 16
    rotation = np.linalg.qr(random.standard_normal((d, d)))[0]
    first, second = random.uniform(0.1, 3, d), random.uniform(0.1, 3, d)
    shift = random.standard_normal(d)
    x = with_moments(random, n, np.zeros(d), np.diag(first) @ rotation)
    y = with_moments(random, n + 7, shift, np.diag(second) @ rotation)
    expected = shift @ shift + ((first - second) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_rank_deficient_sets_agree_with_the_square_root_in_their_own_subspace():
    random = np.random.default_rng(2)
    basis = np.linalg.qr(random.standard_normal((200, 10)))[0].T
    x, y = random.standard_normal((30, 10)), random.standard_normal((25, 10)) * 2 + 1
    assert frechet_distance(x @ basis, y @ basis) == pytest.approx(square_root_form(x, y), rel=1e-9)


def test_both_shapes_of_the_covariance_root_agree():
    random = np.random.default_rng(3)
    x, y = random.standard_normal((12, 13)), random.standard_normal((14, 13))
    padded = frechet_distance(np.hstack([x, np.zeros((12, 5))]), np.hstack([y, np.zeros((14, 5))]))
    assert frechet_distance(x, y) == pytest.approx(padded, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_identity_symmetry_order_scale(n, m, d, seed):
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((n, d)), random.standard_normal((m, d)) * 2 + 0.5
    value = frechet_distance(x, y)
    assert frechet_distance(x, x) < 1e-12 * max(1.0, x.var() * d * n)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-10)
    assert frechet_distance(random.permutation(x), random.permutation(y)) == value
    mmd = polynomial_mmd2(x, y)
    assert polynomial_mmd2(y, x) == pytest.approx(mmd, rel=1e-12)
    assert polynomial_mmd2(random.permutation(x), random.permutation(y)) == mmd


def test_bias_of_the_frechet_distance_falls_with_one_over_n():
    random = np.random.default_rng(0)
    root = np.exp(-np.arange(400) / 60)  # covariance eigenvalues e^(-i/30)
    scaled = [
        n * frechet_distance(random.standard_normal((n, 400)) * root, random.standard_normal((n, 400)) * root)
        for n in (100, 200, 400, 800)
    ]
    assert scaled == pytest.approx([1335] * 4, rel=0.06)


def test_mmd_has_no_bias():
    random = np.random.default_rng(0)
    values = [polynomial_mmd2(random.standard_normal((30, 20)), random.standard_normal((30, 20))) for _ in range(300)]
    standard_error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * standard_error
    assert min(values) < 0 < max(values)


def test_mmd_equals_a_literal_double_sum(published):
    x, y = published[0][:7], published[1][:5]
    kernel = lambda a, b: (sum(a * b) / 8 + 1) ** 3  # noqa: E731
    expected = (
        sum(kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / 42
        + sum(kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / 20
        - 2 * sum(kernel(a, b) for a in x for b in y) / 35
    )
    assert polynomial_mmd2(x, y) == pytest.approx(expected, rel=1e-12)


def test_subsets_of_everything_are_the_full_set(published):
    x, y = published
    assert polynomial_mmd2_subsets(x, y[:50]) == (pytest.approx(0.7953789154895774, rel=1e-12), 0.0)


def test_subsets_estimate_the_full_set_without_touching_the_global_random_state(published):
    x, y = published
    before = np.random.get_state()[1].copy()
    mean, spread = polynomial_mmd2_subsets(x, y, subsets=400, subset_size=20)
    assert np.array_equal(before, np.random.get_state()[1])
    assert mean == pytest.approx(polynomial_mmd2(x, y), abs=4 * spread / np.sqrt(400))
    random = np.random.default_rng(5)
    assert polynomial_mmd2_subsets(random.permutation(x), y, subsets=400, subset_size=20) == (mean, spread)
    assert polynomial_mmd2_subsets(y, random.permutation(x), subsets=400, subset_size=20) == (mean, spread)
    other, _ = polynomial_mmd2_subsets(x + 1e-9, y, subsets=400, subset_size=20)
    assert other != mean


def test_shared_and_separate_gram_matrices_agree(published, monkeypatch):
    x, y = published
    shared = polynomial_mmd2_subsets(x, y, subsets=5, subset_size=30)
    monkeypatch.setattr("t2av_bench.metrics.distances._SHARED_GRAM_ENTRIES", 0)
    assert polynomial_mmd2_subsets(x, y, subsets=5, subset_size=30) == pytest.approx(shared, rel=1e-12)


def test_agrees_with_clean_fid(published):
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    fid = pytest.importorskip("cleanfid.fid")
    x, y = published
    assert fid.kernel_distance(x, y[:50], num_subsets=1) == pytest.approx(polynomial_mmd2(x, y[:50]), rel=1e-12)
    np.random.seed(0)
    theirs = fid.kernel_distance(x, y, num_subsets=400, max_subset_size=20)
    mean, spread = polynomial_mmd2_subsets(x, y, subsets=400, subset_size=20)
    assert theirs == pytest.approx(mean, abs=4 * spread * np.sqrt(2 / 400))
    assert fid.fid_from_feats(x, y) == pytest.approx(frechet_distance(x, y), rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3)), r"first set has shape \(1, 3\)"),
        (np.zeros((4, 3)), np.zeros(3), r"second set has shape \(3,\)"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "3 and 2 dimensions"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), "first set holds values that are not finite"),
    ],
)
def test_bad_sets_are_refused(x, y, message):
    for distance in (frechet_distance, polynomial_mmd2, polynomial_mmd2_subsets):
        with pytest.raises(ValueError, match=message):
            distance(x, y)
