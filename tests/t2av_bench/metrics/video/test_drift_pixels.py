"""Drift: colour distances and sharpness whose values are known, where the clip is looked at, and reasons."""

import cv2
import media_factory
import numpy as np
import pytest
from scipy import stats

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.colour import cielab
from t2av_bench.metrics.drift_pixels import DriftPixels, colour_distance, sharpness, start_and_end


def measured(path):
    return DriftPixels().measure(Pair(Item(id="clip"), Clip(path)))


def grating(omega: float, contrast: float = 60.0, side: int = 128) -> np.ndarray:
    """(side, side, 3): grey waves of so many radians a pixel, along x."""
    row = 128 + contrast * np.cos(omega * np.arange(side))
    return np.rint(np.broadcast_to(row[None, :, None], (side, side, 3))).astype(np.uint8)


def lightness(grey: float) -> float:
    """CIE L* of an sRGB grey above 10 of 255, by the definition."""
    return 116 * (((grey / 255 + 0.055) / 1.055) ** 2.4) ** (1 / 3) - 16


def test_colour_distance_of_shifts_and_scales():
    values = np.random.default_rng(0).uniform(-30, 30, (20_000, 3)).astype(np.float32)
    assert colour_distance(values, values[::-1]) == 0
    assert colour_distance(values, values + [3, 0, -4]) == pytest.approx(5, rel=1e-4)
    # Uniform in [-w, w], scaled by s: each value moves by |s - 1| |x|, on average |s - 1| w / 2.
    assert colour_distance(values, values * [1, 1.4, 1]) == pytest.approx(0.4 * 15, rel=0.02)


def test_colour_distance_is_scipys_distance_by_channel():
    random = np.random.default_rng(1)
    start, end = random.normal(0, 20, (500, 3)), random.gamma(2, 9, (500, 3))
    each = [stats.wasserstein_distance(start[:, i], end[:, i]) for i in range(3)]
    assert colour_distance(start, end) == pytest.approx(np.linalg.norm(each), rel=1e-9)


def test_a_clip_that_gets_brighter(write_clip):
    greys = np.repeat([100, 110, 120, 130], 25).astype(np.uint8)
    frames = np.stack([np.full((64, 64, 3), grey) for grey in greys])
    frames[:, 0, 0] = 0  # not of one colour alone
    assert measured(write_clip(frames)).values["drift_colour"] == pytest.approx(
        lightness(130) - lightness(100), rel=0.001
    )


@pytest.mark.parametrize(("start", "end"), [(0.4, 0.8), (0.8, 0.4), (0.4, 0.4)])
def test_sharpness_of_waves_is_known_and_contrast_does_not_count(start, end, write_clip):
    """The Laplacian multiplies cos(wx) by 2 cos w - 2."""
    frames = np.stack([grating(start, 80)] * 30 + [grating(end, 40)] * 30)
    expected = 20 * np.log10((1 - np.cos(end)) / (1 - np.cos(start)))
    found = measured(write_clip(frames))
    assert found.detail["sharpness_change_db"] == pytest.approx(expected, abs=0.3)
    assert found.values["drift_sharpness"] == pytest.approx(abs(expected), abs=0.3)


def test_blur_and_colour_raise_the_right_one_and_more_the_stronger(write_clip):
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((128, 128, 3)), (0, 0), 2)
    sharp = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)

    def clip(end):
        """A second of each, and a fade between them, for a jump would be a cut."""
        fade = [((10 - step) * sharp.astype(int) + step * end.astype(int)) // 10 for step in range(1, 10)]
        return measured(write_clip(np.stack([sharp] * 25 + fade + [end] * 25).astype(np.uint8)))

    blurred = [clip(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    decibels = [found.detail["sharpness_change_db"] for found in blurred]
    assert 0 > decibels[0] > decibels[1] > decibels[2] > decibels[3]
    redder = [clip(np.clip(sharp.astype(int) + (step, 0, -step), 0, 255).astype(np.uint8)) for step in (5, 10, 20, 40)]
    colours = [found.values["drift_colour"] for found in redder]
    assert 1 < colours[0] < colours[1] < colours[2] < colours[3]
    assert max(found.values["drift_sharpness"] for found in redder[:3]) < 0.5
    still = clip(sharp[:, ::-1]).values
    assert still == {"drift_colour": pytest.approx(0, abs=0.3), "drift_sharpness": pytest.approx(0, abs=0.3)}


def test_the_longest_shot_counts(write_clip):
    dark, light = np.full((64, 64, 3), 40, np.uint8), np.full((64, 64, 3), 220, np.uint8)
    dark[::7], light[::5] = 50, 200
    found = measured(write_clip(np.stack([dark] * 40 + [light] * 60)))
    assert found.values == {"drift_colour": pytest.approx(0), "drift_sharpness": pytest.approx(0)}
    assert (found.detail["first_frame"], found.detail["last_frame"]) == (40, 99)


def test_reasons(write_clip):
    assert start_and_end([(0, 10), (10, 60)]) == (range(10, 35), range(35, 60))
    with pytest.raises(Unscorable, match="the longest shot lasts 1.96 s; 2 s are needed"):
        start_and_end([(0, 49), (49, 90)])
    with pytest.raises(Unscorable, match="of one colour"):
        sharpness(np.full((16, 16, 3), 9, np.uint8))


@pytest.mark.parametrize(("rate", "name"), [(24, "a.mp4"), (25, "a.avi"), (30, "a.mkv")])
def test_any_rate_and_container(rate, name, tmp_path):
    """Brightness rises evenly for 4 s by 10 levels a second, so between the means of first and last second by 30."""
    texture = media_factory.moving_pattern(1, 128, 128)[0] // 2 + 40
    seconds = np.arange(4 * rate) / rate
    frames = np.stack([np.rint(texture + 10 * second).astype(np.uint8) for second in seconds])
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = media_factory.write_clip(tmp_path / name, frames, frame_rate=rate, video_codec=codec)
    raised = [cielab(np.rint(texture + level).astype(np.uint8)).reshape(-1, 3) for level in (5, 35)]
    found = measured(path).values
    assert found["drift_colour"] == pytest.approx(colour_distance(*raised), rel=0.1)
    assert found["drift_sharpness"] < 0.6
