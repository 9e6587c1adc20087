"""THEval's formulas and the corrected ones on faces whose motion is known."""

from itertools import combinations

import numpy as np
import pytest
from mesh_factory import LIPS, face, landmarks, still, wave
from scipy.spatial.transform import Rotation

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import Unscorable
from t2av_bench.faces.mesh_points import LEFT_EYEBROW, RIGHT_EYEBROW
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, metric_class, theval
from t2av_bench.metrics.base import Pair

IDS = ("theval/lips-mesh468", "theval/eyebrows-mesh468", "theval/head-mesh468")
CORRECTED = (
    theval.lip_dynamics, theval.eyebrow_dynamics, theval.head_rotation, theval.head_translation,
)  # fmt: skip
TO_THE_LETTER = (theval.theval_lip_dynamics, theval.theval_eyebrow_dynamics, theval.theval_head_motion)


def talking(count=100, period=25, amount=0.2):
    """The lips grow and shrink about their middle by a sine."""
    points = still(count)
    middle = points[:, LIPS].mean(1, keepdims=True)
    points[:, LIPS] = middle + (points[:, LIPS] - middle) * (1 + amount * wave(count, period))[:, None, None]
    return points


def raised(count=100, period=25, amount=10.0):
    """The eyebrows rise and fall by a sine, in pixels."""
    points = still(count)
    points[:, [*RIGHT_EYEBROW, *LEFT_EYEBROW], 1] -= amount * wave(count, period)[:, None]
    return points


def nodding(count=100, period=50, degrees=10.0, about="Y"):
    """The head turns by a sine about one axis through its middle."""
    points = still(count)
    middle = points.mean((0, 1))
    turn = Rotation.from_euler(about, degrees * wave(count, period)[:, None], degrees=True).as_matrix()
    return np.einsum("nij,nkj->nki", turn, points - middle) + middle


def everything(count=100):
    points = talking(count)
    points[:, [*RIGHT_EYEBROW, *LEFT_EYEBROW], 1] -= 10 * wave(count, 25)[:, None]
    middle = points.mean((0, 1))
    turn = Rotation.from_euler("YZ", np.outer(wave(count, 50), [8, 5]), degrees=True).as_matrix()
    points = np.einsum("nij,nkj->nki", turn, points - middle) + middle
    points[..., 0] += 20 * wave(count, 50)[:, None]
    return points


# Known answers --------------------------------------------------------------------------------------------------------


def test_lips_that_grow_by_a_sine():
    """Every distance is d (1 + 0.2 sin): its deviation is 0.2 d / √2."""
    lips = face()[LIPS]
    flat, deep = (
        np.mean([np.linalg.norm(lips[i, :axes] - lips[j, :axes]) for i, j in combinations(range(40), 2)])
        for axes in (2, 3)
    )
    found = landmarks(talking())
    assert theval.theval_lip_dynamics(found) == pytest.approx(0.2 / np.sqrt(2) * flat / 2, rel=1e-3)  # 512 -> 256
    assert theval.lip_dynamics(found) == pytest.approx(0.2 / np.sqrt(2) * deep / 100, rel=1e-3)


def test_eyebrows_that_rise_by_a_sine():
    """Brow straight above the eye: the mean of |sin(t + s) - sin(t)| is 2 |sin(s / 2)| 2 / π."""
    found = landmarks(raised(100, 25, 10.0))
    changes = [2 * abs(np.sin(np.pi * lag / 25)) * 2 / np.pi * 0.1 for lag in (1, theval.LAG)]
    assert theval.theval_eyebrow_dynamics(found) == pytest.approx(changes[0], rel=0.02)
    assert theval.eyebrow_dynamics(found) == pytest.approx(changes[1] * 5, rel=0.05)


@pytest.mark.parametrize("about", ["X", "Y", "Z"])
def test_a_head_that_turns_by_a_sine(about):
    found = landmarks(nodding(100, 50, 10.0, about))
    expected = 10 * 2 * np.sin(np.pi * theval.LAG / 50) * 2 / np.pi * 5
    assert theval.head_rotation(found) == pytest.approx(expected, rel=0.03)


def test_a_head_that_moves_steadily():
    points = still(50) + np.arange(50)[:, None, None] * np.array([0.6, 0.8, 0.0])  # 1 pixel a frame
    assert theval.head_translation(landmarks(points)) == pytest.approx(25 / 100, rel=1e-3)
    assert theval.head_rotation(landmarks(points)) == pytest.approx(0, abs=0.05)


def test_thevals_head_motion_by_its_formula():
    """Roll by a sine, and a shift by one: √(s v + t) in closed form."""
    points = nodding(100, 50, 6.0, "Z")
    roll, change = 6 / np.sqrt(2), 6 * 2 * np.sin(np.pi / 50) / np.sqrt(2)
    box = (points[..., :2].min(1) + points[..., :2].max(1)) / 2
    expected = np.sqrt(roll / 3 * change**2 / 3 + box.var(0).mean())
    assert theval.theval_head_motion(landmarks(points)) == pytest.approx(expected, rel=1e-3)
    shifted = still(100)
    shifted[..., 0] += 12 * wave(100, 50)[:, None]
    assert theval.theval_head_motion(landmarks(shifted)) == pytest.approx(np.sqrt(12**2 / 2 / 2), rel=1e-3)


def test_a_frozen_face_has_none_of_it():
    found = landmarks(still(40))
    for formula in (*CORRECTED, *TO_THE_LETTER):
        assert formula(found) == pytest.approx(0, abs=1e-3)


# What is corrected ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", CORRECTED)
def test_corrected_forms_do_not_depend_on_the_size_of_the_face(formula):
    points = everything()
    large, small = landmarks(points), landmarks(points * 0.4)
    assert formula(small) == pytest.approx(formula(large), rel=1e-3) and formula(large) > 0.01


@pytest.mark.parametrize("formula", CORRECTED)
def test_corrected_forms_do_not_depend_on_the_shape_of_the_frame(formula):
    points = everything()
    assert formula(landmarks(points, size=(1080, 1920))) == formula(landmarks(points))


@pytest.mark.parametrize("formula", CORRECTED)
def test_corrected_forms_do_not_depend_on_the_rate_of_the_pictures(formula):
    """Every second picture shown twice: 12.5 a second in a clip at 25."""
    points = everything(200)
    halved = points[np.arange(200) // 2 * 2]
    assert formula(landmarks(halved)) == pytest.approx(formula(landmarks(points)), rel=0.06)


def test_thevals_forms_do():
    points = everything(200)
    whole, small = landmarks(points), landmarks(points * 0.4)
    for formula in (theval.theval_lip_dynamics, theval.theval_head_motion):
        assert formula(small) == pytest.approx(0.4 * formula(whole), rel=0.02)
    tall = landmarks(points, size=(512, 1024))
    assert theval.theval_lip_dynamics(tall) < 0.95 * theval.theval_lip_dynamics(whole)
    # The same movement in 12.5 pictures a second, read at that rate, seems twice as fast.
    halved = landmarks(points[::2])
    assert theval.theval_eyebrow_dynamics(halved) > 1.8 * theval.theval_eyebrow_dynamics(whole)


def test_a_turning_head_does_not_move_its_lips():
    found = landmarks(nodding(100, 50, 25.0))
    assert theval.lip_dynamics(found) < 1e-3 < 0.3 < theval.theval_lip_dynamics(found)


def test_a_gap_is_no_step():
    """Frames that were not found are left out; nothing is measured across them."""
    points = still(60)
    points[30:, :, 0] += 50
    frames = np.concatenate([np.arange(30), np.arange(40, 70)])
    assert theval.head_translation(landmarks(points, frames)) == pytest.approx(0, abs=1e-3)
    with pytest.raises(Unscorable, match="no two frames with the face are 5 frames apart"):
        theval.steps(landmarks(still(30), np.arange(30) * 3))


# The metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", IDS)
def test_a_measurement_gives_every_quantity(id, monkeypatch):
    monkeypatch.setattr(theval, "landmarks_in", lambda clip: landmarks(everything()))
    found = create(id).measure(Pair(Item(id="clip"), Clip("clip.mp4")))
    assert found.values.keys() == {quantity.name for quantity in metric_class(id).quantities}
    assert all(value > 0 for value in found.values.values()) and not found.reasons


@pytest.mark.parametrize("id", IDS)
def test_few_frames_are_a_reason(id, monkeypatch):
    monkeypatch.setattr(theval, "landmarks_in", lambda clip: landmarks(still(24)))
    with pytest.raises(Unscorable, match="the face was found in 24 of 24 frames, at least 25 are needed"):
        create(id).measure(Pair(Item(id="clip"), Clip("clip.mp4")))


def test_the_protocol_holds_what_finds_the_points():
    protocol = create("theval/head-mesh468").protocol
    assert {"face_mesh", "blazeface_short"} <= protocol.weights.keys() and "opencv-contrib-python" in protocol.libraries
    assert protocol.parameters["lag"] == theval.LAG and "pose_points" in protocol.parameters
    assert protocol.fingerprint != create("theval/lips-mesh468").protocol.fingerprint


def test_no_label_could_be_taken_for_thevals():
    for id in (*IDS, "theval/lip-sync-mesh468", "theval/silent-lips-mesh468"):
        assert all("mesh468" in quantity.label for quantity in metric_class(id).quantities)
