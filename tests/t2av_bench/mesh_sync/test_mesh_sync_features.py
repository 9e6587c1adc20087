"""The mouth without the head at the source's own times, and the sound beneath it."""

from fractions import Fraction

import numpy as np
import pytest
from mesh_sync_factory import landmarks_of, speaking
from scipy.spatial.transform import Rotation

from t2av_bench.errors import Unscorable
from t2av_bench.extractors.log_mel import log_mel
from t2av_bench.mesh_sync import features
from t2av_bench.mesh_sync.features import MIRRORED, MOUTH, aligned_mouth, features_of

SOUND = np.random.default_rng(0).normal(0, 0.1, 16000 * 4).astype(np.float32)


def opening(times):
    return 6 + 4 * np.sin(2 * np.pi * 2.3 * np.asarray(times)) + 2 * np.sin(2 * np.pi * 3.9 * np.asarray(times) + 1)


def seen_at(rate, seconds=4):
    """(times of the grid's frames, landmarks) of a source at ``rate``, as the nearest-picture rule shows it."""
    rate = Fraction(rate)
    pictures = np.array([float(index / rate) for index in range(int(seconds * rate))])
    grid = np.arange(seconds * 25) / 25
    times = pictures[np.abs(pictures[None] - grid[:, None]).argmin(1)]
    return times, landmarks_of(speaking(times, opening(times)))


def test_turns_scales_and_shifts_of_each_frame_leave_no_trace():
    points = speaking(np.arange(60) / 25, opening(np.arange(60) / 25))
    random = np.random.default_rng(3)
    turns = Rotation.from_euler("YXZ", random.normal(0, 15, (60, 3)), degrees=True).as_matrix()
    moved = np.einsum("nij,nkj->nki", turns, points - points.mean((0, 1)))
    moved = moved * random.uniform(0.5, 2, (60, 1, 1)) + random.normal(0, 100, (60, 1, 3))
    expected = aligned_mouth(points)
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(aligned_mouth(moved), expected, atol=1e-3)


def test_the_axes_are_the_persons():
    mouth = aligned_mouth(speaking(np.arange(30) / 25, opening(np.arange(30) / 25)))[0]
    right, left = mouth[MOUTH.index(61)], mouth[MOUTH.index(291)]
    chin, lip = mouth[MOUTH.index(152)], mouth[MOUTH.index(0)]
    assert abs(left[1] - right[1]) < 0.01
    assert chin[1] > lip[1] + 0.5
    # The corners are 68 pixels apart, the eyes 100.
    assert left[0] - right[0] == pytest.approx(0.68, abs=0.03)


def test_mirrored_points_stand_on_the_other_side():
    assert sorted(MIRRORED) == list(range(len(MOUTH)))
    mouth = aligned_mouth(speaking(np.zeros(10), np.zeros(10)))[0]
    np.testing.assert_allclose(mouth[list(MIRRORED)] * (-1, 1, 1), mouth, atol=1e-3)


@pytest.mark.parametrize("rate", [24, 25, Fraction(30000, 1001), 30, 50])
def test_no_frame_rate_is_early_or_late(rate):
    times, found = seen_at(rate)
    mouth = features_of(found, times, SOUND).mouth[:, MOUTH.index(152), 1].astype(float)
    grid = np.arange(len(mouth)) / 25

    def error(late):
        wanted = opening(grid - late)
        return np.std(mouth - np.polyval(np.polyfit(wanted, mouth, 1), wanted))

    lags = np.arange(-20, 21) / 1000
    best = lags[np.argmin([error(late) for late in lags])]
    assert abs(best) <= 0.001
    assert error(0) < 0.12 * np.std(mouth)


def test_repeated_pictures_as_they_stand_would_be_late_or_early():
    """What the times of the source are for: frames at the grid's times would be up to half a picture off."""
    times, found = seen_at(15)
    grid = np.arange(len(times)) / 25
    true = features_of(found, times, SOUND).mouth[10:85, MOUTH.index(152), 1]
    naive = features_of(found, grid, SOUND).mouth[10:85, MOUTH.index(152), 1]
    wanted = opening(grid)[10:85]
    assert np.corrcoef(true, wanted)[0, 1] > np.corrcoef(naive, wanted)[0, 1] + 0.01


def test_short_gaps_are_bridged_and_long_ones_are_not():
    times = np.arange(100) / 25
    frames = np.array([k for k in range(100) if k not in (20, 21, 22, 23) and not 50 <= k < 56])
    found = features_of(landmarks_of(speaking(times[frames], opening(times[frames])), frames, 100), times, SOUND)
    assert found.seen[[20, 21, 22, 23]].all() and not found.seen[50:56].any()
    assert found.seen.sum() == 94 and found.share == pytest.approx(0.9)


def test_a_click_lies_in_the_row_of_its_ten_milliseconds():
    audio = np.zeros(16000, np.float32)
    audio[16 * 405] = 1.0
    rows = log_mel(audio, 25)
    assert rows.shape == (100, 40)
    assert rows.mean(1).argmax() == 40


def test_the_sound_ends_the_features_and_silence_before_it_stays():
    times, found = seen_at(25)
    late = np.concatenate([np.zeros(16000, np.float32), SOUND[:32000]])
    made = features_of(found, times, late)
    assert len(made.mouth) == 75 and made.sound.shape == (300, 40)
    assert made.sound[:98].max() < made.sound[104:].min()


def test_too_little_of_both_is_a_reason():
    times, found = seen_at(25)
    with pytest.raises(Unscorable, match=r"overlap for 1.60 s, at least 2 s are needed"):
        features_of(found, times, SOUND[: int(1.6 * 16000)])
    assert features.LEAST_SECONDS == 2
