"""Exact bounds, shifts, shares and groups of clips: against textbooks, SciPy and direct enumeration."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.wer import error_rate_quantities
from t2av_bench.scores import Quantity
from t2av_bench.statistics.intervals import interval
from t2av_bench.statistics.paired import paired_difference, paired_p
from t2av_bench.statistics.samples import Grouping, Sample, grouping

WER, WER_UTTERANCE = error_rate_quantities("wer", "WER", "any")
SHARE = Quantity("inside", "Inside", "higher", interval=(0.0, 1.0))
OFFSET = Quantity("offset", "Offset", "none", interval=(-15.0, 15.0), aggregate="median")


def ids(count: int) -> list[str]:
    return [f"c{index:04d}" for index in range(count)]


def of(quantity: Quantity, values, weights=None) -> Sample:
    weights = [1.0] * len(values) if weights is None else weights
    names = ids(len(values))
    return Sample.of_values(quantity, *(dict(zip(names, map(float, each), strict=True)) for each in (values, weights)))


def coverage(make, truth: float, studies: int = 250) -> float:
    found = [interval(make(), str(study), draws=300) for study in range(studies)]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


@pytest.mark.parametrize("quantity", [WER, WER_UTTERANCE])
def test_no_error_in_so_many_words_leaves_the_exact_upper_bound(quantity):
    found = interval(of(quantity, [0.0] * 30, [10.0] * 30))
    assert found.low == 0 and found.high == pytest.approx(1 - 0.025 ** (1 / 300), rel=1e-9)
    assert 3 / 300 < found.high < 4 / 300, "the rule of three, two-sided"


def test_shares_of_clips_have_clopper_pearson_bounds():
    found = interval(of(SHARE, [1.0] * 50 + [0.0] * 10))
    expected = stats.beta.ppf([0.025, 0.975], [50, 51], [11, 10])
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-6)
    assert interval(of(SHARE, [1.0] * 40)).high == 1 and 0.9 < interval(of(SHARE, [1.0] * 40)).low < 1


def test_a_median_has_the_order_statistics_of_the_tables():
    """Twenty values: the 6th and the 15th (any table of the sign test)."""
    found = interval(of(OFFSET, np.arange(20) - 10))
    assert (found.low, found.high) == (-5, 4)
    assert of(OFFSET, [-14, 0, -2, -11, 0, 1, -4, -1]).value == -1.5


def test_intervals_cover_what_they_say():
    random = np.random.default_rng(0)
    assert coverage(lambda: of(OFFSET, np.round(random.normal(0.0, 2.0, 40))), 0.0) >= 0.95
    assert coverage(lambda: of(SHARE, random.random(30) < 0.9), 0.9) >= 0.95

    def rare() -> Sample:
        words = random.integers(5, 12, 20)
        return of(WER, random.binomial(words, 0.005) / words, words.astype(float))

    assert coverage(rare, 0.005) >= 0.93


def voices(random: np.random.Generator, speakers: int, each: int, between: float) -> tuple[Sample, Grouping]:
    """Clips whose speakers differ: ``between`` is the share of the variance that is theirs."""
    member = np.repeat(np.arange(speakers), each)
    values = random.normal(0, np.sqrt(between), speakers)[member]
    values = values + random.normal(0, np.sqrt(1 - between), len(member))
    groups = Grouping({id: f"s{group:02d}" for id, group in zip(ids(len(member)), member, strict=True)})
    return of(Quantity("x", "X", "higher"), values), groups


def test_clips_of_one_speaker_are_drawn_together():
    random = np.random.default_rng(1)

    def grouped() -> Sample:
        made, groups = voices(random, 12, 6, 0.5)
        return made.grouped(groups)

    assert coverage(grouped, 0.0) >= 0.90
    assert coverage(lambda: replace(grouped(), groups=None), 0.0) < 0.80, "as if they were independent"


def test_false_alarms_among_speakers_stay_rare_only_where_speakers_are_swapped():
    random = np.random.default_rng(2)
    alarms = {True: 0, False: 0}
    for study in range(200):
        first, groups = voices(random, 12, 6, 0.5)
        second, _ = voices(random, 12, 6, 0.5)
        for by in alarms:
            pair = [each.grouped(groups if by else None) for each in (first, second)]
            alarms[by] += paired_p(pair[0], pair[1], str(study), flips=500) <= 0.05
    assert alarms[True] <= 18, "P(more than 18 of 200 at 5 %) is 0.5 %"
    assert alarms[False] >= 30


def test_speakers_are_swapped_as_a_whole():
    first, groups = voices(np.random.default_rng(3), 8, 3, 0.3)
    second, _ = voices(np.random.default_rng(4), 8, 3, 0.3)
    sums = (second.numerators - first.numerators).reshape(8, 3).sum(1)
    every = [abs(np.dot(signs, sums)) for signs in itertools.product([1, -1], repeat=8)]
    expected = np.mean([each >= abs(sums.sum()) - 1e-12 for each in every])
    assert paired_p(first.grouped(groups), second.grouped(groups)) == pytest.approx(expected, abs=1e-15)


def test_groups_come_from_speakers_else_from_source_videos():
    items = {"a": {"speaker": "x", "video": "1"}, "b": {"speaker": "x"}, "c": {"text": "hello"}}
    found = grouping(items)
    assert found.groups["a"] == found.groups["b"] != found.groups["c"] and found.unit == "speakers"
    assert grouping({"a": {"video": "1"}, "b": {"video": "2"}}).unit == "source videos"
    assert grouping({"a": {"text": "x"}, "b": {}}) is None
    one = of(SHARE, [1.0] * 30)
    everyone = Grouping(dict.fromkeys(ids(30), "only one"))
    assert one.grouped(everyone).groups is None, "one speaker: his clips stand for themselves"
    assert one.described == "30 clips"
    assert one.grouped(Grouping({id: id[-1] for id in ids(30)})).described == "30 clips of 10 speakers"
    with pytest.raises(Unscorable, match="30 clips of 2 speakers; an interval needs at least 5 speakers"):
        interval(of(Quantity("x", "X", "higher"), range(30)).grouped(Grouping({id: id[-1] > "4" for id in ids(30)})))


def test_shares_are_tested_by_mcnemar():
    first = of(SHARE, [1] * 40 + [0] * 10 + [1] * 9 + [0])
    second = of(SHARE, [1] * 40 + [0] * 10 + [0] * 9 + [1])
    found = paired_difference(first, second)
    assert found.p == pytest.approx(stats.binomtest(1, 10).pvalue, rel=1e-12)
    assert found.value == pytest.approx(-8 / 60)
    # Bonett & Price 2012: one clip is added to each cell of change.
    gained, lost = 2 / 62, 10 / 62
    reach = 1.959964 * np.sqrt((gained + lost - (gained - lost) ** 2) / 62)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (gained - lost - reach, gained - lost + reach), rel=1e-5
    )
    same = paired_difference(first, first)
    assert same.p == 1 and 0 < same.interval.high < 0.05 and same.interval.low == -same.interval.high


def test_shifts_are_compared_by_the_median_of_their_changes_and_tested_by_signed_ranks():
    random = np.random.default_rng(5)
    before = random.integers(-3, 4, 60)
    change = np.full(60, -3)
    change[:7] = random.integers(-15, 16, 7)  # clips without sync point anywhere
    found = paired_difference(of(OFFSET, before), of(OFFSET, before + change))
    assert found.value == -3 and (found.interval.low, found.interval.high) == (-3, -3) and found.p < 0.001
    few = random.integers(-2, 3, 9)
    ranks = np.sign(few) * stats.rankdata(np.abs(few))
    every = [abs(np.dot(signs, ranks)) for signs in itertools.product([1, -1], repeat=9)]
    expected = np.mean([each >= abs(ranks.sum()) - 1e-12 for each in every])
    assert paired_p(of(OFFSET, [0] * 9), of(OFFSET, few)) == pytest.approx(expected)


def test_a_shift_towards_0_is_a_gain_and_seven_wild_clips_of_two_hundred_are_nothing():
    assert paired_difference(of(OFFSET, [4] * 30), of(OFFSET, [1] * 30)).gain("none") == 3
    assert paired_difference(of(OFFSET, [-4] * 30), of(OFFSET, [-1] * 30)).gain("none") == 3
    assert paired_difference(of(OFFSET, [1] * 30), of(OFFSET, [-3] * 30)).gain("none") == -2
    wild = [0] * 193 + [15] * 7
    found = paired_difference(of(OFFSET, [0] * 200), of(OFFSET, wild))
    assert found.value == 0 and (found.interval.low, found.interval.high) == (0, 0)


@pytest.mark.parametrize("groups", [None, 20])
def test_the_detectable_difference_is_found_with_80_percent_probability(groups):
    random = np.random.default_rng(6)
    hits, studies = 0, 150
    for study in range(studies):
        if groups:
            noise, by = voices(random, groups, 4, 0.4)
        else:
            noise, by = voices(random, 60, 1, 0.0)
        zero = replace(noise, numerators=np.zeros(len(noise)))
        seen = paired_difference(zero.grouped(by), noise.grouped(by), draws=50, flips=50)
        moved = replace(noise, numerators=noise.numerators + seen.detectable(tests=4))
        hits += paired_p(zero.grouped(by), moved.grouped(by), str(study), flips=2000) <= 0.05 / 4
    assert 0.7 <= hits / studies <= 0.92


def test_so_few_speakers_can_show_nothing():
    made, by = voices(np.random.default_rng(7), 5, 12, 0.2)
    found = paired_difference(made.grouped(by), replace(made, numerators=made.numerators + 9).grouped(by))
    assert found.p == 2 / 2**5 and found.detectable() is None and found.described == "60 clips of 5 speakers"
    assert found.as_dict()["units"] == 5


def test_of_shares_without_any_change_so_many_must_change_sides():
    """At α = 0.05 six clips must all go one way; P(at least 6 of 60) = 0.8 at the share sought."""
    share = paired_difference(of(SHARE, [1] * 60), of(SHARE, [1] * 60)).detectable()
    assert stats.binom.sf(5, 60, share) == pytest.approx(0.8, abs=1e-6)
