"""How a head turns: rotations against the clip's mean pose, from the mesh's own points in space.

The eye corners, nose and temples of each frame are laid on the clip's mean of them by rotation, scale and shift (Kabsch
1976, Umeyama 1991). The mean is the person's own, so neither another head's shape nor a camera has to be assumed, and
angles are told from the clip's mean pose: where the head looks on average is unknown.
"""

import numpy as np

from t2av_bench.faces.mesh_points import LEFT_EYE_INNER, LEFT_EYE_OUTER, RIGHT_EYE_INNER, RIGHT_EYE_OUTER, RIGID

# The temples make the head wide and deep: with them drawn heads turn by steadier angles than by eyes and nose alone.
POINTS = (*RIGID, 127, 356, 234, 454, 162, 389, 21, 251)
# The mean of the laid shapes turns with the shape that they are laid on; after so many rounds it moves no more.
_ROUNDS = 4
PARAMETERS = {"pose_points": list(POINTS), "pose": "similarity to the clip's mean", "pose_rounds": _ROUNDS}


def eye_distance(points: np.ndarray) -> np.ndarray:
    """(n,) interocular distances in space: between the middles of the eyes' corners. points: (n, 468, 3) pixels."""
    points = np.asarray(points, np.float64)
    right = points[:, [RIGHT_EYE_OUTER, RIGHT_EYE_INNER]].mean(1)
    left = points[:, [LEFT_EYE_OUTER, LEFT_EYE_INNER]].mean(1)
    return np.asarray(np.linalg.norm(left - right, axis=1))


def head_rotations(points: np.ndarray) -> np.ndarray:
    """(n, 3, 3) rotations that turn the clip's mean pose into each frame's. points: (n, 468, 3) of ``Landmarks``.

    Axes as the points': x to the right, y down, z away from the viewer.
    """
    rigid = np.asarray(points, np.float64)[:, POINTS]
    rigid = rigid - rigid.mean(1, keepdims=True)
    rigid /= np.linalg.norm(rigid, axis=(1, 2), keepdims=True)
    mean = rigid.mean(0)
    for _ in range(_ROUNDS):
        turned = _rotations(mean, rigid)
        # Each frame's shape turned back onto the mean, then the mean turned to the middle of the frames' poses.
        shape = np.einsum("nij,nki->nkj", turned, rigid).mean(0)
        mean = shape @ _nearest_rotation(turned.mean(0)).T
    return _rotations(mean, rigid)


def angles(rotations: np.ndarray) -> np.ndarray:
    """(n, 3) float64 degrees of (n, 3, 3) rotations: pitch (positive up), yaw (positive to the picture's right), roll
    (positive clockwise as seen), as turns about the axes of the head, yaw first and roll last."""
    from scipy.spatial.transform import Rotation

    yaw, pitch, roll = Rotation.from_matrix(rotations).as_euler("YXZ", degrees=True).T
    return np.stack([-pitch, -yaw, roll], 1)


def angles_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) degrees from 0 to 180: how far a head turns from one pose to the other, about whatever axis."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_matrix(second) * Rotation.from_matrix(first).inv()
    return np.asarray(np.degrees(turn.magnitude()))


def _rotations(shape: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """(n, 3, 3) that lay (k, 3) on each of (n, k, 3), all centred."""
    return _nearest_rotation(np.einsum("nki,kj->nij", shapes, shape))


def _nearest_rotation(matrices: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrices)
    sign = np.sign(np.linalg.det(left @ right))
    left[..., :, 2] *= sign[..., None]  # a reflection is no rotation
    return left @ right
