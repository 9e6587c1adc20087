"""The 468-point face mesh (Kartynnik et al. 2019, arXiv 1907.06724; MediaPipe, Apache-2.0) by OpenCV's dnn.

The network sees a square region of the frame, turned so that the eyes lie level, as 192x192 pixels in [0, 1]. It
gives the points in pixels of that picture and the logit of a face being there at all.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t2av_bench.faces.mesh_points import LEFT_EYE_OUTER, POINTS, RIGHT_EYE_OUTER
from t2av_bench.faces.network import Network, read_network

WEIGHTS = "face_mesh"
SIDE = 192
REGION_SCALE = 1.5


@dataclass(frozen=True, slots=True)
class Region:
    """A turned square of a frame: centre (x, y) and side in pixels; angle in radians, clockwise as one sees it."""

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def around(cls, box: np.ndarray, right_eye: np.ndarray, left_eye: np.ndarray) -> "Region":
        """1.5 times the larger side of a box (4,) around its middle, turned by the eyes, each (2,)."""
        x1, y1, x2, y2 = (float(value) for value in box)
        dx, dy = (float(value) for value in left_eye - right_eye)
        return cls(((x1 + x2) / 2, (y1 + y2) / 2), REGION_SCALE * max(x2 - x1, y2 - y1), float(np.arctan2(dy, dx)))

    @classmethod
    def of_points(cls, points: np.ndarray) -> "Region":
        """Where the next frame's face is looked for: around the mesh's (468, >= 2) points."""
        return cls.around(box_of(points), points[RIGHT_EYE_OUTER, :2], points[LEFT_EYE_OUTER, :2])

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3) float64: pixels of the network's picture -> pixels of the frame."""
        scale = self.side / SIDE
        turn = scale * np.array([[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]])
        return np.hstack([turn, (np.array(self.centre) - turn @ [SIDE / 2, SIDE / 2])[:, None]])


def box_of(points: np.ndarray) -> np.ndarray:
    """(468, >= 2) -> (4,) float64 x1, y1, x2, y2: from forehead to chin and ear to ear."""
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)]).astype(np.float64)


def cut(frame: np.ndarray, region: Region) -> np.ndarray:
    """(H, W, 3) uint8 -> (192, 192, 3) uint8: the region; beyond the frame its edge is repeated."""
    import cv2

    matrix = region.matrix
    # Points are measured from the corner of the first pixel, OpenCV counts from its centre.
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)


class FaceMesh:
    """network: its outputs are a logit and 1404 numbers."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def look(self, frame: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
        """(H, W, 3) uint8 RGB -> points (468, 3) float32 in pixels of the frame (see ``Landmarks``), presence."""
        logit, numbers = self._network(cut(frame, region).astype(np.float32) / 255)
        points = numbers.reshape(POINTS, 3).astype(np.float64)
        matrix = region.matrix
        flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        placed = np.column_stack([flat, points[:, 2] * (region.side / SIDE)]).astype(np.float32)
        return placed, float(1 / (1 + np.exp(-np.clip(np.float64(logit.item()), -100, 100))))


@lru_cache(maxsize=1)
def face_mesh() -> FaceMesh:
    """The mesh of this process. NotApplicable where its weights are missing."""
    return FaceMesh(read_network(WEIGHTS))
