"""Drift of the face: known sizes, places and colours; the background is none of it."""

import numpy as np
import pytest
from drawn_face import EYES, drawn_face

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.faces.mesh_points import FACE_OVAL
from t2av_bench.metrics import drift_mesh
from t2av_bench.metrics.colour import cielab
from t2av_bench.metrics.drift_mesh import DriftMesh, face_colour, size_and_position, start_and_end

SECONDS = np.arange(100) / 25


def with_outline(landmarks, radius: float = 90.0):
    """The face's outline as a circle about its place."""
    angle = 2 * np.pi * np.arange(len(FACE_OVAL)) / len(FACE_OVAL)
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    landmarks.points[:, FACE_OVAL, :2] = (256, 256) + circle
    return landmarks


def drift(landmarks):
    return size_and_position(landmarks.points, *start_and_end(landmarks))


def test_known_sizes_and_places():
    assert drift(drawn_face(100)) == pytest.approx((0, 0), abs=1e-5)
    # Growth by a tenth a second: the means of first and last second are 1.048 and 1.348.
    assert drift(drawn_face(100, scale=1 + 0.1 * SECONDS))[0] == pytest.approx(100 * (1.348 / 1.048 - 1), rel=1e-4)
    shrunk = drift(drawn_face(100, scale=(1 + 0.1 * SECONDS)[::-1]))[0]
    assert shrunk == pytest.approx(100 * (1.348 / 1.048 - 1), rel=1e-4)
    walked = drawn_face(100, place=200 + np.outer(SECONDS, [0.3 * EYES, 0.4 * EYES]))
    assert drift(walked) == pytest.approx((0, 3 * 0.5), abs=1e-4)
    assert drift(drawn_face(100, scale=3, place=200 + np.outer(SECONDS, [0.9 * EYES, 0]))) == pytest.approx(
        (0, 0.9), abs=1e-4
    )


def test_a_turned_head_is_no_smaller_and_a_nod_that_returns_no_drift():
    assert drift(drawn_face(100, yaw=np.linspace(0, 40, 100)))[0] == pytest.approx(0, abs=1e-3)
    there_and_back = 200 + np.outer(np.sin(2 * np.pi * SECONDS / SECONDS[-1]) ** 2, [0, 40.0])
    assert drift(drawn_face(100, place=there_and_back))[1] == pytest.approx(0, abs=1e-4)


def test_the_face_followed_counts_not_the_clip():
    landmarks = drawn_face(200, scale=np.where(np.arange(200) < 60, 5.0, 1.0), frames=np.arange(60, 160))
    assert drift(landmarks)[0] == pytest.approx(0, abs=1e-4)
    assert [len(part) for part in start_and_end(landmarks)] == [25, 25]
    with pytest.raises(Unscorable, match="the face is followed for 1.96 s; 2 s are needed"):
        start_and_end(drawn_face(200, frames=np.arange(49)))
    holes = np.setdiff1d(np.arange(100), np.arange(2, 24))
    assert [len(part) for part in start_and_end(drawn_face(100, frames=holes))] == [3, 25]


def test_the_colour_is_that_inside_the_outline():
    landmarks = with_outline(drawn_face(1))
    y, x = np.mgrid[:512, :512]
    frame = np.full((512, 512, 3), (20, 200, 30), np.uint8)
    frame[(x - 256) ** 2 + (y - 256) ** 2 < 96**2] = (200, 140, 120)
    np.testing.assert_allclose(face_colour(frame, landmarks.points[0]), cielab(frame[256, 256]), atol=1e-6)
    landmarks.points[..., 0] += 2000
    with pytest.raises(Unscorable, match="outside of the picture"):
        face_colour(frame, landmarks.points[0])


def test_the_metric(monkeypatch, pair_of):
    """A face that pales while the background turns red: the colours of the face's first and last second count."""
    count = 60
    landmarks = with_outline(drawn_face(count, size=(512, 512)))
    monkeypatch.setattr(drift_mesh, "landmarks_in", lambda clip: landmarks)
    y, x = np.mgrid[:512, :512]
    face = (x - 256) ** 2 + (y - 256) ** 2 < 100**2
    frames = np.empty((count, 512, 512, 3), np.uint8)
    for index in range(count):
        frames[index] = (4 * index, 60, 60)
        frames[index, face] = (150, 120, 110) if index < 30 else (180, 150, 140)
    found = DriftMesh().measure(pair_of(frames))
    expected = np.linalg.norm(cielab(frames[-1, 256, 256]) - cielab(frames[0, 256, 256]))
    assert found.values["drift_face_colour"] == pytest.approx(expected, rel=1e-6)
    assert found.values["drift_face_size"] == found.values["drift_face_position"] == pytest.approx(0, abs=1e-6)
    assert found.detail == {"first_frame": 0, "last_frame": 59}


def test_missing_weights_are_said_with_the_command(pair_of):
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch"):
        DriftMesh().measure(pair_of(np.zeros((60, 64, 64, 3), np.uint8)))
