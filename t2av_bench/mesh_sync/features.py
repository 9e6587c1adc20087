"""What the network of ``sync/mesh`` sees and hears of a clip: the mouth without the head, and log-mel energies.

The mouth of each source picture is turned, scaled and moved into the face's own axes by the points that do not speak
(``faces.head_pose``), so head turns, the camera and the frame rate leave no trace. It is known at the times at which
the source shows its pictures, and interpolated linearly onto 25 frames a second on the same clock; so a source of 24
or 30 pictures a second has no bias of a part of a frame. Frame k is the moment k / 25 s after the first picture.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.extractors import log_mel
from t2av_bench.faces.head_pose import PARAMETERS as POSE
from t2av_bench.faces.head_pose import POINTS as POSE_POINTS
from t2av_bench.faces.head_pose import eye_distance, head_rotations
from t2av_bench.faces.landmarks import Landmarks, landmark_protocol, landmarks_in
from t2av_bench.faces.mesh_points import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    LIPS_INNER,
    LIPS_OUTER,
    NOSE_BASE,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
)
from t2av_bench.media.clip import FRAME_RATE, SOUND, Clip
from t2av_bench.scores import Protocol

_CHIN = (152, 148, 377, 176, 400, 149, 378, 150, 379, 172, 397)
_CHEEKS = (205, 425, 50, 280)
MOUTH = (*LIPS_OUTER, *LIPS_INNER, *_CHIN, *_CHEEKS)
"""The 55 points that speak."""
_PAIRS = {
    61: 291, 146: 375, 91: 321, 181: 405, 84: 314, 185: 409, 40: 270, 39: 269, 37: 267, 78: 308, 95: 324, 88: 318,
    178: 402, 87: 317, 191: 415, 80: 310, 81: 311, 82: 312, 148: 377, 176: 400, 149: 378, 150: 379, 172: 397, 205: 425,
    50: 280,
}  # fmt: skip
_OTHER = {**_PAIRS, **{left: right for right, left in _PAIRS.items()}}
MIRRORED = tuple(MOUTH.index(_OTHER.get(point, point)) for point in MOUTH)
"""Place of the point on the other side of the face."""

MAX_GAP = 0.2
"""Seconds between two pictures with the face that are bridged."""
LEAST_SECONDS = 2.0
PARAMETERS: dict[str, Any] = {
    "mouth_points": list(MOUTH), **POSE, "max_gap": MAX_GAP, "least_seconds": LEAST_SECONDS, **log_mel.PARAMETERS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeshSyncFeatures:
    """One clip at 25 fps; frame k stands k / 25 s after the first picture.

    mouth: (T, 55, 3) float32, points in the face's own axes (the person's right to left, brow to chin, away from the
    viewer) from the middle of the eyes and nose, in the clip's median interocular distance.
    seen: (T,) bool, frames at which the face was there, or in two pictures at most 0.2 s apart around it.
    sound: (4 T, 40) float32, natural logarithms of mel energies; rows 4k ... 4k + 3 lie under frame k.
    share: pictures with the face among all of the clip, 0 to 1.
    """

    mouth: np.ndarray
    seen: np.ndarray
    sound: np.ndarray
    share: float


def mesh_sync_features(clip: Clip) -> MeshSyncFeatures:
    """A clip's features, kept across runs where it has a feature store.

    Unscorable without a face, or where sound and face do not overlap for two seconds; MediaError without sound;
    NotApplicable with the command where weights are missing.
    """
    arrays = clip.stored(feature_protocol().fingerprint, "mesh-sync", lambda: _arrays(_measure(clip)))
    return MeshSyncFeatures(arrays["mouth"], arrays["seen"], arrays["sound"], float(arrays["share"][0]))


def feature_protocol() -> Protocol:
    """Everything that moves these features; a metric on them merges this into its own protocol."""
    found = landmark_protocol()
    return Protocol(
        "mesh_sync/features", parameters={**PARAMETERS, **SOUND, "landmarks": found.parameters},
        weights=found.weights, libraries=found.libraries,
    )  # fmt: skip


def features_of(landmarks: Landmarks, times: np.ndarray, audio: np.ndarray) -> MeshSyncFeatures:
    """times: (count,) of ``Clip.frame_times``. audio: (n,) mono float at 16 kHz that begins with the first picture."""
    # A picture that stands in two frames of the grid is one picture.
    shown, first = np.unique(times[landmarks.frames], return_index=True)
    frames = min(int(times[-1] * FRAME_RATE + 1e-6) + 1, len(audio) * FRAME_RATE // log_mel.SAMPLE_RATE)
    grid = np.arange(max(frames, 0)) / FRAME_RATE
    seen = _bridged(shown, grid)
    if seen.sum() < LEAST_SECONDS * FRAME_RATE:
        raise Unscorable(
            f"face and sound overlap for {seen.sum() / FRAME_RATE:.2f} s, at least {LEAST_SECONDS:g} s are needed"
        )
    points = aligned_mouth(landmarks.points[first]).reshape(len(first), -1)
    mouth = np.stack([np.interp(grid, shown, values) for values in points.T], 1).reshape(len(grid), len(MOUTH), 3)
    return MeshSyncFeatures(
        mouth.astype(np.float32), seen, log_mel.log_mel(audio, frames).astype(np.float32),
        len(landmarks.frames) / landmarks.count,
    )  # fmt: skip


def aligned_mouth(points: np.ndarray) -> np.ndarray:
    """(n, 468, 3) of ``Landmarks`` -> (n, 55, 3): the mouth as ``MeshSyncFeatures`` says; whatever rotations in space,
    scales and shifts each frame has had, it is the same."""
    points = np.asarray(points, np.float64)
    rigid = points[:, POSE_POINTS]
    middle = rigid.mean(1, keepdims=True)
    size = np.linalg.norm(rigid - middle, axis=(1, 2))
    # Scale by the whole rigid shape, which is steadier than four corners of eyes; the unit is the median of those.
    unit = np.median(eye_distance(points) / size)
    turned = (points - middle) / (size * unit)[:, None, None] @ head_rotations(points)
    return np.asarray(turned[:, MOUTH] @ _axes(turned))


def _axes(points: np.ndarray) -> np.ndarray:
    """(3, 3): columns are the axes of a face whose frames (n, 468, 3) have one pose."""
    mean = points.mean(0)
    right = mean[[RIGHT_EYE_OUTER, RIGHT_EYE_INNER]].mean(0)
    left = mean[[LEFT_EYE_OUTER, LEFT_EYE_INNER]].mean(0)
    across = (left - right) / np.linalg.norm(left - right)
    down = mean[list(NOSE_BASE)].mean(0) - (left + right) / 2
    down -= across * (down @ across)
    down /= np.linalg.norm(down)
    return np.stack([across, down, np.cross(across, down)], 1)


def _bridged(shown: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(T,) bool: moments of the grid between two times (n,) that are at most ``MAX_GAP`` apart, or on one."""
    after = np.searchsorted(shown, grid - 1e-6)
    before = np.searchsorted(shown, grid + 1e-6, side="right") - 1
    inside = (before >= 0) & (after < len(shown))
    gap = shown[after.clip(0, len(shown) - 1)] - shown[before.clip(0)]
    return inside & (gap <= MAX_GAP + 1e-6)


def _measure(clip: Clip) -> MeshSyncFeatures:
    if not clip.info.has_audio:
        clip.audio(log_mel.SAMPLE_RATE)  # raises the reason, before a face is looked for in vain
    return features_of(landmarks_in(clip), clip.frame_times, clip.audio(log_mel.SAMPLE_RATE))


def _arrays(found: MeshSyncFeatures) -> dict[str, np.ndarray]:
    return {
        "mouth": found.mouth, "seen": found.seen, "sound": found.sound, "share": np.array([found.share]),
    }  # fmt: skip
