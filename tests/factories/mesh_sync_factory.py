"""Speaking faces without pictures: landmarks and features whose mouths follow the loudness of their sound."""

import numpy as np
from mesh_factory import face

from t2av_bench.faces.landmarks import Landmarks
from t2av_bench.faces.mesh_points import CHIN, LIPS_INNER, LIPS_OUTER, NOSE_BASE, RIGHT_MOUTH_CORNER
from t2av_bench.mesh_sync.features import MIRRORED, MOUTH, MeshSyncFeatures

UPPER_LIP_TOP = 0


def symmetrical_face() -> np.ndarray:
    """(468, 3): ``mesh_factory.face`` with the mouth, the nose and the rigid points alike on both sides of x = 256."""
    points = face()
    points[list(NOSE_BASE)] = [(256, 300, -20), (236, 295, 0), (276, 295, 0)]
    points[RIGHT_MOUTH_CORNER], points[UPPER_LIP_TOP], points[CHIN] = (222, 360, 5), (256, 345, -8), (256, 430, 4)
    for place, other in enumerate(MIRRORED):
        right, left = MOUTH[place], MOUTH[other]
        if right == left:
            points[right, 0] = 256
        elif place < other:
            points[left] = points[right] * (-1, 1, 1) + (512, 0, 0)
    pairs = ((33, 263), (133, 362), (127, 356), (234, 454), (162, 389), (21, 251))
    for right, left in pairs:
        points[left] = points[right] * (-1, 1, 1) + (512, 0, 0)
    points[[168, 6, 197, 195, 5, 4], 0] = 256
    return points


def speaking(times: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """(n, 468, 3) pixels: lips and chin lower by ``opening`` (n,) pixels at each of ``times`` (n,)."""
    points = np.repeat(symmetrical_face()[None], len(times), 0)
    lower = [*LIPS_OUTER[1:10], *LIPS_INNER[1:10], CHIN]
    points[:, lower, 1] += opening[:, None]
    return points


def landmarks_of(points: np.ndarray, frames: np.ndarray | None = None, count: int | None = None) -> Landmarks:
    """As found in these frames of the grid, all of them by default."""
    frames = np.arange(len(points)) if frames is None else frames
    count = len(points) if count is None else count
    return Landmarks(
        frames, points.astype(np.float32), np.ones(len(points), np.float32), count, (640, 480), ((0, count),)
    )


def features(frames: int, seed: int, lag_rows: int = 0) -> MeshSyncFeatures:
    """A mouth that opens with a random signal, and a sound whose bands follow it ``lag_rows`` rows of 10 ms later."""
    random = np.random.default_rng(seed)
    rows = 4 * frames
    signal = np.stack([np.convolve(random.standard_normal(rows + 80), np.hanning(17), "same") for _ in range(3)], 1)
    at = np.arange(rows) + 40
    shapes = np.random.default_rng(1).standard_normal((3, len(MOUTH), 3)) * 0.02
    bands = np.random.default_rng(2).standard_normal((3, 40))
    mouth = np.einsum("tk,kpi->tpi", signal[at[::4]], shapes) + 0.002 * random.standard_normal((frames, len(MOUTH), 3))
    sound = signal[at - lag_rows] @ bands + 0.1 * random.standard_normal((rows, 40))
    return MeshSyncFeatures(mouth.astype(np.float32), np.ones(frames, bool), sound.astype(np.float32), 1.0)
