"""Several systems at once: what they share changes no bit of their intervals and p-values."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from t2av_bench.errors import Unscorable
from t2av_bench.scores import Quantity
from t2av_bench.statistics.intervals import LEVEL, Interval, bootstrap, bootstraps, expanded_level, interval, intervals
from t2av_bench.statistics.paired import paired_difference, paired_differences, paired_p, paired_ps
from t2av_bench.statistics.permutation import swap_p, swap_ps
from t2av_bench.statistics.samples import Grouping, Sample

OFFSET = Quantity("offset", "Offset", "none", aggregate="median")
SHARE = Quantity("inside", "Inside", "higher", interval=(0.0, 1.0))


def named(values, first: int = 0) -> dict[str, float]:
    return {f"clip{index + first:03d}": float(value) for index, value in enumerate(values)}


def rates(seed: int, clips: int = 60, first: int = 0) -> Sample:
    random = np.random.default_rng(seed)
    words = random.integers(3, 40, clips)
    return Sample.of(named(random.binomial(words, 0.1) / words, first), named(words, first))


def means(seed: int, clips: int = 60, first: int = 0) -> Sample:
    return Sample.of(named(np.random.default_rng(seed).exponential(size=clips), first))


SPEAKERS = Grouping({f"clip{index:03d}": f"speaker {index % 17}" for index in range(99)})


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("units", [5, 23, 300])
def test_a_bootstrap_is_scipys_to_the_last_bit(units, method):
    random = np.random.default_rng(units)
    values, weights = random.exponential(size=units), random.integers(1, 20, units).astype(float)
    statistics = {
        "mean": (lambda drawn: drawn(values).mean(-1), lambda index, axis=-1: values[index].mean(-1)),
        "ratio": (
            lambda drawn: drawn(values).sum(-1) / drawn(weights).sum(-1),
            lambda index, axis=-1: values[index].sum(-1) / weights[index].sum(-1),
        ),
    }  # fmt: skip
    found = bootstraps(
        [ours for ours, _ in statistics.values()], units, np.random.RandomState(3), method=method, draws=1999
    )
    for each, (_, theirs) in zip(found, statistics.values(), strict=True):
        expected = stats.bootstrap(
            (np.arange(units),), theirs, vectorized=True, n_resamples=1999, random_state=np.random.RandomState(3),
            confidence_level=expanded_level(LEVEL, units), method="BCa" if method == "bca" else "percentile",
        ).confidence_interval  # fmt: skip
        assert (each.low, each.high, each.method) == (expected.low, expected.high, method)


def test_where_bca_is_void_the_percentiles_of_further_draws_take_its_place():
    """A statistic whose value no resample reaches has no bias to correct by."""
    values = np.arange(30.0)
    of_all = values.sum() + 1.0

    def statistic(drawn):
        chosen = drawn(values)
        return np.where(chosen.shape[-2] == 1, of_all * 1e3, chosen.mean(-1))

    plain = bootstraps([lambda drawn: drawn(values).mean(-1)], 30, np.random.RandomState(0), draws=500)[0]
    random = np.random.RandomState(0)
    random.randint(0, 30, (500, 30))
    draws = values[random.randint(0, 30, (500, 30))].mean(-1)
    tail = (1 - expanded_level(LEVEL, 30)) / 2
    void, beside = bootstraps(
        [statistic, lambda drawn: drawn(values).mean(-1)], 30, np.random.RandomState(0), draws=500
    )  # fmt: skip
    assert void.method == "percentile" and beside == plain
    assert (void.low, void.high) == pytest.approx(tuple(np.quantile(draws, [tail, 1 - tail])), rel=1e-12)


def test_a_resample_without_a_value_leaves_an_interval_none():
    values = np.arange(30.0)

    def statistic(index):
        drawn = values[index]
        return np.where((drawn == 7).any(-1), drawn.mean(-1), np.nan)  # (1 - 1/30)^30: a third of the resamples lack it

    found = bootstrap(statistic, 30, np.random.RandomState(0), draws=200)
    assert np.isnan([found.low, found.high]).all()
    plain = bootstrap(lambda index: values[index].mean(-1), 30, np.random.RandomState(0), draws=200)
    assert plain == bootstraps([lambda drawn: drawn(values).mean(-1)], 30, np.random.RandomState(0), draws=200)[0]


def test_intervals_of_several_samples_are_those_of_each_alone():
    samples = [
        means(0), means(1), rates(2), means(3, 50, first=4), means(4).grouped(SPEAKERS), means(5, 19), rates(6, 60, 2),
        Sample.of_values(OFFSET, named(range(60))), Sample.of_values(SHARE, named([1, 0, 1] * 20)),
        Sample.of(named(range(30)), named([0.0] * 30)), means(1).grouped(SPEAKERS),
    ]  # fmt: skip
    found = intervals(samples, "quantity", "protocol", draws=700)
    for one, each in zip(samples, found, strict=True):
        try:
            assert each == interval(one, "quantity", "protocol", draws=700)
        except Unscorable as error:
            assert str(each) == str(error)
    assert [type(each) for each in found].count(Interval) == 9
    assert "19 clips" in str(found[5]) and "weights are zero" in str(found[9])
    assert intervals([]) == []


def test_paired_differences_of_several_pairs_are_those_of_each_alone():
    share = Sample.of_values(SHARE, named([1, 0, 1] * 20)), Sample.of_values(SHARE, named([1, 1, 1] * 20))
    offset = Sample.of_values(OFFSET, named(range(60))), Sample.of_values(OFFSET, named(range(60, 0, -1)))
    pairs = [
        (means(0), means(1)), (means(0), means(2)), (rates(0), rates(1)), (rates(0), rates(3)), (means(0), rates(2)),
        (means(0), means(3, 50, first=4)), (means(0).grouped(SPEAKERS), means(1)), (means(0), means(9, first=90)),
        (means(0, 12), means(1, 12)), share, offset, (means(0), means(0)),
    ]  # fmt: skip
    found = paired_differences(pairs, "quantity", "protocol", draws=600, flips=700)
    for pair, each in zip(pairs, found, strict=True):
        if isinstance(each, Unscorable):
            with pytest.raises(Unscorable, match=str(each)):
                paired_difference(*pair, "quantity", "protocol")
        else:
            assert each == paired_difference(*pair, "quantity", "protocol", draws=600, flips=700)
    assert str(found[7]) == "no clip was scored on both sides" and found[8].interval is None
    alike = [pair for pair in pairs if pair[0].clips == pair[1].clips]
    assert paired_ps(alike, "q", flips=600) == [paired_p(*pair, "q", flips=600) for pair in alike]


def test_swaps_of_several_pairs_are_those_of_each_alone_and_need_the_same_clips():
    pairs = [(means(0), means(1)), (rates(0), rates(1)), (means(2, 40), means(3, 40)), (means(4), means(5))]
    pairs.append((means(0, 10), means(1, 10)))  # few enough for all patterns
    assert swap_ps(pairs, "q", flips=2000) == [swap_p(*pair, "q", flips=2000) for pair in pairs]
    turned = [(second, first) for first, second in pairs]
    assert swap_ps(turned, "q", flips=2000) == swap_ps(pairs, "q", flips=2000)
    with pytest.raises(ValueError, match="same clips"):
        swap_ps([(means(0), replace(means(1), clips=("other", *means(1).clips[1:])))])
