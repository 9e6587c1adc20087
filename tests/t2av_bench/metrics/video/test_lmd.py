"""Landmark distances: closed forms for noise, shifts and freezes; pairs that cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_face import EYES, drawn_face

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors.dlib_landmarks import Landmarks68
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, landmarks_in
from t2av_bench.faces.mesh_points import LIPS_OUTER
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import lmd
from t2av_bench.metrics.base import Measurement
from t2av_bench.metrics.lmd import MOUTH, LMDDlib, LMDMesh, centred, landmark_distance, paired_points, velocity_distance

SPEECH = 0.1 + 0.1 * np.sin(2 * np.pi * np.arange(100) / 10)


@pytest.fixture
def compare(monkeypatch, pair_of):
    """Landmarks of both sides -> what the metric says; an error in place of landmarks is raised."""

    def measured(generated, reference, metric=LMDMesh, **options) -> Measurement:
        pair = pair_of(np.zeros((1, 16, 16, 3), np.uint8), np.zeros((2, 16, 16, 3), np.uint8))
        sides = {pair.generated: generated, pair.reference: reference}

        def found(clip: Clip):
            if isinstance(sides[clip], Exception):
                raise sides[clip]
            return sides[clip]

        for name in ("landmarks_in", "landmarks68_in"):
            monkeypatch.setattr(lmd, name, found)
        return metric(**options).measure(pair)

    return measured


def test_noise_has_the_known_distances():
    """N(0, s) in x and y of one side: a distance is Rayleigh's, s sqrt(pi/2) on average. Centred points lose one of k
    degrees of freedom, differences of two frames have twice the variance."""
    random = np.random.default_rng(0)
    clean = random.uniform(0, 500, (400, 468, 2))
    for sigma in (1, 2, 4):
        noisy = clean + random.normal(0, sigma, clean.shape)
        rayleigh = sigma * np.sqrt(np.pi / 2)
        assert landmark_distance(noisy, clean) == pytest.approx(rayleigh, rel=0.01)
        mouths = centred(noisy[:, MOUTH]), centred(clean[:, MOUTH])
        assert landmark_distance(*mouths) == pytest.approx(rayleigh * np.sqrt(39 / 40), rel=0.01)
        few = centred(noisy[:, :20]), centred(clean[:, :20])
        assert landmark_distance(*few) == pytest.approx(rayleigh * np.sqrt(19 / 20), rel=0.015)
        changes = velocity_distance(*mouths, np.arange(400))
        assert changes == pytest.approx(rayleigh * np.sqrt(2 * 39 / 40), rel=0.015)


def test_the_same_motion_is_0_and_a_moved_face_counts_in_f_lmd_alone(compare):
    real = drawn_face(100, gap=SPEECH)
    assert compare(real, real).values == {"lmd_mesh": 0, "f_lmd_mesh": 0, "lmd_v_mesh": 0}
    moved = compare(drawn_face(100, gap=SPEECH, place=(256 + 0.03 * EYES, 256 - 0.04 * EYES)), real).values
    assert moved == {
        "lmd_mesh": pytest.approx(0, abs=1e-3), "f_lmd_mesh": pytest.approx(5, rel=1e-4),
        "lmd_v_mesh": pytest.approx(0, abs=1e-3),
    }  # fmt: skip


def test_a_frozen_mouth_has_the_distance_of_what_it_misses(compare):
    """The lips' points move by |sin| of their places times half the gap; LMD-v is the real change itself."""
    real, still = drawn_face(100, gap=SPEECH), drawn_face(100, gap=0.1)
    share = np.abs(np.sin(2 * np.pi * np.arange(20) / 20)).mean() / 2
    values = compare(still, real).values
    assert values["lmd_mesh"] == pytest.approx(100 * share * np.abs(SPEECH - 0.1).mean(), rel=1e-3)
    assert values["lmd_v_mesh"] == pytest.approx(100 * share * np.abs(np.diff(SPEECH)).mean(), rel=1e-3)


def test_late_and_weak_mouths_are_farther_in_order(compare):
    real = drawn_face(100, gap=SPEECH)
    late = [compare(drawn_face(100, gap=np.roll(SPEECH, shift)), real).values for shift in (0, 1, 2, 3)]
    weak = [compare(drawn_face(100, gap=0.1 + part * (SPEECH - 0.1)), real).values for part in (1, 0.7, 0.3, 0)]
    for values in (late, weak):
        for name in ("lmd_mesh", "lmd_v_mesh"):
            found = [each[name] for each in values]
            assert found == sorted(found) and len(set(found)) == 4


def test_resolution_does_not_count(compare):
    values = []
    for scale in (1, 2.5):
        size = (int(512 * scale), int(512 * scale))
        sides = [drawn_face(100, gap=gap, scale=scale, place=(256 * scale, 256 * scale), size=size)
                 for gap in (0.1, SPEECH)]  # fmt: skip
        values.append(compare(*sides).values)
    assert values[1] == {name: pytest.approx(value, rel=1e-4) for name, value in values[0].items()}


def test_frames_pair_by_their_numbers():
    """The points of frame k of one side stand beside frame k of the other, whatever either has missed."""
    ours, theirs = drawn_face(90, gap=SPEECH[:90], frames=np.arange(1, 90)), drawn_face(100, gap=SPEECH)
    theirs = replace(theirs, frames=theirs.frames[:-3], points=theirs.points[:-3])
    frames, mine, real = paired_points(ours, theirs)
    assert frames.tolist() == list(range(1, 90))
    np.testing.assert_array_equal(mine, real)
    changes = np.arange(12.0).reshape(4, 1, 3)[..., :2]
    assert velocity_distance(changes, 0 * changes, np.array([0, 1, 5, 6])) == pytest.approx(np.hypot(3, 3))
    with pytest.raises(Unscorable, match="no two neighbouring frames"):
        velocity_distance(changes, changes, np.array([0, 2, 4, 6]))


def test_reasons(compare, pair_of):
    real = drawn_face(100, gap=SPEECH)
    with pytest.raises(Unscorable, match="found in 80 of the 100 frames where the reference has one; at least 90 %"):
        compare(drawn_face(100, frames=np.arange(80)), real)
    assert compare(drawn_face(100, frames=np.arange(90)), real).detail == {
        "generated_frames": 100, "reference_frames": 100, "frames_with_both_faces": 90,
        "size": [512, 512],
    }  # fmt: skip
    with pytest.raises(Unscorable, match="frames of the clip are 256x256 and of the reference 512x512"):
        compare(drawn_face(100, size=(256, 256)), real)
    with pytest.raises(Unscorable, match=r"covers 80 % of the reference .* \(option least_overlap\)"):
        compare(drawn_face(80), real)
    assert compare(drawn_face(80, gap=SPEECH[:80]), real, least_overlap=0.5).values["lmd_mesh"] == 0
    with pytest.raises(Unscorable, match="^no face found in any of 100 frames"):
        compare(Unscorable("no face found in any of 100 frames"), real)
    with pytest.raises(NotApplicable, match="the reference clip cannot be compared with: no face found"):
        compare(real, Unscorable("no face found in any of 100 frames"))
    with pytest.raises(NotApplicable, match="no reference clip for this item"):
        LMDMesh().measure(pair_of(np.zeros((1, 16, 16, 3), np.uint8)))


def points68(points, size=(512, 512)) -> Landmarks68:
    return Landmarks68(np.arange(len(points)), points, len(points), size)


def test_dlibs_points_have_the_known_distances_in_pixels(compare):
    """As above, by the published definition: 20 points of the mouth, pixels whatever the size of the face."""
    random = np.random.default_rng(1)
    clean = random.uniform(0, 500, (400, 68, 2))
    for sigma in (1, 2, 4):
        noisy = clean + random.normal(0, sigma, clean.shape)
        found = compare(points68(noisy), points68(clean), LMDDlib)
        rayleigh = sigma * np.sqrt(np.pi / 2)
        assert found.values == {
            "lmd_dlib": pytest.approx(rayleigh * np.sqrt(19 / 20), rel=0.02),
            "f_lmd_dlib": pytest.approx(rayleigh, rel=0.01),
            "lmd_v_dlib": pytest.approx(rayleigh * np.sqrt(2 * 19 / 20), rel=0.02),
        }
        doubled = compare(points68(2 * noisy, (1024, 1024)), points68(2 * clean, (1024, 1024)), LMDDlib)
        assert doubled.values == {name: pytest.approx(2 * value) for name, value in found.values.items()}
        assert (found.detail["size"], doubled.detail["size"]) == ([512, 512], [1024, 1024])


def test_of_dlibs_points_the_last_20_are_the_mouth_and_its_place_does_not_count(compare):
    clean = np.random.default_rng(2).uniform(0, 500, (50, 68, 2))
    moved = compare(points68(clean + [3, 4]), points68(clean), LMDDlib).values
    assert moved == {
        "lmd_dlib": pytest.approx(0, abs=1e-9), "f_lmd_dlib": pytest.approx(5), "lmd_v_dlib": pytest.approx(0, abs=1e-9)
    }  # fmt: skip
    for moved_point, in_mouth in ((47, False), (48, True), (67, True)):
        other = clean.copy()
        other[:, moved_point] += [3, 4]
        values = compare(points68(other), points68(clean), LMDDlib).values
        # Of k = 20 points one moves by 5: less the mean, it is 5 (k - 1) / k away, and each of the others 5 / k.
        assert values["lmd_dlib"] == pytest.approx(5 * 2 * 19 / 20**2 if in_mouth else 0, abs=1e-9)
        assert values["f_lmd_dlib"] == pytest.approx(5 / 68)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hdtf_aoc.mp4", "talker_reference.mp4"])
def test_a_real_clip_moved_and_frozen(clips_folder, real_weights, pair_of, name):
    """The face 8 pixels to the side (edges repeated), and its first frame for ever."""
    pytest.importorskip("dlib")
    real_weights("dlib68")
    frames = Clip(clips_folder / name).frames_at(range(12))
    moved = np.concatenate([np.repeat(frames[:, :, :1], 8, axis=2), frames[:, :, :-8]], axis=2)
    assert LMDDlib().measure(pair_of(frames, frames)).values == {"lmd_dlib": 0, "f_lmd_dlib": 0, "lmd_v_dlib": 0}
    aside, frozen = (LMDDlib().measure(pair_of(other, frames)) for other in (moved, np.stack([frames[0]] * 12)))
    assert aside.detail["frames_with_both_faces"] == 12
    assert aside.values["f_lmd_dlib"] == pytest.approx(8, abs=2) and aside.values["lmd_dlib"] < 2
    assert frozen.values["lmd_v_dlib"] > 0.1 and frozen.values["f_lmd_dlib"] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hdtf_aoc.mp4", "talker_reference.mp4"])
def test_dlib_and_the_mesh_see_the_mouth_in_one_place(clips_folder, real_weights, pair_of, name):
    """Two networks trained on other faces: corners of the mouth and its middle within a tenth of its width."""
    pytest.importorskip("dlib")
    for id in ("dlib68", *LANDMARK_WEIGHTS):
        real_weights(id)
    clip = pair_of(Clip(clips_folder / name).frames_at(range(5))).generated
    dlib_lips = lmd.landmarks68_in(clip).points[:, 48:60]
    mesh_lips = landmarks_in(clip).points[:, list(LIPS_OUTER), :2]
    width = np.ptp(mesh_lips[..., 0], axis=1).mean()
    for edge in (np.min, np.max):
        assert np.abs(edge(dlib_lips[..., 0], axis=1) - edge(mesh_lips[..., 0], axis=1)).mean() < 0.1 * width
    assert np.linalg.norm(dlib_lips.mean(axis=1) - mesh_lips.mean(axis=1), axis=1).mean() < 0.1 * width
