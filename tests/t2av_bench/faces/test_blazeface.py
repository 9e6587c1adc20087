"""BlazeFace's decoding by another formula, by inversion and by OpenCV's suppression; the detector on known pictures."""

import cv2
import numpy as np
import pytest
from face_factory import FACE, JACKET, SquareFinder, picture, square_detector

from t2av_bench.errors import NotApplicable
from t2av_bench.faces.blazeface import BLEND_OVERLAP, FULL, SHORT, BlazeFace, Candidates, anchors, blend, decode
from t2av_bench.faces.confirmed import TILE, tiles
from t2av_bench.faces.detect import NMS_OVERLAP
from t2av_bench.faces.track import overlap


@pytest.mark.parametrize(("layout", "strides"), [(SHORT, (8, 16, 16, 16)), (FULL, (4,))])
def test_anchors_are_those_of_the_published_options(layout, strides):
    """MediaPipe states them as a stride for each of four layers of two anchors, or of one layer of one."""
    each = 2 if len(strides) > 1 else 1
    expected = []
    for stride in sorted(set(strides)):
        for row in range(layout.side // stride):
            for column in range(layout.side // stride):
                expected += [(stride * (column + 0.5), stride * (row + 0.5))] * (each * strides.count(stride))
    assert anchors(layout).tolist() == [list(place) for place in expected]


@pytest.mark.parametrize("size", [(240, 320), (321, 200), (96, 96), (1080, 1920)])
@pytest.mark.parametrize("layout", [SHORT, FULL])
def test_boxes_and_points_come_back_in_pixels_of_the_picture(size, layout):
    side = min(size) // 3
    x, y = size[1] // 2, size[0] // 4
    found = BlazeFace(SquareFinder(layout), layout).find(picture((x, y, side, FACE), size=size), 0.5)
    pixel = max(size) / layout.side  # what one pixel of the square covers
    np.testing.assert_allclose(found.boxes, [[x, y, x + side, y + side]], atol=1.01 * pixel)
    middle = np.array([x + side / 2, y + side / 2])
    np.testing.assert_allclose(found.points[0, 0], middle - [side / 4, 0], atol=1.01 * pixel)
    np.testing.assert_allclose(found.points[0, 1], middle + [side / 4, 0], atol=1.01 * pixel)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-3.0)))


def test_a_score_is_the_logistic_of_its_logit_and_weak_ones_are_left_out():
    logits = np.full(2304, -50.0, np.float32)
    logits[[3, 700, 2000]] = [0.0, 1e6, np.log(0.3 / 0.7) - 1e-3]
    rows = np.zeros((2304, 16), np.float32)
    rows[:, :4] = [0, 0, 2, 2]
    found = decode(logits, rows, FULL, 0.3)
    np.testing.assert_allclose(found.scores, [1.0, 0.5])
    np.testing.assert_allclose((found.boxes[:, :2] + found.boxes[:, 2:]) / 2, anchors(FULL)[[700, 3]])


def test_overlapping_candidates_become_one_around_those_that_suppression_keeps():
    random = np.random.default_rng(0)
    corner = random.uniform(0, 60, (40, 2))
    boxes = np.hstack([corner, corner + random.uniform(20, 40, (40, 2))])
    scores = np.sort(random.uniform(0.3, 1, 40))[::-1]
    found = blend(Candidates(boxes, scores, random.uniform(0, 100, (40, 6, 2))))
    sizes = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    kept = np.ravel(cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), 0.0, BLEND_OVERLAP))
    assert 3 < len(kept) < 40 and found.scores.tolist() == scores[kept].tolist()


def test_a_blend_is_the_mean_weighted_by_score():
    boxes = np.array([[0.0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]])
    points = np.arange(36.0).reshape(3, 6, 2)
    found = blend(Candidates(boxes, np.array([0.9, 0.6, 0.5]), points))
    np.testing.assert_allclose(found.boxes, [[0.8, 0, 10.8, 10], boxes[2]])
    np.testing.assert_allclose(found.points, [0.6 * points[0] + 0.4 * points[1], points[2]])
    assert found.scores.tolist() == [0.9, 0.5]


def test_a_network_with_other_outputs_is_refused():
    with pytest.raises(NotApplicable, match=r"blazeface_full gives \(896,\) scores .* expected 2304"):
        decode(np.zeros(896), np.zeros((896, 16)), FULL, 0.3)


def test_the_mesh_throws_out_what_only_looks_like_a_face():
    detector = square_detector()
    frame = picture((40, 60, 80, FACE), (200, 90, 70, JACKET))
    assert len(detector.full.find(frame, 0.3).boxes) == 2
    (boxes,) = detector.detect(frame[None])
    np.testing.assert_allclose(boxes[:, :4], [[40, 60, 120, 140]], atol=2)
    assert square_detector(presence=-0.1).detect(frame[None])[0].shape == (0, 5)
    assert len(square_detector(presence=0.1).detect(frame[None])[0]) == 1


def test_a_frame_s_boxes_depend_on_that_frame_alone_and_do_not_overlap():
    frames = np.stack([
        picture((40, 60, 80, FACE), (200, 90, 70, FACE)), picture(), picture((10, 10, 60, FACE)),
        picture((100, 100, 50, JACKET)),
    ])  # fmt: skip
    together = square_detector().detect(frames)
    assert [len(boxes) for boxes in together] == [2, 0, 1, 0]
    for index in (2, 0, 3, 1):
        np.testing.assert_array_equal(square_detector().detect(frames[index : index + 1])[0], together[index])
    assert overlap(together[0][:1, :4], together[0][1, :4])[0] <= NMS_OVERLAP


def test_a_small_face_is_found_in_a_tile_and_in_frame_pixels():
    frame = picture((900, 130, 36, FACE), size=(720, 1280))
    detector = square_detector()
    assert not len(detector.full.find(frame, 0.3).boxes) and not len(detector.short.find(frame, 0.3).boxes)
    np.testing.assert_allclose(detector.detect(frame[None])[0][:, :4], [[900, 130, 936, 166]], atol=1)


@pytest.mark.parametrize("size", [(720, 1280), (1920, 1080), (512, 512), (100, 1000), (1, 1), (3, 2)])
def test_tiles_cover_the_frame_and_overlap(size):
    """A face of a quarter of a tile lies whole in one of them, wherever it is."""
    seen = np.zeros(size, np.int64)
    for x, y, side in tiles(*size):
        assert 0 <= x <= size[1] - side and 0 <= y <= size[0] - side and side == max(1, round(TILE * min(size)))
        seen[y : y + side, x : x + side] += 1
    assert seen.min() >= 1
    columns = sorted({x for x, _, _ in tiles(*size)})
    assert all(after - before <= 0.75 * side for before, after in zip(columns, columns[1:], strict=False))
