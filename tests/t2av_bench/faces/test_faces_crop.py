"""Crops: equal, pixel by pixel, to a literal reading of the rules and to what syncnet-python writes into its file."""

import cv2
import numpy as np
import pytest
from scipy import signal

from t2av_bench.faces.crop import crop_rectangles, crop_tracks, smooth, whole_frames
from t2av_bench.faces.track import Track


def literal_crops(frames, track):
    """Median filter, padded frame, whole-pixel slice, bilinear resize: the text of the protocol, frame by frame."""
    s = signal.medfilt([max(b[3] - b[1], b[2] - b[0]) / 2 for b in track.boxes], kernel_size=13)
    x = signal.medfilt([(b[0] + b[2]) / 2 for b in track.boxes], kernel_size=13)
    y = signal.medfilt([(b[1] + b[3]) / 2 for b in track.boxes], kernel_size=13)
    crops = []
    for index, number in enumerate(track.frames):
        size, scale = s[index], 0.4
        pad = int(size * (1 + 2 * scale))
        padded = np.pad(frames[number], ((pad, pad), (pad, pad), (0, 0)), "constant", constant_values=110)
        centre_y, centre_x = y[index] + pad, x[index] + pad
        face = padded[
            int(centre_y - size) : int(centre_y + size * (1 + 2 * scale)),
            int(centre_x - size * (1 + scale)) : int(centre_x + size * (1 + scale)),
        ]
        crops.append(cv2.resize(face, (224, 224)))
    return np.stack(crops)


def wandering(seed, count=40, first=3, height=150, width=200):
    """A face that drifts over the frame's edges."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, 9, (count, 2)) + random.normal(0, 4, 2)
    centre = np.array([width / 2, height / 2]) + np.cumsum(steps, axis=0)
    centre = np.clip(centre, 4, [width - 4, height - 4])
    half = random.uniform(20, 45) + random.normal(0, 2, (count, 1))
    return Track(np.arange(first, first + count), np.concatenate([centre - half, centre + half * 1.1], axis=1), count)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (48, 150, 200, 3), dtype=np.uint8)


def batches(frames, size):
    return (frames[start : start + size] for start in range(0, len(frames), size))


@pytest.mark.parametrize("seed", range(8))
def test_equal_to_the_literal_procedure(frames, seed):
    track = wandering(seed)
    crops = np.concatenate([crops for _, crops in crop_tracks(batches(frames, 7), [track])])
    np.testing.assert_array_equal(crops, literal_crops(frames, track))


def test_the_cases_reach_over_all_four_edges(frames):
    rectangles = np.concatenate([crop_rectangles(wandering(seed).boxes)[0] for seed in range(8)])
    assert (rectangles[:, :2] < 0).any(axis=0).all() and (rectangles[:, 2:] > [200, 150]).any(axis=0).all()


def test_equal_to_the_frames_that_syncnet_python_writes(frames, tmp_path, monkeypatch):
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    pipeline = pytest.importorskip("syncnet_python.syncnet_pipeline")
    written = []

    class Writer:
        def __init__(self, *_):
            pass

        write = staticmethod(written.append)
        release = staticmethod(lambda: None)

    monkeypatch.setattr(pipeline.cv2, "VideoWriter", Writer)
    monkeypatch.setattr(pipeline.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(pipeline.os, "remove", lambda _: None)
    paths = []
    for index, frame in enumerate(frames):
        paths.append(str(tmp_path / f"{index:03d}.png"))
        cv2.imwrite(paths[-1], frame[..., ::-1])
    official = object.__new__(pipeline.SyncNetPipeline)
    official.cfg = pipeline.PipelineConfig()
    track = wandering(11)
    official._crop({"frame": track.frames, "bbox": track.boxes}, paths, "audio.wav", tmp_path / "crop")
    ours = np.concatenate([crops for _, crops in crop_tracks([frames], [track])])
    np.testing.assert_array_equal(ours, np.stack(written)[..., ::-1])


def test_batches_and_other_tracks_change_nothing(frames):
    tracks = [wandering(1), wandering(2, count=20, first=25)]
    for size in (1, 16, 48):
        collected = {0: [], 1: []}
        for index, crops in crop_tracks(batches(frames, size), tracks):
            collected[index].append(crops)
        for index, track in enumerate(tracks):
            np.testing.assert_array_equal(np.concatenate(collected[index]), literal_crops(frames, track))


def test_smoothing_pulls_the_ends_down_to_the_minimum_of_seven():
    """Zero padding: the first and last values are the least of the seven that exist, not their median."""
    boxes = np.zeros((30, 4))
    boxes[:, 2:] = np.random.default_rng(0).uniform(50, 90, (30, 1))
    half, x, y = smooth(boxes)
    assert half[0] == boxes[:7, 2].min() / 2 and half[-1] == boxes[-7:, 2].min() / 2
    np.testing.assert_array_equal(x, signal.medfilt(boxes[:, 2] / 2, 13))
    np.testing.assert_array_equal(x, y)


def test_a_face_far_outside_the_frame_is_all_border(frames):
    boxes = np.tile([900.0, 900.0, 960.0, 960.0], (20, 1))
    ((_, crops),) = crop_tracks([frames], [Track(np.arange(20), boxes, 20)])
    assert crops.shape == (20, 224, 224, 3) and (crops == 110).all()


def test_whole_frames_are_resized_without_keeping_the_aspect_ratio(frames):
    (resized,) = whole_frames([frames[:2]])
    np.testing.assert_array_equal(resized[1], cv2.resize(frames[1], (224, 224)))
