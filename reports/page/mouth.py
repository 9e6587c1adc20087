"""Where the mouth is in a clip, for a close-up: from the faces that the run's metrics kept.

It steers what the page shows and is no number, so the faces of any protocol will do: the mesh's points, else boxes.
"""

from collections.abc import Mapping

import numpy as np

from t2av_bench.faces.find import Faces
from t2av_bench.faces.mesh_points import LEFT_EYE_OUTER, LEFT_MOUTH_CORNER, RIGHT_EYE_OUTER, RIGHT_MOUTH_CORNER
from t2av_bench.faces.track import TrackRules, find_tracks
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.results.features import FeatureStore

RATE = 5
"""Places a second on the page."""
EYES = 1.3
"""Side of the close-up in distances between the outer corners of the eyes: the lips and the chin, however wide open."""
BOX, DOWN = 0.75, 0.78
"""The same in widths of a detector's box, and how far down the box the mouth is."""
_ANY = TrackRules(min_track=0, min_face=0.0)


class Mouths:
    """The mouths of one run's clips, as far as its features have faces."""

    def __init__(self, features: FeatureStore) -> None:
        self._features = features
        self._kept = {kind: features.fingerprints(kind) for kind in ("landmarks", "faces")}

    def path(self, digest: str | None, size: tuple[int, int] | None) -> list[int] | None:
        """Side of the square around the mouth, in thousandths of the picture's width, then x and y of its middle in
        thousandths of width and height, ``RATE`` times a second; None where no face is known.

        digest: of the clip's content. size: (width, height) of its pictures in pixels.
        """
        if digest is None or size is None:
            return None
        for kind, places in (("landmarks", _of_points), ("faces", _of_boxes)):
            for fingerprint in self._kept[kind]:
                arrays = self._features.get(digest, fingerprint, kind)
                found = places(arrays) if arrays is not None else None
                if found is not None:
                    return _path(*found, size)
        return None


Places = tuple[np.ndarray, np.ndarray, float]
"""Frames (n,) at 25 fps, middles (n, 2) of the mouth and one side of the square, both in pixels."""


def _of_points(arrays: Mapping[str, np.ndarray]) -> Places | None:
    """Of ``faces.landmarks``. The corners of the mouth, which the jaw does not move, and the size of the whole clip: a
    picture that swelled with every word would be hard to judge."""
    points = arrays["points"][..., :2].astype(np.float64)
    if not len(points):
        return None
    eyes = np.linalg.norm(points[:, RIGHT_EYE_OUTER] - points[:, LEFT_EYE_OUTER], axis=1)
    return arrays["frames"], points[:, [RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]].mean(1), EYES * float(np.median(eyes))


def _of_boxes(arrays: Mapping[str, np.ndarray]) -> Places | None:
    """Of a detector: the longest track of each shot."""
    faces = Faces.from_arrays(dict(arrays))
    tracks = [
        max(accepted, key=lambda track: (track.detections, track.mean_area))
        for shot in faces.shots if (accepted := find_tracks(faces.detections, [shot], _ANY)[0])
    ]  # fmt: skip
    if not tracks:
        return None
    boxes = np.concatenate([track.boxes for track in tracks])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    middle = np.stack([boxes[:, 0] + width / 2, boxes[:, 1] + DOWN * height], axis=1)
    return np.concatenate([track.frames for track in tracks]), middle, BOX * float(np.median(width))


def _path(frames: np.ndarray, middles: np.ndarray, side: float, size: tuple[int, int]) -> list[int]:
    width, height = size
    step = FRAME_RATE // RATE
    steps = np.arange(0, frames[-1] + step, step)
    places = np.stack([np.interp(steps, frames, column) for column in middles.T], axis=1) / (width, height)
    return [round(1000 * side / width), *np.round(1000 * places).astype(int).ravel().tolist()]
