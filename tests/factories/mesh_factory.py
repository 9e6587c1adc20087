"""Landmarks whose motion is known: one fixed face of 468 points that formulas can be asked about in closed form."""

import numpy as np

from t2av_bench.faces import mesh_points as mesh
from t2av_bench.faces.landmarks import Landmarks

LIPS = [*mesh.LIPS_OUTER, *mesh.LIPS_INNER]
# Points of the eye, its outer and inner corner, the brow, and how far to the right the eye lies.
SIDES = (
    (mesh.RIGHT_EYE, mesh.RIGHT_EYE_OUTER, mesh.RIGHT_EYE_INNER, mesh.RIGHT_EYEBROW, 206),
    (mesh.LEFT_EYE, mesh.LEFT_EYE_OUTER, mesh.LEFT_EYE_INNER, mesh.LEFT_EYEBROW, 306),
)


def face() -> np.ndarray:
    """(468, 3) float64: eye centres 100 pixels apart and level, lips around (256, 360), brows 40 above the eyes."""
    random = np.random.default_rng(0)
    points = random.uniform((156, 156, -40), (356, 420, 40), (468, 3))
    for eye, outer, inner, brow, x in SIDES:
        place = np.array([x, 220.0, 0])
        for points_of, centre in ((list(eye), place), (list(brow), place - (0, 40, 0))):
            cloud = random.normal(0, 5, (len(points_of), 3))
            points[points_of] = centre + cloud - cloud.mean(0)
        # The corners lie on one line with the centre, which they share with the other points of the eye.
        others = [point for point in eye if point not in (outer, inner)]
        side = np.array([15.0 if x > 256 else -15.0, 0, 0])
        points[outer], points[inner] = place + side, place - side
        points[others] += place - points[others].mean(0)
    lips = random.normal(0, (20, 10, 4), (len(LIPS), 3))
    points[LIPS] = (256, 360, 0) + lips
    return points


def landmarks(points: np.ndarray, frames: np.ndarray | None = None, size: tuple[int, int] = (512, 512)) -> Landmarks:
    """points: (n, 468, 3). frames: their numbers, 0 to n - 1 by default."""
    frames = np.arange(len(points)) if frames is None else np.asarray(frames)
    count = int(frames[-1]) + 1
    return Landmarks(
        frames, np.asarray(points, np.float32), np.ones(len(points), np.float32), count, size, ((0, count),)
    )


def still(count: int) -> np.ndarray:
    """(count, 468, 3): the face, not moving."""
    return np.repeat(face()[None], count, 0)


def wave(count: int, period: int) -> np.ndarray:
    """(count,) a sine of whole periods, its mean 0 and its standard deviation √½."""
    return np.sin(2 * np.pi * np.arange(count) / period)
