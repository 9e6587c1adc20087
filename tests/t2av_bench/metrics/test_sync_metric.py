"""Graded damage through the sync metrics, with a network whose embeddings have a known shift."""

import numpy as np
import pytest
from sync_factory import (
    LEFT,
    RIGHT,
    ArrayClip,
    EnvelopeNetwork,
    GivenBoxes,
    delayed,
    hidden_signal,
    pair,
    stage,
    talking,
    talking_audio,
)

from t2av_bench.errors import Unscorable
from t2av_bench.extractors import syncnet
from t2av_bench.metrics import create, metric_ids
from t2av_bench.metrics import sync as sync_metric
from t2av_bench.metrics.sync import SyncExact
from t2av_bench.metrics.sync_quantities import in_tolerance

pytest.importorskip("python_speech_features")


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setattr(syncnet, "syncnet", lambda device: EnvelopeNetwork())


@pytest.fixture
def boxes(monkeypatch):
    """Set what the detector of ``sync/exact`` sees: a function of the frame number, or a list of boxes."""

    def use(seen):
        detector = GivenBoxes(seen if callable(seen) else lambda _: seen)
        monkeypatch.setattr(sync_metric, "s3fd", lambda device: detector)
        return detector

    return use


def cropped(frames, audio):
    values = create("sync/crop").measure(pair(ArrayClip(frames, audio))).values
    return values["sync_c_crop"], values["sync_d_crop"], values["sync_offset_crop"]


@pytest.fixture(scope="module")
def clip():
    return talking(150)


def test_delaying_the_audio_by_k_frames_changes_the_offset_by_minus_k(clip):
    frames, audio = clip
    confidence, distance, offset = cropped(frames, audio)
    assert offset == 0 and confidence > 1.5 and distance < 1
    for k in (-10, -5, -2, 2, 5, 10):
        c, d, shifted = cropped(frames, delayed(audio, k))
        assert shifted == offset - k
        if abs(k) <= 5:
            assert abs(c - confidence) < 0.3 and abs(d - distance) < 0.3


def test_shifts_beyond_the_search_fall_to_the_floor_of_unrelated_audio(clip):
    frames, audio = clip
    inside, _, _ = cropped(frames, audio)
    floor, floor_distance, _ = cropped(frames, talking_audio(hidden_signal(150, seed=7)))
    beyond, distance, _ = cropped(frames, delayed(audio, 20))
    assert beyond < floor + 0.4 < inside / 2 and floor_distance > 2 and distance > 2


def test_noise_lowers_confidence_and_raises_distance_step_by_step_and_silence_is_lowest(clip):
    frames, audio = clip
    babble = np.random.default_rng(1).standard_normal(len(audio)).astype(np.float32)
    power = np.sqrt(np.mean(audio**2))
    scored = [cropped(frames, audio)]
    for snr in (20, 10, 0):
        scored.append(cropped(frames, audio + babble * power * 10 ** (-snr / 20)))
    confidences = [row[0] for row in scored]
    distances = [row[1] for row in scored]
    assert all(a > b for a, b in zip(confidences, confidences[1:], strict=False))
    assert all(a < b for a, b in zip(distances, distances[1:], strict=False))
    mute = cropped(frames, np.zeros_like(audio))
    swapped = cropped(frames, talking_audio(hidden_signal(150, seed=7)))
    assert 0 <= mute[0] < min(*confidences, swapped[0])


def test_blur_drift_and_freeze_lower_confidence(clip):
    import cv2

    frames, audio = clip
    confidence, distance, _ = cropped(frames, audio)
    previous = confidence
    for sigma in (2, 3, 4):
        blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
        c, _, _ = cropped(blurred, audio)
        assert c < previous
        previous = c
    previous = (confidence, distance)
    for every in (50, 25, 12):
        dropped = np.delete(frames, np.arange(every, len(frames), every), axis=0)
        c, d, _ = cropped(dropped, audio)
        assert c < previous[0] and d > previous[1]
        previous = (c, d)
    frozen, _, _ = cropped(frames[:1].repeat(150, 0), audio)
    assert frozen < 0.2 * confidence


def test_the_curve_is_kept_and_belongs_to_the_values(clip):
    found = create("sync/crop").measure(pair(ArrayClip(*clip)))
    curve = found.features["sync_distance_curve"]
    assert curve.shape == (31,) and curve.dtype == np.float32
    assert found.values["sync_d_crop"] == pytest.approx(curve.min(), rel=1e-6)
    assert found.values["sync_c_crop"] == pytest.approx(np.median(curve) - curve.min(), rel=1e-4)
    assert found.values["sync_offset_crop"] == 15 - np.argmin(curve)
    assert found.values["sync_d_zero_crop"] == pytest.approx(curve[15], rel=1e-6)


def test_a_delay_costs_distance_as_played_though_the_best_one_is_the_same(clip):
    """The sound k frames late is judged at its best shift by C and D, as it is heard by the distance at 0."""
    frames, audio = clip
    at_zero, inside = {}, {}
    for k in (0, 1, 3, 4, 8, -1, -2):
        values = create("sync/crop").measure(pair(ArrayClip(frames, delayed(audio, k)))).values
        at_zero[k], inside[k] = values["sync_d_zero_crop"], values["sync_in_tolerance_crop"]
        assert values["sync_d_crop"] <= at_zero[k]
        assert values["sync_d_crop"] == pytest.approx(cropped(frames, audio)[1], abs=0.2)
    assert at_zero[0] < at_zero[1] < at_zero[3] and at_zero[0] < at_zero[-1] < at_zero[-2]
    assert at_zero[3] > at_zero[0] + 1
    # BT.1359-1: late 125 ms is three frames of 40 ms, early 45 ms is one.
    assert inside == {0: 1, 1: 1, 3: 1, 4: 0, 8: 0, -1: 1, -2: 0}


def test_a_clip_without_detectable_sync_is_not_in_tolerance(clip):
    frames, audio = clip
    values = create("sync/crop").measure(pair(ArrayClip(frames[:1].repeat(150, 0), audio))).values
    assert values["sync_in_tolerance_crop"] == 0
    assert in_tolerance(0, 0.9, 9.1) == 0 and in_tolerance(0, 1.1, 8.9) == 1
    assert in_tolerance(0, 0.0, 0.0) == 0, "silence and a frozen picture"
    assert [in_tolerance(offset, 5.0, 5.0) for offset in (-4, -3, 1, 2)] == [0, 1, 1, 0]


def test_protocols_have_columns_of_their_own_and_published_ones_keep_the_names():
    names = {id: [q.name for q in create(id).quantities] for id in metric_ids() if id.startswith("sync/")}
    own = [name for id, mine in names.items() if id not in ("sync/joonson", "sync/syncnet-python") for name in mine]
    assert len(own) == len(set(own)) and not set(own) & set(names["sync/joonson"])
    assert names["sync/joonson"] == names["sync/syncnet-python"]
    assert names["sync/exact"] == [
        "sync_c_exact",
        "sync_d_exact",
        "sync_d_zero_exact",
        "sync_in_tolerance_exact",
        "sync_offset_exact",
    ]
    assert "sync_c" in names["sync/joonson"] and "sync_offset" in names["sync/joonson"]


@pytest.mark.parametrize(
    ("frames", "samples", "reason"),
    [
        (5, 9600, "too short: 5 frames of face and 15 frames' worth of audio, 6 of both are needed"),
        (50, 3839, "too short: 50 frames of face and 5 frames' worth of audio, 6 of both are needed"),
    ],
)
def test_too_short_is_a_reason(frames, samples, reason):
    with pytest.raises(Unscorable) as raised:
        cropped(np.zeros((frames, 8, 8, 3), np.uint8), np.zeros(samples, np.float32))
    assert str(raised.value) == reason


def test_six_frames_are_scored():
    frames, audio = talking(6)
    assert cropped(frames, audio)[1] > 0


def test_no_audio_is_a_reason_before_any_face_is_looked_for(clip, boxes):
    detector = boxes([(0, 0, 10, 10)])
    for id in ("sync/crop", "sync/exact"):
        with pytest.raises(Unscorable, match="no audio stream"):
            create(id).measure(pair(ArrayClip(clip[0], None)))
    assert detector.calls == 0


def test_a_face_is_found_tracked_cropped_and_scored(boxes):
    signal = hidden_signal(130)
    boxes([LEFT])
    clip = ArrayClip(stage(130, {LEFT: signal}), delayed(talking_audio(signal), 3))
    found = create("sync/exact").measure(pair(clip))
    assert found.values["sync_offset_exact"] == -3 and found.values["sync_c_exact"] > 1
    (track,) = found.detail["tracks"]
    assert (track["first_frame"], track["last_frame"], track["detections"]) == (0, 129, 130)
    assert track["mean_width"] == 120 and track["sync_c"] == found.values["sync_c_exact"]


def test_of_two_faces_both_are_kept_and_the_longest_track_counts(boxes):
    """The speaker is on the right and enters 20 frames late: the silent face's track is longer."""
    signal = hidden_signal(140)
    boxes(lambda number: [RIGHT, LEFT] if number >= 20 else [LEFT])
    clip = ArrayClip(stage(140, {RIGHT: signal, LEFT: None}), talking_audio(signal))
    found = create("sync/exact").measure(pair(clip))
    assert [track["first_frame"] for track in found.detail["tracks"]] == [0, 20]
    chosen = found.detail["tracks"][found.detail["chosen_track"]]
    assert chosen["first_frame"] == 0 and found.values["sync_c_exact"] == chosen["sync_c"]
    assert found.detail["tracks"][1]["sync_c"] > 1 > chosen["sync_c"] and found.detail["tracks"][1]["sync_offset"] == 0
    best = SyncExact(clip_value="max_c").measure(pair(clip))
    assert best.values["sync_c_exact"] == found.detail["tracks"][1]["sync_c"]


def test_of_equally_long_tracks_the_larger_face_counts(boxes):
    signal = hidden_signal(120)
    boxes([LEFT, RIGHT])
    clip = ArrayClip(stage(120, {RIGHT: signal, LEFT: None}), talking_audio(signal))
    found = create("sync/exact").measure(pair(clip))
    assert found.detail["tracks"][found.detail["chosen_track"]]["mean_width"] == 140
    assert found.values["sync_c_exact"] > 1


@pytest.mark.parametrize(
    ("count", "seen", "reason"),
    [
        (130, [], "no face found in any of 130 frames"),
        (100, [LEFT], "the clip has 100 frames, a face track needs a face in more than 100"),
        (130, lambda n: [LEFT] if n < 37 else [], "longest face track is 37 frames, more than 100 are needed"),
        (130, [(40, 30, 130, 128)], "the largest that lasts more than 100 frames is 98 pixels on average"),
    ],
)
def test_why_there_is_no_track(count, seen, reason, boxes):
    boxes(seen)
    clip = ArrayClip(stage(count, {}), np.zeros(count * 640, np.float32))
    with pytest.raises(Unscorable, match=reason):
        create("sync/exact").measure(pair(clip))


def test_101_frames_are_enough(boxes):
    signal = hidden_signal(101)
    boxes([LEFT])
    clip = ArrayClip(stage(101, {LEFT: signal}), talking_audio(signal))
    assert create("sync/exact").measure(pair(clip)).values["sync_offset_exact"] == 0


def test_a_cut_ends_a_track(boxes):
    signal = hidden_signal(180)
    boxes([LEFT])
    frames = stage(180, {LEFT: signal})
    frames[:60] = 255 - frames[:60] // 4
    found = create("sync/exact").measure(pair(ArrayClip(frames, talking_audio(signal))))
    assert found.detail["tracks"][0]["first_frame"] == 60


def test_audio_that_ends_early_shortens_or_fails_the_track(boxes):
    signal = hidden_signal(120)
    boxes([LEFT])
    frames, audio = stage(120, {LEFT: signal}), talking_audio(signal)
    found = create("sync/exact").measure(pair(ArrayClip(frames, audio[: 70 * 640])))
    assert found.values["sync_offset_exact"] == 0
    with pytest.raises(Unscorable, match="too short: 120 frames of face and 2 frames' worth of audio"):
        create("sync/exact").measure(pair(ArrayClip(frames, audio[:1500])))


def test_faces_are_looked_for_once_a_clip_and_rules_are_part_of_the_protocol(boxes):
    signal = hidden_signal(120)
    detector = boxes([LEFT])
    clip = ArrayClip(stage(120, {LEFT: signal}), talking_audio(signal))
    metric, shorter = SyncExact(), SyncExact(min_track=50)
    assert metric.measure(pair(clip)).values == shorter.measure(pair(clip)).values
    assert detector.calls == 120
    assert metric.protocol.fingerprint != shorter.protocol.fingerprint
    assert metric.protocol.fingerprint != SyncExact(clip_value="max_c").protocol.fingerprint


def test_repetition_and_other_clips_change_nothing(boxes):
    boxes([LEFT])
    signal, other = hidden_signal(120), hidden_signal(130, seed=3)
    first = ArrayClip(stage(120, {LEFT: signal}), talking_audio(signal))
    expected = create("sync/exact").measure(pair(first)).values
    boxes([RIGHT])
    create("sync/exact").measure(pair(ArrayClip(stage(130, {RIGHT: other}), talking_audio(other))))
    boxes([LEFT])
    again = ArrayClip(stage(120, {LEFT: signal}), talking_audio(signal))
    assert create("sync/exact").measure(pair(again)).values == expected


def test_faces_in_every_fifth_frame_give_a_standing_face_the_same_values_by_another_protocol(boxes):
    """A cut at 60 too: the second shot's track begins there, in both."""
    signal = hidden_signal(180)
    frames = stage(180, {LEFT: signal})
    frames[:60] = 255 - frames[:60] // 4
    exact, fifth = SyncExact(), SyncExact(detect_every=5)
    found = []
    for metric, looks in ((exact, 180), (fifth, 12 + 1 + 24 + 1)):
        detector = boxes([LEFT])
        found.append(metric.measure(pair(ArrayClip(frames, talking_audio(signal)))))
        assert detector.calls == looks
    assert found[0].values == found[1].values and found[0].detail == found[1].detail
    assert found[0].detail["tracks"][0]["first_frame"] == 60
    assert exact.protocol.difference(fifth.protocol).startswith("detect_every none against")


def test_the_options_that_are_not_given_leave_the_protocol_as_it_was():
    for id in ("sync/exact", "sync/exact-blazeface", "sync/exact-haar"):
        plain = create(id).protocol
        assert not {"detect_every", "dtype"} & plain.parameters.keys()
        assert create(id, None, {"detect_every": 1, "dtype": "float32"}).protocol == plain
        prints = {create(id, None, {"detect_every": n, "dtype": dtype}).protocol.fingerprint
                  for n in (1, 2, 5) for dtype in ("float32", "bfloat16")}  # fmt: skip
        assert len(prints) == 6
    assert create("sync/crop", None, {"dtype": "bfloat16"}).protocol.parameters["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"detect_every": 0}, "detect_every is a number of frames, at least 1, got 0"),
        ({"detect_every": 2.5}, "detect_every: Input should be a valid integer"),
        ({"dtype": "float16"}, "dtype: Input should be 'float32' or 'bfloat16', got 'float16'"),
        ({"detect_evry": 2}, "no option 'detect_evry'; did you mean detect_every"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        create("sync/exact", None, options)


def test_bfloat16_reaches_both_networks(monkeypatch):
    asked = []
    monkeypatch.setattr(syncnet, "syncnet", lambda device, **given: asked.append((device, given)))
    monkeypatch.setattr(sync_metric, "s3fd", lambda device, **given: asked.append((device, given)))
    for options, given in (({}, {}), ({"dtype": "bfloat16"}, {"dtype": "bfloat16"})):
        metric = SyncExact(**options)
        metric._network(), metric._find()
        assert asked == [("cpu", given)] * 2
        asked.clear()
