"""BlazeFace (Bazarevsky et al. 2019, arXiv 1907.05047) by OpenCV's dnn: boxes and six points of a face.

Two networks of MediaPipe, Apache-2.0: ``short`` looks at a picture of 128x128 (selfies), ``full`` at 192x192. A
picture is fitted into the square, centred, the rest black, values in [-1, 1]. Each of a network's anchors is a point,
the centre of a cell of a grid; its row of 16 numbers, in pixels of the square, is the box's centre relative to the
anchor, its width and height, and x, y of the right eye, left eye (the person's own), nose, mouth, right and left ear
tragion relative to the anchor.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.faces.network import Network, read_network
from t2av_bench.faces.track import overlap

POINTS = 6
BLEND_OVERLAP = 0.3
"""Candidates that overlap the best one by more are one face, whose box is their mean weighted by score."""


@dataclass(frozen=True, slots=True)
class Layout:
    """weights: id. side: of the square input in pixels. grids: (cells a side, anchors a cell) in the outputs' order."""

    weights: str
    side: int
    grids: tuple[tuple[int, int], ...]


SHORT = Layout("blazeface_short", 128, ((16, 2), (8, 6)))
FULL = Layout("blazeface_full", 192, ((48, 1),))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Faces of one picture in its pixels, best score first: boxes (k, 4) as x1 y1 x2 y2, scores (k,) in [0, 1], points
    (k, 6, 2); float64."""

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray


def anchors(layout: Layout) -> np.ndarray:
    """(rows, 2) float64: x, y of each row's anchor in pixels of the square."""
    found = []
    for cells, repeats in layout.grids:
        centres = (np.arange(cells) + 0.5) * (layout.side / cells)
        x, y = np.meshgrid(centres, centres)
        found.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(found)


def letterbox(picture: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit a picture (H, W, 3) uint8 into the middle of a black square (side, side, 3) uint8 -> that, scale, offset.

    A point p (x, y) of the picture lies at p * scale + offset of the square; scale, offset: (2,) float64.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaging where the picture shrinks: with linear sampling a face's pixels would be picked, not seen.
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + size[1], left : left + size[0]] = small
    # Sizes are whole pixels, so that the axes' scales differ a little.
    return square, np.array(size) / [width, height], np.array([left, top], np.float64)


def decode(logits: np.ndarray, rows: np.ndarray, layout: Layout, least: float) -> Candidates:
    """All candidates with a score of at least ``least``, in pixels of the square, best first.

    logits: (rows,). rows: (rows, 16). NotApplicable where the network has other outputs.
    """
    places = anchors(layout)
    if logits.shape != (len(places),) or rows.shape != (len(places), 4 + 2 * POINTS):
        raise NotApplicable(
            f"{layout.weights} gives {logits.shape} scores and {rows.shape} boxes, expected {len(places)} of either"
        )
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= least]
    numbers = rows[order].astype(np.float64)
    centre, half = places[order] + numbers[:, :2], numbers[:, 2:4] / 2
    points = places[order, None] + numbers[:, 4:].reshape(-1, POINTS, 2)
    return Candidates(np.hstack([centre - half, centre + half]), scores[order], points)


def blend(found: Candidates) -> Candidates:
    """Weighted suppression: each group of overlapping candidates becomes one, of the best one's score."""
    left = np.arange(len(found.scores))
    groups = []
    while len(left):
        near = overlap(found.boxes[left], found.boxes[left[0]], 1e-12) > BLEND_OVERLAP
        near[0] = True
        groups.append(left[near])
        left = left[~near]
    mean = [(found.scores[group] / found.scores[group].sum())[:, None] for group in groups]
    pairs = list(zip(groups, mean, strict=True))
    return Candidates(
        np.array([(found.boxes[group] * part).sum(axis=0) for group, part in pairs]).reshape(-1, 4),
        np.array([found.scores[group[0]] for group in groups]),
        np.array([(found.points[group] * part[:, None]).sum(axis=0) for group, part in pairs]).reshape(-1, POINTS, 2),
    )


class BlazeFace:
    """One of the networks. It has no memory: a picture's candidates depend on that picture alone.

    network: has two outputs, a logit a row and 16 numbers a row.
    """

    def __init__(self, network: Network, layout: Layout) -> None:
        self._network, self.layout = network, layout

    def find(self, picture: np.ndarray, least: float) -> Candidates:
        """Faces in a picture (H, W, 3) uint8 RGB with a score of at least ``least``."""
        square, scale, offset = letterbox(picture, self.layout.side)
        logits, rows = self._network(square.astype(np.float32) / 127.5 - 1)
        found = blend(decode(logits.ravel(), rows.reshape(-1, rows.shape[-1]), self.layout, least))
        boxes = (found.boxes - np.tile(offset, 2)) / np.tile(scale, 2)
        return Candidates(boxes, found.scores, (found.points - offset) / scale)


@lru_cache(maxsize=2)
def blazeface(layout: Layout) -> BlazeFace:
    """The network of this layout, one per process."""
    return BlazeFace(read_network(layout.weights), layout)
