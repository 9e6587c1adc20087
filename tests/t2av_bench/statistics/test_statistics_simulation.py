"""Seeded simulation studies: intervals cover what they promise, and p-values of no difference are uniform."""

import numpy as np
import pytest
from scipy import stats

from t2av_bench.statistics.intervals import interval
from t2av_bench.statistics.paired import paired_difference
from t2av_bench.statistics.permutation import holm, sign_flip_p
from t2av_bench.statistics.samples import Sample

pytestmark = pytest.mark.slow

# Coverage of 0.95 is known to ± 0.007 (one standard error) from 1,000 studies, so ± 0.02 is three of them.
STUDIES = 1000


def sample(values: np.ndarray, weights: np.ndarray | None = None) -> Sample:
    # Plain construction: building dictionaries would take longer than the statistics.
    ones = np.ones(len(values)) if weights is None else weights
    return Sample(tuple(f"{index:04d}" for index in range(len(values))), values * ones, ones)


def error_rates(random: np.random.Generator, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors by clip with speakers easy and hard, and words; the corpus rate of the population is 0.1."""
    words = random.integers(5, 30, clips).astype(float)
    return random.binomial(words.astype(int), random.beta(0.8, 7.2, clips)) / words, words


@pytest.mark.parametrize(("method", "clips"), [("percentile", 120), ("bca", 25)])
def test_intervals_of_a_mean_cover_95_percent(method, clips):
    random, hits = np.random.default_rng([1, clips]), 0
    for study in range(STUDIES):
        found = interval(sample(random.normal(6, 1.7, clips)), str(study), method=method, draws=400)
        hits += found.low <= 6 <= found.high
    assert hits / STUDIES == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_a_corpus_rate_cover_95_percent(method):
    random, hits = np.random.default_rng(2), 0
    for study in range(STUDIES):
        found = interval(sample(*error_rates(random, 120)), str(study), method=method, draws=400)
        hits += found.low <= 0.1 <= found.high
    assert hits / STUDIES == pytest.approx(0.95, abs=0.02)


def test_intervals_of_paired_differences_cover_95_percent():
    random, hits = np.random.default_rng(3), 0
    for study in range(STUDIES):
        shared = random.gamma(2, 1, 100)
        first, second = shared + random.normal(0, 0.4, 100), shared + 0.1 + random.gamma(1, 0.4, 100) - 0.4
        found = paired_difference(sample(first), sample(second), str(study), draws=400, flips=99)
        assert found.interval
        hits += found.interval.low <= 0.1 <= found.interval.high
    assert hits / STUDIES == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("clips", [12, 150])
def test_p_values_of_two_equal_systems_are_uniform(clips):
    random = np.random.default_rng([4, clips])
    # Skewed, heavy-tailed scores; the systems are exchangeable, so their differences are symmetric.
    scores = random.lognormal(0, 1, (2, 3000, clips))
    p = sign_flip_p(scores[0] - scores[1], np.random.RandomState(0), flips=4999)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.012)


def test_p_values_of_equal_error_rates_are_uniform_where_words_differ_too():
    random = np.random.default_rng(5)
    p = []
    for study in range(600):
        first, second = sample(*error_rates(random, 60)), sample(*error_rates(random, 60))
        p.append(paired_difference(first, second, str(study), draws=20, flips=999).p)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_holm_keeps_the_chance_of_any_false_alarm():
    random = np.random.default_rng(6)
    shared = random.normal(size=(1500, 1, 60))  # the metrics of one clip depend on one another
    differences = shared + random.normal(size=(1500, 8, 60))
    p = sign_flip_p(differences, np.random.RandomState(1), flips=1999)
    false_alarms = (holm(p) <= 0.05).any(-1).mean()
    assert false_alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)
    assert (p <= 0.05).any(-1).mean() > 0.15, "without the correction the chance is far above"


def test_power_is_what_the_plan_promised():
    from t2av_bench.statistics.planning import clips_needed

    for power in (0.8, 0.95):
        clips = clips_needed(1.0, 0.35, power=power)
        differences = np.random.default_rng(7).normal(0.35, 1, (2000, clips))
        p = sign_flip_p(differences, np.random.RandomState(2), flips=1999)
        assert np.mean(p <= 0.05) == pytest.approx(power, abs=0.025)
