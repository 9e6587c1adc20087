"""Regions of the face mesh: whatever square of the frame the network sees, its points come back where they are."""

import cv2
import numpy as np
import pytest

from t2av_bench.faces.mesh import REGION_SCALE, SIDE, FaceMesh, Region, box_of, cut
from t2av_bench.faces.mesh_points import LEFT_EYE_OUTER, POINTS, RIGHT_EYE_OUTER

DOTS = np.array([[130.0, 90.0], [190.0, 100.0], [160.0, 140.0]])


def dotted(size=(240, 320)):
    """White discs of radius 5 at ``DOTS`` (measured from the corner of the first pixel)."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    frame = np.zeros((*size, 3), np.uint8)
    for index, (column, row) in enumerate(DOTS):
        frame[(x - column) ** 2 + (y - row) ** 2 < 25, index] = 255
    return frame


def find_dots(picture):
    """A network that knows where the discs are in its picture; every third point is at the same disc."""
    assert picture.shape == (SIDE, SIDE, 3) and picture.dtype == np.float32 and picture.max() <= 1
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    centres = [[(channel * x).sum(), (channel * y).sum(), 8 * channel.sum()] / channel.sum() for channel in
               picture.transpose(2, 0, 1).astype(np.float64)]  # fmt: skip
    return [np.full((1, 1, 1, 1), 2.0, np.float32), np.float32(centres * (POINTS // 3)).reshape(1, 1, 1, -1)]


@pytest.mark.parametrize(
    "region",
    [
        Region((160.0, 110.0), 120.0, 0.0),
        Region((150.5, 117.25), 140.0, 0.6),
        Region((165.0, 105.0), 260.0, -2.4),  # reaches beyond the frame
        Region((160.0, 110.0), 192.0, np.pi / 2),
    ],
)
def test_points_come_back_where_they_are_in_the_frame(region):
    points, presence = FaceMesh(find_dots).look(dotted(), region)
    assert points.shape == (POINTS, 3) and points.dtype == np.float32
    np.testing.assert_allclose(points[:3, :2], DOTS, atol=0.15)
    np.testing.assert_allclose(points[:, 2], 8 * region.side / SIDE, rtol=1e-5)
    assert presence == pytest.approx(1 / (1 + np.exp(-2)))


def test_a_region_of_192_pixels_that_is_not_turned_is_a_slice_of_the_frame():
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert np.array_equal(cut(frame, Region((120.0, 100.0), SIDE, 0.0)), frame[4:196, 24:216])


def test_beyond_the_frame_its_edge_is_repeated():
    frame = np.zeros((50, 50, 3), np.uint8)
    frame[:, 0] = 77
    assert (cut(frame, Region((-200.0, 25.0), 100.0, 0.0)) == 77).all()


def test_a_region_is_one_and_a_half_of_the_larger_side_with_the_eyes_level():
    region = Region.around(np.array([100.0, 50, 160, 90]), np.array([110.0, 60]), np.array([140.0, 90]))
    assert region == Region((130.0, 70.0), 90.0, pytest.approx(np.pi / 4)) and REGION_SCALE == 1.5
    turned = np.linalg.solve(region.matrix[:, :2], np.array([[110.0, 60], [140, 90]]).T - region.matrix[:, 2:])
    assert turned[1, 0] == pytest.approx(turned[1, 1]) and turned[0, 0] < turned[0, 1]


def test_the_next_region_holds_the_points_and_follows_their_turn():
    random = np.random.default_rng(1)
    points = random.uniform(-50, 50, (POINTS, 3)).astype(np.float32)
    points[RIGHT_EYE_OUTER], points[LEFT_EYE_OUTER] = [-20, 3, 0], [20, 3, 0]
    upright = Region.of_points(points)
    np.testing.assert_allclose(box_of(points), [*points[:, :2].min(axis=0), *points[:, :2].max(axis=0)])
    assert upright.angle == 0 and upright.side == pytest.approx(1.5 * np.ptp(points[:, :2], axis=0).max())
    upside_down = Region.of_points(points * [-1, -1, 1])
    assert abs(upside_down.angle) == pytest.approx(np.pi) and upside_down.side == upright.side


def test_the_cut_is_opencvs_rotation_about_the_centre():
    """Another way to the same picture: turn the whole frame about the centre, then slice."""
    frame = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (300, 300, 3), dtype=np.uint8), (0, 0), 4)
    angle = 0.4
    whole = cv2.warpAffine(frame, cv2.getRotationMatrix2D((149.5, 149.5), np.degrees(angle), 1.0), (300, 300))
    seen = cut(frame, Region((150.0, 150.0), SIDE, angle))
    assert np.abs(seen.astype(int) - whole[54:246, 54:246]).max() <= 2
