"""Tempo: exact numbers of sounds whose speech is known, by a loudness detector in the network's place, and by the
network itself on synthesised speech, whatever it is wrapped in."""

import numpy as np
import pytest
from media_factory import moving_pattern, write_clip
from speech_factory import RATE, SENTENCE, pair, say
from weights_table import use_weights

from t2av_bench import weights
from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import silero_vad
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import resample
from t2av_bench.metrics import create
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.check import check, score
from t2av_bench.metrics.tempo import characters
from t2av_bench.scores import Status

WINDOW = 512


class Loudness:
    """Takes what is loud for speech."""

    def run(self, outputs, inputs):
        loud = np.square(inputs["input"][0, 64:]).mean() > 1e-4
        return np.full((1, 1), loud, np.float32), inputs["state"]


@pytest.fixture
def metric(tmp_path, monkeypatch):
    """The metric with a network that hears loudness."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "loudness.onnx").write_bytes(b"none")
    row = (
        '[silero_vad]\npurpose = "a test"\nfile = "loudness.onnx"\nmanual = "made by the test"\nlicence = "MIT"\n'
        'group = "free"\nformat = "onnx"\nloader = "onnxruntime"\n'
    )
    use_weights(monkeypatch, folder, row)
    monkeypatch.setattr(silero_vad, "load", lambda path, digest: Loudness())
    return create("tempo/silero")


def sound(*parts: tuple[int, int]) -> np.ndarray:
    """(windows of quiet, windows of a tone) in a row; the quiet is a hum that is not digital silence."""
    found = []
    for quiet, loud in parts:
        found += [np.full(quiet * WINDOW, 0.001), 0.3 * np.sin(0.3 * np.arange(loud * WINDOW))]
    return np.concatenate(found).astype(np.float32)


def seconds(windows: float) -> float:
    return windows * WINDOW / RATE


# Stretches are widened by 30 ms, which is less than a window.
PAD = 0.03
TWO = sound((10, 30), (20, 30), (15, 0))


def test_shares_and_silences(metric, tmp_path):
    found = metric.measure(pair(tmp_path, TWO, text="ab, cd-ef 12!")).values
    speech = seconds(60) + 4 * PAD
    assert found == {
        "speech_share": pytest.approx(speech / seconds(105)),
        "leading_silence": pytest.approx(seconds(10) - PAD),
        "trailing_silence": pytest.approx(seconds(15) - PAD),
        "truncated_end": 0.0,
        "speech_rate": pytest.approx(8 / speech),
    }


def test_an_end_in_speech_is_truncated(metric, tmp_path):
    def end(quiet):
        found = metric.measure(pair(tmp_path, sound((10, 30), (quiet, 0)))).values
        return found["truncated_end"], found["trailing_silence"]

    assert end(0) == (1.0, 0.0)
    assert end(3) == (1.0, 0.0), "three windows may be a stop within a word"
    assert end(6) == (0.0, pytest.approx(seconds(6) - PAD))


def test_cutting_more_and_more_of_the_end(metric, tmp_path):
    """Trailing silence goes first; then the end is cut, and the same text takes less and less time."""
    found = [
        metric.measure(pair(tmp_path, TWO[: windows * WINDOW], TWO, text="text")).values
        for windows in (105, 98, 85, 75, 35)
    ]
    assert [each["truncated_end"] for each in found] == [0, 0, 1, 1, 1]
    assert np.all(np.diff([each["trailing_silence"] for each in found][:3]) < 0)
    assert found[0]["duration_error"] == 0 == found[1]["duration_error"]
    assert np.all(np.diff([each["duration_error"] for each in found][1:]) > 0)
    assert np.all(np.diff([each["speech_rate"] for each in found][1:]) > 0)
    assert len({each["leading_silence"] for each in found}) == 1


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_duration_error_is_relative_and_does_not_count_the_silence_around(metric, tmp_path, factor):
    reference = sound((5, 40), (30, 0))
    generated = sound((25, round(40 * factor)), (10, 0))
    found = metric.measure(pair(tmp_path, generated, reference)).values["duration_error"]
    lasting, expected = (seconds(windows) + 2 * PAD for windows in (40 * factor, 40))
    assert found == pytest.approx(abs(lasting - expected) / expected)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The sun.", 6),
        ("I’m 25!", 4),
        ("对方他根本就是不忍，", 9),
        ("ＡＢ１", 3),
        ("été", 3),
        ("e\u0301te\u0301", 3),
        ("a\u200bb\ufe0f 😀 c", 3),
        ("ﬁn", 3),
    ],
)
def test_letters_and_digits_count(text, count):
    assert characters(text) == count


def test_a_text_without_letters_does_not_apply():
    with pytest.raises(NotApplicable, match="no letter and no digit"):
        characters("?! … 😀")


def test_what_is_not_given_does_not_apply_and_costs_nothing_else(metric, tmp_path):
    def statuses(given):
        found = check(metric, metric.measure(given))
        return {quantity.name: score(quantity, found) for quantity in metric.quantities}

    without = statuses(pair(tmp_path, TWO))
    absent = {"speech_rate": "no text", "duration_error": "no reference"}
    for name, each in without.items():
        if name in absent:
            assert each.status is Status.NOT_APPLICABLE and absent[name] in each.reason
        else:
            assert each.status is Status.OK
    assert all(each.status is Status.OK for each in statuses(pair(tmp_path, TWO, TWO, text="a")).values())
    hum = sound((40, 0))
    mute = statuses(pair(tmp_path, TWO, hum))["duration_error"]
    assert mute.status is Status.NOT_APPLICABLE and "no speech is found in the reference (reference.wav)" in mute.reason
    mute = statuses(pair(tmp_path, TWO, 0 * hum))["duration_error"]
    assert mute.status is Status.NOT_APPLICABLE and "silent" in mute.reason


def test_sound_without_speech_has_a_share_of_none_and_fails_the_rest(metric, tmp_path):
    found = metric.measure(pair(tmp_path, sound((40, 0)), TWO, text="a"))
    assert found.values == {"speech_share": 0.0} and not found.inapplicable
    assert set(found.reasons) == {quantity.name for quantity in metric.quantities} - {"speech_share"}
    assert set(found.reasons.values()) == {"no speech is found in 1.28 s of sound"}


@pytest.mark.parametrize(
    ("audio", "reason"),
    [(np.zeros(RATE, np.float32), "silent"), (np.full(RATE // 4, 0.1, np.float32), "0.25 s long, at least 0.3 s")],
)
def test_silent_and_short_clips_are_unscorable(metric, tmp_path, audio, reason):
    with pytest.raises(Unscorable, match=reason):
        metric.measure(pair(tmp_path, audio))


def test_missing_weights_say_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch silero_vad"):
        create("tempo/silero").measure(pair(tmp_path, TWO))


# --- the published network --------------------------------------------------------------------------------------------


@pytest.fixture
def published():
    if not weights.is_present("silero_vad"):
        pytest.skip("needs the weights silero_vad: t2av-bench weights fetch silero_vad")
    return create("tempo/silero")


def spoken(pace: float = 1.0) -> np.ndarray:
    """Half a second of quiet, a sentence at a pace, and 0.8 s of quiet, at 16 kHz."""
    sentence = np.asarray(say())
    loud = np.flatnonzero(np.abs(sentence) > 0.01)
    sentence = sentence[loud[0] : loud[-1] + 1]
    faster = resample(sentence, round(RATE * pace), RATE)  # higher, too, as a tape is
    return np.concatenate([np.zeros(RATE // 2), faster, np.zeros(RATE * 8 // 10)]).astype(np.float32)


@pytest.mark.slow
def test_a_synthesised_sentence(published, tmp_path):
    plain, hurried = (
        published.measure(pair(tmp_path, spoken(pace), spoken(), text=SENTENCE)).values for pace in (1.0, 1.25)
    )
    lasting = len(spoken()) / RATE - 1.3
    assert plain["leading_silence"] == pytest.approx(0.5, abs=0.1)
    assert plain["trailing_silence"] == pytest.approx(0.8, abs=0.2)
    assert plain["speech_rate"] == pytest.approx(sum(map(str.isalpha, SENTENCE)) / lasting, rel=0.1)
    assert plain["truncated_end"] == 0 == plain["duration_error"]
    assert hurried["speech_rate"] == pytest.approx(1.25 * plain["speech_rate"], rel=0.1)
    assert hurried["duration_error"] == pytest.approx(0.2, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [0.15, 0.3, 0.5, 0.8])
def test_a_sentence_that_stops_within_is_truncated(published, tmp_path, cut):
    audio = spoken()
    found = published.measure(pair(tmp_path, audio[: len(audio) - round((0.8 + cut) * RATE)])).values
    assert found["truncated_end"] == 1 and found["trailing_silence"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("pcm.wav", "pcm_s16le", 48000),
        ("pcm.wav", "pcm_s16le", 44100),
        ("aac.mp4", "aac", 48000),
        ("aac.mp4", "aac", 16000),
        ("mp3.mkv", "libmp3lame", 44100),
        ("opus.mkv", "libopus", 48000),
    ],
)
def test_the_container_does_not_count(published, tmp_path, name, codec, rate):
    """By one window of 32 ms at most, two at the share's and the rate's both ends."""
    audio = spoken()
    plain = published.measure(pair(tmp_path, audio, text=SENTENCE)).values
    picture = {} if name.endswith("wav") else {"frames": moving_pattern(round(25 * len(audio) / RATE))}
    path = write_clip(tmp_path / name, audio=resample(audio, RATE, rate), audio_rate=rate, audio_codec=codec, **picture)
    found = published.measure(Pair(Item(id="clip", text=SENTENCE), Clip(path))).values
    assert found["leading_silence"] == pytest.approx(plain["leading_silence"], abs=0.04)
    assert found["trailing_silence"] == pytest.approx(plain["trailing_silence"], abs=0.08)
    assert found["speech_share"] == pytest.approx(plain["speech_share"], abs=0.02)
    assert found["speech_rate"] == pytest.approx(plain["speech_rate"], rel=0.03)
    assert found["truncated_end"] == plain["truncated_end"] == 0


@pytest.mark.slow
def test_a_clip_scores_the_same_after_another(published, tmp_path):
    """The network remembers; what it remembers ends with the clip."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = pair(tmp_path / "a", spoken()), pair(tmp_path / "b", spoken()[RATE:])
    alone = published.measure(first)
    published.measure(second)
    assert published.measure(first) == alone
