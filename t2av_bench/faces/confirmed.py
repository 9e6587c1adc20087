"""Faces that two networks agree on: BlazeFace proposes, the face mesh confirms.

BlazeFace's own score does not tell a face from a cat, a jacket or a playing card; the mesh's presence does, so that
low scores can be looked at as well.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import NotApplicable
from t2av_bench.faces.blazeface import BLEND_OVERLAP, FULL, SHORT, BlazeFace, blazeface
from t2av_bench.faces.detect import NMS_OVERLAP
from t2av_bench.faces.mesh import REGION_SCALE, FaceMesh, Region, box_of, face_mesh
from t2av_bench.faces.mesh import WEIGHTS as MESH
from t2av_bench.faces.track import overlap
from t2av_bench.weights.entry import fetch_command

WEIGHTS = (SHORT.weights, FULL.weights, MESH)
SAME_FACE = 0.3
"""Overlap above which two boxes are the same face, seen twice."""
TILE, TILE_STEP = 0.75, 2 / 3
"""Side of a tile in shorter sides of the frame, and the step between tiles in sides, at most."""


@dataclass(frozen=True, slots=True)
class Face:
    """points: (468, 3) float32, see ``Landmarks``. presence: the mesh's, in [0, 1]. score: BlazeFace's, in [0, 1]."""

    points: np.ndarray
    presence: float
    score: float

    @property
    def box(self) -> np.ndarray:
        """(4,) float64: the smallest upright box around the points."""
        return box_of(self.points)


class ConfirmedBlazeFace:
    """A detector (see ``detect``) whose boxes hold the mesh's points: forehead to chin, ear to ear, as S3FD's do.

    The whole frame is searched by both networks. Where that shows no face, the full-range one searches overlapping
    squares of three quarters of the shorter side, for faces down to a twentieth of it.
    """

    name = "blazeface"
    PARAMETERS: ClassVar[dict[str, Any]] = {
        "whole_frame": ["full range", "short range"],
        "tiles": {"network": "full range", "side": TILE, "step": TILE_STEP},
        "least_score": 0.3,
        "blend_overlap": BLEND_OVERLAP,
        "same_face_overlap": SAME_FACE,
        "region_scale": REGION_SCALE,
        "passes": 2,
        "presence": 0.5,
        "box": "of the mesh's points",
        "nms": NMS_OVERLAP,
    }

    def __init__(
        self, full: BlazeFace, short: BlazeFace, mesh: FaceMesh, weights: dict[str, str | None] | None = None
    ) -> None:
        self.full, self.short, self.mesh = full, short, mesh
        self.parameters = dict(self.PARAMETERS)
        self.weights = weights or {}

    def detect(self, frames: np.ndarray) -> list[np.ndarray]:
        return [np.array([[*face.box, face.score] for face in self.faces(frame)]).reshape(-1, 5) for frame in frames]

    def faces(self, frame: np.ndarray) -> list[Face]:
        """Confirmed faces of a frame (H, W, 3) uint8 RGB, the best score first."""
        found: list[Face] = []
        for finder in (self.full, self.short):
            self._search(frame, (0, 0), frame, finder, found)
        if not found:
            for x, y, side in tiles(*frame.shape[:2]):
                self._search(frame, (x, y), frame[y : y + side, x : x + side], self.full, found)
        kept: list[Face] = []
        for face in sorted(found, key=lambda face: -face.score):
            if not any(overlap(other.box[None], face.box)[0] > self.parameters["nms"] for other in kept):
                kept.append(face)
        return kept

    def _search(
        self, frame: np.ndarray, corner: tuple[int, int], part: np.ndarray, finder: BlazeFace, found: list[Face]
    ) -> None:
        """Add the confirmed faces of a part of the frame to ``found``; those that are there already cost no mesh."""
        candidates = finder.find(part, self.parameters["least_score"])
        for box, score, points in zip(candidates.boxes, candidates.scores, candidates.points, strict=True):
            box, points = box + np.tile(corner, 2), points + corner
            if any(overlap(face.box[None], box)[0] > SAME_FACE for face in found):
                continue
            face = self._confirm(frame, Region.around(box, points[0], points[1]), float(score))
            if face is not None:
                found.append(face)

    def _confirm(self, frame: np.ndarray, region: Region, score: float) -> Face | None:
        # BlazeFace's box may lie a fifth of its side beside the face; the region around the first pass's points puts
        # the second pass's where tracking would.
        for _ in range(self.parameters["passes"]):
            points, presence = self.mesh.look(frame, region)
            if presence < self.parameters["presence"]:
                return None
            region = Region.of_points(points)
        return Face(points, presence, score)


def tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Squares (x, y, side) that cover a frame."""
    side = max(1, round(TILE * min(height, width)))
    step = TILE_STEP * side

    def starts(length: int) -> list[int]:
        return [round(start) for start in np.linspace(0, length - side, int(np.ceil((length - side) / step)) + 1)]

    return [(x, y, side) for y in starts(height) for x in starts(width)]


@lru_cache(maxsize=1)
def confirmed_blazeface() -> ConfirmedBlazeFace:
    """The detector of this process. NotApplicable with the command while weights are missing."""
    absent = [weights.entry(id) for id in WEIGHTS if not weights.is_present(id)]
    if absent:
        raise NotApplicable(f"weights {', '.join(entry.id for entry in absent)} are missing: {fetch_command(*absent)}")
    networks = (blazeface(FULL), blazeface(SHORT), face_mesh())
    return ConfirmedBlazeFace(*networks, {id: weights.digest(id) for id in WEIGHTS})
