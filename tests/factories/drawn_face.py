"""Landmarks of a drawn face whose mouth, head and size are known in every frame."""

import numpy as np

from t2av_bench.faces.landmarks import Landmarks
from t2av_bench.faces.mesh_points import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    LIPS_INNER,
    LIPS_OUTER,
    POINTS,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
)

EYES = 80.0
"""Interocular distance of the drawn face at scale 1, in pixels."""


def drawn_face(
    count: int, *, gap=0.0, place=(256.0, 256.0), scale=1.0, yaw=0.0, roll=0.0, frames=None,
    size: tuple[int, int] = (512, 512), noise: float = 0.0,
) -> Landmarks:  # fmt: skip
    """Landmarks in ``count`` frames, or in those of them that ``frames`` names.

    Each of these is a number or one a frame. gap: between the inner lips, in interocular distances. place: (2,) or
    (count, 2) pixels of the face's middle. scale: of the face. yaw, roll: degrees. noise: pixels in each coordinate.
    """
    random = np.random.default_rng(0)
    points = np.broadcast_to(random.normal(0, 60, (POINTS, 3)), (count, POINTS, 3)).copy()
    corners = {RIGHT_EYE_OUTER: -56.0, RIGHT_EYE_INNER: -24.0, LEFT_EYE_INNER: 24.0, LEFT_EYE_OUTER: 56.0}
    for point, x in corners.items():
        points[:, point] = x, -30.0, 0.0
    angle = 2 * np.pi * np.arange(20) / 20
    down, across = np.broadcast_to(gap, count)[:, None] * EYES, 0.6 * EYES
    for lips, thickness in ((LIPS_INNER, 0.0), (LIPS_OUTER, 16.0)):
        ring = [-np.cos(angle) * across / 2, 50 + np.sin(angle) * (down + thickness) / 2, 0 * angle]
        points[:, lips] = np.stack(np.broadcast_arrays(*ring), axis=-1)
    turn, tilt = (np.radians(np.broadcast_to(value, count)) for value in (yaw, roll))
    one, none = np.ones(count), np.zeros(count)
    about_y = np.array([[np.cos(turn), none, np.sin(turn)], [none, one, none], [-np.sin(turn), none, np.cos(turn)]])
    about_z = np.array([[np.cos(tilt), -np.sin(tilt), none], [np.sin(tilt), np.cos(tilt), none], [none, none, one]])
    points = np.einsum("ijn,jkn,npk->npi", about_z, about_y, points)
    points *= np.broadcast_to(scale, count)[:, None, None]
    points[..., :2] += np.broadcast_to(place, (count, 2))[:, None]
    points += random.normal(0, noise, points.shape)
    kept = np.arange(count) if frames is None else np.asarray(frames)
    return Landmarks(
        kept.astype(np.int64), points[kept].astype(np.float32), np.ones(len(kept), np.float32), count, size,
        ((0, count),),
    )  # fmt: skip
