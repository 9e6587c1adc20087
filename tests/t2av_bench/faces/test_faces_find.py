"""Shots as PySceneDetect cuts a file, faces kept across runs, and what real clips deliver."""

import cv2
import numpy as np
import pytest
from sync_factory import ArrayClip

from t2av_bench.errors import Unscorable
from t2av_bench.faces.detect import haar
from t2av_bench.faces.find import Faces, detection_protocol, face_tracks, faces_in, look, main_track
from t2av_bench.faces.shots import ShotCutter
from t2av_bench.faces.track import Track, TrackRules
from t2av_bench.media.clip import Clip
from t2av_bench.results.features import FeatureStore

scenedetect = pytest.importorskip("scenedetect")


def scenes(lengths, height=60, width=320, seed=0):
    random = np.random.default_rng(seed)
    parts = []
    for length in lengths:
        base = random.integers(0, 256, (1, 6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(base[0], (width, height), interpolation=cv2.INTER_NEAREST)
        parts.append(np.clip(picture + random.integers(-4, 5, (length, height, width, 3)), 0, 255).astype(np.uint8))
    return np.concatenate(parts)


@pytest.mark.parametrize("lengths", [(40,), (20, 30, 25), (30, 4, 5, 40), (5, 50), (60, 16, 3, 17)])
def test_shots_equal_pyscenedetect_on_a_file(lengths, tmp_path):
    frames = scenes(lengths, seed=sum(lengths))
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"FFV1"), 25, (frames.shape[2], frames.shape[1]))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    expected = scenedetect.detect(path, scenedetect.ContentDetector(), start_in_scene=True)
    cutter = ShotCutter()
    capture = cv2.VideoCapture(path)
    while (read := capture.read())[0]:
        cutter.add(read[1][None, :, :, ::-1])
    assert cutter.shots() == [(start.frame_num, end.frame_num) for start, end in expected]


def test_changes_that_follow_each_other_closely_are_thinned_by_either_rule():
    """Changes at 40, 45 and 57: the older rule wants 15 frames since the last cut, the newer waits for them to end."""
    frames = scenes((40, 5, 12, 40))
    shots = {}
    for merge in (True, False):
        cutter = ShotCutter(merge=merge)
        cutter.add(frames)
        shots[merge] = cutter.shots()
    assert shots == {False: [(0, 40), (40, 57), (57, 97)], True: [(0, 40), (40, 97)]}


def test_a_clip_without_frames_has_no_shots():
    assert ShotCutter().shots() == []


def test_faces_survive_the_feature_store(tmp_path, monkeypatch):
    faces = Faces([np.empty((0, 5)), np.arange(10.0).reshape(2, 5), np.empty((0, 5))], [(0, 2), (2, 3)])
    store = FeatureStore(tmp_path)
    clip = ArrayClip(np.zeros((3, 8, 8, 3), np.uint8), None)
    clip._features = store
    monkeypatch.setattr(Clip, "digest", "ab" * 32)
    monkeypatch.setattr("t2av_bench.faces.find.look", lambda *_: faces)
    faces_in(clip, haar())
    monkeypatch.setattr("t2av_bench.faces.find.look", None)
    clip.release()
    read = faces_in(clip, haar())
    assert read.shots == faces.shots and [len(boxes) for boxes in read.detections] == [0, 2, 0]
    np.testing.assert_array_equal(read.detections[1], faces.detections[1])


def test_detections_are_kept_under_everything_that_moves_them():
    detector = haar()
    known = detection_protocol(detector).fingerprint
    detector.parameters["min_neighbors"] += 1
    try:
        assert detection_protocol(detector).fingerprint != known
    finally:
        detector.parameters["min_neighbors"] -= 1


def test_the_longest_track_stands_for_the_clip_then_the_larger_face():
    def track(frames, side):
        return Track(np.arange(frames), np.tile([0.0, 0.0, side, side], (frames, 1)), frames)

    assert main_track([track(110, 300), track(120, 110), track(120, 150), track(120, 150)]) == 2


def real(folder, name):
    path = folder / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return Clip(path)


@pytest.mark.parametrize("name", ["mova_1.mp4", "nawta_example.avi"])
def test_a_cat_and_a_covered_face_give_no_track(name, short_clips):
    with pytest.raises(Unscorable, match="no face found in any|longest face track is \\d frames"):
        face_tracks(real(short_clips, name), haar(), TrackRules(min_track=50))


def test_batches_change_no_detection_of_a_real_clip(clips_folder):
    clip = real(clips_folder, "talker_output.mp4")
    frames = next(clip.frames(24))
    together = look([frames], haar())
    apart = look((frames[start : start + 5] for start in range(0, 24, 5)), haar())
    assert together.shots == apart.shots == [(0, 24)]
    for one, other in zip(together.detections, apart.detections, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(len(boxes) == 1 for boxes in together.detections)


def test_two_people_are_two_faces(clips_folder):
    """Haar sees the second person only where the head is upright: a shorter track, kept when the rules allow it."""
    frames = next(real(clips_folder, "ovi_1.mp4").frames(12))
    faces = look([np.concatenate([frames, frames[:, :, ::-1]], axis=2)[:, ::2, ::2]], haar())
    tracks = face_tracks(_With(faces), haar(), TrackRules(min_track=5, min_face=50))
    assert len(tracks) >= 2


class _With:
    """A clip whose faces are known."""

    def __init__(self, faces):
        self.faces = faces

    def memo(self, key, compute):
        return compute()

    def stored(self, fingerprint, suffix, compute):
        return self.faces.to_arrays()
