"""AV-Align: flashes and clicks whose times are known, the published ratio, and the reasons."""

import subprocess
import sys

import numpy as np
import pytest
from media_factory import write_clip
from speech_factory import sound_file

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import MediaError, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create
from t2av_bench.metrics.av_align import (
    AUDIO_RATE,
    SHORTER_SIDE,
    flow_magnitudes,
    intersection_over_union,
    local_maxima,
    onset_times,
    small_gray,
)
from t2av_bench.metrics.base import Pair

pytest.importorskip("cv2")
pytest.importorskip("librosa")

FRAME_RATE = 25
# Seconds at which the square jumps and the click sounds; irregular, so that a shift matches nothing by chance.
EVENTS = (0.52, 1.08, 1.4, 2.2, 2.88, 3.6, 4.04)
LENGTH = 5.0


def jumping(events=EVENTS, length=LENGTH, size=96):
    """(n, size, size, 3) frames of a textured square that moves only in the frames at ``events``."""
    texture = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    steps = {round(event * FRAME_RATE) for event in events}
    frames, left = [], 10
    for index in range(round(length * FRAME_RATE)):
        left += 4 * (index in steps)
        picture = np.full((size, size), 90, np.uint8)
        picture[30:70, left : left + 40] = texture
        frames.append(np.repeat(picture[..., None], 3, axis=2))
    return np.array(frames)


def clicking(events=EVENTS, length=LENGTH, shift=0.0):
    """(n,) float32 at 22,050 Hz: bursts of decaying noise at ``events``, later by ``shift`` seconds."""
    audio = np.zeros(round(length * AUDIO_RATE), np.float32)
    burst = np.random.default_rng(1).standard_normal(2000) * np.exp(-np.arange(2000) / 300)
    for event in events:
        start = round((event + shift) * AUDIO_RATE)
        piece = burst[: max(len(audio) - start, 0)]
        audio[start : start + len(piece)] += 0.3 * piece.astype(np.float32)
    return audio


def measure(folder, frames, audio):
    clip = write_clip(folder / "clip.mkv", frames, audio, audio_rate=AUDIO_RATE, video_codec="ffv1",
                      audio_codec="pcm_f32le", pixel_format="bgr0")  # fmt: skip
    return create("av_align/tempotokens").measure(Pair(Item(id="a"), Clip(clip)))


def test_clicks_with_the_motion_score_one(tmp_path):
    found = measure(tmp_path, jumping(), clicking())
    assert found.detail == {"onsets": len(EVENTS), "motion_peaks": len(EVENTS)}
    assert found.values["av_align"] == 1.0


def test_shifted_clicks_score_less_the_fewer_still_match(tmp_path):
    scores = [measure(tmp_path, jumping(), clicking(shift=shift)).values["av_align"] for shift in (0.0, 0.2, 0.4)]
    assert scores[0] == 1.0 and max(scores[1:]) < 0.1


def test_half_of_the_clicks_gives_half_of_the_union(tmp_path):
    found = measure(tmp_path, jumping(), clicking(EVENTS[::2]))
    assert found.values["av_align"] == pytest.approx(len(EVENTS[::2]) / len(EVENTS))


def test_onsets_and_motion_are_found_at_their_times():
    assert onset_times(clicking()) == pytest.approx(EVENTS, abs=1 / FRAME_RATE)
    peaks = local_maxima(flow_magnitudes(jumping()))
    assert list(peaks) == [round(event * FRAME_RATE) for event in EVENTS]


def test_magnitude_is_the_mean_displacement():
    """The whole picture moves by 3 pixels: away from the borders every flow vector is 3 pixels long."""
    from scipy.ndimage import gaussian_filter

    texture = gaussian_filter(np.random.default_rng(0).uniform(0, 255, (200, 240)), 3)
    texture = np.uint8(np.interp(texture, (texture.min(), texture.max()), (0, 255)))
    frames = [np.repeat(texture[:, left : left + 200, None], 3, axis=2) for left in (0, 3, 3)]
    magnitudes = flow_magnitudes(frames)
    assert magnitudes[1] == pytest.approx(3, rel=0.1) and magnitudes[0] == magnitudes[1]
    assert magnitudes[2] == pytest.approx(0, abs=1e-3)


def test_large_frames_are_reduced_and_small_ones_kept():
    assert small_gray(np.zeros((1080, 1920, 3), np.uint8)).shape == (SHORTER_SIDE, 455)
    assert small_gray(np.zeros((1920, 1080, 3), np.uint8)).shape == (455, SHORTER_SIDE)
    assert small_gray(np.zeros((96, 128, 3), np.uint8)).shape == (96, 128)


@pytest.mark.parametrize(
    ("onsets", "peaks", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 1.0),
        ([1.0, 2.0], [1.0, 3.0], 1 / 3),
        ([1.039], [1.0], 1.0),
        ([1.0401], [1.0], 0.0),
        ([], [1.0], 0.0),
        ([1.0], [], 0.0),
        ([0.97, 1.0, 1.03], [1.0], 3.0),
    ],
)
def test_published_ratio(onsets, peaks, expected):
    assert intersection_over_union(np.array(onsets), np.array(peaks), FRAME_RATE) == pytest.approx(expected)


def test_ratio_equals_a_plain_double_loop():
    random = np.random.default_rng(0)
    for _ in range(50):
        onsets, peaks = (np.sort(random.uniform(0, 5, random.integers(1, 20))) for _ in range(2))
        matched = sum(any(abs(onset - peak) < 1 / FRAME_RATE for peak in peaks) for onset in onsets)
        expected = matched / (len(onsets) + len(peaks) - matched)
        assert intersection_over_union(onsets, peaks, FRAME_RATE) == pytest.approx(expected)


class TestReasons:
    def test_no_audio(self, tmp_path):
        with pytest.raises(MediaError, match="no audio stream"):
            measure(tmp_path, jumping(), None)

    def test_silent_audio(self, tmp_path):
        with pytest.raises(Unscorable, match="silent"):
            measure(tmp_path, jumping(), np.zeros(AUDIO_RATE, np.float32))

    @pytest.mark.parametrize("count", [1, 2])
    def test_too_few_frames(self, tmp_path, count):
        with pytest.raises(Unscorable, match=f"{count} frames, at least 3"):
            measure(tmp_path, jumping()[:count], clicking())

    def test_nothing_to_align(self):
        with pytest.raises(Unscorable, match="neither a sound onset nor a motion peak"):
            intersection_over_union(np.array([]), np.array([]), FRAME_RATE)

    def test_no_video(self, tmp_path):
        sound = sound_file(tmp_path, "sound", clicking(), AUDIO_RATE)
        with pytest.raises(MediaError, match="no video"):
            create("av_align/tempotokens").measure(Pair(Item(id="a"), Clip(sound)))


def test_onsets_are_those_that_librosa_picks():
    """In a child process: librosa's compiled picker can crash, which is why it is not used."""
    code = """
import librosa, numpy as np
from t2av_bench.metrics.av_align import onset_frames
for seed in range(60):
    random = np.random.default_rng(seed)
    strength = (random.random(int(random.integers(5, 300))) ** 4).astype(np.float32)
    theirs = librosa.onset.onset_detect(onset_envelope=strength.copy(), sr=22050, hop_length=512)
    assert list(theirs) == list(onset_frames(strength)), seed
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode < 0:
        pytest.skip(f"librosa's peak picker crashed (signal {-done.returncode})")
    assert done.returncode == 0, done.stderr
