"""SyncNet's features, embeddings and distances: golden vectors, and syncnet-python on the same random weights."""

import numpy as np
import pytest
from sync_factory import random_syncnet

from t2av_bench.extractors.syncnet import SyncNet, compare, mfcc, window_count
from t2av_bench.utils.inference import _has_bfloat16

python_speech_features = pytest.importorskip("python_speech_features")


def shifted_embeddings():
    random = np.random.RandomState(0)
    mouth = random.randn(60, 16)
    audio = mouth + 0.5 * random.randn(60, 16)
    return mouth.astype(np.float32), audio.astype(np.float32)


def official_curve(mouth, audio):
    import torch

    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from syncnet_python.SyncNetInstance import calc_pdist

    distances = torch.stack(calc_pdist(torch.from_numpy(mouth), torch.from_numpy(audio), vshift=15), 1)
    return distances.mean(1).numpy(), distances.numpy()


def test_golden_vector_of_the_core():
    """Audio later by three rows: offset -3."""
    mouth, audio = shifted_embeddings()
    result = compare(mouth, np.roll(audio, 3, axis=0))
    assert result.offset == -3
    assert result.distance == pytest.approx(2.0102441, abs=2e-6)
    assert result.confidence == pytest.approx(3.5418198, abs=2e-6)


@pytest.mark.parametrize(("windows", "width"), [(1, 4), (5, 1024), (40, 1024), (97, 33)])
def test_the_whole_curve_equals_the_official_function(windows, width):
    random = np.random.default_rng(windows)
    mouth = random.normal(3, 2, (windows, width)).astype(np.float32)
    audio = random.normal(-1, 1, (windows, width)).astype(np.float32)
    curve, _ = official_curve(mouth, audio)
    result = compare(mouth, audio)
    np.testing.assert_allclose(result.curve, curve, rtol=2e-6)
    assert result.offset == 15 - int(np.argmin(curve))
    assert result.confidence == pytest.approx(float(np.median(curve) - curve.min()), abs=1e-5)


def test_the_epsilon_of_the_official_distance_is_kept():
    """Identical embeddings are sqrt(D) * 1e-6 apart, not 0."""
    same = np.full((3, 400), 2.0, np.float32)
    assert compare(same, same).curve[15] == pytest.approx(20e-6, rel=1e-9)


def test_of_equal_distances_the_first_counts():
    """Constant embeddings: at shift 0 nothing is compared with padding; with zeros everywhere all shifts are equal."""
    zeros = np.zeros((20, 8), np.float32)
    assert compare(zeros, zeros).offset == 15


def test_embeddings_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="as many mouth as audio windows"):
        compare(np.zeros((3, 8), np.float32), np.zeros((4, 8), np.float32))


GOLDEN_ROW = [
    19.507529, 18.808012, 1.7078, -14.176295, -27.196581, -33.533602, -29.670455,
    -18.558473, -3.281744, 10.047904, 18.033811, 17.967724, 11.939926,
]  # fmt: skip


def tone():
    return np.round(10000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.int16)


def test_golden_mfcc_of_a_tone():
    coefficients = mfcc(tone())
    assert coefficients.shape == (99, 13)
    np.testing.assert_allclose(coefficients[0], GOLDEN_ROW, atol=1e-6)


def test_golden_mfcc_of_noise():
    coefficients = mfcc((np.random.RandomState(0).randn(16000) * 3000).astype(np.int16))
    np.testing.assert_allclose(coefficients[0, :3], [21.973783, -34.613645, -5.389782], atol=1e-6)
    assert coefficients.mean() == pytest.approx(-4.195513457150687, abs=1e-9)


@pytest.mark.parametrize(("frames", "rows"), [(5, 19), (6, 23), (25, 99)])
def test_a_frame_of_audio_has_four_rows_but_the_last(frames, rows):
    assert len(mfcc(np.zeros(frames * 640, np.int16))) == rows


def test_floats_are_refused():
    with pytest.raises(ValueError, match="int16"):
        mfcc(tone() / 32768)


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 5000, 960_000, 960_240, 960_241, 1_000_003])
def test_computing_by_the_minute_changes_nothing(samples):
    audio = (np.random.default_rng(samples).normal(0, 3000, samples)).astype(np.int16)
    np.testing.assert_allclose(mfcc(audio), python_speech_features.mfcc(audio, 16000), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("frames", "samples", "windows"), [(6, 3840, 1), (100, 63999, 94), (5, 10**6, 0), (9, 0, -5)])
def test_one_valid_window_is_dropped(frames, samples, windows):
    assert window_count(frames, samples) == windows


@pytest.fixture(scope="module")
def mouth(clips_folder):
    """(26, 224, 224, 3): crops of a real mouth, as an official run would have them in its folder of JPEGs."""
    import cv2

    from t2av_bench.media.clip import Clip

    path = clips_folder / "hdtf_aoc.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    clip = Clip(path)
    crops = np.stack([cv2.resize(frame[100:420, 90:410], (224, 224)) for frame in next(clip.frames(26))])
    return crops, clip.audio()


@pytest.fixture(scope="module")
def network(mouth):
    pytest.importorskip("torch")
    return random_syncnet(mouth[0][:12])


@pytest.mark.parametrize("extra_audio", [0, 3000, -700])
def test_parity_with_the_official_evaluation(mouth, network, extra_audio, tmp_path, capsys):
    """Whole evaluation, from JPEGs and a wav file, on the same random weights."""
    from copy import deepcopy
    from types import SimpleNamespace

    import cv2
    from scipy.io import wavfile
    from syncnet_python import SyncNetInstance

    from t2av_bench.media.resample import to_int16
    from t2av_bench.metrics.sync import score_crops

    crops, audio = mouth
    crops = crops[:20] if extra_audio else crops
    samples = to_int16(audio)[: len(crops) * 640 + extra_audio]
    for index, crop in enumerate(crops):
        cv2.imwrite(str(tmp_path / f"{index:06d}.jpg"), crop[..., ::-1])
    wavfile.write(tmp_path / "audio.wav", 16000, samples)
    options = SimpleNamespace(tmp_dir=str(tmp_path), batch_size=20, vshift=15)
    official = SyncNetInstance(net=deepcopy(network), device="cpu")
    offset, confidence, distance = official.evaluate(options)

    read = np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(tmp_path.glob("*.jpg"))])
    ours = score_crops([read[:11], read[11:]], lambda: samples, SyncNet(network))
    assert ours.offset == offset
    assert ours.distance == pytest.approx(distance, abs=1e-3)
    assert ours.confidence == pytest.approx(confidence, abs=1e-3)
    assert distance > 1 and confidence > 0.05 and np.ptp(ours.curve) > 0.3  # the random network is not degenerate


def test_embeddings_equal_the_networks_own(mouth, network):
    import torch

    crops = mouth[0][:9]
    coefficients = np.random.default_rng(0).normal(0, 10, (40, 13))
    video = torch.from_numpy(crops[..., ::-1].copy()).float().permute(3, 0, 1, 2)
    with torch.no_grad():
        seen = network.forward_lip(torch.stack([video[:, i : i + 5] for i in range(5)])).numpy()
        rows = torch.from_numpy(coefficients.T).float()
        heard = network.forward_aud(torch.stack([rows[None, :, 4 * i : 4 * i + 20] for i in range(6)])).numpy()
    wrapped = SyncNet(network)
    np.testing.assert_allclose(wrapped.embed_mouths(crops), seen, atol=1e-4 * np.abs(seen).max())
    np.testing.assert_allclose(wrapped.embed_audio(coefficients, 6), heard, atol=1e-4 * np.abs(heard).max())
    assert np.abs(np.diff(seen, axis=0)).max() > 0.1 and np.abs(np.diff(heard, axis=0)).max() > 0.1


def test_however_the_crops_arrive_the_embeddings_are_the_same(mouth, network, monkeypatch):
    """Bit for bit; and in batches of another size within rounding."""
    from t2av_bench.extractors import syncnet

    crops = mouth[0][:15]

    def streamed(step, batch):
        monkeypatch.setattr(syncnet, "_MOUTH_BATCH", batch)
        stream = SyncNet(network).stream()
        for start in range(0, len(crops), step):
            stream.add(crops[start : start + step])
        return stream.finish()

    expected = streamed(15, 8)
    assert expected.shape == (11, 1024)
    np.testing.assert_array_equal(streamed(2, 8), expected)
    error = np.linalg.norm(streamed(15, 3) - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 5e-5


def test_a_stream_of_too_few_frames_is_empty(network):
    stream = SyncNet(network).stream()
    assert stream.finish().shape == (0, 1024)
    stream.add(np.zeros((4, 224, 224, 3), np.uint8))
    assert stream.finish().shape == (0, 1024)


def test_too_few_mfcc_rows_are_refused(network):
    with pytest.raises(ValueError, match="24 MFCC rows, got 23"):
        SyncNet(network).embed_audio(np.zeros((23, 13)), 2)


@pytest.mark.skipif(not _has_bfloat16("cpu"), reason="this processor has no bfloat16")
def test_in_bfloat16_every_convolution_of_the_mouth_is_rounded_and_nothing_else(mouth, network):
    """Against float32 networks whose weights and layers are rounded to 8 bits by hand; random weights amplify it."""
    import torch

    crops, exact, rounded = mouth[0][:6], SyncNet(network), SyncNet(network, dtype="bfloat16")
    video = torch.from_numpy(crops[..., ::-1].copy()).float().permute(3, 0, 1, 2)[None]
    with torch.no_grad():
        for layer in exact._mouth:
            if isinstance(layer, torch.nn.Conv3d):
                weight, bias = (each.bfloat16().float() for each in (layer.weight, layer.bias))
                video = torch.nn.functional.conv3d(video, weight, bias, layer.stride, layer.padding).bfloat16().float()
            else:
                video = layer(video)
        by_hand = exact._mouth_head(video[0, :, :, 0, 0].T).numpy()
    seen, near = exact.embed_mouths(crops), rounded.embed_mouths(crops)

    def apart(one, other):
        return np.linalg.norm(one - other) / np.linalg.norm(seen)

    assert near.dtype == np.float32 and 0 < apart(near, seen) < 0.1
    assert apart(near, by_hand) < apart(near, seen) / 3
    coefficients = np.random.default_rng(0).normal(0, 10, (40, 13))
    np.testing.assert_array_equal(rounded.embed_audio(coefficients, 6), exact.embed_audio(coefficients, 6))
