"""Identity vectors of faces: InsightFace's buffalo_l detector and ArcFace recogniser through onnxruntime.

Deng et al. 2019 (arXiv 1801.07698); alignment and scaling as InsightFace 0.7.3. The face with the largest box is
turned, scaled and moved so that its five keypoints fit the recogniser's 112x112 template best, then embedded.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench import weights
from t2av_bench.extractors import scrfd
from t2av_bench.utils.inference import onnx_session
from t2av_bench.utils.optional import require

DETECTOR, RECOGNISER = "buffalo_l_detector", "buffalo_l_recogniser"
CROP = 112
# Where eyes, nose tip and mouth corners lie in the crops that the recogniser was trained on (x, y).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The largest face of an image. vector: (512,) float32 of length 1; faces: how many were found."""

    vector: np.ndarray
    faces: int


@functools.lru_cache(maxsize=4)
def load(path: Path, digest: str | None, device: str) -> Any:
    """An onnxruntime session. ``digest`` only keys the cache."""
    return onnx_session(path, "video", device)


def sessions(device: str) -> tuple[Any, Any]:
    """Detector and recogniser from verified weights. Raises NotApplicable with the command that fetches them."""
    detector, recogniser = (load(weights.path(id), weights.digest(id), device) for id in (DETECTOR, RECOGNISER))
    return detector, recogniser


def similarity_transform(points: np.ndarray, template: np.ndarray = TEMPLATE) -> np.ndarray:
    """(2, 3) matrix of the turn, uniform scale and shift that brings points (k, 2) closest to template (k, 2).

    Least squares over the template's pixels (Umeyama 1991, without reflection). In the plane, turning and scaling is
    multiplication by one complex number, which makes this a line fit.
    """
    source, target = (values @ np.array([1, 1j]) for values in (points, template))
    centred = source - source.mean()
    factor = (centred.conj() @ (target - target.mean())) / (centred.conj() @ centred).real
    shift = target.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def align(image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """The recogniser's crop (112, 112, 3) uint8 of a face with keypoints (5, 2); black outside of the image."""
    cv2 = require("cv2", "video")
    return cv2.warpAffine(image, similarity_transform(keypoints), (CROP, CROP), borderValue=0.0)


def embed(session: Any, crops: np.ndarray) -> np.ndarray:
    """Vectors of length 1 (n, 512) float32 of aligned RGB crops (n, 112, 112, 3) uint8."""
    tensor = ((crops.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
    raw = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(tensor)})[0].astype(np.float64)
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def identify(detector: Any, recogniser: Any, image: np.ndarray) -> Identity | None:
    """The identity of the largest face of an RGB image (H, W, 3) uint8; None where no face is found."""
    found = scrfd.detect(detector, image)
    if not len(found.scores):
        return None
    crop = align(image, found.keypoints[found.largest()])
    return Identity(embed(recogniser, crop[None])[0], len(found.scores))
