"""Faces looked for in every n-th frame: straight lines between looks, nothing across a cut, every frame at n = 1."""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from sync_factory import ArrayClip

from t2av_bench.faces import sparse
from t2av_bench.faces.find import detection_protocol, faces_in, look, look_sparsely
from t2av_bench.faces.track import JOONSON, find_tracks, overlap
from t2av_bench.media.limits import BATCH_BYTES

SHOTS = [(0, 41), (41, 42), (42, 100)]


def walk(count, seed, start=(100.0, 80.0, 260.0, 250.0)):
    """(count, 5) boxes of a face that sways, with scores."""
    random = np.random.default_rng(seed)
    steps = np.cumsum(random.normal(0, 1.5, (count, 4)), axis=0)
    return np.column_stack([np.array(start) + steps, random.uniform(0.91, 1.0, count)])


def seen_at(numbers, *faces):
    """What is seen in each of those frames, best first; faces: (frames, 5), NaN where one is away."""
    boxes = (np.stack([face[number] for face in faces]) for number in numbers)
    present = (each[~np.isnan(each[:, 0])] for each in boxes)
    return [each[np.argsort(-each[:, 4], kind="stable")] for each in present]


class Numbered:
    """A detector that reads from a frame which one it is."""

    name = "numbered"
    parameters: dict = {}
    weights: dict = {}

    def __init__(self, boxes_of):
        self.boxes_of, self.shown, self.sizes = boxes_of, [], []

    def detect(self, frames):
        numbers = frames[:, 0, 0, 0].astype(int)
        self.shown += numbers.tolist()
        self.sizes.append(len(frames))
        return [self.boxes_of(number) for number in numbers]


def numbered(shades=((0, 120),)):
    """A clip whose frames carry their number; shades: (first frame, brightness) of its shots."""
    frames = np.zeros((120, 24, 32, 3), np.uint8)
    for first, shade in shades:
        frames[first:] = shade
    frames[:, 0, 0] = np.arange(120)[:, None]
    return ArrayClip(frames, None)


@pytest.mark.parametrize("every", [1, 2, 5, 7, 58, 1000])
def test_a_shots_ends_are_looked_at_and_no_gap_is_longer_than_asked(every):
    numbers = sparse.looks(SHOTS, every)
    for first, end in SHOTS:
        mine = numbers[(numbers >= first) & (numbers < end)]
        assert mine[0] == first and mine[-1] == end - 1 and (np.diff(mine) <= every).all()
        assert len(mine) <= (end - first) // every + 2
    assert len(numbers) == 100 or every > 1


@pytest.mark.parametrize("every", [2, 5, 12])
def test_boxes_between_looks_are_scipys_line_within_each_shot(every):
    face = walk(100, seed=every)
    numbers = sparse.looks(SHOTS, every)
    filled = sparse.fill(numbers, seen_at(numbers, face), SHOTS)
    assert len(filled) == 100
    for first, end in SHOTS:
        mine = numbers[(numbers >= first) & (numbers < end)]
        expected = interp1d(mine, face[mine], axis=0)(np.arange(first, end)) if len(mine) > 1 else face[mine]
        np.testing.assert_allclose(np.concatenate(filled[first:end]), expected, rtol=1e-12)


def test_of_two_faces_each_keeps_its_own_line_whichever_is_surer():
    left, right = walk(41, seed=1), walk(41, seed=2, start=(400.0, 90.0, 520.0, 230.0))
    numbers = sparse.looks([(0, 41)], 5)
    filled = sparse.fill(numbers, seen_at(numbers, left, right), [(0, 41)])
    lines = [interp1d(numbers, face[numbers], axis=0)(np.arange(41)) for face in (left, right)]
    swaps = 0
    for number, boxes in enumerate(filled):
        expected = np.stack([line[number] for line in lines])
        order = np.argsort(-expected[:, 4], kind="stable")
        swaps += order[0]
        np.testing.assert_allclose(boxes, expected[order], rtol=1e-12)
    assert 0 < swaps < 41


def test_nothing_before_a_cut_depends_on_what_is_behind_it():
    """The same face stands on both sides of the cut, then another one does: the first shot's boxes stay as they are."""
    shots, face = [(0, 33), (33, 70)], walk(70, seed=3)
    numbers = sparse.looks(shots, 10)
    moved = face.copy()
    moved[33:, :4] += 30
    one, other = (sparse.fill(numbers, seen_at(numbers, each), shots) for each in (face, moved))
    for number in range(33):
        np.testing.assert_array_equal(one[number], other[number])
    np.testing.assert_allclose(np.concatenate(other[33:])[:, :4], np.concatenate(one[33:])[:, :4] + 30)


def test_a_face_that_one_look_does_not_show_is_in_no_frame_before_it():
    face = walk(31, seed=4)
    face[12:25] = np.nan
    filled = sparse.fill(np.arange(0, 31, 5), seen_at(range(0, 31, 5), face), [(0, 31)])
    assert [len(boxes) for boxes in filled] == [1] * 11 + [0] * 14 + [1] * 6


def test_two_boxes_that_share_less_are_two_faces():
    for shift, same in ((80.0, True), (90.0, False)):  # 160 wide: 80 / 240 and 70 / 250 shared
        one, other = (np.array([[x, 0.0, x + 160.0, 100.0, 1.0]]) for x in (0.0, shift))
        assert (overlap(one[:, :4], other[0, :4])[0] > sparse.SAME_FACE) is np.bool_(same)
        assert [len(boxes) for boxes in sparse.fill(np.array([0, 2]), [one, other], [(0, 3)])] == [1, int(same), 1]


def test_looking_at_every_frame_is_the_exact_protocol():
    face = walk(120, seed=5)
    clip, detector = numbered(((0, 120), (50, 10))), Numbered(lambda number: face[number : number + 1])
    exact, sparsely = look(clip.frames(), detector), look_sparsely(clip, detector, 1)
    assert sparsely.shots == exact.shots == [(0, 50), (50, 120)]
    for one, other in zip(exact.detections, sparsely.detections, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("every", [2, 5, 10])
def test_a_face_that_moves_in_a_straight_line_is_tracked_as_if_every_frame_had_been_looked_at(every):
    speed = np.array([0.7, -0.4, 0.9, -0.2, 0.0])
    faces = np.array([100.0, 80.0, 260.0, 250.0, 0.99]) + np.arange(120)[:, None] * speed
    clip, detector = numbered(), Numbered(lambda number: faces[number : number + 1])
    exact = find_tracks(*vars_of(faces_in(clip, detector)))
    detector.shown.clear()
    found = find_tracks(*vars_of(faces_in(clip, detector, every)))
    assert detector.shown == sparse.looks([(0, 120)], every).tolist()
    ((one,), _), ((other,), _) = exact, found
    np.testing.assert_array_equal(one.frames, other.frames)
    np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-12)
    assert one.detections == other.detections == 120


def vars_of(faces):
    return faces.detections, faces.shots, JOONSON


def test_cuts_are_found_in_all_frames_and_end_every_line():
    """A cut between two looks: the face of the second shot is elsewhere, and neither is drawn towards the other."""
    before, after = np.array([[0.0, 0, 150, 150, 1]]), np.array([[60.0, 60, 210, 210, 1]])
    clip = numbered(((0, 200), (63, 20)))
    found = look_sparsely(clip, Numbered(lambda number: before if number < 63 else after), 10)
    assert found.shots == [(0, 63), (63, 120)]
    for number, boxes in enumerate(found.detections):
        np.testing.assert_allclose(boxes, before if number < 63 else after, rtol=1e-12)


def test_what_is_kept_for_a_clip_is_kept_for_each_distance_of_looks():
    detector = Numbered(None)
    prints = {every: detection_protocol(detector, every).fingerprint for every in (1, 2, 5)}
    assert len(set(prints.values())) == 3 and prints[1] == detection_protocol(detector).fingerprint


def test_chosen_frames_come_in_full_batches_that_do_not_follow_the_decoders():
    frames = np.zeros((100, 4, 4, 3), np.uint8)
    frames[:, 0, 0] = np.arange(100)[:, None]
    numbers = np.arange(0, 100, 3)
    for size in (1, 7, 100):
        batches = [frames[start : start + size] for start in range(0, 100, size)]
        found = list(sparse.chosen(batches, numbers, 32))
        assert [len(batch) for batch in found] == [32, 2]
        np.testing.assert_array_equal(np.concatenate(found)[:, 0, 0, 0], numbers)
    large = (np.zeros((1, 4096, 4096, 3), np.uint8) for _ in range(3))
    assert [batch.nbytes <= BATCH_BYTES for batch in sparse.chosen(large, np.array([0, 2]), 32)] == [True, True]
