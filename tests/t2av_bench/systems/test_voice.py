"""Voices and driving speech: what is taken of a file, and what is refused."""

import numpy as np
import pytest
from scipy.io import wavfile
from tiny_talker import speech

from t2av_bench.errors import MediaError
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GenerationFailed
from t2av_bench.systems.inputs import (
    MARGIN,
    SPEAKER_RATE,
    input_named,
    read_speech,
    read_voice,
    speech_span,
)


def silence(seconds: float, rate: int) -> np.ndarray:
    return np.zeros(round(seconds * rate), np.float32)


@pytest.fixture
def sound(tmp_path):
    def write(*parts: np.ndarray, rate: int = 16_000):
        wavfile.write(tmp_path / "sound.wav", rate, np.concatenate(parts))
        return tmp_path / "sound.wav"

    return write


def test_silence_around_a_voice_is_trimmed(sound):
    path = sound(silence(1.0, 16_000), speech(2.0, 16_000), silence(1.5, 16_000))
    voice = read_voice(path)
    assert voice.start == pytest.approx(1.0 - MARGIN, abs=0.021)
    assert voice.end == pytest.approx(3.0 + MARGIN, abs=0.021)
    assert voice.speech_seconds == pytest.approx(2.0, abs=0.05)
    assert len(voice.audio) / SPEAKER_RATE == pytest.approx(voice.end - voice.start, abs=1e-3)
    inside = round((1.0 - voice.start) * SPEAKER_RATE)
    assert np.array_equal(voice.audio[inside : inside + 32_000], speech(2.0, 16_000)), "the file's own samples"
    whole = read_voice(path, trim=False)
    assert (whole.start, whole.end, whole.speech_seconds) == (0.0, 4.5, voice.speech_seconds)
    assert np.array_equal(whole.audio[16_000:48_000], speech(2.0, 16_000)) and len(whole.audio) == 72_000


def test_the_same_seconds_are_taken_whatever_the_container_and_the_level(tmp_path, sound):
    parts = lambda rate: (silence(0.5, rate), speech(1.6, rate, seed=5), silence(0.7, rate))  # noqa: E731
    plain = read_voice(sound(*parts(44_100), rate=44_100))
    quiet = read_voice(sound(*(0.05 * part for part in parts(44_100)), rate=44_100))
    assert (quiet.start, quiet.end) == (plain.start, plain.end)
    frames = np.zeros((70, 16, 16, 3), np.uint8)
    video = tmp_path / "video.mp4"
    write_mp4(video, frames, np.stack([np.concatenate(parts(48_000))] * 2, axis=1), audio_rate=48_000)
    from_video = read_voice(video)
    assert (from_video.start, from_video.end) == pytest.approx((plain.start, plain.end), abs=0.05)


def test_a_click_sets_no_standard_for_a_quiet_voice(sound):
    click = np.r_[silence(0.3, 16_000), np.ones(160, np.float32), silence(0.7, 16_000)]
    voice = read_voice(sound(click, speech(1.5, 16_000, amplitude=0.005), silence(0.5, 16_000)))
    assert voice.speech_seconds == pytest.approx(1.5, abs=0.06)
    assert voice.end == pytest.approx(2.51 + MARGIN, abs=0.03)


def test_a_long_voice_is_cut_at_thirty_seconds(sound):
    voice = read_voice(sound(silence(2.0, 16_000), speech(33.0, 16_000)))
    assert len(voice.audio) == 30 * SPEAKER_RATE
    assert voice.start == pytest.approx(2.0 - MARGIN, abs=0.021)
    assert "the first 30 of 33.1 s" in voice.notes[0]


@pytest.mark.parametrize(
    ("level", "message"),
    [(0.0, "silent .all samples are zero"), (2e-4, r"silent .its peak is -\d\d dBFS")],
)
def test_a_silent_voice_is_refused(sound, level, message):
    with pytest.raises(GenerationFailed, match=message):
        read_voice(sound(speech(3.0, 16_000) * np.float32(level)))


def test_too_little_speech_is_refused_with_what_was_found(sound):
    with pytest.raises(GenerationFailed, match=r"sound.wav holds 0\.[678]\d s of speech, at least 1 s"):
        read_voice(sound(silence(2.0, 16_000), speech(0.7, 16_000), silence(2.0, 16_000)))
    with pytest.raises(GenerationFailed, match="at least 1 s"):
        read_voice(sound(speech(0.05, 16_000)))


def test_files_without_sound_say_so(tmp_path):
    write_mp4(tmp_path / "mute.mp4", np.zeros((5, 16, 16, 3), np.uint8))
    with pytest.raises(MediaError, match="no audio stream"):
        read_voice(tmp_path / "mute.mp4")
    with pytest.raises(GenerationFailed, match="voice: .*does not exist"), input_named("voice"):
        read_voice(tmp_path / "absent.wav")


def test_driving_speech_keeps_its_time_line(sound):
    path = sound(silence(0.5, 24_000), speech(1.0, 24_000), silence(0.5, 24_000), rate=24_000)
    whole, was_cut = read_speech(path, 30.0, 24_000)
    assert len(whole) == 48_000 and not was_cut and not whole[:12_000].any()
    part, was_cut = read_speech(path, 1.2, 24_000)
    assert was_cut and np.array_equal(part, whole[: len(part)]) and len(part) == 28_800
    with pytest.raises(GenerationFailed, match="silent"):
        read_speech(path, 0.4, 24_000)


def test_the_span_does_not_depend_on_what_follows_the_last_whole_frame():
    audio = speech(1.0, 16_000)
    first = speech_span(audio, 16_000)
    longer = speech_span(np.r_[audio, np.zeros(16_000 * 5 + 7, np.float32)], 16_000)
    assert longer[0] == first[0] and longer[2] == pytest.approx(first[2], abs=0.021)
    assert longer[1] == pytest.approx(1.0 + MARGIN, abs=0.021)
