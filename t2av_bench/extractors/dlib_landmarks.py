"""dlib's 68 landmarks of the largest frontal face in each frame, in the numbering of iBUG 300-W.

Kazemi and Sullivan 2014, One Millisecond Face Alignment with an Ensemble of Regression Trees (CVPR), as trained for
dlib (King 2009, JMLR 10). The face is the largest box of dlib's detector of frontal faces, which sees those wider than
about 80 pixels; where it finds none, it looks again in the picture at twice its size. Each frame is looked at afresh:
nothing is carried from one to the next.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import PICTURES, Clip
from t2av_bench.scores import Protocol, library_versions
from t2av_bench.utils.optional import require

WEIGHTS = "dlib68"
POINTS = 68
UPSAMPLE = (0, 1)
# dlib from its source, which some have instead of the wheel, is another distribution.
LIBRARIES = ("av", "dlib", "dlib-bin")
PARAMETERS: dict[str, Any] = {**PICTURES, "detector": "dlib frontal HOG", "upsample": UPSAMPLE, "face": "largest"}


@dataclass(frozen=True, slots=True)
class Landmarks68:
    """Landmarks of a clip at 25 fps.

    frames: (n,) int64, ascending numbers of the frames in which a face was found.
    points: (n, 68, 2) float32: x to the right, y down in pixels of the frame; dlib gives whole ones.
    count: frames of the whole clip. size: (width, height) of the frames in pixels.
    """

    frames: np.ndarray
    points: np.ndarray
    count: int
    size: tuple[int, int]


@functools.lru_cache(maxsize=2)
def load(path: Path, digest: str | None) -> tuple[Any, Any]:
    """dlib's detector and its shape predictor from a file. ``digest`` only keys the cache."""
    dlib = require("dlib", "dlib")
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))


def largest_face(detector: Any, frame: np.ndarray) -> Any:
    """The largest box that the detector finds in a frame (H, W, 3) uint8 RGB, the first of equals; None without one."""
    for upsample in UPSAMPLE:
        if boxes := detector(frame, upsample):
            return max(boxes, key=lambda box: box.area())
    return None


def landmarks68_in(clip: Clip) -> Landmarks68:
    """Landmarks of a clip at 25 fps, kept across runs where the clip has a feature store.

    Unscorable where there is no face; NotApplicable with the command where dlib or its weights are missing.
    """
    detector, predictor = load(weights.path(WEIGHTS), weights.digest(WEIGHTS))
    protocol = Protocol(
        "extractors/dlib68", PARAMETERS, {WEIGHTS: weights.digest(WEIGHTS)}, library_versions(*LIBRARIES)
    )
    arrays = clip.stored(protocol.fingerprint, "landmarks68", lambda: _look(clip, detector, predictor))
    count, width, height = (int(value) for value in arrays["clip"])
    if not len(arrays["frames"]):
        raise Unscorable(f"no frontal face found in any of {count} frames")
    return Landmarks68(arrays["frames"], arrays["points"], count, (width, height))


def _look(clip: Clip, detector: Any, predictor: Any) -> dict[str, np.ndarray]:
    numbers, points = [], []
    for number, frame in enumerate(clip.each_frame()):
        if (box := largest_face(detector, frame)) is not None:
            numbers.append(number)
            points.append([(point.x, point.y) for point in predictor(frame, box).parts()])
    height, width = frame.shape[:2]
    return {
        "frames": np.array(numbers, np.int64),
        "points": np.array(points, np.float32).reshape(-1, POINTS, 2),
        "clip": np.array([number + 1, width, height], np.int64),
    }
