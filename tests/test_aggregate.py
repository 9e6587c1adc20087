"""Set values from clips, against definitions."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2av_bench.aggregate import summarise
from t2av_bench.scores import Protocol, Quantity, Score, Status

SYNC_C = Quantity("sync_c", "Sync-C", "higher", penalty=0.0)
SYNC_D = Quantity("sync_d", "Sync-D", "lower", penalty="worst")
WER = Quantity("wer", "WER", "lower", aggregate="weighted")
OFFSET = Quantity("sync_offset", "Offset", "none", aggregate="mode")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.randoms())
def test_a_mean_is_the_mean_in_any_order(values, order):
    scores = [Score.ok(value) for value in values]
    shuffled = list(scores)
    order.shuffle(shuffled)
    summary = summarise(SYNC_C, scores)
    assert summary.score.value == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-9)
    assert summarise(SYNC_C, shuffled).score.value == summary.score.value


def test_corpus_word_error_rate_divides_all_errors_by_all_words():
    # 1 error in 2 words and 3 errors in 18 words: 4 of 20, not the mean of 0.5 and 0.1667.
    assert summarise(WER, [Score.ok(1 / 2, 2), Score.ok(3 / 18, 18)]).score.value == pytest.approx(4 / 20)


def test_failures_stay_in_the_denominator_with_their_reasons():
    scores = [Score.ok(4.0), Score.failed("no face"), Score.failed("no face"), Score.not_applicable("no text")]
    summary = summarise(SYNC_C, scores)
    assert (summary.score.value, summary.scored, summary.total) == (4.0, 1, 4)
    assert summary.reasons == {"no face": 2, "no text": 1}


def test_the_penalised_mean_counts_failures_as_zero_confidence_and_worst_distance():
    values = [Score.ok(6.0), Score.ok(3.0), Score.failed("no face")]
    assert summarise(SYNC_C, values).penalised == pytest.approx((6 + 3 + 0) / 3)
    assert summarise(SYNC_D, values).penalised == pytest.approx((6 + 3 + 6) / 3)
    assert summarise(SYNC_C, values[:2]).penalised is None, "nothing failed, nothing is penalised"
    only_inapplicable = [*values[:2], Score.not_applicable("no reference")]
    assert summarise(SYNC_C, only_inapplicable).penalised is None


def test_the_most_frequent_offset_wins_and_ties_go_to_the_smallest_shift():
    assert summarise(OFFSET, [Score.ok(v) for v in (1, 1, 0, -3)]).score.value == 1
    assert summarise(OFFSET, [Score.ok(v) for v in (5, -2, 5, -2)]).score.value == -2


def test_without_values_the_reason_that_is_commonest_stands():
    summary = summarise(WER, [Score.failed("silent"), Score.failed("silent"), Score.not_applicable("no text")])
    assert summary.score == Score.failed("silent")
    assert summarise(WER, [Score.not_applicable("no text")]).score.status is Status.NOT_APPLICABLE
    assert summarise(WER, []).score == Score.not_applicable("there are no clips")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_is_never_a_stand_in(value):
    with pytest.raises(ValueError, match="finite value or a reason"):
        Score.ok(value)


def test_a_score_without_value_needs_a_reason():
    with pytest.raises(ValueError, match="a value or a reason"):
        Score.failed("")
    with pytest.raises(ValueError):
        Score(Status.OK, 1.0, "a reason beside a value")


def test_fingerprints_are_equal_exactly_where_all_fields_are():
    base = Protocol("sync/exact", {"min_track": 100, "detector": "s3fd"}, {"syncnet_v2": "ab"}, {"torch": "2.13"})
    reordered = Protocol("sync/exact", {"detector": "s3fd", "min_track": 100}, {"syncnet_v2": "ab"}, {"torch": "2.13"})
    assert base.fingerprint == reordered.fingerprint
    changed = [
        Protocol("sync/crop", base.parameters, base.weights, base.libraries),
        Protocol("sync/exact", {**base.parameters, "min_track": 50}, base.weights, base.libraries),
        Protocol("sync/exact", base.parameters, {"syncnet_v2": "ac"}, base.libraries),
        Protocol("sync/exact", base.parameters, {"syncnet_v2": None}, base.libraries),
        Protocol("sync/exact", base.parameters, base.weights, {"torch": "2.11"}),
    ]
    fingerprints = {protocol.fingerprint for protocol in [base, *changed]}
    assert len(fingerprints) == 6
