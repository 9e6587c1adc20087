"""The drawn portrait: each motion shows where it should, the same bytes each time, faces that a detector finds."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the portrait is drawn by torch")

from t2av_bench.gridface.portrait.identity import CLOTHES, HAIR_STYLES, sample_identity  # noqa: E402
from t2av_bench.gridface.portrait.portrait import Portrait  # noqa: E402
from t2av_bench.gridface.speech import visemes  # noqa: E402
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, MOTION_SIZE  # noqa: E402


def _pose(**values: float) -> np.ndarray:
    motion = np.zeros((1, MOTION_SIZE), np.float32)
    for name, value in values.items():
        motion[0, MOTION_NAMES.index(name)] = value
    return motion


def _change(portrait: Portrait, **values: float) -> np.ndarray:
    """(H, W) mean absolute change of a pose from rest."""
    rest, moved = portrait.render(np.concatenate([_pose(), _pose(**values)])).astype(float)
    return np.abs(moved - rest).mean(-1)


@pytest.fixture(scope="module")
def portrait():
    return Portrait(2, 128)


@pytest.fixture(scope="module")
def track():
    from t2av_bench.gridface.speech.synthesizer import Phoneme

    symbols = ["m", "ˈɑː", "f", "ˈiː", "p", "uː", "θ", "ˈæ"] * 3
    return visemes.motion([Phoneme(s, 0.1 * i, 0.1 * (i + 1)) for i, s in enumerate(symbols)], 64, 4)


def test_two_hundred_different_people():
    people = [sample_identity(seed) for seed in range(240)]
    assert len({(p.face_width, p.skin, p.hair, p.eye_x) for p in people}) == 240
    assert {p.hair_style for p in people} == set(HAIR_STYLES) and {p.clothes for p in people} == set(CLOTHES)
    assert sum(p.glasses for p in people) > 5 and sum(p.beard > 0 for p in people) > 10
    brightness = np.array([np.mean(p.skin) for p in people])
    assert np.percentile(brightness, 90) - np.percentile(brightness, 10) > 0.3


def test_people_look_different():
    pictures = [Portrait(seed, 64).render(_pose())[0].astype(float) for seed in range(8)]
    distances = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(distances) > 8


def test_same_bytes_for_any_batch_and_any_number_of_threads(portrait, track):
    track = track[:20]
    expected = portrait.render(track, 16)
    assert expected.shape == (20, 128, 128, 3) and expected.dtype == np.uint8
    threads = torch.get_num_threads()
    try:
        for count, batch in ((1, 1), (2, 20), (2, 7)):
            torch.set_num_threads(count)
            np.testing.assert_array_equal(Portrait(2, 128).render(track, batch), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("pose", "rows", "columns"),
    [
        ({"jaw": 1.0}, (0.55, 0.95), (0.2, 0.8)),
        ({"lip_rounding": 1.0}, (0.55, 0.80), (0.3, 0.7)),
        ({"lip_width": 1.0}, (0.55, 0.80), (0.3, 0.7)),
        ({"lip_teeth": 1.0}, (0.55, 0.80), (0.3, 0.7)),
        ({"smile": 1.0}, (0.55, 0.80), (0.3, 0.7)),
        ({"blink": 1.0}, (0.35, 0.52), (0.2, 0.8)),
        ({"brow": 1.0}, (0.30, 0.52), (0.2, 0.8)),
        ({"gaze_x": 1.0}, (0.35, 0.52), (0.2, 0.8)),
        ({"gaze_y": 1.0}, (0.35, 0.52), (0.2, 0.8)),
    ],
)
def test_each_motion_shows_in_its_place_and_nowhere_else(portrait, pose, rows, columns):
    change = _change(portrait, **pose)
    where = np.zeros_like(change, bool)
    where[int(rows[0] * 128) : int(rows[1] * 128), int(columns[0] * 128) : int(columns[1] * 128)] = True
    assert change[where].max() > 25
    assert change[~where].max() <= 2


def test_closure_and_tongue_change_an_open_mouth(portrait):
    for name in ("lip_closure", "tongue"):
        poses = np.concatenate([_pose(jaw=0.7), _pose(jaw=0.7, **{name: 1.0})])
        open_mouth, changed = portrait.render(poses).astype(float)[:, 70:110, 35:93]
        assert np.abs(open_mouth - changed).max() > 40


def test_the_jaw_opens_by_degrees(portrait):
    frames = portrait.render(np.concatenate([_pose(jaw=v) for v in (0, 0.25, 0.5, 0.75, 1.0)])).astype(float)
    changed = np.abs(frames[1:] - frames[0]).mean(-1) > 30
    assert all(np.diff(changed.sum((1, 2))) > 20)


def test_the_head_follows_translation_and_leaves_the_wall(portrait):
    """Moving the whole head right by 0.045 of a 2.12-unit frame is 2.7 pixels of 128."""
    still, moved = portrait.render(np.concatenate([_pose(), _pose(x=1.0)])).astype(float)[:, 30:75, 34:94].mean(-1)
    errors = [np.abs(moved[:, 6:-6] - still[:, 6 - shift : 54 - shift]).mean() for shift in range(-5, 6)]
    assert np.argmin(errors) - 5 == 3
    assert _change(portrait, x=1.0)[:30, :10].max() == 0


def test_small_motion_makes_a_small_change(portrait):
    """No jitter: a thousandth of full motion never moves a pixel by more than two steps."""
    for name in MOTION_NAMES:
        assert _change(portrait, **{name: 0.001}).max() <= 2, name


def test_sizes_show_the_same_picture():
    small, large = (Portrait(5, size).render(_pose(jaw=0.5, yaw=0.5))[0].astype(float) for size in (128, 512))
    reduced = large.reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(reduced - small).mean() < 3.0


def test_drawing_is_differentiable(portrait):
    motion = torch.full((1, MOTION_SIZE), 0.3, requires_grad=True)
    portrait.draw(motion).square().sum().backward()
    assert torch.isfinite(motion.grad).all() and (motion.grad != 0).all()


def test_a_face_detector_finds_every_face():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    random = np.random.default_rng(0)
    for seed in range(300, 308):
        motion = np.concatenate([_pose(), _pose(jaw=1.0, yaw=0.8), _pose(lip_rounding=1.0, pitch=-0.8, roll=0.7)])
        motion[:, 8:13] += random.normal(0, 0.1, (3, 5))
        for frame in Portrait(seed, 256).render(motion):
            boxes = cascade.detectMultiScale(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 1.1, 5, minSize=(100, 100))
            assert len(boxes) >= 1, f"no face in identity {seed}"


@pytest.mark.parametrize("size", [0, 63, 513])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(ValueError, match="portrait size must be from 64 to 512"):
        Portrait(0, size)


def test_wrong_motion_is_refused(portrait):
    with pytest.raises(ValueError, match=r"motion must have shape \(frames, 16\), got \(3, 15\)"):
        portrait.render(np.zeros((3, 15), np.float32))
    with pytest.raises(ValueError, match="identity seed is 0 or larger, got -1"):
        sample_identity(-1)
    assert portrait.render(np.zeros((0, MOTION_SIZE), np.float32)).shape == (0, 128, 128, 3)
