"""Landmarks of a clip's main face, frame by frame."""

from dataclasses import dataclass

import numpy as np

POINTS = 468


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The mesh of one face over a clip at 25 fps (``faces.mesh_points`` names its points).

    frames: (n,) int64, ascending numbers of the frames in which the face was found; there may be gaps.
    points: (n, 468, 3) float32: x to the right, y down in pixels of the frame, z in the same unit, smaller is nearer.
    presence: (n,) float32, the network's probability that there is a face where it looked.
    count: frames of the whole clip. size: (width, height) of the frames in pixels.
    shots: half-open ranges of frames between cuts.
    """

    frames: np.ndarray
    points: np.ndarray
    presence: np.ndarray
    count: int
    size: tuple[int, int]
    shots: tuple[tuple[int, int], ...]
