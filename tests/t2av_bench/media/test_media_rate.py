"""The nearest-picture rule: its definition by brute force, its bias, and what files of every rate show."""

from collections.abc import Iterable
from fractions import Fraction

import media_factory as factory
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.media.rate import NearestPicture

RATES = [12, 15, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 48, 50, Fraction(60000, 1001), 60, 120]


def grid_indices(times: Iterable[Fraction], end: Fraction, rate: Fraction | int) -> list[int]:
    """Index of the source picture in each output slot.

    times: of each picture in seconds, the first at 0, ascending; end: of the last one.
    """
    grid, slots = NearestPicture(Fraction(rate)), []
    count = 0
    for index, time in enumerate(times):
        slots += [index - 1] * grid.place(time)
        count = index
    return slots + [count] * grid.finish(end)


def uniform(count: int, rate: Fraction | int) -> list[int]:
    rate = Fraction(rate)
    return grid_indices([index / rate for index in range(count)], count / rate, 25)


def test_a_source_at_the_output_rate_is_untouched():
    assert uniform(500, 25) == list(range(500))


@pytest.mark.parametrize("rate", RATES)
def test_what_is_shown_is_off_by_half_a_source_frame_at_most_and_not_biased(rate):
    rate = Fraction(rate)
    chosen = uniform(int(8 * rate), rate)
    errors = np.array([float(index / rate - Fraction(slot, 25)) for slot, index in enumerate(chosen)])
    assert np.abs(errors[:-2]).max() <= 0.5 / float(rate) + 1e-9
    # Whole seconds of a whole rate hold every phase equally often. 1 ms is asked of every rate.
    assert abs(errors[:-2].mean()) < 1e-3
    assert abs(len(chosen) / 25 - float(int(8 * rate) / rate)) <= 0.02


@pytest.mark.parametrize("rate", RATES)
def test_slower_sources_lose_no_picture(rate):
    chosen = uniform(int(4 * Fraction(rate)), rate)
    if rate <= 25:
        assert set(chosen) == set(range(int(4 * Fraction(rate))))
    else:
        assert len(set(chosen)) == len(chosen)


def test_of_two_equally_near_pictures_the_earlier_is_shown():
    # 12.5 pictures a second: every other slot lies in the middle between two.
    assert uniform(4, Fraction(25, 2)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_an_hour_long_hole_is_refused():
    grid = NearestPicture(Fraction(25))
    grid.place(Fraction(0))
    with pytest.raises(MediaError, match=r"jump from 0\.00 s to 3600\.00 s"):
        grid.place(Fraction(3600))


def nearest(times, end, rate):
    """The rule, by looking at every picture for every slot."""
    slots = max(1, int(end * rate + Fraction(1, 2)))
    return [
        min(range(len(times)), key=lambda i: (abs(times[i] - Fraction(k, rate)), times[i], i)) for k in range(slots)
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.sampled_from([12, 25, 30]))
def test_every_slot_shows_the_nearest_picture(steps, rate):
    times = [Fraction(0)]
    for step in steps:
        times.append(times[-1] + Fraction(step, 1000))
    end = times[-1] + Fraction(1, rate)
    assert grid_indices(times, end, rate) == nearest(times, end, rate)


def shown(path) -> list[int]:
    return [factory.frame_number(frame) for batch in Clip(path).frames() for frame in batch]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts", "a.flv", "a.avi"])
@pytest.mark.parametrize("rate", RATES)
def test_every_container_shows_the_same_pictures(tmp_path, name, rate):
    path = factory.write_clip(tmp_path / name, factory.moving_pattern(40), frame_rate=rate)
    assert shown(path) == uniform(40, rate)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("rate", RATES)
def test_a_clip_knows_when_the_source_shows_each_picture(tmp_path, name, rate):
    clip = Clip(factory.write_clip(tmp_path / name, factory.moving_pattern(40), frame_rate=rate))
    expected = np.array(uniform(40, rate)) / float(Fraction(rate))
    np.testing.assert_allclose(clip.frame_times, expected, atol=1e-6)
    assert len(clip.frame_times) == clip.frame_count


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_variable_rates_follow_their_time_stamps(tmp_path, name, seed):
    times = np.concatenate([[0], np.cumsum(np.random.default_rng(seed).integers(15, 90, 59))])
    times = [Fraction(int(ms), 1000) for ms in times]
    path = factory.write_clip(tmp_path / name, factory.moving_pattern(60), frame_times=times)
    expected = nearest(times, times[-1] + Fraction(1, 25), 25)
    # How long the last picture stands is the container's guess.
    assert shown(path)[: len(expected) - 3] == expected[:-3]
    assert abs(len(shown(path)) - len(expected)) <= 2
    wanted = [float(times[index]) for index in expected[:-3]]
    np.testing.assert_allclose(Clip(path).frame_times[: len(wanted)], wanted, atol=1e-4)
