"""Unspoken end: hand-made transcripts whose missing end is known, and sentences that are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_factory import RATE, pair, say

from t2av_bench import weights
from t2av_bench.errors import NotApplicable
from t2av_bench.extractors.recognisers import Transcript
from t2av_bench.metrics import create
from t2av_bench.metrics.unspoken_end import unspoken

jiwer = pytest.importorskip("jiwer")
TEXT = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize(
    ("heard", "share"),
    [
        (TEXT, 0.0),
        ("", 1.0),
        ("one two three four five six", 0.4),
        ("one too three fore five six", 0.4),
        ("two three four five six", 0.4),
        ("one two three four five six seven eight nine pen", 0.0),
        ("one two three five six seven eight nine ten", 0.0),
        ("well one two three four five six", 0.4),
    ],
)
def test_what_is_missing_at_the_end(heard, share):
    assert unspoken(TEXT.split(), heard.split()) == pytest.approx(share)


def test_a_repetition_in_the_text_is_no_end():
    assert unspoken("to be or not to be".split(), "to be".split()) == pytest.approx(4 / 6)


@settings(max_examples=60, deadline=None)
@given(st.text("abc", min_size=1, max_size=10), st.text("abc", max_size=10))
def test_it_is_the_beginning_that_jiwer_finds_nearest(text, heard):
    def distance(beginning):
        if not beginning:
            return len(heard)
        found = jiwer.process_characters(beginning, heard)
        return found.substitutions + found.deletions + found.insertions

    distances = [distance(text[:count]) for count in range(len(text) + 1)]
    longest = max(count for count, each in enumerate(distances) if each == min(distances))
    assert unspoken(text, heard) == pytest.approx(1 - longest / len(text))


@pytest.fixture
def metric(monkeypatch):
    """The metric, and what its recogniser is going to hear."""
    heard = {}
    for name in ("WERWhisperBase", "CERWhisperBase"):
        monkeypatch.setattr(
            f"t2av_bench.metrics.wer.{name}._transcribe", lambda self, given, language: Transcript(heard["text"])
        )
    return create("unspoken_end/whisper-base"), heard


@pytest.mark.parametrize(
    ("language", "text", "heard", "share"),
    [
        ("en", "It's five o'clock; we can't stay.", "it is 5 o'clock", 4 / 8),
        ("en-GB", "A B C D.", "", 1.0),
        ("de", "Über allen Gipfeln ist Ruh.", "über allen gipfeln", 0.4),
        ("zh", "對方他根本就是不忍心。", "对方他根本就是", 3 / 10),
    ],
)
def test_both_sides_are_normalised(metric, tmp_path, language, text, heard, share):
    metric, said = metric
    said["text"] = heard
    found = metric.measure(pair(tmp_path, np.ones(RATE, np.float32), text=text, language=language))
    assert found.values == {"unspoken_end": pytest.approx(share)}
    assert found.detail["transcript"] == heard


@pytest.mark.parametrize(("item", "reason"), [({"language": "en"}, "no text"), ({"text": "a"}, "no language")])
def test_what_it_needs_to_know(metric, tmp_path, item, reason):
    with pytest.raises(NotApplicable, match=reason):
        metric[0].measure(pair(tmp_path, np.ones(RATE, np.float32), **item))


@pytest.mark.slow
def test_cut_sentences(tmp_path):
    if not weights.is_present("whisper_base"):
        pytest.skip("needs the weights whisper_base: t2av-bench weights fetch whisper_base")
    text = "The north wind and the sun were arguing about which of them was the stronger, when a traveller came along."
    audio, metric = np.asarray(say(text)), create("unspoken_end/whisper-base")
    shares = []
    for kept in (1.0, 0.75, 0.5, 0.25):
        part = audio[: round(kept * len(audio))]
        shares.append(metric.measure(pair(tmp_path, part, text=text, language="en")).values["unspoken_end"])
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.15)
