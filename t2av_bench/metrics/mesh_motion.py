"""What the metrics of motion and drift read from landmarks: sizes, the mouth's gap, the head's place, unbroken runs.

Distances are told in interocular distances, so that they mean the same in a large and in a small picture.
"""

from typing import Any

import numpy as np

from t2av_bench.faces.head_pose import eye_distance
from t2av_bench.faces.landmarks import landmark_protocol
from t2av_bench.faces.mesh_points import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    LOWER_LIP,
    NOSE_TIP,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    RIGID,
    UPPER_LIP,
)
from t2av_bench.metrics.base import Metric
from t2av_bench.scores import Protocol

EYE_CORNERS = [RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER]


def mouth_gap(points: np.ndarray) -> np.ndarray:
    """(n, 1) gap between the inner lips, in space, in interocular distances of the frame. points: (n, 468, 3)."""
    gap = np.linalg.norm(points[:, UPPER_LIP].astype(np.float64) - points[:, LOWER_LIP], axis=1)
    return np.asarray(gap / eye_distance(points))[:, None]


def head_place(points: np.ndarray) -> np.ndarray:
    """(n, 4): where the rigid points' middle is in the picture, and where the nose's tip is from the eyes' middle
    (which changes where the head turns); x and y of each, in the clip's median interocular distance."""
    flat = points[..., :2].astype(np.float64) / np.median(eye_distance(points))
    return np.hstack([flat[:, RIGID].mean(axis=1), flat[:, NOSE_TIP] - flat[:, EYE_CORNERS].mean(axis=1)])


def runs(frames: np.ndarray) -> list[np.ndarray]:
    """Places in ascending frame numbers (n,), split where a frame is missing."""
    return np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) != 1) + 1)


def stated_with_landmarks(metric: Metric, parameters: dict[str, Any]) -> Protocol:
    """A metric's protocol of these parameters and of all that moves landmarks."""
    found = landmark_protocol()
    return metric.stated({**parameters, "landmarks": found.parameters}, *found.libraries)
