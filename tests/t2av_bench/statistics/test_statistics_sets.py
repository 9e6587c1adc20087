"""Influences, subsets and floors of distances between sets, against brute force, derivatives and closed forms."""

import numpy as np
import pytest
from scipy import linalg

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.distances import frechet_distance, polynomial_mmd2
from t2av_bench.statistics.influence import frechet_pseudo_values, jackknife_pseudo_values, kernel_pseudo_values
from t2av_bench.statistics.paired import paired_difference
from t2av_bench.statistics.resampling import extrapolate
from t2av_bench.statistics.samples import Sample


def clip_set(seed: int, clips: int, samples: int, d: int, shift: float = 0.3, scale: float = 1.1):
    """Clips whose samples are alike, generated from their references as a talking head is."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((d, d)) * np.exp(-np.arange(d) / (d / 4))
    found = []
    for index in range(clips):
        centre, k = random.standard_normal(d), samples + index % 2  # clips of unequal length
        real, made = (centre + 0.5 * random.standard_normal((2, k, d))) @ mixing.T
        found.append((made * scale + shift, real))
    return found


def side(clips, which: int, chosen=None) -> np.ndarray:
    return np.concatenate([clips[i][which] for i in (range(len(clips)) if chosen is None else chosen)])


def ids(clips) -> list[str]:
    return [f"clip{index:03d}" for index in range(len(clips))]


def weighted_frechet(clips, weights: np.ndarray, ddof: int) -> float:
    """The distance with each clip counted so often, through scipy's matrix root."""
    moments = []
    for which in (0, 1):
        x = side(clips, which)
        w = np.repeat(weights, [len(clip[which]) for clip in clips])
        mean = w @ x / w.sum()
        moments += [mean, (w[:, None] * (x - mean)).T @ (x - mean) / (w.sum() - ddof)]
    root = linalg.sqrtm(moments[1] @ moments[3])
    shift = moments[0] - moments[2]
    return float(shift @ shift + np.trace(moments[1] + moments[3]) - 2 * np.trace(root).real)


@pytest.mark.parametrize("ddof", [0, 1])
def test_influences_on_a_frechet_distance_are_its_derivatives(ddof):
    clips = clip_set(0, 12, 4, 5)
    found = frechet_pseudo_values(clips, ddof=ddof)
    assert found.mean() == pytest.approx(frechet_distance(side(clips, 0), side(clips, 1), ddof=ddof), rel=1e-10)
    slopes = []
    for clip in range(12):
        step = 1e-4 * np.eye(12)[clip]
        slopes.append((weighted_frechet(clips, 1 + step, ddof) - weighted_frechet(clips, 1 - step, ddof)) / 2e-4)
    expected = 12 * (np.array(slopes) - np.mean(slopes))
    assert found - found.mean() == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("clips", "samples", "d"), [(40, 3, 10), (25, 1, 60)])
def test_they_scatter_like_leaving_clips_out_also_with_fewer_samples_than_dimensions(clips, samples, d):
    found = clip_set(1, clips, samples, d)
    fast = frechet_pseudo_values(found)
    slow = jackknife_pseudo_values(
        clips, lambda chosen: frechet_distance(side(found, 0, chosen), side(found, 1, chosen))
    )
    assert fast.mean() == pytest.approx(slow.mean(), rel=1e-10)
    assert fast.std() == pytest.approx(slow.std(), rel=0.02 + 1 / clips)  # one is a derivative, one a step of 1/n
    assert np.corrcoef(fast, slow)[0, 1] > 0.75


def test_kernel_sums_hold_all_that_a_kernel_distance_needs():
    clips = clip_set(2, 14, 3, 6)
    slow = jackknife_pseudo_values(14, lambda c: polynomial_mmd2(side(clips, 0, c), side(clips, 1, c)))
    found = kernel_pseudo_values(clips)
    assert found == pytest.approx(slow)
    assert found.mean() == pytest.approx(polynomial_mmd2(side(clips, 0), side(clips, 1)))


def test_leaving_out_one_gives_a_means_values_back():
    values = np.random.default_rng(4).normal(size=9)
    assert jackknife_pseudo_values(9, lambda chosen: float(values[chosen].mean())) == pytest.approx(values)


def _differences(clips: int, samples: int, d: int, studies: int, pseudo_values) -> tuple[np.ndarray, np.ndarray]:
    """Differences of two systems' distances over many worlds, and their intervals."""
    random = np.random.default_rng([clips, d])
    mixing = random.standard_normal((d, d)) * np.exp(-np.arange(d) / (d / 4))
    push = 0.6 * mixing @ random.standard_normal(d)
    names, ones = tuple(f"{index:03d}" for index in range(clips)), np.ones(clips)
    values, intervals = [], []
    for study in range(studies):
        centre = random.standard_normal((clips, 1, d))
        real, *made = (centre + 0.5 * random.standard_normal((3, clips, samples, d))) @ mixing.T
        pair = []
        for strength, generated in zip((0.6, 0.8), made, strict=True):
            noise = 0.3 * random.standard_normal((clips, 1, d)) @ mixing.T
            generated = generated * (1 + 0.3 * strength) + strength * push + noise
            pair.append(Sample(names, pseudo_values(list(zip(generated, real, strict=True))), ones))
        found = paired_difference(*pair, str(study), draws=400, flips=99)
        values.append(found.value)
        intervals.append((found.interval.low, found.interval.high))
    return np.array(values), np.array(intervals)


def _kernel_pseudo_values(clips) -> np.ndarray:
    # Features of the size that networks give: the cubic kernel of larger ones has tails that no 100 clips can show.
    return kernel_pseudo_values([(0.3 * made, 0.3 * real) for made, real in clips])


@pytest.mark.parametrize(("pseudo_values", "d"), [(frechet_pseudo_values, 3), (_kernel_pseudo_values, 24)])
def test_intervals_of_differences_between_sets_cover_95_percent_where_clips_are_many(pseudo_values, d):
    studies = 150
    values, intervals = _differences(100, 2, d, studies, pseudo_values)
    hits = (intervals[:, 0] <= values.mean()) & (values.mean() <= intervals[:, 1])
    assert hits.mean() == pytest.approx(0.95, abs=0.02 + np.sqrt(0.95 * 0.05 / studies))


def test_they_are_never_too_short_where_dimensions_are_many():
    # Efron & Stein: the jackknife errs on the large side. With fewer samples than dimensions it does, by up to √2.
    values, intervals = _differences(40, 1, 80, 250, frechet_pseudo_values)
    hits = (intervals[:, 0] <= values.mean()) & (values.mean() <= intervals[:, 1])
    assert hits.mean() > 0.93
    half = (intervals[:, 1] - intervals[:, 0]).mean() / 2
    assert 0.9 < half / (2.02 * values.std()) < 1.5


def linear(generated: np.ndarray, reference: np.ndarray) -> float:
    """A 'distance' whose errors are known: the difference of the means."""
    return float(generated.mean() - reference.mean())


def test_the_paired_bootstrap_agrees_with_the_influences():
    first, second = clip_set(6, 60, 2, 4), clip_set(6, 60, 2, 4, shift=0.5, scale=1.2)
    random, scatter = np.random.default_rng(6), []
    for _ in range(400):
        drawn = random.integers(0, 60, 60)
        low, high = (
            frechet_distance(*(np.concatenate([clips[i][side] for i in drawn]) for side in (0, 1)))
            for clips in (first, second)
        )
        scatter.append(high - low)
    ends = np.quantile(scatter, [0.025, 0.975])
    names = tuple(ids(first))
    fast = paired_difference(
        *(Sample(names, frechet_pseudo_values(clips), np.ones(60)) for clips in (first, second)), draws=2000
    )
    assert fast.interval
    assert ends[0] < fast.value < ends[1]
    assert ends[1] - ends[0] == pytest.approx(fast.interval.high - fast.interval.low, rel=0.2)


def test_extrapolation_reads_the_line_at_infinity():
    clips = [(np.zeros((1, 1)), np.zeros((1, 1)))] * 200
    found = extrapolate(ids(clips), clips, lambda x, y: 3.0 + 50.0 / len(x))
    assert (found.value, found.slope) == pytest.approx((3.0, 50.0))
    assert found.sizes == (50, 75, 100, 125, 150, 175, 200)
    assert found.standard_error == pytest.approx(0.0, abs=1e-6)
    noise = np.random.RandomState(0)
    with pytest.raises(Unscorable, match="does not fall on a line in 1/n"):
        extrapolate(ids(clips), clips, lambda x, y: float(noise.rand()))
    with pytest.raises(Unscorable, match="19 clips; extrapolation .* at least 20"):
        extrapolate(ids(clips[:19]), clips[:19], linear)


def test_extrapolation_takes_the_bias_out_of_a_frechet_distance():
    # Two sides of one distribution: the distance at infinity is 0, at 120 clips of 30 dimensions far from it.
    random = np.random.default_rng(7)
    clips = [(made[None], real[None]) for made, real in random.standard_normal((120, 2, 30))]
    found = extrapolate(ids(clips), clips, frechet_distance)
    biased = frechet_distance(side(clips, 0), side(clips, 1))
    assert biased > 2
    assert abs(found.value) < 0.25 * biased


def test_too_few_clips_and_broken_features_are_said():
    clips = clip_set(9, 6, 2, 3)
    with pytest.raises(Unscorable, match="2 clips; influences .* at least 3"):
        frechet_pseudo_values(clips[:2])
    with pytest.raises(ValueError, match="not finite"):
        kernel_pseudo_values([*clips[:5], (clips[5][0] * np.nan, clips[5][1])])
    with pytest.raises(ValueError, match="5 and 3 dimensions"):
        frechet_pseudo_values([(np.ones((2, 5)), np.ones((2, 3)))] * 4)
    with pytest.raises(ValueError, match="no id twice"):
        extrapolate(["a", "a", "b", "c"], clips[:4], frechet_distance)
