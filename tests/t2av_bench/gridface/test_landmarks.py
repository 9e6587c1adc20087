"""How the mesh is held against the rig: the arithmetic on made-up readings, then a small part with real networks."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("torch", reason="the drawn face needs torch")

from t2av_bench.faces.eyelids import EYELID_WEIGHTS
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, motion
from t2av_bench.gridface.validation import drawn_landmarks as validation
from t2av_bench.gridface.validation.landmarks import DAMAGES

PAGE = Path(__file__).resolve().parents[3] / "docs/landmarks.md"


def reading(slope: float, noise: float, seed: int) -> validation.Reading:
    """A measure that is ``slope`` times the truth, and trembles."""
    random = np.random.default_rng(seed)
    truths = [random.normal(0, 1, size) for size in (len(validation.SWEPT) * validation.SWEEP, 400)]
    pairs = [{"gap": (slope * truth + random.normal(0, noise, truth.size), truth)} for truth in truths]
    return validation.Reading(*pairs, 1.0)


def test_a_measure_that_trembles_is_explained_by_as_much_as_it_does():
    """Truth over noise of standard deviation ½: correlation 1 / √1.25, and a straight line explains 1 / 1.25."""
    found = validation.rows([reading(3.0, 1.5, seed) for seed in range(8)])["gap"]
    assert found.correlation == pytest.approx(1 / np.sqrt(1.25), abs=0.01)
    assert found.r2_others == pytest.approx(1 / 1.25, abs=0.02) and found.r2_own == pytest.approx(1 / 1.25, abs=0.02)
    assert found.error == pytest.approx(np.sqrt(0.2), abs=0.02) and found.spread == pytest.approx(1, abs=0.05)


def test_persons_are_calibrated_by_others():
    """Each half of them has a slope of its own: their own line fits, the others' does not."""
    found = validation.rows([reading(1.0 + place % 2, 0.0, place) for place in range(4)])["gap"]
    assert found.r2_own == pytest.approx(1) and found.r2_others == pytest.approx(1 - (0.5**2 + 1) / 2, abs=0.05)
    assert found.correlation == pytest.approx(1)


def test_sweeps_move_one_thing_at_a_time():
    swept = validation.sweeps().reshape(len(validation.SWEPT), validation.SWEEP, -1)
    for place, name in enumerate(validation.SWEPT):
        moving = [MOTION_NAMES[index] for index in np.nonzero(np.ptp(swept[place], axis=0))[0]]
        assert moving == [name]
    assert swept.min() == -1 and swept[:, :, :7].min() == 0 and swept.max() == 1


def test_blinks_that_are_drawn_are_found_in_the_truth():
    """The rig's own lids, a blink every 1.4 to 4 seconds."""
    moved = motion([], 500, seed=3)
    opening = validation.true(moved)["eye opening, iris"]
    drawn = int((np.diff(moved[:, MOTION_NAMES.index("blink")]) == 0.5).sum()) // 2
    late = np.roll(opening, 1)
    counted = validation.blink_counts([validation.Reading({}, {"eyes": (late, opening)}, 1.0)], "eyes")
    assert counted == (drawn, drawn, drawn) and drawn > 4
    shifted = validation.Reading({}, {"eyes": (np.roll(opening, 15), opening)}, 1.0)
    assert validation.blink_counts([shifted], "eyes")[2] < drawn


@pytest.fixture
def networks(real_weights):
    for id in EYELID_WEIGHTS:
        real_weights(id)


@pytest.mark.slow
def test_the_mesh_sees_what_is_drawn(networks):
    """One person's sweeps: each measure follows its own movement.

    The bounds are far below what the page reports for sentences; mirrored or mixed-up points would miss them.
    """
    swept = validation.sweeps()
    landmarks, values = validation.seen(Portrait(301, corpus.SIZE).render(swept))
    assert len(landmarks.frames) == len(swept) and landmarks.presence.min() > 0.9
    truth = validation.true(swept)
    least = {"lip gap": 0.8, "mouth width": 0.6, "eyebrow raise": 0.6, "eye opening, iris": 0.6, "pitch": 0.4,
             "yaw": 0.8, "roll": 0.8}  # fmt: skip
    for name, bound in least.items():
        # Within the sweep that moves the measure most: the others ask what else moves it.
        parts = truth[name].reshape(len(validation.SWEPT), -1)
        own = int(np.argmax(parts.std(1)))
        value = values[name].reshape(parts.shape)[own]
        assert np.corrcoef(value, parts[own])[0, 1] > bound, name
    roll = values["roll"].reshape(len(validation.SWEPT), -1)[validation.SWEPT.index("roll")]
    drawn = truth["roll"].reshape(len(validation.SWEPT), -1)[validation.SWEPT.index("roll")]
    assert np.polyfit(drawn, roll, 1)[0] == pytest.approx(1, abs=0.15)


def test_the_page_covers_every_measure_and_damage():
    page = PAGE.read_text(encoding="utf-8")
    for name in [*DAMAGES, *validation.true(validation.sweeps()), *validation.SWEPT]:
        assert re.search(rf"^\|.*{re.escape(name)}", page, re.MULTILINE), name
