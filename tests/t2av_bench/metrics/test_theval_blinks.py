"""Blinks of eye openings that are known, and the outlines of the network on eyes that are known to close."""

import numpy as np
import pytest
from mesh_factory import landmarks, still

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.faces.eyelids import openness
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, theval, theval_blinks
from t2av_bench.metrics.base import Pair
from t2av_bench.results.aggregate import summarise
from t2av_bench.scores import Score

COURSE = [0.4, 0.1, 0.1, 0.3, 0.6, 0.9]  # the lids' way, as a share of what they are open


def openings(count: int, starts: list[int], level: float = 0.3, noise: float = 0.01) -> np.ndarray:
    found = level + np.random.default_rng(0).normal(0, noise, count)
    for start in starts:
        course = np.array(COURSE)[: count - start]
        found[start : start + len(course)] *= course
    return found


@pytest.mark.parametrize("level", [0.15, 0.3])
@pytest.mark.parametrize("starts", [[], [40], [10, 60, 110, 160], [0, 30, 45, 195]])
def test_known_blinks_are_counted(starts, level):
    found = theval_blinks.blinks(openings(200, starts, level, 0.05 * level))
    assert found[:, 0].tolist() == starts


def test_eyes_that_narrow_slowly_or_stay_shut_do_not_blink():
    narrowing = np.linspace(0.35, 0.12, 200)
    shut = np.full(200, 0.3)
    shut[80:93] = 0.05
    assert not len(theval_blinks.blinks(narrowing)) and not len(theval_blinks.blinks(shut))
    shut[92] = 0.3  # half a second
    assert theval_blinks.blinks(shut).tolist() == [[80, 92]]


def test_the_opening_of_an_outline():
    """Lids 4 apart on an eye that is 16 wide, however it is turned and placed."""
    outline = np.zeros((71, 3))
    outline[[0, 8], 0] = 0, 16
    outline[1:8, :2] = np.stack([np.arange(2, 16, 2), np.full(7, 2)], 1)
    outline[9:16, :2] = np.stack([np.arange(2, 16, 2), np.full(7, -2)], 1)
    assert openness(outline) == 0.25
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    assert openness(3 * outline @ turn.T + 7) == pytest.approx(0.25)


def test_the_rate_of_a_set_is_its_blinks_over_its_minutes(monkeypatch):
    scores = []
    for count, starts in ((250, [20, 120]), (50, [])):
        monkeypatch.setattr(theval, "landmarks_in", lambda clip, count=count: landmarks(still(count)))
        found = openings(count, starts)
        monkeypatch.setattr(theval_blinks, "eye_opening", lambda clip, found=found: found)
        measured = create("theval/blinks-iris").measure(Pair(Item(id="clip"), Clip("clip.mp4")))
        assert measured.detail["blinks"] == starts
        scores.append(Score.ok(measured.values["blink_rate"], measured.weight))
    assert scores[0].value == pytest.approx(12)  # two in ten seconds
    quantity = theval_blinks.Blinks.quantities[0]
    assert summarise(quantity, scores).score.value == pytest.approx(2 / (12 / 60))
