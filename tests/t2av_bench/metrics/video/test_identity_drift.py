"""Identity drift: lines and minima of cosines that are known, on vectors that a frame's colour names."""

import numpy as np
import pytest

from t2av_bench import metrics
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import arcface
from t2av_bench.metrics.identity_drift import IdentityDriftBuffaloL, similarity_over_time


def turned(degrees: float) -> np.ndarray:
    """A unit vector (512,) at an angle in the plane of the first two axes."""
    vector = np.zeros(512, np.float32)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector


def frames_of(degrees) -> np.ndarray:
    """(n, 16, 16, 3): frames whose brightness is the angle of the identity that is seen in them; 255: no face."""
    return np.broadcast_to(np.array(degrees, np.uint8)[:, None, None, None], (len(degrees), 16, 16, 3))


@pytest.fixture
def seen(monkeypatch):
    def identify(detector, recogniser, image):
        return None if image[0, 0, 0] == 255 else arcface.Identity(turned(float(image[0, 0, 0])), 1)

    monkeypatch.setattr(arcface, "sessions", lambda device: (None, None))
    monkeypatch.setattr(arcface, "identify", identify)


def measured(pair_of, degrees):
    return IdentityDriftBuffaloL().measure(pair_of(frames_of(degrees)))


def test_one_person_all_along(seen, pair_of):
    found = measured(pair_of, [30] * 120)
    assert found.values == {"identity_slope": pytest.approx(0, abs=1e-5), "identity_min": pytest.approx(1, abs=1e-6)}


def test_a_face_that_turns_into_another_one(seen, pair_of):
    """Angles a for a second, then growing by one degree every fifth frame: the line through known cosines."""
    angles = np.concatenate([np.full(25, 20), 20 + np.arange(125) // 5])
    found = measured(pair_of, angles)
    seconds = np.arange(5, 30) / 5
    cosines = np.cos(np.radians(np.arange(25)))
    assert found.values["identity_slope"] == pytest.approx(60 * np.polyfit(seconds, cosines, 1)[0], rel=1e-4)
    assert found.values["identity_min"] == pytest.approx(np.cos(np.radians(24)), abs=1e-6)
    assert found.detail["lowest_at_frame"] == 145


def test_the_first_second_is_the_mean_of_its_vectors():
    """Vectors at -40, -20, 0, 20 and 40 degrees have their mean at 0."""
    vectors = np.stack([turned(angle) for angle in (-40, -20, 0, 20, 40, *range(10))])
    np.testing.assert_allclose(similarity_over_time(vectors), np.cos(np.radians(np.arange(10))), atol=1e-6)


@pytest.mark.parametrize("angle", [10, 30, 60])
def test_a_swap_in_the_middle_lowers_both_and_more_the_stranger_the_face(seen, pair_of, angle):
    swapped = measured(pair_of, [0] * 75 + [angle] * 75).values
    assert swapped["identity_min"] == pytest.approx(np.cos(np.radians(angle)), abs=1e-6)
    nearer = measured(pair_of, [0] * 75 + [angle // 2] * 75).values
    assert swapped["identity_slope"] < nearer["identity_slope"] < 0


def test_times_count_not_places_in_a_list(seen, pair_of):
    """Without faces for two seconds the same change takes longer, so the slope is smaller; and they are counted."""
    angles = [0] * 25 + [0] * 25 + [10] * 25
    gap = [0] * 25 + [0] * 25 + [255] * 50 + [10] * 25
    found = measured(pair_of, gap)
    cosine = np.cos(np.radians(10))
    seconds = np.concatenate([np.arange(5, 10), np.arange(20, 25)]) / 5
    expected = 60 * np.polyfit(seconds, [1] * 5 + [cosine] * 5, 1)[0]
    assert found.values["identity_slope"] == pytest.approx(expected, rel=1e-4)
    assert measured(pair_of, angles).values["identity_slope"] < expected < 0
    assert found.detail["frames_without_face"] == 10


def test_reasons(seen, pair_of, monkeypatch):
    with pytest.raises(Unscorable, match=r"no face in any of 24 frames examined \(every 5th\)"):
        measured(pair_of, [255] * 120)
    with pytest.raises(Unscorable, match="too short: 14 of the frames examined have a face; 5 to compare with and 10"):
        measured(pair_of, [0] * 70)
    monkeypatch.undo()
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch buffalo_l --accept non-commercial"):
        measured(pair_of, [0] * 120)


def test_it_is_registered():
    assert metrics.metric_class("identity_drift/buffalo_l") is IdentityDriftBuffaloL
