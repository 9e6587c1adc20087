"""Whether two recognisers agree."""

import pytest

from t2av_bench.extractors.recognisers import Transcript
from t2av_bench.preparation.benchmarks.text import agreed, agreement


def test_case_punctuation_and_script_are_no_disagreement():
    assert agreement("It's a dog.", "it is a DOG", "en") == 1.0
    assert agreement("今天天氣很好。", "今天天气很好", "zh") == 1.0


def test_agreement_is_one_minus_the_edit_distance_over_the_longer_text():
    assert agreement("abcdefghij", "abcdefghix", "en") == pytest.approx(0.9)
    assert agreement("今天天气很好", "今天天气", "zh-CN") == pytest.approx(4 / 6)
    assert agreement("", "word", "en") == 0.0 and agreement("", "", "en") == 1.0


@pytest.mark.parametrize(("heard", "language", "reason"), [
    ([Transcript("The north wind and the sun.", "en"), Transcript("the north wind and the sun")], "en", None),
    ([Transcript("The north wind.", "en"), Transcript("The south wind.", "en")], "en", "agree in less than 95%"),
    ([Transcript("The north wind.", "en"), Transcript("The north wind.", "de")], "en", "is 'de', expected 'en'"),
    ([Transcript(" ... "), Transcript("")], "en", "no words"),
    ([Transcript("北风和太阳", "zh"), Transcript("北風和太陽", "zh-TW")], "zh", None),
])  # fmt: skip
def test_words_count_where_all_agree(heard, language, reason):
    found = agreed(heard, language)
    assert found.text == " ".join(heard[0].text.split())
    assert (found.reason is None) if reason is None else (reason in found.reason)
