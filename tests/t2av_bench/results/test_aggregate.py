"""Set values from clips, against definitions."""

import json
import statistics
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2av_bench.results.aggregate import summarise
from t2av_bench.scores import Protocol, Quantity, Score, Status

SYNC_C = Quantity("sync_c", "Sync-C", "higher", penalty=0.0)
SYNC_D = Quantity("sync_d", "Sync-D", "lower", penalty="worst")
WER = Quantity("wer", "WER", "lower", interval=(0.0, None), aggregate="weighted", penalty=1.0)
OFFSET = Quantity("sync_offset", "Offset", "none", aggregate="median")


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


def test_the_offset_of_a_set_is_its_median_with_the_share_near_0():
    summary = summarise(OFFSET, [Score.ok(v) for v in (-14, 0, -2, -11, 0, 1, -4, -1)] + [Score.failed("no face")])
    assert (summary.score.value, summary.within_one, summary.scored, summary.total) == (-1.5, 4 / 8, 8, 9)
    assert Quantity.of_document(json.loads(json.dumps(asdict(OFFSET)))) == OFFSET
    in_ms = Quantity("offset", "Offset", "none", "ms", (-600.0, 600.0), 0, "median")
    assert summarise(in_ms, [Score.ok(v) for v in (-41, -40, 5, 300)]).within_one == 2 / 4, "a frame lasts 40 ms"
    assert summarise(WER, [Score.ok(0.0)]).within_one is None


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 40)), min_size=2, max_size=30), st.data())
def test_failing_on_a_clip_never_makes_an_error_rate_look_better(clips, data):
    scores = [Score.ok(rate, words) for rate, words in clips]
    errors, words = (sum(rate * count for rate, count in clips), sum(count for _, count in clips))
    lost = data.draw(st.integers(0, len(clips) - 1))
    failing = [Score.failed("silent", s.weight) if i == lost else s for i, s in enumerate(scores)]
    found = summarise(WER, failing)
    # All words of the lost clip are wrong: the corpus value of an empty transcript.
    expected = (errors - clips[lost][0] * clips[lost][1] + clips[lost][1]) / words
    assert found.penalised == pytest.approx(expected, abs=1e-9)
    assert found.penalised >= summarise(WER, scores).score.value - 1e-9
    assert found.penalised >= found.score.value - 1e-9


def test_a_failed_clip_of_unknown_length_is_as_long_as_the_others_and_babble_is_no_bargain():
    assert summarise(WER, [Score.ok(0.0, 10), Score.ok(0.5, 30), Score.failed("gone", 0)]).penalised == 35 / 60
    # Where the others insert more words than there are, a failure counts as they do.
    assert summarise(WER, [Score.ok(3.0, 10), Score.failed("gone", 10)]).penalised == 3.0


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
