"""Stand-ins for BlazeFace and the face mesh: they see bright squares, by real pictures and real tensors.

A square's red says that something looks like a face, its green that it is one: a (255, 0, 0) square is the jacket that
BlazeFace takes for a face and the mesh does not.
"""

import cv2
import numpy as np

from t2av_bench.faces.blazeface import FULL, SHORT, BlazeFace, Layout, anchors
from t2av_bench.faces.confirmed import ConfirmedBlazeFace
from t2av_bench.faces.mesh import FaceMesh
from t2av_bench.faces.mesh_points import LEFT_EYE_OUTER, POINTS, RIGHT_EYE_OUTER

FACE, JACKET = (255, 255, 0), (255, 0, 0)


def picture(*squares, size=(240, 320)):
    """(H, W, 3) uint8 with squares (x, y, side, colour)."""
    frame = np.zeros((*size, 3), np.uint8)
    for x, y, side, colour in squares:
        frame[max(0, y) : y + side, max(0, x) : x + side] = colour
    return frame


class SquareFinder:
    """What BlazeFace's network would say of each bright square. smallest: pixels of its own picture."""

    def __init__(self, layout: Layout, smallest: int = 6):
        self.anchors, self.side, self.smallest, self.calls = anchors(layout), layout.side, smallest, 0

    def __call__(self, picture):
        self.calls += 1
        assert picture.shape == (self.side, self.side, 3) and -1 <= picture.min() and picture.max() <= 1
        logits, rows = np.full(len(self.anchors), -9.0, np.float32), np.zeros((len(self.anchors), 16), np.float32)
        seen = (picture[..., 0] > 0).astype(np.uint8)
        for x, y, width, height, _ in cv2.connectedComponentsWithStats(seen)[2][1:]:
            if min(width, height) < self.smallest:
                continue
            centre = np.array([x + width / 2, y + height / 2])
            row = int(np.argmin(np.linalg.norm(self.anchors - centre, axis=1)))
            offset = centre - self.anchors[row]
            eyes = [offset[0] - width / 4, offset[1], offset[0] + width / 4, offset[1]]
            logits[row], rows[row] = 3.0, [*offset, width, height, *eyes, *offset, *offset, *offset, *offset]
        return [logits[None, :, None], rows[None]]


class SquareMesh:
    """Points on a grid over the bright green that lies in the picture, eyes level; no green, no face.

    presence: logit where there is a face.
    """

    def __init__(self, presence: float = 6.0):
        self.presence, self.calls = presence, 0

    def __call__(self, picture):
        self.calls += 1
        assert picture.shape == (192, 192, 3) and 0 <= picture.min() and picture.max() <= 1
        y, x = np.nonzero(picture[..., 1] > 0.5)
        if len(x) < 16:
            return [np.full((1, 1, 1, 1), -6.0, np.float32), np.zeros((1, 3 * POINTS, 1, 1), np.float32)]
        left, right, top, bottom = x.min(), x.max() + 1, y.min(), y.max() + 1
        along, down = np.meshgrid(np.linspace(left, right, 26), np.linspace(top, bottom, 18))
        points = np.stack([along.ravel(), down.ravel(), np.zeros(POINTS)], axis=1)
        points[RIGHT_EYE_OUTER] = [left, (top + bottom) / 2, 0]
        points[LEFT_EYE_OUTER] = [right, (top + bottom) / 2, 0]
        return [np.full((1, 1, 1, 1), self.presence, np.float32), points.astype(np.float32).reshape(1, -1, 1, 1)]


def square_detector(presence: float = 6.0) -> ConfirmedBlazeFace:
    """The detector on stand-in networks; ``full``, ``short`` and ``mesh`` count their calls (``_network.calls``)."""
    finders = (BlazeFace(SquareFinder(layout), layout) for layout in (FULL, SHORT))
    return ConfirmedBlazeFace(*finders, FaceMesh(SquareMesh(presence)))
