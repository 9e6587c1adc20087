"""Frozen mouths and heads: shares that are known, what moves without being the mouth, gaps, and real clips."""

import media_factory
import numpy as np
import pytest
from drawn_face import EYES, drawn_face

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import frozen_mesh
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.frozen_mesh import BOUND, FrozenMesh, frozen_share
from t2av_bench.metrics.mesh_motion import eye_distance, head_place, mouth_gap

SYLLABLES = 0.1 + 0.1 * np.sin(2 * np.pi * np.arange(200) / 6)  # four in a second


def mouth(landmarks) -> float:
    return frozen_share(landmarks, mouth_gap(landmarks.points))


def head(landmarks) -> float:
    return frozen_share(landmarks, head_place(landmarks.points))


def test_signals_are_in_interocular_distances_whatever_the_pose():
    for pose in ({}, {"scale": 0.5}, {"yaw": 35}, {"roll": 20, "yaw": -20, "scale": 2, "place": (90, 400)}):
        landmarks = drawn_face(3, gap=[0.1, 0.2, 0.3], **pose)
        assert eye_distance(landmarks.points) == pytest.approx([EYES * pose.get("scale", 1)] * 3, rel=1e-5)
        np.testing.assert_allclose(mouth_gap(landmarks.points), [[0.1], [0.2], [0.3]], atol=1e-5)
    moved = head_place(drawn_face(2, place=[(100, 100), (180, 60)]).points)
    np.testing.assert_allclose(moved[1] - moved[0], [1, -0.5, 0, 0], atol=1e-5)


def test_speech_is_not_frozen_and_short_pauses_are_not():
    assert mouth(drawn_face(200, gap=SYLLABLES)) == 0
    paused = np.where(np.arange(200) % 50 < 23, SYLLABLES, 0.5)
    assert mouth(drawn_face(200, gap=paused)) == pytest.approx(4 * 27 / 200)
    paused = np.where(np.arange(200) % 50 < 27, SYLLABLES, 0.5)
    assert mouth(drawn_face(200, gap=paused)) == 0


def test_half_a_clip_without_mouth_motion_and_more_in_order():
    stops = [mouth(drawn_face(200, gap=np.where(np.arange(200) < stop, SYLLABLES, 0.3))) for stop in (200, 150, 50, 0)]
    assert stops == pytest.approx([0, 0.25, 0.75, 1])


def test_the_bound():
    swing = (-1.0) ** np.arange(60) / 2
    assert mouth(drawn_face(60, gap=0.5 + 0.99 * BOUND * swing)) == 1
    assert mouth(drawn_face(60, gap=0.5 + 1.01 * BOUND * swing)) == 0


@pytest.mark.parametrize(
    "motion",
    [{"place": 200 + np.outer(np.arange(100), [2.0, 1.0])}, {"scale": np.linspace(1, 2, 100)},
     {"yaw": 30 * np.sin(np.arange(100) / 8)}, {"roll": np.linspace(-20, 20, 100)}],
    ids=["walk", "zoom", "turn", "tilt"],
)  # fmt: skip
def test_a_moving_head_is_no_moving_mouth(motion):
    landmarks = drawn_face(100, gap=0.1, **motion)
    assert mouth(landmarks) == 1
    assert head(landmarks) == 0


def test_a_talking_head_that_does_not_move():
    landmarks = drawn_face(100, gap=SYLLABLES[:100])
    assert (mouth(landmarks), head(landmarks)) == (0, 1)


def test_trembling_landmarks_are_no_motion_and_size_does_not_matter():
    """Noise of 0.3 % of the interocular distance in each coordinate."""
    for scale in (0.5, 1, 3):
        landmarks = drawn_face(200, gap=0.1, scale=scale, noise=0.003 * EYES * scale)
        assert mouth(landmarks) == head(landmarks) == 1


def test_seconds_with_gaps_are_not_judged():
    """Of runs of 60 and 24 frames the first alone can be judged, in which 30 are still."""
    gap = np.where(np.arange(100) < 30, SYLLABLES[:100], 0.3)
    frames = np.concatenate([np.arange(60), np.arange(70, 94)])
    assert mouth(drawn_face(100, gap=gap, frames=frames)) == pytest.approx(0.5)
    with pytest.raises(Unscorable, match=r"seen for 24 frames on end at most; 25 \(1 s\) are needed"):
        mouth(drawn_face(100, frames=np.arange(70, 94)))


def test_the_metric(monkeypatch, pair_of):
    landmarks = drawn_face(100, gap=SYLLABLES[:100], frames=np.arange(10, 90))
    monkeypatch.setattr(frozen_mesh, "landmarks_in", lambda clip: landmarks)
    found = FrozenMesh().measure(pair_of(np.zeros((1, 16, 16, 3), np.uint8)))
    assert found.values == {"frozen_mouth": 0, "frozen_head": 1}
    assert found.detail == {"frames": 100, "frames_with_face": 80}


def test_missing_weights_are_said_with_the_command(pair_of):
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch"):
        FrozenMesh().measure(pair_of(np.zeros((30, 64, 64, 3), np.uint8)))


@pytest.mark.slow
def test_a_real_clip_its_frozen_half_and_other_rates(short_clips, real_weights, tmp_path):
    for id in FrozenMesh.weights:
        real_weights(id)

    def measured(path):
        return FrozenMesh().measure(Pair(Item(id="clip"), Clip(path))).values

    assert measured(short_clips / "hdtf_aoc.mp4") == {"frozen_mouth": 0, "frozen_head": 0}
    frames = Clip(short_clips / "hdtf_aoc.mp4").frames_at(range(60))
    for last, expected in ((59, 0), (29, 0.5), (0, 1)):
        still = media_factory.write_clip(tmp_path / "still.mp4", frames[np.minimum(np.arange(60), last)])
        assert measured(still) == {name: pytest.approx(expected, abs=0.06) for name in ("frozen_mouth", "frozen_head")}
    for rate, name in ((24, "a.mp4"), (30, "a.mkv")):
        times = np.minimum(np.arange(12 * rate // 5) * 25 // rate, 29)
        path = media_factory.write_clip(tmp_path / name, frames[times], frame_rate=rate)
        assert measured(path)["frozen_mouth"] == pytest.approx(0.5, abs=0.06)
