"""Following faces with stand-in networks that see bright squares: presence, cuts, gaps, the main face, the store."""

import numpy as np
import pytest
from face_factory import FACE, JACKET, picture, square_detector
from sync_factory import ArrayClip

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.faces import landmarks
from t2av_bench.faces.landmarks import DETECT_EVERY, LANDMARK_WEIGHTS, MAX_GAP, Landmarks, follow, landmarks_in
from t2av_bench.faces.mesh import box_of
from t2av_bench.media.clip import Clip
from t2av_bench.results.features import FeatureStore


def moving(count, x=60, y=80, side=70, step=2, colour=FACE):
    return np.stack([picture((x + step * index, y, side, colour)) for index in range(count)])


def tracks(frames, shots=None, batch=32, presence=6.0):
    batches = [frames[start : start + batch] for start in range(0, len(frames), batch)]
    return follow(batches, shots or [(0, len(frames))], square_detector(presence))


@pytest.fixture
def stand_in(monkeypatch):
    detector = square_detector()
    monkeypatch.setattr(landmarks, "confirmed_blazeface", lambda: detector)
    return detector


def test_a_face_is_followed_and_its_points_are_in_pixels_of_the_frame(stand_in):
    frames = moving(30)
    found = landmarks_in(ArrayClip(frames, None))
    assert found.frames.tolist() == list(range(30)) and found.count == 30 and found.size == (320, 240)
    assert found.shots == ((0, 30),) and found.points.dtype == found.presence.dtype == np.float32
    boxes = np.array([box_of(points) for points in found.points])
    truth = np.array([[60 + 2 * index, 80, 130 + 2 * index, 150] for index in range(30)])
    np.testing.assert_allclose(boxes, truth, atol=1.5)
    np.testing.assert_allclose(found.presence, 1 / (1 + np.exp(-6)), rtol=1e-6)


def test_following_agrees_with_detecting_every_frame():
    frames = moving(20, step=3)
    (track,) = tracks(frames)
    for points, frame in zip(track.points, frames, strict=True):
        (face,) = square_detector().faces(frame)
        assert np.abs(points - face.points).max() < 1.0


def test_detection_costs_every_eighth_frame_only(stand_in):
    tracks_found = follow([moving(24)], [(0, 24)], stand_in)
    assert len(tracks_found) == 1 and stand_in.full._network.calls == 24 // DETECT_EVERY
    assert stand_in.mesh._network.calls == 2 + 23 + 2 * 2  # two passes at each detection, one look a frame else


def test_nothing_is_carried_across_a_cut():
    """After the cut the face is where it was: one track would run on if the cut were not respected."""
    frames = moving(40, step=0)
    found = tracks(frames, [(0, 13), (13, 40)])
    assert [(track.frames[0], track.frames[-1]) for track in found] == [(0, 12), (13, 39)]
    assert len(tracks(frames)) == 1


def test_a_short_absence_is_a_gap_and_a_long_one_ends_the_track():
    for absent, expected in ((MAX_GAP - 1, 1), (MAX_GAP, 2)):
        frames = moving(10 + absent + 20, step=0)
        frames[10 : 10 + absent] = 0
        found = tracks(frames)
        assert len(found) == expected
        # A face that is missed for a while is looked for in every frame, a new one at every detection.
        back = 10 + absent if expected == 1 else -(-(10 + absent) // DETECT_EVERY) * DETECT_EVERY
        assert [number for track in found for number in track.frames] == [*range(10), *range(back, len(frames))]


def test_a_face_that_jumps_is_another_one_and_found_at_once():
    frames = np.concatenate([moving(10, x=20, step=0), moving(10, x=220, step=0)])
    first, second = tracks(frames)
    assert first.frames == list(range(10)) and second.frames == list(range(10, 20))


def test_a_face_that_comes_later_is_found_at_the_next_detection():
    frames = moving(30, x=20, step=0)
    frames[11:] |= moving(19, x=220, side=60, step=0)
    first, second = tracks(frames)
    assert first.frames == list(range(30)) and second.frames == list(range(16, 30))


def test_low_presence_is_no_face():
    assert tracks(moving(10), presence=-0.1) == [] and len(tracks(moving(10), presence=0.1)[0].frames) == 10
    assert tracks(moving(10, colour=JACKET)) == []


def test_the_main_face_is_the_longest_then_the_largest(stand_in):
    small, large = moving(30, x=10, side=50, step=0), moving(30, x=200, side=90, step=0)
    both = small | large
    assert np.ptp(landmarks_in(ArrayClip(both, None)).points[0, :, 0]) == pytest.approx(90, abs=2)
    cut_short = np.concatenate([both[:20], small[20:]])
    found = landmarks_in(ArrayClip(cut_short, None))
    assert np.ptp(found.points[0, :, 0]) == pytest.approx(50, abs=2) and len(found.frames) == 30


def test_the_result_does_not_depend_on_batches_or_on_what_was_seen_before(stand_in):
    frames = moving(30) | moving(30, x=10, y=10, side=40, step=0)
    expected = tracks(frames)
    landmarks_in(ArrayClip(moving(20, x=200, step=-3), None))
    for batch in (1, 7, 30):
        found = follow([frames[at : at + batch] for at in range(0, 30, batch)], [(0, 30)], stand_in)
        for one, other in zip(found, expected, strict=True):
            assert one.frames == other.frames and np.array_equal(one.points, other.points)


def test_a_clip_without_a_face_has_a_reason(stand_in):
    with pytest.raises(Unscorable, match="^no face found in any of 12 frames$"):
        landmarks_in(ArrayClip(np.zeros((12, 60, 80, 3), np.uint8), None))


def test_missing_weights_are_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    landmarks.confirmed_blazeface.cache_clear()
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch " + " ".join(LANDMARK_WEIGHTS)):
        landmarks_in(ArrayClip(moving(3), None))


def test_landmarks_survive_the_feature_store(tmp_path, stand_in, monkeypatch):
    monkeypatch.setattr(ArrayClip, "digest", "0" * 64)
    first = ArrayClip(moving(12), None)
    first._features = FeatureStore(tmp_path)
    expected = landmarks_in(first)
    looks = stand_in.mesh._network.calls
    again = ArrayClip(np.zeros((0, 8, 8, 3), np.uint8), None)
    again._features = FeatureStore(tmp_path)
    found = landmarks_in(again)
    assert stand_in.mesh._network.calls == looks and again.passes == 0
    for name in Landmarks.__slots__:
        assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_the_protocol_has_all_that_moves_a_point(monkeypatch):
    before = landmarks.landmark_protocol()
    assert set(before.weights) == set(LANDMARK_WEIGHTS) and "opencv-contrib-python" in before.libraries
    monkeypatch.setitem(landmarks.PARAMETERS, "detect_every", 4)
    assert landmarks.landmark_protocol().fingerprint != before.fingerprint


def test_the_last_frames_of_a_real_file_are_looked_at_too(stand_in, tmp_path):
    from media_factory import write_lossless

    write_lossless(tmp_path / "clip.mkv", moving(21))
    found = landmarks_in(Clip(tmp_path / "clip.mkv"))
    assert found.frames[-1] == 20 and found.count == 21
