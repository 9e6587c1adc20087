"""Detectors: S3FD's boxes are those of syncnet-python's detector; Haar's do not depend on threads or batches."""

import numpy as np
import pytest
from sync_factory import random_s3fd

from t2av_bench.errors import Unscorable
from t2av_bench.faces.detect import NMS_OVERLAP, S3FD, haar
from t2av_bench.faces.find import detection_protocol
from t2av_bench.faces.track import overlap
from t2av_bench.media.clip import Clip
from t2av_bench.utils.inference import _has_bfloat16


@pytest.fixture(scope="module")
def frames(clips_folder):
    """Nine frames of a real clip, some of them dark or turned, so that detections vary."""
    path = clips_folder / "talker_output.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    real = next(Clip(path).frames(9)).copy()
    real[3] = real[3, ::-1]
    real[5] //= 3
    real[6, :, 256:] = 0
    return real


@pytest.fixture(scope="module")
def small(frames):
    """The same at a quarter of the area, odd-sized: S3FD is slow."""
    return np.ascontiguousarray(frames[:, ::2, 6::2])


@pytest.fixture(scope="module")
def network(small):
    pytest.importorskip("torch")
    return random_s3fd(small[0])


def test_s3fd_boxes_equal_the_official_detector_on_the_same_weights(small, network):
    from copy import deepcopy

    from syncnet_python.detectors.s3fd import S3FD as Official

    official = Official(net=deepcopy(network), device="cpu")
    ours = S3FD(deepcopy(network)).detect(small)
    counts = []
    for boxes, frame in zip(ours, small, strict=True):
        theirs = official.detect_faces(frame, conf_th=0.9, scales=[0.25])
        assert boxes.shape == theirs.shape
        np.testing.assert_allclose(boxes[:, :4], theirs[:, :4], rtol=0, atol=2e-2)
        np.testing.assert_allclose(boxes[:, 4], theirs[:, 4], rtol=0, atol=1e-5)
        counts.append(len(theirs))
    assert max(counts) > 1 and len(set(counts)) > 1  # a random network that finds nothing would prove nothing


def test_s3fd_boxes_do_not_depend_on_the_batch(small, network):
    from copy import deepcopy

    detector = S3FD(deepcopy(network))
    together = detector.detect(small)
    for index in (0, 4, 8):
        (alone,) = detector.detect(small[index : index + 1])
        np.testing.assert_allclose(alone, together[index], rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(not _has_bfloat16("cpu"), reason="this processor has no bfloat16")
def test_s3fd_in_bfloat16_is_kept_apart_and_its_surest_box_is_nearly_the_same(small, network):
    from copy import deepcopy

    exact, rounded = S3FD(deepcopy(network)), S3FD(deepcopy(network), dtype="bfloat16")
    found = [detector.detect(small[:1])[0] for detector in (exact, rounded)]
    shared = overlap(found[0][:, :4], found[1][0, :4]).max()
    assert shared > 0.9 and not np.array_equal(found[0], found[1])
    assert np.unique(found[1][:, 4].astype(np.float32)).size == len(found[1]) > 1  # scores are not rounded themselves
    protocols = [detection_protocol(detector) for detector in (exact, rounded, S3FD(deepcopy(network)))]
    assert protocols[0] == protocols[2] and protocols[0].difference(protocols[1]) == "dtype none against bfloat16"


def test_frames_too_small_for_s3fd_are_a_reason(network):
    with pytest.raises(Unscorable, match="64x200 pixels are too small for S3FD, which needs 112x112"):
        S3FD(network).detect(np.zeros((1, 200, 64, 3), np.uint8))
    for least in (112, 113, 131):
        (boxes,) = S3FD(network).detect(np.zeros((1, least, least, 3), np.uint8))
        assert boxes.shape[1] == 5


def test_haar_finds_the_face_once_and_where_it_is(frames):
    boxes = haar().detect(frames[:1])[0]
    assert boxes.shape == (1, 5)
    x, y = (boxes[0, 0] + boxes[0, 2]) / 2, (boxes[0, 1] + boxes[0, 3]) / 2
    assert 200 < x < 310 and 230 < y < 360 and 200 < boxes[0, 2] - boxes[0, 0] < 340


def test_haar_does_not_see_a_face_upside_down_or_in_nothing(frames):
    boxes = haar().detect(np.stack([frames[3], np.zeros_like(frames[0]), np.full_like(frames[0], 200)]))
    assert [len(found) for found in boxes] == [0, 0, 0] and boxes[1].shape == (0, 5)


def test_haar_depends_neither_on_batches_nor_on_threads(frames):
    import cv2

    threads = cv2.getNumThreads()
    together = haar().detect(frames)
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            for index, frame in enumerate(frames):
                np.testing.assert_array_equal(haar().detect(frame[None])[0], together[index])
    finally:
        cv2.setNumThreads(threads)


def test_haar_finds_two_faces_and_thins_overlapping_boxes(frames):
    both = np.concatenate([frames[0], frames[0]], axis=1)
    (boxes,) = haar().detect(both[None])
    assert len(boxes) == 2 and abs(abs(boxes[0, 0] - boxes[1, 0]) - 512) < 12
    assert overlap(boxes[1:, :4], boxes[0, :4])[0] <= NMS_OVERLAP


@pytest.mark.parametrize("shape", [(1, 1), (8, 300), (20, 20), (333, 17)])
def test_frames_of_any_shape_are_searched(shape):
    frame = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    assert haar().detect(frame)[0].shape[1] == 5


def test_a_detector_says_what_moves_its_boxes(network):
    for detector in (haar(), S3FD(network)):
        assert detector.name in ("haar", "s3fd") and detector.parameters["nms"] == 0.1
