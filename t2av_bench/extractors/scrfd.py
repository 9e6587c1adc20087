"""SCRFD face detection (``det_10g.onnx`` of InsightFace's buffalo_l) through onnxruntime.

Guo et al. 2021 (arXiv 2105.04714); resize, decoding and suppression as InsightFace 0.7.3 does them. The network has
nine outputs, three kinds by three strides (8, 16, 32), in the order scores, boxes, keypoints. Each row belongs to one
of two anchors of one cell, rows in raster order: a score in [0, 1]; distances of the box's left, top, right and bottom
edge from the anchor; and x, y of five points relative to it (eyes, nose, mouth corners), all in strides. An anchor
lies on its cell's top left corner.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.optional import require

STRIDES = (8, 16, 32)
ANCHORS = 2
SCORE_THRESHOLD = 0.5
OVERLAP_THRESHOLD = 0.4


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces of one image in pixels, best score first: boxes (n, 4) as x1 y1 x2 y2, scores (n,), keypoints (n, 5, 2)."""

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray

    def largest(self) -> int:
        """Index of the face with the largest box; the better score among equals."""
        size = self.boxes[:, 2:] - self.boxes[:, :2]
        return int(np.argmax(size[:, 0] * size[:, 1]))


def detection_side(height: int, width: int) -> int:
    """Side of the square network input: 512 for 512x512 images, which then are not resized, else 640."""
    return 512 if (height, width) == (512, 512) else 640


def letterbox(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Fit an image (H, W, 3) uint8 into the top left of a black square: ((side, side, 3) uint8, scale)."""
    cv2 = require("cv2", "video")
    height, width = image.shape[:2]
    ratio = height / width
    size = (max(1, int(side / ratio)), side) if ratio > 1 else (side, max(1, int(side * ratio)))
    square = np.zeros((side, side, 3), np.uint8)
    square[: size[1], : size[0]] = cv2.resize(image, size)
    return square, size[1] / height


def decode(outputs: list[np.ndarray], side: int) -> Detections:
    """Network outputs for a (side, side) input -> all candidates above the score threshold, in input pixels."""
    expected = 3 * len(STRIDES)
    if len(outputs) != expected:
        raise NotApplicable(f"the face detector has {len(outputs)} outputs; SCRFD with keypoints has {expected}")
    found: tuple[list[np.ndarray], ...] = ([], [], [])
    for level, stride in enumerate(STRIDES):
        cells = side // stride
        scores, boxes, points = (
            np.asarray(outputs[level + kind * len(STRIDES)], np.float64).reshape(-1, columns)
            for kind, columns in enumerate((1, 4, 10))
        )
        rows = ANCHORS * cells * cells
        if not len(scores) == len(boxes) == len(points) == rows:
            raise NotApplicable(f"the face detector has {len(scores)} scores at stride {stride}; expected {rows}")
        chosen = np.flatnonzero(scores[:, 0] >= SCORE_THRESHOLD)
        cell = chosen // ANCHORS
        anchors = np.stack([cell % cells, cell // cells], axis=1) * float(stride)
        edges = boxes[chosen] * stride
        found[0].append(np.hstack([anchors - edges[:, :2], anchors + edges[:, 2:]]))
        found[1].append(scores[chosen, 0])
        found[2].append(anchors[:, None] + points[chosen].reshape(-1, 5, 2) * stride)
    return Detections(*(np.concatenate(parts) for parts in found))


def suppress(candidates: Detections) -> Detections:
    """Keep the best of overlapping candidates (overlap above 0.4 in pixels, edges counted inclusively)."""
    order = np.argsort(-candidates.scores, kind="stable")
    boxes = candidates.boxes[order]
    sizes = boxes[:, 2:] - boxes[:, :2] + 1
    areas = sizes[:, 0] * sizes[:, 1]
    alive = np.ones(len(order), bool)
    kept = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(order[i])
        corner = np.minimum(boxes[i, 2:], boxes[:, 2:]) - np.maximum(boxes[i, :2], boxes[:, :2]) + 1
        shared = np.maximum(corner, 0).prod(axis=1)
        alive &= shared / (areas[i] + areas - shared) <= OVERLAP_THRESHOLD
    return Detections(candidates.boxes[kept], candidates.scores[kept], candidates.keypoints[kept])


def detect(session: Any, image: np.ndarray) -> Detections:
    """Faces of one RGB image (H, W, 3) uint8, in its pixels; ``session`` is an onnxruntime session of the detector."""
    side = detection_side(*image.shape[:2])
    square, scale = letterbox(image, side)
    tensor = ((square.astype(np.float32) - 127.5) / 128.0).transpose(2, 0, 1)[None]
    candidates = decode(session.run(None, {session.get_inputs()[0].name: tensor}), side)
    in_image = Detections(candidates.boxes / scale, candidates.scores, candidates.keypoints / scale)
    return suppress(in_image)
