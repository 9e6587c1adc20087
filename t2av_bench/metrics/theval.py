"""THEval's measures of motion (Quignon et al. 2025, arXiv 2511.04520) on this project's landmarks.

Of THEval's eight measures these are the five that need no other network: the dynamics of lips, eyebrows and head, the
stability of silent lips, and mouth openness against loudness. Each stands twice. The ``theval_…`` column follows
THEval's formula and released code (3603338) to the letter. The column beside it asks the same without what is wrong
there: it is told in interocular distances instead of pixels, by the second instead of by the frame, and
in the face's own space, where a turned head does not count as another mouth. The rate of blinks, which THEval lacks,
stands with them.

**Neither may be compared with THEval's published values.** Those come from other landmarks (MediaPipe's tracker; for
the head, RetinaFace and FaceXFormer), at the file's own frame rate, with 0 where no face was found and one tracker that
runs on from clip to clip. There is no total score either.

No direction is better: a clip ought to move as much as real ones do, so score the real clips too. A clip that shows the
face in less than 25 frames has a reason instead of a value.
"""

from abc import abstractmethod
from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces import head_pose
from t2av_bench.faces.head_pose import eye_distance
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, Landmarks, landmark_protocol, landmarks_in
from t2av_bench.faces.mesh_points import (
    LEFT_EYE,
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    LEFT_EYEBROW,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_EYE,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    RIGHT_EYEBROW,
    RIGID,
)
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.scores import Protocol, Quantity, library_versions

PAPER = "formulas of Quignon et al. 2025, THEval (arXiv 2511.04520); corrected forms of this project"
LEAST_FRAMES = 25
# THEval measures lips in frames that it makes 256 pixels wide and high, the head in those of its set, of 512.
LIP_FRAME, HEAD_FRAME = 256, 512
# Speeds are told over this many frames, 0.2 s: enough for the landmarks' trembling to be small beside a movement.
LAG = 5


def stretched(landmarks: Landmarks, size: int) -> np.ndarray:
    """(n, 468, 2) float64: the points as in frames that were made ``size`` pixels wide and high."""
    return landmarks.points[..., :2].astype(np.float64) * (size / np.array(landmarks.size))


def in_eye_distances(landmarks: Landmarks) -> np.ndarray:
    """(n, 468, 3) float64: the points in space, in interocular distances of their frame."""
    return landmarks.points.astype(np.float64) / eye_distance(landmarks.points)[:, None, None]


def true_ranges(values: np.ndarray) -> np.ndarray:
    """(k, 2) half-open ranges in which values (n,) bool are true, in order."""
    edges = np.diff(np.concatenate([[0], values, [0]]).astype(int))
    return np.stack([np.nonzero(edges == 1)[0], np.nonzero(edges == -1)[0]], 1)


def steps(landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Places i and j among the found frames such that frame j comes ``LAG`` frames after frame i.

    Raises Unscorable where there are none.
    """
    frames = landmarks.frames
    later = np.searchsorted(frames, frames + LAG)
    first = np.nonzero(frames[np.minimum(later, len(frames) - 1)] == frames + LAG)[0]
    if not len(first):
        raise Unscorable(f"no two frames with the face are {LAG} frames apart")
    return first, later[first]


# Lips -----------------------------------------------------------------------------------------------------------------


def theval_lip_dynamics(landmarks: Landmarks) -> float:
    """Standard deviations over time of all distances between the 40 lip points, their mean; in pixels of 256²."""
    return _spread(stretched(landmarks, LIP_FRAME)[:, [*LIPS_OUTER, *LIPS_INNER]])


def lip_dynamics(landmarks: Landmarks) -> float:
    """As ``theval_lip_dynamics``, of distances in space, in interocular distances."""
    return _spread(in_eye_distances(landmarks)[:, [*LIPS_OUTER, *LIPS_INNER]])


def _spread(points: np.ndarray) -> float:
    pairs = combinations(range(points.shape[1]), 2)
    return float(np.mean([np.linalg.norm(points[:, i] - points[:, j], axis=1).std() for i, j in pairs]))


# Eyebrows -------------------------------------------------------------------------------------------------------------


def theval_eyebrow_dynamics(landmarks: Landmarks) -> float:
    """Mean absolute change from frame to frame of the distance between the centres of an eyebrow's and an eye's points,
    over the distance of the eyes' centres; both sides."""
    points = landmarks.points[..., :2].astype(np.float64)
    right, left = points[:, RIGHT_EYE].mean(1), points[:, LEFT_EYE].mean(1)
    raised = np.stack([
        np.linalg.norm(points[:, RIGHT_EYEBROW].mean(1) - right, axis=1),
        np.linalg.norm(points[:, LEFT_EYEBROW].mean(1) - left, axis=1),
    ]) / np.linalg.norm(left - right, axis=1)  # fmt: skip
    return float(np.abs(np.diff(raised)).mean())


def eyebrow_raise(landmarks: Landmarks) -> np.ndarray:
    """(n, 2) distance of the right and the left eyebrow from the middle of the eye's corners, in interocular distances.

    The corners, unlike THEval's centre of the lids, stay where they are in a blink.
    """
    points = in_eye_distances(landmarks)
    sides = ((RIGHT_EYEBROW, RIGHT_EYE_OUTER, RIGHT_EYE_INNER), (LEFT_EYEBROW, LEFT_EYE_OUTER, LEFT_EYE_INNER))
    return np.stack(
        [np.linalg.norm(points[:, brow].mean(1) - points[:, corners].mean(1), axis=1) for brow, *corners in sides], 1
    )


def eyebrow_dynamics(landmarks: Landmarks) -> float:
    """Mean speed of ``eyebrow_raise`` over 0.2 s, in interocular distances a second. Raises Unscorable."""
    first, second = steps(landmarks)
    raised = eyebrow_raise(landmarks)
    return float(np.abs(raised[second] - raised[first]).mean() * FRAME_RATE / LAG)


# Head -----------------------------------------------------------------------------------------------------------------


def theval_head_motion(landmarks: Landmarks) -> float:
    """√(s v + t): s the mean standard deviation of pitch, yaw and roll in degrees, v the mean variance of their changes
    from frame to frame, t the mean variance of the face box's centre in x and y, in pixels of 512²."""
    turned = head_pose.angles(head_pose.head_rotations(landmarks.points))
    points = stretched(landmarks, HEAD_FRAME)
    centre = (points.min(1) + points.max(1)) / 2
    return float(np.sqrt(turned.std(0).mean() * np.diff(turned, axis=0).var(0).mean() + centre.var(0).mean()))


def head_rotation(landmarks: Landmarks) -> float:
    """Mean speed at which the head turns, about whatever axis, over 0.2 s: degrees a second. Raises Unscorable."""
    first, second = steps(landmarks)
    poses = head_pose.head_rotations(landmarks.points)
    return float(head_pose.angles_between(poses[first], poses[second]).mean() * FRAME_RATE / LAG)


def head_translation(landmarks: Landmarks) -> float:
    """Mean speed of the rigid points' centre in the picture over 0.2 s: interocular distances (the clip's median) a
    second. Raises Unscorable."""
    first, second = steps(landmarks)
    centre = landmarks.points[:, RIGID, :2].astype(np.float64).mean(1)
    moved = np.linalg.norm(centre[second] - centre[first], axis=1).mean() * FRAME_RATE / LAG
    return float(moved / np.median(eye_distance(landmarks.points)))


# The metrics ----------------------------------------------------------------------------------------------------------


class OfLandmarks(Metric):
    """What the metrics on landmarks share. parameters: what moves their values beside the landmarks themselves."""

    paper = PAPER
    weights: ClassVar[tuple[str, ...]] = LANDMARK_WEIGHTS
    packages: ClassVar[tuple[str, ...]] = ("cv2", "scenedetect")
    extra = "sync"
    parameters: ClassVar[Mapping[str, Any]]

    @property
    def found_by(self) -> Protocol:
        """What moves the values before the formulas do."""
        return landmark_protocol()

    @property
    def protocol(self) -> Protocol:
        found = self.found_by
        parameters = found.parameters | {"least_frames": LEAST_FRAMES} | dict(self.parameters)
        return Protocol(self.id, parameters, found.weights, found.libraries | library_versions("numpy", "scipy"))

    def measure(self, pair: Pair) -> Measurement:
        landmarks = landmarks_in(pair.generated)
        if len(landmarks.frames) < LEAST_FRAMES:
            raise Unscorable(
                f"the face was found in {len(landmarks.frames)} of {landmarks.count} frames, at least {LEAST_FRAMES} "
                "are needed"
            )
        return self.of_landmarks(landmarks, pair)

    @abstractmethod
    def of_landmarks(self, landmarks: Landmarks, pair: Pair) -> Measurement:
        """Score the landmarks of the generated clip, at least 25 frames. Raises as ``measure``."""


class LipDynamics(OfLandmarks):
    id = "theval/lips-mesh468"
    title = "Lip dynamics"
    parameters = {"frame": LIP_FRAME}
    quantities = (
        Quantity("theval_lip_dynamics", "Lips (THEval, mesh468)", "none", "pixels of 256²", (0.0, None)),
        Quantity("lip_dynamics", "Lip dynamics (mesh468)", "none", "interocular distances", (0.0, None), 4),
    )
    validity = {
        "lip_dynamics": {"freeze": "down", "mouth_frozen": "down", "container": "same"},
        "theval_lip_dynamics": {"freeze": "down", "mouth_frozen": "down", "container": "same"},
    }

    def of_landmarks(self, landmarks: Landmarks, pair: Pair) -> Measurement:
        return Measurement(
            {"theval_lip_dynamics": theval_lip_dynamics(landmarks), "lip_dynamics": lip_dynamics(landmarks)}
        )


class EyebrowDynamics(OfLandmarks):
    id = "theval/eyebrows-mesh468"
    title = "Eyebrow dynamics"
    parameters = {"lag": LAG}
    quantities = (
        Quantity(
            "theval_eyebrow_dynamics", "Eyebrows (THEval, mesh468)", "none", "eye distances a frame", (0.0, None), 4
        ),
        Quantity("eyebrow_dynamics", "Eyebrow dynamics (mesh468)", "none", "interocular distances/s", (0.0, None)),
    )
    validity = {
        "eyebrow_dynamics": {"freeze": "down", "container": "same"},
        "theval_eyebrow_dynamics": {"freeze": "down", "container": "same"},
    }

    def of_landmarks(self, landmarks: Landmarks, pair: Pair) -> Measurement:
        return Measurement({
            "theval_eyebrow_dynamics": theval_eyebrow_dynamics(landmarks),
            "eyebrow_dynamics": eyebrow_dynamics(landmarks),
        })  # fmt: skip


class HeadMotion(OfLandmarks):
    """THEval adds degrees to pixels; the corrected form keeps turning and moving apart."""

    id = "theval/head-mesh468"
    title = "Head motion"
    parameters = {"frame": HEAD_FRAME, "lag": LAG, **head_pose.PARAMETERS}
    quantities = (
        Quantity("theval_head_motion", "Head (THEval, mesh468)", "none", "", (0.0, None)),
        Quantity("head_rotation", "Head rotation (mesh468)", "none", "°/s", (0.0, 180.0 * FRAME_RATE / LAG), 2),
        Quantity("head_translation", "Head translation (mesh468)", "none", "interocular distances/s", (0.0, None)),
    )
    validity = {
        "theval_head_motion": {"freeze": "down", "container": "same"},
        "head_rotation": {"freeze": "down", "container": "same"},
        "head_translation": {"freeze": "down", "container": "same"},
    }

    def of_landmarks(self, landmarks: Landmarks, pair: Pair) -> Measurement:
        return Measurement({
            "theval_head_motion": theval_head_motion(landmarks),
            "head_rotation": head_rotation(landmarks),
            "head_translation": head_translation(landmarks),
        })  # fmt: skip
