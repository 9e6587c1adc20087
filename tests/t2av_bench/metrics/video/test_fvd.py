"""FVD and KVD: window, crop and call of the network, damage in order, and a published value with the real weights."""

from pathlib import Path

import numpy as np
import pytest
from tiny_networks import save_i3d

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import i3d
from t2av_bench.metrics.distances import frechet_distance
from t2av_bench.metrics.fvd import WINDOW, FVDStyleGANV, KVDStyleGANV, centre_square
from t2av_bench.utils.inference import _has_bfloat16

BFLOAT16 = FVDStyleGANV(dtype="bfloat16")


@pytest.fixture(scope="module")
def scripted(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("i3d") / "i3d_torchscript.pt"
    save_i3d(path)
    return path


def clips_of(frames: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Different clips of 16 frames, 64x64."""
    random = np.random.default_rng(seed)
    clips = []
    for _ in range(count):
        top, left, start = random.integers(0, 32, 2).tolist() + [random.integers(0, 8)]
        clip = frames[start : start + 16, top : top + 64, left : left + 64]
        clips.append((clip * random.uniform(0.6, 1.0, 3)).astype(np.uint8))
    return clips


def test_window_is_centred_in_the_common_duration_and_shared(photographs, scripted, pair_of, install_weights):
    install_weights({"i3d_torchscript": scripted})
    frames = photographs[:, :40, :40]
    measurement = FVDStyleGANV().measure(pair_of(frames[:21], frames))
    assert measurement.detail == {
        "generated_frames": 21, "reference_frames": 24, "common_frames": 21, "length_difference": -3, "start": 2,
    }  # fmt: skip
    expected = i3d.logits(i3d.load(scripted, "stand-in", "cpu"), frames[None, 2 : 2 + WINDOW])
    for side in ("generated", "reference"):
        assert measurement.features[side].shape == (1, 20)
        np.testing.assert_allclose(measurement.features[side], expected, rtol=1e-5)
    shifted = i3d.logits(i3d.load(scripted, "stand-in", "cpu"), frames[None, 4 : 4 + WINDOW])
    assert np.abs(shifted - expected).max() > 1e-3


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 40), (40, 41)])
def test_frames_are_cropped_to_a_centred_square(height, width, photographs, scripted, pair_of, install_weights):
    install_weights({"i3d_torchscript": scripted})
    frames = photographs[:16, :height, :width]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frames[:, top : top + side, left : left + side]
    assert np.array_equal(centre_square(frames), square)
    found = FVDStyleGANV().measure(pair_of(frames, square)).features
    assert np.array_equal(found["generated"], found["reference"])


DAMAGE = {
    "noise": lambda clip, level, random: np.clip(
        clip + random.normal(0, (5, 15, 40, 80)[level], clip.shape), 0, 255
    ).astype(np.uint8),
    "blur": lambda clip, level, random: np.stack([_blur(frame, (1, 2, 4, 8)[level]) for frame in clip]),
    "shuffle": lambda clip, level, random: np.concatenate(
        [random.permutation(part) for part in np.split(clip, 16 // (2, 4, 8, 16)[level])]
    ),
}


def _blur(frame: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(frame, (0, 0), sigma)


@pytest.mark.parametrize("damage", DAMAGE)
def test_graded_damage_moves_both_in_order(damage, photographs, scripted):
    network = i3d.load(scripted, "stand-in", "cpu")
    clips = clips_of(photographs, 24, seed=1)
    reference = i3d.logits(network, np.stack(clips))
    fvds, kvds = [], []
    for level in range(4):
        random = np.random.default_rng(0)
        damaged = i3d.logits(network, np.stack([DAMAGE[damage](clip, level, random) for clip in clips]))
        features = [{"generated": g[None], "reference": r[None]} for g, r in zip(damaged, reference, strict=True)]
        fvds.append(FVDStyleGANV().aggregate(features).values["fvd"])
        kvds.append(KVDStyleGANV().aggregate(features).values["kvd"])
    assert fvds == sorted(fvds) and fvds[3] > fvds[0] > 0
    assert kvds == sorted(kvds) and kvds[3] > kvds[0]


def test_identity_order_sides_and_covariance(photographs, scripted):
    network = i3d.load(scripted, "stand-in", "cpu")
    first, second = (i3d.logits(network, np.stack(clips_of(photographs, 12, seed))) for seed in (2, 3))
    same = [{"generated": row[None], "reference": row[None]} for row in first]
    assert FVDStyleGANV().aggregate(same).values["fvd"] < 1e-6
    pairs = [{"generated": a[None], "reference": b[None]} for a, b in zip(first, second, strict=True)]
    swapped = [{"generated": pair["reference"], "reference": pair["generated"]} for pair in pairs]
    for metric, name in ((FVDStyleGANV(), "fvd"), (KVDStyleGANV(), "kvd")):
        result = metric.aggregate(pairs)
        assert result.detail["clips"] == 12
        assert metric.aggregate(pairs[::-1]).values == result.values
        assert metric.aggregate(swapped).values[name] == pytest.approx(result.values[name], rel=1e-9)
    # Population moments: doubling every clip changes nothing, as it would with the sample covariance.
    value = FVDStyleGANV().aggregate(pairs).values["fvd"]
    assert FVDStyleGANV().aggregate(pairs * 2).values["fvd"] == pytest.approx(value, rel=1e-9)


def test_reasons(photographs, scripted, pair_of, install_weights):
    frames = photographs[:, :32, :32]
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch i3d_torchscript --accept research"):
        FVDStyleGANV().measure(pair_of(frames, frames))
    install_weights({"i3d_torchscript": scripted})
    with pytest.raises(Unscorable, match="the clip has 15 frames at 25 fps; 16 are needed"):
        FVDStyleGANV().measure(pair_of(frames[:15], frames))
    with pytest.raises(NotApplicable, match="--reference DIR"):
        KVDStyleGANV().measure(pair_of(frames))
    with pytest.raises(Unscorable, match="1 clip has features"):
        FVDStyleGANV().aggregate([{"generated": np.zeros((1, 4)), "reference": np.zeros((1, 4))}])


def test_fvd_and_kvd_share_features_and_differ_in_protocol(scripted, install_weights):
    install_weights({"i3d_torchscript": scripted})
    assert FVDStyleGANV().features_protocol == KVDStyleGANV().features_protocol
    assert FVDStyleGANV().protocol.fingerprint != KVDStyleGANV().protocol.fingerprint


@pytest.mark.skipif(not _has_bfloat16("cpu"), reason="this processor has no bfloat16")
def test_bfloat16_is_another_protocol_within_its_rounding(photographs, scripted, pair_of, install_weights):
    install_weights({"i3d_torchscript": scripted})
    pair = pair_of(photographs[:, :40, :40], photographs[:, :40, :40])
    exact, rounded = (metric.measure(pair).features["generated"] for metric in (FVDStyleGANV(), BFLOAT16))
    assert 0 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 0.03
    assert BFLOAT16.features_protocol == KVDStyleGANV(dtype="bfloat16").features_protocol
    assert BFLOAT16.features_protocol.fingerprint != FVDStyleGANV().features_protocol.fingerprint
    assert FVDStyleGANV(dtype="float32").protocol == FVDStyleGANV().protocol


def test_published_value_with_the_real_network():
    """fvd-comparison: uniform noise from seeds 1 and 2, 128 clips, no rescaling, no resizing (sample covariance)."""
    if not weights.is_present("i3d_torchscript"):
        pytest.skip("the weights i3d_torchscript are not here")
    network = i3d.load(weights.path("i3d_torchscript"), weights.digest("i3d_torchscript"), "cpu")
    features = []
    for seed in (1, 2):
        random = np.random.RandomState(seed)
        features.append(np.concatenate([
            i3d.logits(network, random.rand(1, 16, 224, 224, 3), rescale=False, resize=False) for _ in range(128)
        ]))  # fmt: skip
    assert frechet_distance(*features, ddof=1) == pytest.approx(10.138084766713924, rel=1e-3)
