"""Landmark distance to the reference, frame by frame: does the mouth do what the real one does? For paired clips.

LMD as Chen et al. 2018 brought it in and ER-NeRF and its followers compute it: the mouth's points, less their mean in
each frame, so that the head's place does not count; the mean over points and frames of their Euclidean distance in the
picture. F-LMD is that of all points of the face as they lie, LMD-v that of the mouth's changes from frame to frame.

``lmd/dlib68`` is that of the papers that take dlib's 68 points: in pixels of the clips as they are, so values hold for
one resolution, which the detail of each score states. ``lmd/mesh468`` has the mesh's 40 points of the lips, and all
468, and distances are in per cent of the reference's median interocular distance, so they do not depend on resolution;
**they may not be compared with published ones**. Only frames in which both clips have a face count. A clip in which the
face is missing in more than a tenth of the frames where the reference has one fails, as does one that shares less than
90 % of the longer one's time with its reference (option ``least_overlap``).
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import dlib_landmarks
from t2av_bench.extractors.dlib_landmarks import Landmarks68, landmarks68_in
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, Landmarks, landmarks_in
from t2av_bench.faces.mesh_points import LIPS_INNER, LIPS_OUTER
from t2av_bench.media.clip import FRAME_RATE, Clip
from t2av_bench.metrics.base import Measurement, Pair
from t2av_bench.metrics.mesh_motion import eye_distance, runs, stated_with_landmarks
from t2av_bench.metrics.overlap import OverlapMetric, require_overlap
from t2av_bench.metrics.paired_frames import require_one_size, usable_reference
from t2av_bench.scores import Protocol, Quantity

MOUTH = [*LIPS_OUTER, *LIPS_INNER]
MOUTH_68 = list(range(48, 68))
LEAST_FOUND = 0.9


def centred(points: np.ndarray) -> np.ndarray:
    """Points (n, k, 2) less their mean in each frame."""
    return points - points.mean(axis=1, keepdims=True)


def landmark_distance(generated: np.ndarray, reference: np.ndarray) -> float:
    """Mean Euclidean distance of points (n, k, 2) of both sides, in their unit."""
    return float(np.linalg.norm(generated - reference, axis=-1).mean())


def velocity_distance(generated: np.ndarray, reference: np.ndarray, frames: np.ndarray) -> float:
    """``landmark_distance`` of the changes between neighbouring ones of the frames (n,). Raises Unscorable."""
    parts = [run for run in runs(frames) if len(run) > 1]
    if not parts:
        raise Unscorable("no two neighbouring frames have a face in both clips")
    changes = [np.concatenate([np.diff(side[run], axis=0) for run in parts]) for side in (generated, reference)]
    return landmark_distance(*changes)


def paired_points(
    generated: Landmarks | Landmarks68, reference: Landmarks | Landmarks68
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (n,) in which both have a face, and the points (n, k, 2) float64 of both. Raises Unscorable."""
    needed = reference.frames[reference.frames < generated.count]
    frames, ours, theirs = np.intersect1d(generated.frames, needed, return_indices=True)
    if not len(frames) or len(frames) < LEAST_FOUND * len(needed):
        raise Unscorable(
            f"the face is found in {len(frames)} of the {len(needed)} frames where the reference has one; "
            f"at least {100 * LEAST_FOUND:g} % are needed"
        )
    mine, real = generated.points[ours, :, :2], reference.points[theirs, :, :2]
    return frames, mine.astype(np.float64), real.astype(np.float64)


class LandmarkDistance(OverlapMetric):
    """What the variants share. Their quantities are LMD, F-LMD and LMD-v, in this order."""

    mouth: ClassVar[list[int]]

    @abstractmethod
    def landmarks(self, clip: Clip) -> Landmarks | Landmarks68:
        """Points of the clip's face. Unscorable where it has none."""

    @abstractmethod
    def unit(self, reference: np.ndarray) -> float:
        """Pixels in one unit of the values, by the reference's points (n, k, 2 or 3)."""

    def stated_parameters(self, scale: str) -> dict[str, Any]:
        return {
            "length": "common duration", "least_overlap": self.least_overlap, "least_found": LEAST_FOUND,
            "mouth": self.mouth, "scale": scale,
        }  # fmt: skip

    def measure(self, pair: Pair) -> Measurement:
        clip = pair.require_reference()
        generated = self.landmarks(pair.generated)
        with usable_reference():
            try:
                reference = self.landmarks(clip)
            except Unscorable as reason:
                raise NotApplicable(f"the reference clip cannot be compared with: {reason}") from reason
        require_one_size(generated.size, reference.size)
        require_overlap(generated.count / FRAME_RATE, reference.count / FRAME_RATE, self.least_overlap, "video")
        frames, ours, theirs = paired_points(generated, reference)
        mouths = centred(ours[:, self.mouth]), centred(theirs[:, self.mouth])
        distances = (
            landmark_distance(*mouths), landmark_distance(ours, theirs), velocity_distance(*mouths, frames),
        )  # fmt: skip
        unit = self.unit(reference.points)
        return Measurement(
            values={quantity.name: value / unit for quantity, value in zip(self.quantities, distances, strict=True)},
            detail={
                "generated_frames": generated.count,
                "reference_frames": reference.count,
                "frames_with_both_faces": len(frames),
                "size": list(reference.size),
            },
        )


class LMDMesh(LandmarkDistance):
    id = "lmd/mesh468"
    title = "Landmark distance"
    quantities = (
        Quantity("lmd_mesh", "LMD (mesh468)", "lower", "% of eye distance", (0.0, None), 2, penalty="worst"),
        Quantity("f_lmd_mesh", "F-LMD (mesh468)", "lower", "% of eye distance", (0.0, None), 2, penalty="worst"),
        Quantity("lmd_v_mesh", "LMD-v (mesh468)", "lower", "% of eye distance", (0.0, None), 2, penalty="worst"),
    )  # fmt: skip
    aliases = {"M-LMD": "lmd_mesh", "landmark distance": "lmd_mesh"}
    paper = "Chen et al. 2018, Lip Movements Generation at a Glance (ECCV); mouth-centred as in ER-NeRF 0cf72d8"
    weights = LANDMARK_WEIGHTS
    mouth = MOUTH
    packages = ("cv2", "scenedetect")
    extra = "sync"
    validity = {
        "lmd_mesh": {"freeze": "up", "mouth_frozen": "up", "container": "same"},
        "f_lmd_mesh": {"freeze": "up", "container": "same"},
        "lmd_v_mesh": {"freeze": "up", "mouth_frozen": "up", "container": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        scale = "median interocular distance of the reference"
        return stated_with_landmarks(self, self.stated_parameters(scale))

    def landmarks(self, clip: Clip) -> Landmarks:
        return landmarks_in(clip)

    def unit(self, reference: np.ndarray) -> float:
        return float(np.median(eye_distance(reference))) / 100


class LMDDlib(LandmarkDistance):
    id = "lmd/dlib68"
    title = "Landmark distance (dlib)"
    quantities = (
        Quantity("lmd_dlib", "LMD (dlib68)", "lower", "px", (0.0, None), 2, penalty="worst"),
        Quantity("f_lmd_dlib", "F-LMD (dlib68)", "lower", "px", (0.0, None), 2, penalty="worst"),
        Quantity("lmd_v_dlib", "LMD-v (dlib68)", "lower", "px", (0.0, None), 2, penalty="worst"),
    )
    paper = LMDMesh.paper
    weights = (dlib_landmarks.WEIGHTS,)
    licence = "non-commercial"
    packages = ("dlib",)
    extra = "dlib"
    mouth = MOUTH_68
    validity = {
        "lmd_dlib": {"freeze": "up", "mouth_frozen": "up", "container": "same"},
        "f_lmd_dlib": {"freeze": "up", "container": "same"},
        "lmd_v_dlib": {"freeze": "up", "mouth_frozen": "up", "container": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        parameters = self.stated_parameters("pixels of the clips") | {"landmarks": dlib_landmarks.PARAMETERS}
        return self.stated(parameters, *dlib_landmarks.LIBRARIES)

    def landmarks(self, clip: Clip) -> Landmarks68:
        return landmarks68_in(clip)

    def unit(self, reference: np.ndarray) -> float:
        return 1.0
