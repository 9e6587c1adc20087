"""Mouth motion against loudness: signals with known answers, then real speech on a drawn face."""

import numpy as np
import pytest
from media_factory import write_lossless

pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("torch", reason="the drawn face needs torch")
pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")

import talking_clips

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import Unscorable
from t2av_bench.gridface.speech.synthesizer import Synthesizer
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Measurement, Pair
from t2av_bench.metrics.envelope import (
    MouthEnvelope,
    correlation_curve,
    loudness_change,
    mouth_motion,
)


@pytest.fixture(scope="module")
def talking():
    """Frames and audio of one demonstration clip, and the audio of another one."""
    with Synthesizer() as synthesizer:
        frames, audio = talking_clips.make_clip(talking_clips.CLIPS[3], synthesizer)
        other = synthesizer.say(talking_clips.CLIPS[2].text, "en-us+m3", rate=150)
    return frames, audio, other.samples.astype(np.float32) / 32768


@pytest.fixture(scope="module")
def in_sync(talking, tmp_path_factory):
    return _measure(tmp_path_factory.mktemp("in_sync"), *talking[:2])


def _measure(folder, frames, audio, name="clip") -> Measurement:
    path = folder / f"{name}.mkv"
    write_lossless(path, frames, audio, audio_rate=talking_clips.AUDIO_RATE, fit_audio=audio is not None)
    return MouthEnvelope().measure(Pair(Item(id=name), Clip(path)))


@pytest.mark.parametrize("delay", [-15, -6, 0, 1, 9, 15])
def test_the_curve_peaks_at_the_known_shift(delay):
    """Delayed audio has a negative offset, as SyncNet's."""
    source = np.random.default_rng(0).random(230)
    motion, change = source[15:215], source[15 - delay : 215 - delay]
    curve = correlation_curve(motion, change)
    assert curve.shape == (31,) and np.argmax(curve) - 15 == -delay
    assert curve.max() > 0.95 and np.sort(curve)[-2] < 0.5


def test_opposite_and_scaled_signals():
    motion = np.random.default_rng(1).random(120)
    assert correlation_curve(motion, 7 - 3 * motion)[15] == pytest.approx(-1.0)
    np.testing.assert_allclose(correlation_curve(motion, 5 * motion + 2), correlation_curve(motion, motion), atol=1e-9)


def test_curve_equals_a_plain_computation_without_slow_drift():
    from scipy.ndimage import gaussian_filter1d

    random = np.random.default_rng(2)
    motion, change = random.random(70), random.random(70)
    seen, heard = (x - gaussian_filter1d(x, 20.0, mode="nearest") for x in (motion, change))
    for offset, value in zip(range(-15, 16), correlation_curve(motion, change), strict=True):
        pairs = [(seen[i], heard[i - offset]) for i in range(70) if 0 <= i - offset < 70]
        x, y = np.array(pairs).T
        expected = ((x - x.mean()) * (y - y.mean())).mean() / x.std() / y.std()
        assert value == pytest.approx(expected, abs=1e-12)


def test_loudness_change_of_a_step():
    audio = np.concatenate([np.full(640 * 10, 0.04), np.full(640 * 10, 0.25)]) * np.tile([1.0, -1.0], 6400)
    change = loudness_change(audio, 30)
    expected = np.zeros(20)
    expected[[9, 10]] = 0.5 - 0.2
    np.testing.assert_allclose(change, expected, atol=1e-12)
    assert len(loudness_change(audio, 12)) == 12


def test_mouth_motion_of_flat_pictures():
    levels = np.random.default_rng(3).integers(0, 256, 20)
    frames = np.broadcast_to(levels[:, None, None, None], (20, 90, 90, 3)).astype(np.uint8)
    motion = mouth_motion([frames[:7], frames[7:]], np.tile([10.0, 10, 70, 70], (20, 1)))
    np.testing.assert_allclose(motion[1:-1], np.sqrt(np.abs(levels[2:] - levels[:-2])), rtol=1e-4)


def test_a_mouth_that_travels_with_its_face_does_not_move():
    """Half a pixel a frame: cutting at whole pixels would show as motion."""
    import cv2

    scene = cv2.GaussianBlur(np.random.default_rng(4).integers(0, 256, (200, 200, 3)).astype(np.uint8), (0, 0), 4)
    moves = [np.array([[1, 0, -0.5 * i], [0, 1, 0]], np.float64) for i in range(60)]
    frames = np.stack([cv2.warpAffine(scene, move, (200, 200), flags=cv2.INTER_CUBIC) for move in moves])
    following = np.stack([np.array([60 - 0.5 * i, 40, 140 - 0.5 * i, 120]) for i in range(60)])
    still = np.tile(following[30], (60, 1))
    steady, drifting = (mouth_motion([frames], boxes)[20:40].mean() for boxes in (following, still))
    assert steady < 0.35 * drifting


def test_known_delays_are_recovered_exactly(talking, in_sync, tmp_path):
    frames, audio, _ = talking
    base = in_sync.values["envelope_offset"]
    assert abs(base) <= 1
    for delay in (-5, 3):
        shifted = np.roll(audio, delay * talking_clips.AUDIO_RATE // 25)
        assert _measure(tmp_path, frames, shifted).values["envelope_offset"] == base - delay


def test_its_own_voice_correlates_more_than_a_stranger(talking, in_sync, tmp_path):
    frames, audio, other = talking
    own = in_sync.values["envelope_correlation"]
    assert _measure(tmp_path, frames, other).values["envelope_correlation"] < own - 0.05
    assert _measure(tmp_path, frames, audio[::-1]).values["envelope_correlation"] < own - 0.05


def test_the_measurement_is_complete(in_sync):
    assert set(in_sync.values) == {quantity.name for quantity in MouthEnvelope.quantities}
    assert in_sync.features["envelope_correlation_curve"].shape == (31,)
    assert MouthEnvelope.stand_in and MouthEnvelope().protocol.parameters["detector"] == "haar"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("no audio", "no audio stream"),
        ("silent", "the audio is silent"),
        ("frozen", "the mouth does not move in any of"),
        ("no face", "no face found in any of"),
        ("few frames", "face track needs a face in more than 50"),
        ("short audio", r"the audio is 1\.00 s long, at least 2 s are needed"),
    ],
)
def test_reasons(talking, tmp_path, damage, reason):
    frames, audio, _ = talking
    if damage == "no audio":
        audio = None
    elif damage == "silent":
        audio = np.zeros_like(audio)
    elif damage == "frozen":
        frames = np.repeat(frames[:1], len(frames), 0)
    elif damage == "no face":
        frames = np.full_like(frames, 128)
    elif damage == "few frames":
        frames = frames[:50]
    elif damage == "short audio":
        audio = audio[: talking_clips.AUDIO_RATE]
    path = tmp_path / "clip.mkv"
    write_lossless(path, frames, audio, audio_rate=talking_clips.AUDIO_RATE)
    with pytest.raises(Unscorable, match=reason):
        MouthEnvelope().measure(Pair(Item(id="clip"), Clip(path)))


def test_too_few_common_frames():
    with pytest.raises(Unscorable, match="too short: 60 frames of face and 49 frames' worth of audio, 50 of both"):
        correlation_curve(np.random.default_rng(0).random(60), np.random.default_rng(1).random(49))


def test_signals_that_do_not_vary():
    varying = np.random.default_rng(0).random(80)
    with pytest.raises(Unscorable, match="the loudness does not change in any of 80 frames"):
        correlation_curve(varying, np.full(80, 0.1))
    with pytest.raises(Unscorable, match="the mouth does not move in any of 80 frames"):
        correlation_curve(np.zeros(80), varying)


def test_a_larger_picture_gives_the_same_answer(talking, in_sync, tmp_path):
    frames, audio, _ = talking
    doubled = (frame.repeat(2, 0).repeat(2, 1) for frame in frames)
    found = _measure(tmp_path, doubled, audio).values
    assert found["envelope_offset"] == in_sync.values["envelope_offset"]
    assert found["envelope_correlation"] == pytest.approx(in_sync.values["envelope_correlation"], abs=0.08)
