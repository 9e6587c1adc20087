"""Frozen pictures: freezes of known length, what compression and noise do to them, rates and containers."""

import cv2
import media_factory
import numpy as np
import pytest

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.frozen_pixels import BOUND, FrozenPixels, frozen_frames


def texture(seed: int = 0, side: int = 192) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((side, side, 3)), (0, 0), 6)
    return np.clip(127 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)


def moving(positions) -> np.ndarray:
    """(n, 192, 192, 3): the texture shifted by so many pixels."""
    picture = texture()
    return np.stack([np.roll(picture, int(position), axis=1) for position in positions])


def share(path) -> float:
    return FrozenPixels().measure(Pair(Item(id="clip"), Clip(path))).values["frozen_picture"]


def test_freezes_of_known_length(write_clip):
    """Shown for 1, 2, 3 and 10 frames among moving ones: of 40 frames the last two runs, 13, are frozen."""
    lengths = [1] * 12 + [2] * 3 + [3] + [1] * 5 + [10] + [1] * 4
    positions = np.repeat(4 * np.arange(len(lengths)), lengths)
    assert len(positions) == 40
    assert share(write_clip(moving(positions))) == pytest.approx(13 / 40)


def test_the_bound_is_on_any_block_over_three_frames():
    blocks = np.full((30, 32, 32), 100.0, np.float32)
    blocks[::2, 3, 4] += BOUND
    assert frozen_frames(blocks).all()
    blocks[::2, 3, 4] += 0.01
    assert not frozen_frames(blocks).any()
    ramp = np.full((30, 32, 32), 100.0, np.float32)
    ramp[:, 0, 0] += 0.4 * BOUND * np.arange(30)
    assert frozen_frames(ramp).all()
    ramp[:, 0, 0] += 0.2 * BOUND * np.arange(30)
    assert not frozen_frames(ramp).any()


@pytest.mark.parametrize("crf", [18, 28])
def test_compression_leaves_a_still_picture_frozen_and_motion_not(crf, tmp_path):
    options = {"crf": str(crf), "preset": "medium"}
    still = media_factory.write_clip(tmp_path / "still.mp4", moving([0] * 60), video_options=options)
    assert share(still) > 0.95
    talking = media_factory.write_clip(tmp_path / "moving.mp4", moving(np.arange(60)), video_options=options)
    assert share(talking) == 0


def test_noise_of_single_pixels_is_no_motion(write_clip):
    noise = np.random.default_rng(1).normal(0, 2, (20, 192, 192, 3))
    assert share(write_clip(np.clip(moving([0] * 20) + noise, 0, 255).astype(np.uint8))) == 1.0


@pytest.mark.parametrize(("rate", "name"), [(24, "a.mp4"), (25, "a.mkv"), (25, "a.avi"), (30, "a.mp4"), (50, "a.mp4")])
def test_one_of_four_seconds_is_frozen_at_any_rate_in_any_container(rate, name, tmp_path):
    """Moving for two seconds, standing for one, moving for one; nothing else may count, also what a rate repeats."""
    seconds = np.arange(4 * rate) / rate
    positions = 80 * np.where(seconds < 2, seconds, np.maximum(2, seconds - 1))
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = media_factory.write_clip(tmp_path / name, moving(positions), frame_rate=rate, video_codec=codec)
    assert share(path) == pytest.approx(0.25, abs=0.021)


def test_freezing_more_of_a_clip_raises_it_and_a_longer_hold_too(write_clip):
    positions = 4 * np.arange(60)
    values = [share(write_clip(moving(np.minimum(positions, 4 * last)))) for last in (59, 45, 30, 15, 0)]
    assert values == pytest.approx([0, 15 / 60, 30 / 60, 45 / 60, 1])
    held = [share(write_clip(moving(4 * (np.arange(60) // hold * hold)))) for hold in (1, 2, 3, 5)]
    assert held == [0, 0, 1, 1]


def test_too_short(write_clip):
    with pytest.raises(Unscorable, match="the clip has 2 frames at 25 fps; 3 are needed"):
        share(write_clip(moving([0, 0])))
