"""Flicker: amplitudes that are known, motion and cuts that are none."""

import media_factory
import numpy as np
import pytest

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.flicker import FlickerPixels, flicker

WHOLE = [(0, 50)]


def blocks_of(signal, side: int = 8) -> np.ndarray:
    """(n, side, side): every block follows the signal."""
    return np.broadcast_to(np.asarray(signal, np.float32)[:, None, None], (len(signal), side, side)).copy()


def measured(path) -> float:
    return FlickerPixels().measure(Pair(Item(id="clip"), Clip(path))).values["flicker"]


def swinging(amplitude: float, count: int = 50) -> np.ndarray:
    """(n, 64, 64, 3): a gradient whose brightness swings by +-amplitude from frame to frame."""
    gradient = np.linspace(60, 180, 64)[None, None, :, None]
    swing = amplitude * (-1.0) ** np.arange(count)[:, None, None, None]
    return np.rint(np.broadcast_to(gradient + swing, (count, 64, 64, 3))).astype(np.uint8)


def test_known_amplitudes():
    time = np.arange(50)
    assert flicker(blocks_of(100 + 7 * (-1.0) ** time), WHOLE) == pytest.approx(7, rel=1e-5)
    assert flicker(blocks_of(np.full(50, 100.0)), WHOLE) == 0
    assert flicker(blocks_of(50 + 2 * time), WHOLE) == pytest.approx(0, abs=1e-5)
    for omega in (0.3, 1.0, 2.5):  # of A sin(wt) the second difference is -4 sin(w/2)^2 A sin(wt)
        expected = 20 * np.sin(omega / 2) ** 2 * np.abs(np.sin(omega * time[1:-1])).mean()
        assert flicker(blocks_of(100 + 20 * np.sin(omega * time)), WHOLE) == pytest.approx(expected, rel=1e-4)


def test_motion_in_less_than_half_of_the_picture_is_none():
    blocks = blocks_of(100 + 3 * (-1.0) ** np.arange(50))
    blocks[:, :3] = np.random.default_rng(0).uniform(50, 200, (50, 3, 8))
    assert flicker(blocks, WHOLE) == pytest.approx(3, rel=1e-5)


def test_cuts_are_none_and_shots_of_two_frames_are_left_out():
    blocks = blocks_of([50.0] * 20 + [200.0] * 2 + [120.0] * 28)
    assert flicker(blocks, [(0, 20), (20, 22), (22, 50)]) == 0
    assert flicker(blocks, WHOLE) > 1


def test_black_borders_cannot_hide_it():
    blocks = blocks_of(100 + 5 * (-1.0) ** np.arange(50))
    blocks[:, :3], blocks[:, 5:] = 0, 0
    assert flicker(blocks, WHOLE) == pytest.approx(5, rel=1e-5)


def test_reasons():
    with pytest.raises(Unscorable, match="nearly black or white"):
        flicker(blocks_of([3.0] * 50), WHOLE)
    with pytest.raises(Unscorable, match="no shot of the clip's 2 frames has three"):
        flicker(blocks_of([100.0, 120.0]), [(0, 2)])


def test_of_clips_in_the_order_of_their_flicker_whatever_the_container(write_clip, tmp_path):
    values = [measured(write_clip(swinging(amplitude))) for amplitude in (0, 1, 2, 4, 8)]
    assert values == pytest.approx([0, 1, 2, 4, 8], abs=0.05)
    avi = media_factory.write_clip(tmp_path / "a.avi", swinging(4), video_codec="mpeg4")
    mp4 = media_factory.write_clip(tmp_path / "a.mp4", swinging(4))
    assert [measured(avi), measured(mp4)] == pytest.approx([4, 4], abs=0.4)
