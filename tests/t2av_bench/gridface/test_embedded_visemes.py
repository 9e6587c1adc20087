"""Visemes: the mouth does what the sounds need, when they need it."""

import numpy as np
import pytest

from t2av_bench.gridface.speech import visemes
from t2av_bench.gridface.speech.synthesizer import PAUSE, Phoneme, Synthesizer

JAW, WIDTH, ROUNDING, TEETH, CLOSURE, TONGUE = range(6)


def _sequence(*symbols: str, length: float = 0.16, start: float = 0.4) -> list[Phoneme]:
    return [Phoneme(s, start + i * length, start + (i + 1) * length) for i, s in enumerate(symbols)]


def _at(track: np.ndarray, seconds: float) -> np.ndarray:
    return track[int(seconds * 25)]


@pytest.mark.parametrize("symbol", ["p", "b", "m", "ph"])
def test_lips_close_for_bilabials_and_open_around_them(symbol):
    phonemes = [Phoneme("ˈɑː", 0.4, 0.7), Phoneme(symbol, 0.7, 0.76), Phoneme("ˈɑː", 0.76, 1.1)]
    track = visemes.speech_motion(phonemes, 40)
    assert track[17:20, CLOSURE].max() > 0.85
    assert _at(track, 0.54)[CLOSURE] < 0.05 and _at(track, 0.94)[CLOSURE] < 0.05
    assert _at(track, 0.54)[JAW] > 0.8


def test_a_voiceless_stop_is_closed_before_its_burst_and_not_after():
    phonemes = [Phoneme("ˈɑː", 0.2, 0.6), Phoneme("p", 0.6, 0.72), Phoneme("ˈɑː", 0.72, 1.2)]
    closure = visemes.speech_motion(phonemes, 30)[:, CLOSURE]
    assert closure[14] > closure[15] > closure[17]


@pytest.mark.parametrize(
    ("symbol", "dimension", "other"),
    [("f", TEETH, "s"), ("v", TEETH, "z"), ("uː", ROUNDING, "iː"), ("w", ROUNDING, "j"), ("iː", WIDTH, "uː"),
     ("ɑː", JAW, "iː"), ("θ", TONGUE, "k"), ("y", ROUNDING, "i")],
)  # fmt: skip
def test_each_dimension_moves_for_its_sounds(symbol, dimension, other):
    track = visemes.speech_motion(_sequence("ə", symbol, "ə", other, "ə"), 40)
    assert _at(track, 0.64)[dimension] > _at(track, 0.96)[dimension] + 0.4


def test_diphthongs_move_and_affricates_do_not():
    assert visemes.units("ˈaɪ") == ["a", "ɪ"]
    assert visemes.units("tʃ") == ["tʃ"] and visemes.units("ts.h") == ["ts."] and visemes.units("tɕh") == ["tɕ"]
    track = visemes.speech_motion([Phoneme("ˈoʊ", 0.4, 0.8), Phoneme("ˈaʊ", 0.8, 1.2)], 40)
    assert _at(track, 0.86)[JAW] > 0.6 and _at(track, 1.1)[ROUNDING] > 0.4


def test_no_lead_of_either_stream():
    """A sound centred on a frame's centre moves the frames around it symmetrically."""
    centre = 20.5 / 25
    track = visemes.speech_motion([Phoneme("ˈɑː", centre - 0.08, centre + 0.08)], 41)[:, JAW]
    assert np.argmax(track) == 20
    np.testing.assert_allclose(track, track[::-1], atol=1e-12)


def test_moving_the_sounds_moves_the_mouth_by_as_much():
    phonemes = _sequence("p", "ˈɑː", "f", "uː", "m")
    late = visemes.speech_motion(visemes.shift(phonemes, 3 / 25), 60)
    np.testing.assert_allclose(late[3:], visemes.speech_motion(phonemes, 57), atol=1e-12)


def test_short_gaps_hold_the_mouth_and_long_ones_rest_it():
    for gap, rests in ((0.04, False), (0.5, True)):
        phonemes = [Phoneme("ˈɑː", 0.4, 0.8), Phoneme(PAUSE, 0.8, 0.8 + gap), Phoneme("ˈɑː", 0.8 + gap, 1.2 + gap)]
        middle = visemes.speech_motion(phonemes, 60)[int((0.8 + gap / 2) * 25), JAW]
        assert (middle < 0.1) == rests


def test_every_sound_of_the_voices_has_a_shape():
    pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")
    english = (
        "The quick brown fox jumps over a lazy dog. She had your dark suit in greasy wash water all year. Measure the "
        "vision; judge church watch thing breathe father bird near square cure north fire loyal little button prism "
        "huge beauty singer royal boy now coin mountain ladder uh-oh idea."
    )
    mandarin = "请把红色的方块放到第八行去女儿吃饭日子月亮白鱼云水雪学王我爱远光快催软"
    with Synthesizer() as synthesizer:
        for text, voice in ((english, "en-us"), (mandarin, "cmn")):
            for phoneme in synthesizer.say(text, voice).phonemes:
                assert phoneme.symbol == PAUSE or visemes.units(phoneme.symbol), phoneme


def test_an_unknown_sound_is_named():
    with pytest.raises(ValueError, match="no mouth shape for 'ǃ' in the phoneme 'ǃa'"):
        visemes.units("ǃa")


def test_motion_is_seeded_bounded_and_the_mouth_is_not_random():
    phonemes = _sequence(*["m", "ˈɑː", "f", "ˈiː", "w", "ˈæ"] * 10)
    first, again, other = (visemes.motion(phonemes, 400, seed) for seed in (1, 1, 2))
    assert first.shape == (400, 16) and first.dtype == np.float32 and len(visemes.MOTION_NAMES) == 16
    assert first.tobytes() == again.tobytes()
    np.testing.assert_array_equal(first[:, :6], other[:, :6])
    assert all(np.abs(first[:, i] - other[:, i]).max() > 0.05 for i in range(6, 16))
    assert first[:, :7].min() >= 0 and np.abs(first).max() <= 1
    assert first[:, 6].max() == 1.0 and 3 <= np.count_nonzero(np.diff((first[:, 6] > 0.9).astype(int)) == 1) <= 12


def test_the_head_moves_smoothly():
    track = visemes.motion(_sequence(*["m", "ˈɑː"] * 30), 300, 5)
    assert np.abs(np.diff(track[:, 8:13], axis=0)).max() < 0.12


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="frame_count must be at least 1, got 0"):
        visemes.motion([], 0, 1)
