"""dlib's landmarks: which face, at which size, frames without one, what is kept, and what is missing."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from media_factory import write_lossless

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import dlib_landmarks
from t2av_bench.extractors.dlib_landmarks import landmarks68_in, largest_face, load
from t2av_bench.media.clip import Clip

FRAME = np.zeros((48, 64, 3), np.uint8)


class Box:
    def __init__(self, side: int) -> None:
        self.side = side

    def area(self) -> int:
        return self.side**2


class Detector:
    """Stands where dlib's does: sides of the faces at each upsampling, by the brightness of the frame."""

    def __init__(self, sides: dict[int, dict[int, list[int]]]) -> None:
        self.sides, self.calls = sides, []

    def __call__(self, frame: np.ndarray, upsample: int) -> list[Box]:
        assert frame.dtype == np.uint8 and frame.flags.c_contiguous, "what dlib takes"
        self.calls.append(upsample)
        return [Box(side) for side in self.sides[int(frame[0, 0, 0])].get(upsample, [])]


def predict(frame: np.ndarray, box: Box) -> SimpleNamespace:
    parts = [SimpleNamespace(x=box.side + index, y=2 * index) for index in range(68)]
    return SimpleNamespace(parts=lambda: parts)


@pytest.fixture
def clip_with(monkeypatch, tmp_path):
    """Sides of the faces by upsampling, one entry a frame -> the clip, and the detector that sees them in it."""

    def build(*frames: dict[int, list[int]], features=None) -> tuple[Clip, Detector]:
        detector = Detector(dict(enumerate(frames)))
        monkeypatch.setattr(dlib_landmarks, "load", lambda path, digest: (detector, predict))
        monkeypatch.setattr("t2av_bench.weights.path", lambda id: tmp_path / id)
        path = tmp_path / f"{len(frames)}.mkv"
        if not path.exists():  # a file written anew has other bytes
            write_lossless(path, [FRAME + np.uint8(index) for index in range(len(frames))])
        return Clip(path, features=features), detector

    return build


def test_the_largest_face_of_the_picture_as_it_is_and_else_of_the_doubled_one():
    detector = Detector({0: {0: [90, 120, 100], 1: [300]}, 1: {1: [50, 40]}, 2: {}})
    frames = [FRAME + np.uint8(index) for index in range(3)]
    found = [largest_face(detector, frame) for frame in frames]
    assert [box and box.side for box in found] == [120, 50, None]
    assert detector.calls == [0, 0, 1, 0, 1]


def test_frames_without_a_face_are_left_out(clip_with):
    clip, _ = clip_with({0: [100]}, {}, {1: [40]})
    found = landmarks68_in(clip)
    assert found.frames.tolist() == [0, 2] and (found.count, found.size) == (3, (64, 48))
    assert found.points.shape == (2, 68, 2) and found.points.dtype == np.float32
    np.testing.assert_array_equal(found.points[:, :, 0], [100 + np.arange(68), 40 + np.arange(68)])
    np.testing.assert_array_equal(found.points[:, :, 1], [2 * np.arange(68)] * 2)


def test_a_clip_without_any_face_has_a_reason(clip_with):
    with pytest.raises(Unscorable, match="^no frontal face found in any of 2 frames$"):
        landmarks68_in(clip_with({}, {})[0])


def test_what_was_found_is_kept(clip_with):
    class Store(dict):
        def get(self, *key):
            return super().get(key)

        def put(self, *key_and_arrays):
            self[key_and_arrays[:-1]] = key_and_arrays[-1]

    store = Store()
    first = landmarks68_in(clip_with({0: [100]}, {}, features=store)[0])
    clip, detector = clip_with({0: [100]}, {}, features=store)
    again = landmarks68_in(clip)
    assert not detector.calls and len(store) == 1
    np.testing.assert_array_equal(again.points, first.points)


def test_missing_weights_and_a_missing_package_are_reasons(monkeypatch, tmp_path):
    clip = Clip(write_lossless(tmp_path / "clip.mkv", [FRAME]))
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch dlib68 --accept non-commercial"):
        landmarks68_in(clip)
    load.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(NotApplicable, match=r"'dlib' is missing .*pip install 't2av-bench\[dlib\]'"):
        load(tmp_path / "absent.dat", None)
