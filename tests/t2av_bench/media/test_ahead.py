"""Decoding ahead: the same frames, sound and reasons; bounded, and ended with whoever uses it."""

import threading
import time

import media_factory as factory
import numpy as np
import pytest
from media_factory import write_lossless

from t2av_bench.errors import MediaError
from t2av_bench.media.ahead import ahead
from t2av_bench.media.clip import Clip


def frame(number):
    return np.full((4, 4, 3), number, np.uint8)


def decoders():
    return [thread for thread in threading.enumerate() if thread.name == "decoding ahead"]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert not decoders()


@pytest.mark.parametrize("most", [1, 100, 10**9])
def test_all_frames_come_in_order_however_fast_either_side_is(most):
    for make, take in ((0.0, 0.0), (0.002, 0.0), (0.0, 0.002)):
        source = (time.sleep(make) or frame(number) for number in range(20))
        found = []
        for each in ahead(source, most):
            time.sleep(take)
            found.append(int(each[0, 0, 0]))
        assert found == list(range(20))


@pytest.mark.parametrize(("room", "most_ahead"), [(0, 1), (1, 1), (3, 3), (100, 20)])
def test_no_more_is_held_than_was_allowed(room, most_ahead):
    """Frames that were made and not yet taken, one of which the maker has in hand."""
    made, highest, taken = [], 0, 0
    source = (made.append(number) or frame(number) for number in range(20))
    for _ in ahead(source, room * 48):
        time.sleep(0.005)  # for as many to be made as may be
        taken += 1
        highest = max(highest, len(made) - taken)
    assert highest <= most_ahead + 1 and (highest >= min(most_ahead, 19) or room == 100)


def test_what_making_raises_comes_behind_the_frames_before_it():
    def source():
        yield frame(1)
        yield frame(2)
        raise MediaError("broken here")

    found = []
    with pytest.raises(MediaError, match="broken here"):
        for each in ahead(source(), 10**6):
            found.append(int(each[0, 0, 0]))
    assert found == [1, 2]


def test_whoever_stops_early_ends_the_thread_and_the_source():
    closed = []

    def source():
        try:
            for number in range(10**6):
                yield frame(number)
        finally:
            closed.append(threading.current_thread().name)

    frames = ahead(source(), 200)
    next(frames)
    assert len(decoders()) == 1
    frames.close()
    assert closed == ["decoding ahead"] and not decoders()


@pytest.fixture(scope="module")
def lossless(tmp_path_factory):
    path = tmp_path_factory.mktemp("ahead") / "lossless.mkv"
    write_lossless(path, factory.moving_pattern(40), factory.noise(1.6))
    return path


@pytest.mark.parametrize("budget", [0, 1 << 29])
def test_a_clip_is_the_same_with_and_without(lossless, budget):
    plain, threaded = Clip(lossless, frame_budget=budget), Clip(lossless, frame_budget=budget, ahead=10_000)
    assert threaded.frame_count == plain.frame_count == 40
    for one, other in zip(plain.frames(7), threaded.frames(7), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(plain.audio(), threaded.audio())
    np.testing.assert_array_equal(plain.frames_at([3, 1]), threaded.frames_at([3, 1]))
    next(threaded.frames(4))


def test_a_broken_clip_has_the_same_reason_and_frames_before_it(lossless, tmp_path):
    broken = tmp_path / "broken.mkv"
    content = lossless.read_bytes()
    broken.write_bytes(content[: len(content) * 2 // 3])
    said = []
    for given in (0, 10_000):
        clip, frames = Clip(broken, ahead=given), []
        for _ in range(2):
            with pytest.raises(MediaError) as raised:
                frames += clip.frames(1)
            said.append((str(raised.value), len(frames)))
    assert said[:2] == said[2:] and said[0][1] > 5
