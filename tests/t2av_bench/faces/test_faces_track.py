"""Tracks: equal to a literal reading of the published rules and to syncnet-python's own tracker."""

import numpy as np
import pytest

from t2av_bench.faces.track import JOONSON, SYNCNET_PYTHON, Track, TrackRules, find_tracks, link, overlap

interp1d = pytest.importorskip("scipy.interpolate").interp1d


def plain_overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def literal_tracks(frames, min_track, max_gap=25, min_face=100):
    """The published procedure as its description reads, with lists that shrink while they are walked through."""
    frames = [list(faces) for faces in frames]
    found = []
    while True:
        track = []
        for faces in frames:
            for face in faces:
                if not track:
                    track.append(face)
                    faces.remove(face)
                elif face[0] - track[-1][0] <= max_gap:
                    if plain_overlap(face[1], track[-1][1]) > 0.5:
                        track.append(face)
                        faces.remove(face)
                else:
                    break
        if not track:
            return found
        if len(track) > min_track:
            numbers = np.array([face[0] for face in track])
            boxes = np.array([face[1] for face in track])
            every = np.arange(numbers[0], numbers[-1] + 1)
            filled = np.stack([interp1d(numbers, boxes[:, side])(every) for side in range(4)], axis=1)
            if max((filled[:, 2] - filled[:, 0]).mean(), (filled[:, 3] - filled[:, 1]).mean()) > min_face:
                found.append((every, filled))


def crowd(seed, frames=160, people=3):
    """Faces that wander, vanish for up to 40 frames and are listed in changing order; no two overlap much."""
    random = np.random.default_rng(seed)
    centres = np.stack([np.arange(people) * 200.0 + 150, random.uniform(100, 300, people)], axis=1)
    sizes = random.uniform(85, 150, people)
    hidden_until = np.zeros(people)
    listed = []
    for number in range(frames):
        centres += random.normal(0, 6, centres.shape)
        boxes = []
        for person in range(people):
            if random.random() < 0.03:
                hidden_until[person] = number + random.integers(1, 40)
            if random.random() < 0.01:
                centres[person] += random.uniform(-90, 90, 2)
            if number >= hidden_until[person]:
                x, y = centres[person]
                half = sizes[person] / 2
                box = [x - half, y - half, x + half, y + half, random.uniform(0.9, 1)]
                if all(plain_overlap(box, other) <= 0.1 for other in boxes):  # as a detector thins them
                    boxes.append(box)
        random.shuffle(boxes)
        listed.append(np.array(boxes).reshape(-1, 5))
    return listed


def as_lists(detections):
    return [[(number, box[:4].tolist()) for box in boxes] for number, boxes in enumerate(detections)]


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_literal_procedure(seed):
    detections = crowd(seed)
    rules = TrackRules(min_track=12)
    found, _ = find_tracks(detections, [(0, len(detections))], rules)
    expected = literal_tracks(as_lists(detections), min_track=12)
    assert len(found) == len(expected) > 0
    for track, (frames, boxes) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(track.frames, frames)
        np.testing.assert_allclose(track.boxes, boxes, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_syncnet_python_rules_equal_the_package(seed):
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    pipeline = pytest.importorskip("syncnet_python.syncnet_pipeline")
    official = object.__new__(pipeline.SyncNetPipeline)
    official.cfg = pipeline.PipelineConfig(min_track=12)
    detections = crowd(seed)
    faces = [[{"frame": n, "bbox": box[:4].tolist()} for box in boxes] for n, boxes in enumerate(detections)]
    expected = official._track(faces)
    rules = TrackRules(min_track=12, overlap_epsilon=1e-8, stop_at_mismatch=True)
    found, _ = find_tracks(detections, [(0, len(detections))], rules)
    assert [list(track.frames) for track in found] == [list(track["frame"]) for track in expected]
    for track, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(track.boxes, theirs["bbox"], rtol=0, atol=1e-9)
    assert SYNCNET_PYTHON == TrackRules(50, overlap_epsilon=1e-8, stop_at_mismatch=True)


def test_the_two_rule_sets_differ_on_two_faces():
    differ = [len(link(crowd(seed), JOONSON)) != len(link(crowd(seed), SYNCNET_PYTHON)) for seed in range(6)]
    assert any(differ)


def still(frames, box=(100, 100, 250, 250)):
    return [np.array([[*box, 1.0]])] * frames


@pytest.mark.parametrize(("frames", "accepted"), [(99, 0), (100, 0), (101, 1)])
def test_more_than_min_track_detections_are_needed(frames, accepted):
    assert len(find_tracks(still(frames), [(0, frames)])[0]) == accepted


@pytest.mark.parametrize(("gap", "tracks"), [(24, 1), (25, 2)])
def test_a_gap_of_25_frames_is_bridged_and_no_more(gap, tracks):
    """A gap of 24 empty frames puts the next face 25 frames after the last."""
    detections = still(110) + [np.empty((0, 5))] * gap + still(110)
    found, _ = find_tracks(detections, [(0, len(detections))])
    assert len(found) == tracks
    if tracks == 1:
        assert len(found[0].frames) == 220 + gap and found[0].detections == 220


@pytest.mark.parametrize(("side", "accepted"), [(100, 0), (101, 1)])
def test_faces_must_be_larger_than_100_pixels(side, accepted):
    detections = still(120, (10, 10, 10 + side, 40))
    assert len(find_tracks(detections, [(0, 120)])[0]) == accepted


def test_no_track_crosses_a_cut():
    accepted, rejected = find_tracks(still(180), [(0, 110), (110, 180)])
    assert [list(track.frames[[0, -1]]) for track in accepted] == [[0, 109]]
    assert [list(track.frames[[0, -1]]) for track in rejected] == [[110, 179]]


def test_the_face_after_one_that_joined_is_passed_over():
    """Two faces that both fit: the walk skips the second, which then starts a track of its own."""
    frame = np.array([[0, 0, 100, 100, 1.0], [20, 0, 120, 100, 0.9]])
    assert [len(numbers) for numbers, _ in link([frame] * 3)] == [3, 3]


def test_overlap_is_that_of_points():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30.0]])
    np.testing.assert_allclose(overlap(boxes, boxes[0]), [1, 1 / 3, 0])


def test_calls_share_no_state():
    detections = crowd(3)
    first = find_tracks(detections, [(0, 160)])
    find_tracks(crowd(4), [(0, 160)])
    again = find_tracks(detections, [(0, 160)])
    for track, other in zip(first[0] + first[1], again[0] + again[1], strict=True):
        np.testing.assert_array_equal(track.boxes, other.boxes)


def test_sizes_of_a_track():
    track = Track(np.arange(2), np.array([[0, 0, 10, 20], [0, 0, 30, 20.0]]), 2)
    assert track.mean_size == (20, 20) and track.mean_area == 400
