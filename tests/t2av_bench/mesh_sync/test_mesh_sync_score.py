"""Offsets of planted shifts, and a confidence that is 0 over noise, however long the clip is."""

import numpy as np
import pytest

from t2av_bench.errors import Unscorable
from t2av_bench.mesh_sync.score import OFFSETS_MS, distances, score_distances


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def vectors(frames, early_ms=0.0, seed=0, noise=0.3):
    """Mouth (T, 24) and sound (4 T, 24) of one smooth path of vectors; the sound ``early_ms`` ahead of the mouth."""
    random = np.random.default_rng(seed)
    rows = 4 * frames + 400
    knots = random.standard_normal((rows // 12 + 4, 24))
    at = (np.arange(rows) + 24) / 12

    def path(place):
        whole = np.floor(place).astype(int)
        part = ((1 - np.cos(np.pi * (place - whole))) / 2)[:, None]
        return (1 - part) * knots[whole] + part * knots[whole + 1]

    mouth = path(at[200 : 200 + 4 * frames : 4])
    sound = path(at[200 : 200 + 4 * frames] + early_ms / 10 / 12)
    return unit(mouth + noise * random.standard_normal(mouth.shape)), unit(sound)


@pytest.mark.parametrize("early", [-400, -120, -37, -5, 0, 14, 40, 233, 520])
def test_planted_shifts_are_found_to_milliseconds(early):
    found = score_distances(distances(*vectors(200, early)))
    assert found.offset_ms == pytest.approx(early, abs=4)
    assert found.curve.argmin() == round((600 - early) / 40)
    assert found.distance == found.curve.min()


def test_distances_are_those_of_the_definition():
    mouth, sound = vectors(60)
    found = distances(mouth, sound)
    assert found.shape == (60, len(OFFSETS_MS))
    for frame, place in ((20, 60), (20, 0), (3, 20), (55, 100)):
        row = 4 * frame - OFFSETS_MS[place] // 10
        if 0 <= row < len(sound):
            assert found[frame, place] == pytest.approx(np.linalg.norm(mouth[frame] - sound[row]), abs=1e-5)
        else:
            assert np.isnan(found[frame, place])
    assert np.isnan(found[0, 0]) and not np.isnan(found[0, 60])


def noise_clips(frames, count=200):
    random = np.random.default_rng(frames)
    for _ in range(count):
        steps = random.standard_normal((frames + 4, len(OFFSETS_MS) + 8))
        smooth = sum(steps[i : i + frames, j : j + len(OFFSETS_MS)] for i in range(5) for j in range(0, 9, 2))
        yield score_distances(1.2 + 0.02 * smooth)


@pytest.mark.parametrize("frames", [60, 120, 600])
def test_confidence_over_noise_is_0_at_any_length_where_median_less_minimum_is_not(frames):
    made = list(noise_clips(frames))
    values = np.array([each.confidence for each in made])
    naive = np.array([np.median(each.curve) - each.curve.min() for each in made])
    assert abs(values.mean()) < 3.5 * values.std() / np.sqrt(len(values))
    assert naive.mean() > 10 * naive.std() / np.sqrt(len(naive))


def test_the_standard_error_is_about_the_scatter_of_confidence():
    made = list(noise_clips(1000, 100))
    scatter = np.std([each.confidence for each in made])
    assert 0.7 < np.mean([each.error for each in made]) / scatter < 1.3


def test_in_sync_the_length_does_not_move_confidence():
    short = np.mean([score_distances(distances(*vectors(90, seed=seed))).confidence for seed in range(30)])
    long = np.mean([score_distances(distances(*vectors(500, seed=seed))).confidence for seed in range(30)])
    assert short == pytest.approx(long, rel=0.05)
    assert long > 0.3


def test_frames_are_told_at_the_offset_found_and_as_played():
    mouth, sound = vectors(150, 120)
    found = score_distances(distances(mouth, sound))
    assert np.nanmean(found.frames) < 0.5 < np.nanmean(found.frames_zero)
    assert found.distance_zero == pytest.approx(np.nanmean(found.frames_zero), abs=1e-5)
    assert np.isnan(found.frames[:3]).all() and len(found.frames) == 150


def test_a_frozen_mouth_has_no_confidence():
    _, sound = vectors(250)
    still = np.repeat(unit(np.ones((1, 24))), 250, 0)
    assert abs(score_distances(distances(still, sound)).confidence) < 0.03


def test_too_short_a_clip_is_a_reason():
    with pytest.raises(Unscorable, match=r"1.20 s of face with sound can be compared, 2 s are needed"):
        score_distances(distances(*vectors(30)))
