"""Cuts and flashes at known places, and what is neither."""

import cv2
import media_factory
import numpy as np
import pytest

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.colour import linear_light
from t2av_bench.metrics.cuts import CutsContent, flashes


def scene(seed: int, count: int, size: int = 96) -> np.ndarray:
    """(count, 96, 96, 3): a coloured texture of its own that moves by a pixel a frame."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((size, size, 3)), (0, 0), 8)
    still = np.clip(110 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)
    return np.stack([np.roll(still, step, axis=1) for step in range(count)])


def measured(path):
    return CutsContent().measure(Pair(Item(id="clip"), Clip(path)))


def luma(count: int = 40, value: float = 80.0) -> np.ndarray:
    return np.full((count, 8, 8), value, np.float32)


def test_cuts_at_known_frames_also_the_first_and_close_ones(write_clip):
    frames = np.concatenate([scene(0, 1), scene(1, 29), scene(2, 8), scene(3, 37)])
    found = measured(write_clip(frames))
    assert found.detail == {"cuts_at_frames": [1, 30, 38], "flashes_at_frames": []}
    assert found.values == {"cuts": pytest.approx(1.0), "flashes": 0.0}


def test_a_shot_without_cuts_and_a_fade_have_none(write_clip):
    assert measured(write_clip(scene(0, 50))).values == {"cuts": 0, "flashes": 0}
    share = np.linspace(0, 1, 50)[:, None, None, None]
    fade = ((1 - share) * scene(0, 50) + share * scene(1, 50)).astype(np.uint8)
    assert measured(write_clip(fade)).values == {"cuts": 0, "flashes": 0}


def test_a_flash_is_no_cut_and_a_cut_no_flash(write_clip):
    frames = scene(0, 75)
    frames[20:23] = 255 - (255 - frames[20:23]) // 8
    frames[50:] = scene(1, 25)
    found = measured(write_clip(frames))
    assert found.detail == {"cuts_at_frames": [50], "flashes_at_frames": [20]}
    assert found.values == {"cuts": pytest.approx(1 / 3), "flashes": pytest.approx(1 / 3)}


@pytest.mark.parametrize("length", [1, 3, 5])
@pytest.mark.parametrize(("base", "peak"), [(80, 140), (140, 80)])
def test_flashes_up_and_down_of_up_to_five_frames(length, base, peak):
    blocks = luma(value=base)
    blocks[10 : 10 + length, :4] = peak
    assert flashes(blocks) == [(10, 10 + length)]


def test_a_swing_from_frame_to_frame_is_counted_as_pairs_of_changes():
    blocks = luma(41)
    blocks[1::2] = 140
    assert flashes(blocks) == [(first, first + 1) for first in range(1, 40, 2)]


@pytest.mark.parametrize(
    ("what", "value", "part"),
    [("longer than 0.2 s", 140, np.s_[10:16]), ("less than a quarter of the picture", 140, np.s_[10:12, :1]),
     ("a step of less than a tenth", 105, np.s_[10:12]), ("a step that stays", 140, np.s_[10:]),
     ("a first frame, which has none before it", 140, np.s_[:1])],
)  # fmt: skip
def test_what_is_no_flash(what, value, part):
    blocks = luma()
    blocks[part] = value
    assert flashes(blocks) == [], what


def test_in_a_bright_picture_only_what_gets_dark_is_a_flash():
    assert linear_light(np.array(235.0)) > 0.8
    glare, shadow = luma(value=235), luma(value=235)
    glare[10], shadow[10] = 255, 200
    assert flashes(glare) == [] and flashes(shadow) == [(10, 11)]


@pytest.mark.parametrize(("rate", "name"), [(24, "a.mp4"), (25, "a.mkv"), (25, "a.avi"), (30, "a.mp4")])
def test_any_rate_and_container(rate, name, tmp_path):
    """Two cuts and a flash of a tenth of a second in 4 s."""
    frames = np.concatenate([scene(0, rate), scene(1, 2 * rate), scene(2, rate)])
    part = slice(round(1.6 * rate), round(1.7 * rate))
    frames[part] = 255 - (255 - frames[part]) // 8
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = media_factory.write_clip(tmp_path / name, frames, frame_rate=rate, video_codec=codec)
    assert measured(path).values == {"cuts": pytest.approx(0.5), "flashes": pytest.approx(0.25)}
