"""Where the page shows a mouth, from the faces that a run kept."""

from pathlib import Path

import numpy as np
import pytest

from reports.page.mouth import BOX, DOWN, EYES, Mouths
from t2av_bench.faces.find import Faces
from t2av_bench.faces.mesh_points import LEFT_EYE_OUTER, LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER
from t2av_bench.results.features import FeatureStore

DIGEST, SIZE = "ab" * 32, (400, 800)


@pytest.fixture
def features(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def mesh(frames: list[int], x: list[float], y: list[float], eyes: float) -> dict[str, np.ndarray]:
    points = np.zeros((len(frames), 468, 3), np.float32)
    for corner, aside in ((RIGHT_MOUTH_CORNER, -30), (LEFT_MOUTH_CORNER, 30)):
        points[:, corner, 0], points[:, corner, 1] = np.array(x) + aside, y
    points[:, LEFT_EYE_OUTER, 0] = eyes
    return {"frames": np.array(frames), "points": points}


def test_the_mesh_gives_the_middle_between_the_corners_of_the_mouth(features: FeatureStore) -> None:
    frames = [0, 5, 10, 20]  # the face is lost between frames 10 and 20
    features.put(DIGEST, "1" * 12, "landmarks", mesh(frames, [100, 120, 140, 180], [400, 400, 480, 640], 100))
    side, *places = Mouths(features).path(DIGEST, SIZE)
    assert side == round(1000 * EYES * 100 / 400)
    assert places == [250, 500, 300, 500, 350, 600, 400, 700, 450, 800]


def test_the_picture_does_not_swell_with_the_face(features: FeatureStore) -> None:
    arrays = mesh([0, 1, 2, 3, 4], [100] * 5, [100] * 5, 50)
    arrays["points"][4, LEFT_EYE_OUTER, 0] = 500
    features.put(DIGEST, "1" * 12, "landmarks", arrays)
    assert Mouths(features).path(DIGEST, SIZE)[0] == round(1000 * EYES * 50 / 400)


def test_boxes_do_where_there_is_no_mesh_and_each_shot_has_its_own_face(features: FeatureStore) -> None:
    def boxes(x: float, y: float, side: float) -> np.ndarray:
        return np.array([[x, y, x + side, y + side, 0.9]])

    bystander = boxes(300, 0, 20)
    detections = [np.vstack([boxes(40, 80, 80), bystander])] * 5 + [bystander] + [boxes(200, 400, 80)] * 10
    features.put(DIGEST, "2" * 12, "faces", Faces(detections, [(0, 6), (6, 16)]).to_arrays())
    side, *places = Mouths(features).path(DIGEST, SIZE)
    assert side == round(1000 * BOX * 80 / 400)
    # The bystander is seen in more frames of the first shot, and stands for it; the second shot has a face of its own.
    assert places[:2] == [round(1000 * 310 / 400), round(1000 * (20 * DOWN) / 800)]
    assert places[-2:] == [round(1000 * 240 / 400), round(1000 * (400 + 80 * DOWN) / 800)]


def test_the_mesh_comes_before_boxes(features: FeatureStore) -> None:
    features.put(DIGEST, "1" * 12, "faces", Faces([np.array([[0, 0, 80, 80, 1.0]])] * 3, [(0, 3)]).to_arrays())
    features.put(DIGEST, "2" * 12, "landmarks", mesh([0], [200], [400], 100))
    assert Mouths(features).path(DIGEST, SIZE)[1:3] == [500, 500]


def test_there_is_none_where_nothing_was_kept(features: FeatureStore) -> None:
    assert Mouths(features).path(DIGEST, SIZE) is None
    features.put(DIGEST, "1" * 12, "measurement", {"x": np.zeros(3)})
    features.put(DIGEST, "2" * 12, "landmarks", mesh([], [], [], 1))
    features.put(DIGEST, "3" * 12, "faces", Faces([np.empty((0, 5))] * 3, [(0, 3)]).to_arrays())
    mouths = Mouths(features)
    assert mouths.path(DIGEST, SIZE) is None
    assert (
        mouths.path("cd" * 32, SIZE) is None and mouths.path(None, SIZE) is None and mouths.path(DIGEST, None) is None
    )
    next(features.folder.glob("3*/*/*")).write_bytes(b"damaged")
    assert mouths.path(DIGEST, SIZE) is None
