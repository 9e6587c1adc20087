"""The constant-rate rule against the ffmpeg program, and its arithmetic."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import media_factory as factory
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2av_bench.media.clip import Clip
from t2av_bench.media.errors import MediaError
from t2av_bench.media.rate import RateConverter, grid_indices

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program to compare with")


def uniform(count: int, rate: Fraction | int, start: Fraction | int = 0) -> list[int]:
    step = 1 / Fraction(rate)
    times = [start + step * index for index in range(count)]
    return grid_indices(times, [step] * count, 25, Fraction(rate))


def program_choice(path: Path, folder: Path) -> list[int]:
    """Numbers on the frames that the reference pipelines' two ffmpeg commands leave of a clip."""
    folder.mkdir(exist_ok=True)
    quiet = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    subprocess.run([*quiet, "-i", path, "-qscale:v", "2", "-async", "1", "-r", "25", folder / "v.avi"], check=True)
    raw = subprocess.run(
        [*quiet, "-i", folder / "v.avi", "-threads", "1", "-f", "image2pipe", "-c:v", "rawvideo", "-pix_fmt", "rgb24",
         "-vsync", "cfr", "-"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    pictures = np.frombuffer(raw, np.uint8).reshape(-1, 96, 128, 3)
    return [factory.frame_number(picture) for picture in pictures]


def our_choice(path: Path) -> list[int]:
    return [factory.frame_number(frame) for batch in Clip(path).frames() for frame in batch]


def test_a_source_at_the_output_rate_is_untouched():
    assert uniform(500, 25) == list(range(500))


def test_sixty_frames_at_thirty_keep_the_frames_that_ffmpeg_keeps():
    kept = [index + 1 for index in uniform(60, 30)]
    assert len(kept) == 51
    assert kept[:16] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 18]


def test_twenty_four_frames_a_second_repeat_one_frame_a_second():
    chosen = uniform(240, 24)
    assert len(chosen) == 250 and sorted(set(chosen)) == list(range(240))


def test_a_late_start_shows_the_first_frame_from_zero():
    assert uniform(5, 25, Fraction(2, 25)) == [0, 0, 0, 1, 2, 3, 4]


def test_an_hour_long_hole_is_refused():
    converter = RateConverter(Fraction(25))
    converter.place(Fraction(0))
    with pytest.raises(MediaError, match=r"jump from 0\.04 s to 3600\.00 s"):
        converter.place(Fraction(3600))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.sampled_from([12, 25, 30]))
def test_slots_are_in_order_and_never_far_from_their_frames(steps, rate):
    times = [Fraction(0)]
    for step in steps:
        times.append(times[-1] + Fraction(step, 1000))
    durations = [*(Fraction(step, 1000) for step in steps), Fraction(1, rate)]
    chosen = grid_indices(times, durations, rate)
    assert chosen == sorted(chosen) and chosen[0] == 0
    for slot, index in enumerate(chosen):
        if index == chosen[-1]:
            break  # the last frame may stand longer: the repeats after the end
        shown_from, shown_at, until = times[index], Fraction(slot, rate), times[index + 1]
        assert shown_from - Fraction(2, rate) <= shown_at <= until + Fraction(2, rate)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "rate"),
    [("a.mp4", 24), ("b.mp4", 25), ("c.mp4", 30), ("d.mp4", 50), ("e.mp4", 60), ("f.mp4", 12), ("g.mp4", 10),
     ("h.mp4", 8), ("i.mkv", 30), ("j.mkv", 24), ("k.avi", 24), ("l.mp4", Fraction(30000, 1001)),
     ("m.mp4", Fraction(24000, 1001))],
)  # fmt: skip
def test_the_frames_are_those_that_ffmpeg_leaves(tmp_path, name, rate):
    frames = factory.moving_pattern(60)
    # PCM in the AVI: libmp3lame's delay would shift the program's pictures, which is not the rule's business.
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = factory.write_clip(tmp_path / name, frames, frame_rate=rate, video_codec=codec)
    assert our_choice(path) == program_choice(path, tmp_path / "work")


@needs_ffmpeg
@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_variable_rates_select_what_ffmpeg_selects(tmp_path, name, seed):
    times = np.concatenate([[0], np.cumsum(np.random.default_rng(seed).integers(15, 90, 59))])
    path = factory.write_clip(
        tmp_path / name, factory.moving_pattern(60), frame_times=[Fraction(int(ms), 1000) for ms in times]
    )
    assert our_choice(path) == program_choice(path, tmp_path / "work")
