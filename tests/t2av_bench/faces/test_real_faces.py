"""BlazeFace and the face mesh with their published weights: another runtime's outputs, real clips, turned pictures."""

import cv2
import numpy as np
import pytest

from t2av_bench.faces.blazeface import FULL, SHORT, letterbox
from t2av_bench.faces.confirmed import confirmed_blazeface
from t2av_bench.faces.find import best_detector, face_tracks
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, landmarks_in
from t2av_bench.faces.mesh import Region, cut
from t2av_bench.faces.mesh_points import LEFT_EYE_OUTER, LIPS_OUTER, POINTS, RIGHT_EYE_OUTER
from t2av_bench.faces.network import read_network
from t2av_bench.media.clip import Clip

pytestmark = pytest.mark.slow

# Clips that show one face all the time; the width of the face in pixels by eye, within a tenth.
ONE_FACE = {
    "echo_a.mp4": 215, "hdtf_aoc.mp4": 275, "latentsync_demo1.mp4": 205, "lp_d10.mp4": 240, "ovi_1.mp4": 180,
    "talker_output.mp4": 220, "talker_reference.mp4": 215, "nawta_example.avi": 215,
}  # fmt: skip


@pytest.fixture(autouse=True)
def weights(real_weights):
    confirmed_blazeface.cache_clear()
    for id in LANDMARK_WEIGHTS:
        real_weights(id)
    yield
    confirmed_blazeface.cache_clear()


@pytest.fixture
def clip(clips_folder, short_clips):
    """Name -> the first three seconds of a clip; whole ones of another folder."""

    def opened(name, folder=None):
        path = clips_folder.parent / folder / name if folder else short_clips / name
        if not path.is_file():
            pytest.skip(f"{path} is absent")
        return Clip(path)

    return opened


def eye_distance(points):
    return np.linalg.norm(points[RIGHT_EYE_OUTER, :2] - points[LEFT_EYE_OUTER, :2])


def test_outputs_equal_those_of_litert(clip, real_weights):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    frame = clip("ovi_1.mp4").frames_at([5])[0]
    (face, *_) = confirmed_blazeface().faces(frame)
    inputs = {layout.weights: letterbox(frame, layout.side)[0] / np.float32(127.5) - 1 for layout in (SHORT, FULL)}
    inputs["face_mesh"] = cut(frame, Region.of_points(face.points)) / np.float32(255)
    for id, picture in inputs.items():
        theirs = litert.Interpreter(str(real_weights(id)))
        theirs.allocate_tensors()
        theirs.set_tensor(theirs.get_input_details()[0]["index"], picture[None])
        theirs.invoke()
        outputs = [theirs.get_tensor(output["index"]) for output in theirs.get_output_details()]
        for ours, expected in zip(read_network(id)(picture), sorted(outputs, key=np.size), strict=True):
            np.testing.assert_allclose(ours.ravel(), expected.ravel(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ONE_FACE)
def test_the_face_of_a_clip_is_followed_through_all_of_it(clip, name):
    found = landmarks_in(clip(name))
    assert len(found.frames) >= 0.99 * found.count and found.presence.min() > 0.5
    assert np.ptp(found.points[:, :, 0], axis=1).mean() == pytest.approx(ONE_FACE[name], rel=0.1)
    # Nothing jumps: a point moves by less than half the distance of the eyes from one frame to the next.
    steps = np.abs(np.diff(found.points[:, :, :2], axis=0)).max(axis=(1, 2))
    assert (steps < 0.5 * eye_distance(found.points[0])).all()


def test_a_cat_has_no_face(clip):
    from t2av_bench.errors import Unscorable

    assert not any(len(boxes) for boxes in confirmed_blazeface().detect(clip("mova_1.mp4").frames_at([0, 30, 60])))
    with pytest.raises(Unscorable, match="no face found in any of 79 frames"):
        landmarks_in(clip("mova_1.mp4"))


def test_following_agrees_with_detecting_each_frame_afresh(clip):
    """Within a fiftieth of the distance of the eyes on average: a tracked region is not the detected one."""
    video = clip("hdtf_aoc.mp4")
    found = landmarks_in(video)
    for number in (3, 20, 52, 71):
        (face,) = confirmed_blazeface().faces(video.frames_at([number])[0])
        apart = np.linalg.norm((face.points - found.points[number])[:, :2], axis=1)
        assert apart.mean() < 0.02 * eye_distance(face.points)


@pytest.mark.parametrize(("degrees", "scale"), [(25, 1.0), (-35, 0.8), (0, 0.4), (10, 1.3)])
def test_a_turned_and_scaled_picture_has_its_points_turned_and_scaled(clip, degrees, scale):
    frame = clip("talker_reference.mp4").frames_at([10])[0]
    (face,) = confirmed_blazeface().faces(frame)
    matrix = cv2.getRotationMatrix2D((255.5, 255.5), degrees, scale)
    (turned,) = confirmed_blazeface().faces(cv2.warpAffine(frame, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE))
    expected = (face.points[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    apart = np.linalg.norm(turned.points[:, :2] - expected, axis=1)
    assert apart.mean() < 0.04 * scale * eye_distance(face.points)


def test_points_are_where_their_names_say(clip):
    points = landmarks_in(clip("talker_reference.mp4")).points[0]
    assert points.shape == (POINTS, 3)
    x, y = points[:, 0], points[:, 1]
    assert x[RIGHT_EYE_OUTER] < x[LEFT_EYE_OUTER] and y[RIGHT_EYE_OUTER] < y[list(LIPS_OUTER)].min()
    assert x[RIGHT_EYE_OUTER] < x[list(LIPS_OUTER)].mean() < x[LEFT_EYE_OUTER]


def test_threads_and_order_change_nothing(clip):
    frames = clip("ovi_1.mp4").frames_at([0, 30, 60])
    before = cv2.getNumThreads()
    try:
        found = []
        for threads, order in ((1, slice(None)), (2, slice(None)), (4, slice(None, None, -1))):
            cv2.setNumThreads(threads)
            found.append(confirmed_blazeface().detect(frames[order])[order])
    finally:
        cv2.setNumThreads(before)
    assert all(len(boxes) for boxes in found[0])
    for other in found[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_another_lossless_container_changes_nothing(clip, tmp_path):
    """The same pictures without loss in another container: bit for bit the same points."""
    from media_factory import write_lossless

    frames = clip("talker_output.mp4").frames_at(range(12))
    write_lossless(tmp_path / "clip.mkv", frames)
    write_lossless(tmp_path / "clip.avi", frames)
    one, other = (landmarks_in(Clip(tmp_path / name)) for name in ("clip.mkv", "clip.avi"))
    assert np.array_equal(one.points, other.points) and len(one.frames) == 12


@pytest.mark.parametrize("width", [36, 47, 56, 75])
def test_small_faces_are_found(clip, width):
    """A face as small as in wide shots, in a picture of 1280x704 whose other content is the cat's."""
    frame = clip("talker_reference.mp4").frames_at([0])[0]
    side = round(512 * width / 217)
    wide = cv2.resize(clip("mova_1.mp4").frames_at([70])[0], (1280, 704))
    wide[350 : 350 + side, 900 : 900 + side] = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
    (box,) = confirmed_blazeface().detect(wide[None])[0]
    assert box[2] - box[0] == pytest.approx(width, rel=0.1)
    assert box[0] > 900 and box[1] > 350 and box[2] < 900 + side and box[3] < 350 + side


def test_the_best_detector_tracks_faces_that_haar_does_not_see(clip):
    detector = best_detector()
    if detector.name != "blazeface":
        pytest.skip("S3FD's weights are here, which are preferred")
    (track,) = face_tracks(clip("nawta_example.avi", "clips"), detector)
    assert len(track.frames) > 100


@pytest.mark.parametrize(
    "name",
    [
        "1p_camera_movement__16_man_tortoise_dolly_in.mp4", "1p_emotion__24_man_facing_right_eating_noodle_happy.mp4",
        "1p_generalize_chinese__2_man_facing_right_agent_tense.mp4", "2p_1clip_1talk__19_man_adjusting_glasses.mp4",
        "1p_mediumshot_actioncontrol__50_man_turning_right_x_rays.mp4",
    ],
)  # fmt: skip
def test_turned_heads_and_moving_cameras_have_a_track(clip, name):
    assert len(landmarks_in(clip(name, "mochabench")).frames) > 50
