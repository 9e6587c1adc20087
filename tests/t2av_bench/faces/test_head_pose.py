"""Head rotations against scipy's, of a face that is turned by known angles."""

import numpy as np
import pytest
from mesh_factory import still
from scipy.spatial.transform import Rotation

from t2av_bench.faces import head_pose


def turned(points: np.ndarray, rotations: Rotation, scale: float = 1.0) -> np.ndarray:
    """Each frame turned about the face's middle, made larger, and moved."""
    middle = points.mean((0, 1))
    return np.einsum("nij,nkj->nki", rotations.as_matrix(), points - middle) * scale + middle + (7.0, -3.0, 2.0)


def test_known_rotations_are_found_against_their_mean():
    true = Rotation.from_euler("YXZ", np.random.default_rng(1).normal(0, 12, (40, 3)), degrees=True)
    found = Rotation.from_matrix(head_pose.head_rotations(turned(still(40), true, 0.5)))
    mean = true.mean()
    np.testing.assert_allclose((found * (true * mean.inv()).inv()).magnitude(), 0, atol=1e-3)


def test_they_are_those_of_scipy_with_noise_on_the_points():
    points = still(30) + np.random.default_rng(2).normal(0, 2, (30, 468, 3))
    found = head_pose.head_rotations(points)
    rigid = points[:, head_pose.POINTS]
    rigid = rigid - rigid.mean(1, keepdims=True)
    rigid /= np.linalg.norm(rigid, axis=(1, 2), keepdims=True)
    shape = np.einsum("nij,nki->nkj", found, rigid).mean(0)
    for rotation, each in zip(found, rigid, strict=True):
        expected, _ = Rotation.align_vectors(each, shape)
        np.testing.assert_allclose(rotation, expected.as_matrix(), atol=1e-4)


@pytest.mark.parametrize(
    ("axis", "degrees", "expected"),
    [
        # x to the right, y down, z away: about x by the right-hand rule the nose (-z) goes down, about y to the left.
        ("X", 10, (-10, 0, 0)),
        ("Y", 10, (0, -10, 0)),
        ("Z", 10, (0, 0, 10)),
    ],
)
def test_signs_of_the_angles(axis, degrees, expected):
    rotation = Rotation.from_euler(axis, [[degrees]], degrees=True)
    np.testing.assert_allclose(head_pose.angles(rotation.as_matrix())[0], expected, atol=1e-9)
    nose = rotation.apply([0.0, 0, -1])[0]
    assert np.sign(nose[0]) == np.sign(expected[1]) and np.sign(-nose[1]) == np.sign(expected[0])


def test_angles_between_poses():
    first = Rotation.from_euler("YXZ", [[20, 5, 0], [0, 0, 0]], degrees=True)
    turn = Rotation.from_rotvec(np.radians([[3.0, 0, 4.0], [0, 0, 90]]))
    found = head_pose.angles_between(first.as_matrix(), (turn * first).as_matrix())
    np.testing.assert_allclose(found, [5, 90], atol=1e-6)


def test_a_mirrored_shape_is_not_taken_for_a_turned_one():
    points = still(5)
    points[4, :, 0] *= -1
    assert np.allclose(np.linalg.det(head_pose.head_rotations(points)), 1)


def test_eye_distance_in_space():
    points = still(2)
    assert head_pose.eye_distance(points) == pytest.approx([100, 100])
    turn = Rotation.from_euler("Y", [[0], [50]], degrees=True)
    assert head_pose.eye_distance(turned(points, turn)) == pytest.approx([100, 100])
