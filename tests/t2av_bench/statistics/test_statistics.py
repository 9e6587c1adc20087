"""Intervals, paired tests and sample sizes against closed forms and SciPy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from t2av_bench.errors import Unscorable
from t2av_bench.scores import Quantity
from t2av_bench.statistics.intervals import bootstrap, expanded_level, interval
from t2av_bench.statistics.paired import paired_difference
from t2av_bench.statistics.permutation import holm, sign_flip_p, swap_p
from t2av_bench.statistics.planning import (
    clips_if_it_stays,
    clips_needed,
    clips_to_decide,
    difference_found,
)
from t2av_bench.statistics.samples import Sample
from t2av_bench.statistics.seeding import generator


def sample(values, weights=None) -> Sample:
    ids = [f"clip{index:04d}" for index in range(len(values))]
    by_id = dict(zip(ids, np.asarray(values, dtype=float).tolist(), strict=True))
    return Sample.of(by_id, None if weights is None else dict(zip(ids, weights, strict=True)))


def errors(seed: int, clips: int, rate: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Per-clip error rates and reference words."""
    random = np.random.default_rng(seed)
    words = random.integers(3, 40, clips)
    return random.binomial(words, np.clip(random.beta(2, 2 / rate - 2, clips), 0, 1)) / words, words.astype(float)


def test_a_corpus_rate_is_errors_over_words_and_not_the_mean_of_rates():
    rates, words = errors(0, 50)
    assert sample(rates, words).value == pytest.approx((rates * words).sum() / words.sum(), rel=1e-14)
    assert sample(rates).value == pytest.approx(rates.mean(), rel=1e-14)
    assert sample(rates, words).value != pytest.approx(rates.mean(), rel=1e-3)


def test_only_weighted_quantities_use_weights():
    values, weights = {"b": 1.0, "a": 0.0}, {"a": 1.0, "b": 3.0}
    corpus = Sample.of_values(Quantity("wer", "WER", "lower", aggregate="weighted"), values, weights)
    plain = Sample.of_values(Quantity("utmos", "UTMOS", "higher"), values, weights)
    assert (corpus.clips, corpus.value, plain.value) == (("a", "b"), 0.75, 0.5)
    offsets = Sample.of_values(Quantity("sync_offset", "Offset", "none", aggregate="median"), values, weights)
    assert offsets.value == 0.5 and offsets.median


def test_pseudo_values_have_the_set_value_as_mean_and_the_delta_methods_error():
    rates, words = errors(1, 400)
    pseudo = sample(rates, words).pseudo_values
    value = (rates * words).sum() / words.sum()
    assert pseudo.mean() == pytest.approx(value, rel=1e-12)
    delta = np.sqrt(((words * (rates - value)) ** 2).sum()) / words.sum()  # linearised error of a ratio
    assert pseudo.std() / 20 == pytest.approx(delta, rel=1e-12)


def test_the_interval_of_a_mean_is_students_where_both_hold():
    values = np.random.default_rng(2).normal(5, 1.7, 400)
    low, high = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    for method in ("percentile", "bca"):
        found = interval(sample(values), method=method, draws=20_000)
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.02 * (high - low))
        assert (found.level, found.method) == (0.95, method)


def test_few_clips_widen_the_level_as_hesterberg_does():
    # Percentile limits of a normal statistic lie at z·√((n−1)/n)·s/√n; they must end up at t·s/√n.
    for clips in (5, 20, 200):
        z = stats.norm.ppf((1 + expanded_level(0.95, clips)) / 2)
        assert z * np.sqrt((clips - 1) / clips) == pytest.approx(stats.t.ppf(0.975, clips - 1), rel=1e-6)


def test_the_corpus_rates_interval_is_that_of_a_direct_resampling():
    rates, words = errors(3, 150)
    found = interval(sample(rates, words), method="percentile", draws=20_000)
    random, resampled = np.random.default_rng(9), []
    for _ in range(20_000):
        drawn = random.integers(0, 150, 150)
        resampled.append((rates[drawn] * words[drawn]).sum() / words[drawn].sum())
    tail = (1 - expanded_level(0.95, 150)) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_bca_corrects_for_skew_as_its_definition_says():
    values = np.random.default_rng(4).exponential(size=60)
    found = bootstrap(lambda drawn: drawn(values).mean(-1), 60, np.random.RandomState(0), draws=20_000)
    draws = values[np.random.default_rng(1).integers(0, 60, (20_000, 60))].mean(-1)
    left_out = (values.sum() - values) / 59
    apart = left_out.mean() - left_out
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    bias = stats.norm.ppf((draws < values.mean()).mean())
    tails = stats.norm.ppf([(1 - expanded_level(0.95, 60)) / 2, (1 + expanded_level(0.95, 60)) / 2])
    corrected = stats.norm.cdf(bias + (bias + tails) / (1 - acceleration * (bias + tails)))
    low, high = np.quantile(draws, corrected)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low))
    assert found.high - values.mean() > values.mean() - found.low, "a long right tail reaches further to the right"


def test_equal_values_have_an_interval_of_no_width_and_too_few_clips_none():
    assert (interval(sample([2.0] * 20)).low, interval(sample([2.0] * 20)).high) == (2.0, 2.0)
    with pytest.raises(Unscorable, match="19 clips; an interval needs at least 20"):
        interval(sample(range(19)))
    assert paired_difference(sample(range(19)), sample(range(19))).interval is None
    with pytest.raises(Unscorable, match="all weights are zero"):
        interval(sample([1.0] * 6, [0.0] * 6))


def test_neither_order_nor_anything_outside_moves_a_result():
    values, other = np.random.default_rng(5).normal(size=(2, 40))
    ids = [f"c{index}" for index in range(40)]
    shuffled = np.random.default_rng(6).permutation(40)
    one = paired_difference(
        Sample.of(dict(zip(ids, values, strict=True))), Sample.of(dict(zip(ids, other, strict=True))), "q", "f"
    )
    np.random.seed(1)
    two = paired_difference(
        Sample.of({ids[i]: values[i] for i in shuffled}), Sample.of({ids[i]: other[i] for i in shuffled}), "q", "f"
    )
    assert one == two
    elsewhere = paired_difference(
        Sample.of(dict(zip(ids, values, strict=True))), Sample.of(dict(zip(ids, other, strict=True))), "q", "g"
    )
    assert elsewhere.interval != one.interval, "another protocol has its own draws"
    draws = generator("x", ["b", "a"], "q").rand(3)
    assert (draws == generator("x", ["a", "b"], "q").rand(3)).all()
    assert (draws != generator("y", ["a", "b"], "q").rand(3)).any()
    assert generator("x", ["\udcff"]).rand() >= 0, "a name that is no valid text"


@pytest.mark.parametrize("clips", [1, 3, 8, 11])
def test_few_clips_are_tested_exactly(clips):
    differences = np.random.default_rng(clips).normal(0.5, 1, clips)
    patterns = np.array(list(itertools.product([1, -1], repeat=clips)))
    means = np.abs((patterns * differences).mean(1))
    expected = np.mean(means >= abs(differences.mean()) - 1e-12)
    assert sign_flip_p(differences, np.random.RandomState(0)) == pytest.approx(expected, abs=1e-15)
    if clips > 1:
        scipys = stats.permutation_test(
            (differences,), lambda x, axis: np.abs(x.mean(axis)), permutation_type="samples", vectorized=True,
            alternative="greater", n_resamples=np.inf,
        )  # fmt: skip
        assert scipys.pvalue == pytest.approx(expected, abs=1e-15)


def test_many_clips_are_tested_by_random_flips_that_count_the_observed_one():
    differences = np.random.default_rng(7).normal(0.25, 1, 60)
    p = sign_flip_p(differences, np.random.RandomState(0))
    scipys = stats.permutation_test(
        (differences,), lambda x, axis: np.abs(x.mean(axis)), permutation_type="samples", vectorized=True,
        alternative="greater", n_resamples=20_000, random_state=np.random.RandomState(3),
    )  # fmt: skip
    assert p == pytest.approx(scipys.pvalue, abs=4 * np.sqrt(p / 10_000))
    assert sign_flip_p(np.full(60, 3.0), np.random.RandomState(0)) == pytest.approx(1 / 10_001)
    assert sign_flip_p(np.zeros(60), np.random.RandomState(0)) == 1.0


def test_swapping_moves_words_with_errors():
    rates, words = errors(8, 10)
    other, more = errors(9, 10, 0.2)
    first, second = sample(rates, words), sample(other, more)

    def difference(swapped) -> float:
        a = [(one, two) for one, two in zip(zip(rates, words, strict=True), zip(other, more, strict=True), strict=True)]
        a = [(two, one) if swap else (one, two) for swap, (one, two) in zip(swapped, a, strict=True)]
        sides = [[pair[side] for pair in a] for side in (0, 1)]
        one, two = (sum(r * w for r, w in side) / sum(w for _, w in side) for side in sides)
        return abs(one - two)

    observed = difference([False] * 10)
    every = [difference(pattern) for pattern in itertools.product([False, True], repeat=10)]
    assert swap_p(first, second) == pytest.approx(np.mean([each >= observed - 1e-12 for each in every]), abs=1e-15)


def test_holm_is_its_definition():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    random = np.random.default_rng(10)
    for p in random.uniform(0, 0.2, (50, 6)):
        rejected = np.zeros(6, dtype=bool)  # step down through the ordered p-values and stop at the first failure
        for step, index in enumerate(np.argsort(p)):
            if p[index] > 0.05 / (6 - step):
                break
            rejected[index] = True
        assert (holm(p) <= 0.05).tolist() == rejected.tolist()
    assert holm(np.array([[0.01, 0.04], [0.5, 0.9]])).tolist() == [[0.02, 0.04], [1.0, 1.0]]
    assert holm([]).size == 0


def test_the_number_of_clips_is_the_textbooks():
    # metrics.md §11: n = 7.85 · 2(1−ρ)σ²/δ²; a paired 0.25 in Sync-C (SD 1.71) at ρ 0.5 needs about 370 clips.
    assert clips_needed(1.71 * np.sqrt(2 * (1 - 0.5)), 0.25) == pytest.approx(370, abs=2)
    # The power of Student's test at that number, from its noncentral distribution.
    for deviation, difference, power in ((1.0, 0.5, 0.8), (1.0, 0.3, 0.95), (2.0, 0.4, 0.9)):
        n = clips_needed(deviation, difference, power=power)
        away = difference / deviation * np.sqrt(n)
        critical = stats.t.ppf(0.975, n - 1)
        reached = [stats.nct.sf(critical, n - 1, away * np.sqrt(m / n)) for m in (n - 1, n)]
        assert reached[0] - 0.002 < power < reached[1] + 0.002, "the smallest number that reaches the power"
        assert difference_found(deviation, n, power=power) == pytest.approx(difference, rel=0.03)
    with pytest.raises(ValueError, match="difference of 0"):
        clips_needed(1.0, 0.0)


def test_deciding_needs_both_an_alarm_and_an_interval_that_fits():
    n = clips_to_decide(1.0, 0.2, tests=1, power=0.95)
    half = stats.t.ppf(0.975, n - 1) / np.sqrt(n)
    inside = stats.norm.cdf((0.2 - half) * np.sqrt(n)) - stats.norm.cdf(-(0.2 - half) * np.sqrt(n))
    assert inside == pytest.approx(0.95, abs=0.005)
    assert clips_to_decide(1.0, 0.2, tests=20, power=0.95) > n
    assert n < clips_to_decide(1.0, 0.2) < 1.15 * n
    assert clips_if_it_stays(1.0, 0.0, None) is None
    assert clips_if_it_stays(1.0, 0.1, None) == pytest.approx((1.96 / 0.1) ** 2, rel=0.01)
    assert clips_if_it_stays(1.0, 0.1, 0.4) == pytest.approx((1.96 / 0.3) ** 2, rel=0.02)


def test_a_paired_difference_covers_only_shared_clips():
    one = Sample.of({"a": 1.0, "b": 2.0, "c": 9.0})
    two = Sample.of({"b": 3.0, "a": 1.5, "d": 0.0})
    found = paired_difference(one, two)
    assert (found.clips, found.first, found.second, found.value) == (2, 1.5, 2.25, 0.75)
    assert found.interval is None and found.p == 0.5
    with pytest.raises(Unscorable, match="no clip was scored on both sides"):
        paired_difference(one, Sample.of({"x": 1.0}))
