"""Drift of the face: how far its size, place and colour at the end of a clip are from those at the start.

The first and the last second in which the main face is followed are compared (start-end contrast; Zhang & Agrawala
2025, FramePack, arXiv 2504.12626); they lie in one shot, so that a cut is no drift.

``drift_face_size``: by how many per cent the larger of the mean interocular distances exceeds the smaller.
``drift_face_position``: how far the middle of the eyes, averaged over a second, has moved in the picture, in the mean
interocular distance. ``drift_face_colour``: ΔE*ab (CIE 1976) between the mean colours inside the face's outline; light
that falls on a face which turns counts as well.

People move: real clips of 5 to 15 s score 0.2 to 7 % in size (up to 21 % where the camera or the person comes nearer),
0.0 to 2 in position and 0.2 to 9 in colour, the most where the light on the face changes.
"""

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, Landmarks, landmarks_in
from t2av_bench.faces.mesh_points import FACE_OVAL
from t2av_bench.media.clip import FRAME_RATE, Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.colour import cielab
from t2av_bench.metrics.mesh_motion import EYE_CORNERS, eye_distance, stated_with_landmarks
from t2av_bench.scores import Protocol, Quantity

WINDOW = FRAME_RATE


def start_and_end(landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Places among the found frames in the face's first and last second. Raises Unscorable where they overlap."""
    first, last = landmarks.frames[0], landmarks.frames[-1]
    if last - first + 1 < 2 * WINDOW:
        raise Unscorable(
            f"too short: the face is followed for {(last - first + 1) / FRAME_RATE:.2f} s; "
            f"{2 * WINDOW / FRAME_RATE:g} s are needed to compare its first and its last second"
        )
    return np.flatnonzero(landmarks.frames < first + WINDOW), np.flatnonzero(landmarks.frames > last - WINDOW)


def size_and_position(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[float, float]:
    """Points (n, 468, 3) and places of both seconds -> drift of size in per cent, of place in interocular distances."""
    sizes = [eye_distance(points[part]).mean() for part in (start, end)]
    places = [points[part][:, EYE_CORNERS, :2].mean(axis=(0, 1), dtype=np.float64) for part in (start, end)]
    moved = np.linalg.norm(places[1] - places[0]) / np.mean(sizes)
    return 100 * float(max(sizes) / min(sizes) - 1), float(moved)


def face_colour(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) float64 mean L*, a*, b* inside the outline of a face: points (468, 3) in a frame (H, W, 3) uint8 RGB."""
    import cv2

    outline = np.rint(points[list(FACE_OVAL), :2]).astype(np.int32)
    inside = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(outline), 1)
    pixels = frame[inside > 0]
    if not len(pixels):
        raise Unscorable("the face lies outside of the picture")
    return np.asarray(cielab(pixels).mean(axis=0))


def colours_in(clip: Clip, landmarks: Landmarks, places: np.ndarray) -> np.ndarray:
    """(k, 3) face colours of the found frames at these ascending places, in one pass."""
    wanted = {int(landmarks.frames[place]): landmarks.points[place] for place in places}
    numbered = enumerate(clip.each_frame())
    return np.stack([face_colour(frame, wanted[number]) for number, frame in numbered if number in wanted])


class DriftMesh(Metric):
    id = "drift/mesh468"
    title = "Drift of the face"
    quantities = (
        Quantity("drift_face_size", "Face size drift", "lower", "%", (0.0, None), decimals=1, penalty="worst"),
        Quantity(
            "drift_face_position", "Face position drift", "lower", "interocular distances", (0.0, None),
            decimals=2, penalty="worst",
        ),
        Quantity("drift_face_colour", "Face colour drift", "lower", "ΔE", (0.0, None), decimals=2, penalty="worst"),
    )  # fmt: skip
    paper = "Zhang & Agrawala 2025, FramePack (arXiv 2504.12626), start-end contrast; ISO/CIE 11664-4 (CIELAB)"
    weights = LANDMARK_WEIGHTS
    packages = ("cv2", "scenedetect")
    extra = "sync"
    validity = {
        "drift_face_size": {"freeze": "down", "container": "same", "frame_rate": "same"},
        "drift_face_position": {"freeze": "down", "container": "same", "frame_rate": "same"},
        "drift_face_colour": {"freeze": "down", "container": "same", "frame_rate": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        return stated_with_landmarks(self, {"window": WINDOW, "colour": "CIELAB (sRGB, D65), inside the outline"})

    def measure(self, pair: Pair) -> Measurement:
        landmarks = landmarks_in(pair.generated)
        start, end = start_and_end(landmarks)
        size, position = size_and_position(landmarks.points, start, end)
        found = colours_in(pair.generated, landmarks, np.concatenate([start, end]))
        colours = [part.mean(axis=0) for part in np.split(found, [len(start)])]
        return Measurement(
            values={
                "drift_face_size": size,
                "drift_face_position": position,
                "drift_face_colour": float(np.linalg.norm(colours[1] - colours[0])),
            },
            detail={"first_frame": int(landmarks.frames[0]), "last_frame": int(landmarks.frames[-1])},
        )
