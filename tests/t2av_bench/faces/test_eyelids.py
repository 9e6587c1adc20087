"""What the eyelid network is shown, and what is made of its outlines; a stand-in answers in its place."""

import numpy as np
import pytest
from mesh_factory import landmarks, still

from t2av_bench.faces import eyelids
from t2av_bench.faces.mesh_points import LEFT_EYE_INNER, LEFT_EYE_OUTER, RIGHT_EYE_INNER, RIGHT_EYE_OUTER


class Watching:
    """Keeps the pictures; its outline is 16 wide, and as high in pixels as the picture's red is bright."""

    def __init__(self):
        self.pictures = []

    def __call__(self, picture):
        self.pictures.append(picture)
        outline = np.zeros((71, 3), np.float32)
        outline[eyelids.CORNERS, 0] = 0, 16
        outline[eyelids.UPPER, 1] = -10 * picture[..., 0].mean()
        return [np.zeros((1, 15), np.float32), outline.reshape(1, -1)]


@pytest.fixture
def frames():
    """Three frames, ever brighter; a green spot beside the outer corner of either eye, a blue one beside the inner."""
    found = np.zeros((3, 512, 512, 3), np.uint8)
    found[..., 0] = np.array([60, 120, 240])[:, None, None]
    points = still(1)[0]
    for outer, inner in ((RIGHT_EYE_OUTER, RIGHT_EYE_INNER), (LEFT_EYE_OUTER, LEFT_EYE_INNER)):
        away = np.sign(points[outer, 0] - points[inner, 0]) * 6
        for point, shift, channel in ((outer, away, 1), (inner, -away, 2)):
            x, y = int(points[point, 0] + shift), int(points[point, 1])
            found[:, y - 3 : y + 4, x - 3 : x + 4, channel] = 255
    return found


def test_both_eyes_are_shown_as_a_left_one(frames):
    network = Watching()
    eyelids.openings([frames[:1]], landmarks(still(1)), network)
    assert [picture.shape for picture in network.pictures] == [(64, 64, 3)] * 2
    for picture in network.pictures:
        outer, inner = (np.average(np.arange(64), weights=picture[..., channel].sum(0)) for channel in (1, 2))
        assert inner < 26 and outer > 38 and picture.max() <= 1
        assert np.average(np.arange(64), weights=picture[..., 1].sum(1)) == pytest.approx(31.5, abs=1.5)


def test_openings_of_the_frames_in_which_the_face_was_found(frames):
    found = landmarks(still(2), np.array([0, 2]))
    expected = np.array([60, 240]) / 255 * 10 / 16
    for batches in ([frames], [frames[:1], frames[1:]]):
        np.testing.assert_allclose(eyelids.openings(batches, found, Watching()), expected, atol=0.01)


def test_the_protocol_names_the_network():
    protocol = eyelids.eyelid_protocol()
    assert set(eyelids.EYELID_WEIGHTS) == protocol.weights.keys() and protocol.parameters["eyelids"] == "iris"
