"""Lips in speech and in silence: known openness against known loudness, with the stretches of speech given."""

import numpy as np
import pytest
from mesh_factory import landmarks, still, wave
from scipy.spatial.transform import Rotation

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, metric_class, theval
from t2av_bench.metrics import theval_speech as speech
from t2av_bench.metrics.base import Pair

IDS = ("theval/lip-sync-mesh468", "theval/silent-lips-mesh468")


def opened(gap: np.ndarray) -> np.ndarray:
    """(n, 468, 3): inner lips ``gap`` (n,) pixels apart, all columns alike."""
    points = still(len(gap))
    columns = 256 + 6.0 * np.arange(-4, 4)
    for lip, sign in ((speech.UPPER, -1), (speech.LOWER, 1)):
        points[:, lip] = np.stack([np.broadcast_to(columns, (len(gap), 8)), *np.broadcast_arrays(
            360 + sign * gap[:, None] / 2, np.zeros((len(gap), 8))
        )], -1)  # fmt: skip
    return points


def sounding(level: np.ndarray) -> np.ndarray:
    """16 kHz: a square wave of so much level in each frame of 640 samples, whose root mean square is the level."""
    return (np.repeat(level, 640) * np.tile([1.0, -1.0], 320 * len(level))).astype(np.float32)


@pytest.fixture
def levels():
    return np.random.default_rng(0).uniform(0.02, 0.3, 200)


# Frames ---------------------------------------------------------------------------------------------------------------


def test_frames_with_speech():
    segments = np.array([[0, 640], [1300, 2560]])  # frame 0; from just after the beginning of frame 2 to the end of 3
    assert speech.speech_frames(segments, 6).tolist() == [True, False, True, True, False, False]
    assert not speech.speech_frames(np.zeros((0, 2), int), 6).any()


def test_frames_with_speech_as_theval_has_them():
    """0.33 to 0.64 s: rounded to 0.3 and 0.6, frames 7 to 15 of 25 a second, the last one included."""
    found = speech.theval_speech_frames(np.array([[5280, 10240]]), 25)
    assert np.nonzero(found)[0].tolist() == list(range(7, 16))


def test_silence_counts_from_300_ms():
    frames = np.array([0] * 7 + [1] + [0] * 8 + [1, 1] + [0], bool)
    assert np.nonzero(speech.silent_frames(frames))[0].tolist() == list(range(8, 16))
    assert speech.silent_frames(np.zeros(10, bool)).all()


# Loudness -------------------------------------------------------------------------------------------------------------


def test_thevals_loudness_is_librosas():
    librosa = pytest.importorskip("librosa")
    for samples in (16000, 16399, 16400, 799, 12345):
        audio = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
        level = librosa.feature.rms(y=audio, frame_length=800, hop_length=800)[0]
        times = librosa.frames_to_time(range(len(level)), sr=16000, hop_length=800)
        expected = np.interp(np.arange(25) / 25, times, level)
        np.testing.assert_allclose(speech.theval_loudness(audio, 25), expected, atol=1e-6)


# Openness against loudness --------------------------------------------------------------------------------------------


def test_lips_that_open_with_loudness_differ_by_nothing(levels):
    found, all_speech = landmarks(opened(100 * levels)), np.ones(200, bool)
    assert speech.theval_lip_sync(found, all_speech, levels) == pytest.approx(0, abs=1e-4)
    assert speech.lip_loudness(found, all_speech, sounding(levels)) == 0


def test_lips_that_close_with_loudness(levels):
    found, all_speech = landmarks(opened(40 - 100 * levels)), np.ones(200, bool)
    scaled = (levels - levels.min()) / np.ptp(levels)
    assert speech.theval_lip_sync(found, all_speech, levels) == pytest.approx(np.abs(1 - 2 * scaled).mean(), abs=1e-4)
    assert speech.lip_loudness(found, all_speech, sounding(levels)) == 0.5


def test_unrelated_lips_differ_by_a_third():
    random = np.random.default_rng(1)
    level, gap = random.uniform(0.02, 0.3, 4000), random.uniform(1, 30, 4000)
    found = speech.lip_loudness(landmarks(opened(gap)), np.ones(4000, bool), sounding(level))
    assert found == pytest.approx(1 / 3, abs=0.01)


def test_one_loud_frame_moves_thevals_form_alone(levels):
    """Scaling by the extremes hands the whole clip to one frame; ranks do not."""
    spoilt = levels.copy()
    spoilt[17] = 1.0
    found, all_speech = landmarks(opened(100 * levels)), np.ones(200, bool)
    assert speech.theval_lip_sync(found, all_speech, spoilt) > 0.2
    assert speech.lip_loudness(found, all_speech, sounding(spoilt)) < 0.01


def test_speech_alone_counts(levels):
    """Outside of speech the lips do the opposite."""
    gap, heard = 100 * levels, np.arange(200) < 100
    gap[100:] = 40 - gap[100:]
    assert speech.lip_loudness(landmarks(opened(gap)), heard, sounding(levels)) == 0


def test_a_turning_head_moves_thevals_form_alone(levels):
    points = opened(100 * levels)
    turn = Rotation.from_euler("Y", 50 * wave(200, 60)[:, None], degrees=True).as_matrix()
    turned = landmarks(np.einsum("nij,nkj->nki", turn, points - 256) + 256)
    assert speech.theval_lip_sync(turned, np.ones(200, bool), levels) > 0.05
    assert speech.lip_loudness(turned, np.ones(200, bool), sounding(levels)) < 0.005


@pytest.mark.parametrize("form", ["to the letter", "corrected"])
def test_little_speech_is_a_reason(levels, form):
    found, heard = landmarks(opened(100 * levels)), np.arange(200) < 19
    with pytest.raises(Unscorable, match="speech is heard in 10% of the frames, at least 10% are needed|in 9.5%"):
        if form == "corrected":
            speech.lip_loudness(found, heard, sounding(levels))
        else:
            speech.theval_lip_sync(found, heard, levels)


def test_what_never_changes_is_a_reason(levels):
    with pytest.raises(Unscorable, match="the lips never move in 200 frames with speech"):
        speech.lip_loudness(landmarks(still(200)), np.ones(200, bool), sounding(levels))
    with pytest.raises(Unscorable, match="the loudness never changes in 200 frames"):
        speech.lip_loudness(landmarks(opened(100 * levels)), np.ones(200, bool), sounding(np.full(200, 0.1)))
    with pytest.raises(Unscorable, match="the face is seen in 20 frames with speech, at least 25 are needed"):
        speech.lip_loudness(landmarks(opened(100 * levels)), np.ones(200, bool), sounding(levels[:20]))


# Silent lips ----------------------------------------------------------------------------------------------------------


def test_silent_lips_in_closed_form():
    """Gaps 10, 10, 10, 20, 40 pixels: the mean is 18 and deviates from it by 8; the median by 0."""
    found = landmarks(opened(np.tile([10.0, 10, 10, 20, 40], 20)))
    silent = np.ones(100, bool)
    width = np.linalg.norm(found.points[0, 33, :2] - found.points[0, 263, :2])
    assert speech.theval_silent_lips(found, silent) == pytest.approx(8 / width, rel=1e-3)
    assert speech.silent_lips(found, silent) == pytest.approx(0, abs=1e-6)
    spread = landmarks(opened(np.tile([10.0, 12, 14, 16, 18], 20)))
    assert speech.silent_lips(spread, silent) == pytest.approx(2 / 100, rel=1e-3)


def test_silent_lips_without_scale_and_frame():
    points, silent = opened(10 + 5 * wave(100, 25)), np.ones(100, bool)
    expected = speech.silent_lips(landmarks(points), silent)
    assert speech.silent_lips(landmarks(0.4 * points, size=(300, 900)), silent) == pytest.approx(expected, rel=1e-3)
    tall = landmarks(points, size=(512, 1024))
    assert speech.theval_silent_lips(tall, silent) < 0.6 * speech.theval_silent_lips(landmarks(points), silent)


def test_no_silence_is_nobodys_fault():
    found = landmarks(opened(np.full(50, 5.0)))
    for formula in (speech.silent_lips, speech.theval_silent_lips):
        with pytest.raises(NotApplicable, match="no silence of 300 ms or more shows the face"):
            formula(found, np.zeros(50, bool))


# The metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", IDS)
def test_a_measurement_gives_every_quantity(id, levels, monkeypatch):
    monkeypatch.setattr(theval, "landmarks_in", lambda clip: landmarks(opened(10 + 20 * levels * wave(200, 20))))
    monkeypatch.setattr(speech, "speech_in", lambda clip: np.array([[0, 80_000]]))
    monkeypatch.setattr(Clip, "audio", lambda clip, rate: sounding(levels))
    found = create(id).measure(Pair(Item(id="clip"), Clip("clip.mp4")))
    assert found.values.keys() == {quantity.name for quantity in metric_class(id).quantities}
    assert all(value > 0 for value in found.values.values())


def test_the_protocol_holds_what_hears_the_speech():
    protocol = create(IDS[0]).protocol
    assert {"silero_vad", "face_mesh"} <= protocol.weights.keys()
    assert protocol.parameters["least_speech"] == 0.1 and "voice_activity" in protocol.parameters
