"""FID and KID: clean-fid end to end on the same random networks, damage in order, frame choice, failures."""

import warnings
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import linalg

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import inception
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.distances import polynomial_mmd2
from t2av_bench.metrics.fid import FIDClean, FIDLegacyPytorch
from t2av_bench.metrics.kid import KIDClean, KIDLegacyPytorch
from t2av_bench.metrics.paired_frames import segment_centres
from t2av_bench.results.features import FeatureStore
from t2av_bench.utils.inference import _has_bfloat16


def small_network(width: int):
    """A random convolutional extractor (n, 3, 299, 299) -> (n, width) with responses at several scales."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 7, stride=4), nn.ReLU(), nn.Conv2d(12, 16, 5, stride=2), nn.ReLU(),
        nn.Conv2d(16, width, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
    )  # fmt: skip
    for module in network:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():  # half of the first filters see edges and texture only
        network[0].weight[:6] -= network[0].weight[:6].mean(dim=(1, 2, 3), keepdim=True)
        network[0].weight[:6] *= 4
    return network.eval()


@pytest.fixture(scope="module")
def scripted(tmp_path_factory) -> dict[int, Path]:
    """Stand-ins with the interface of ``inception-2015-12-05.pt`` (a ``layers`` child), by feature width."""
    import torch
    from torch import nn

    class Wrapper(nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.layers = layers

        def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            return self.layers(images)

    paths = {}
    for width in (24, 2048):
        paths[width] = tmp_path_factory.mktemp(f"width{width}") / "inception-2015-12-05.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(Wrapper(small_network(width))).save(str(paths[width]))
    return paths


@pytest.fixture(scope="module")
def state_dict(tmp_path_factory) -> Path:
    """Random weights for pytorch-fid's real architecture, scaled so that responses survive all layers."""
    import torch
    from cleanfid import inception_pytorch

    with mock.patch.object(inception_pytorch, "load_state_dict_from_url"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mock.patch.object(torch.nn.Module, "load_state_dict"):
            network = inception_pytorch.fid_inception_v3()
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    path = tmp_path_factory.mktemp("state") / "pt_inception.pth"
    torch.save(network.state_dict(), path)
    return path


def folder_of(frames: np.ndarray, path: Path) -> str:
    path.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"{index:03d}.png")
    return str(path)


def square_root_fid(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    shift = x.mean(axis=0) - y.mean(axis=0)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return float(shift @ shift + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real))


def clips_of(frames: np.ndarray, count: int, seed: int = 0) -> list[np.ndarray]:
    """Different clips of 20 frames: random crops, mirrored and tinted."""
    random = np.random.default_rng(seed)
    clips = []
    for _ in range(count):
        top, left = random.integers(0, 32, 2)
        gain = random.uniform(0.6, 1.0, 3)
        crop = frames[:20, top : top + 64, left : left + 64]
        crop = crop[:, :, ::-1] if random.random() < 0.5 else crop
        clips.append((crop * gain).astype(np.uint8))
    return clips


def measure_all(metric, pairs) -> list[dict[str, np.ndarray]]:
    return [metric.measure(pair).features for pair in pairs]


@pytest.mark.parametrize(("mode", "metrics"), [("clean", (FIDClean, KIDClean)),
                                               ("legacy_pytorch", (FIDLegacyPytorch, KIDLegacyPytorch))])  # fmt: skip
def test_end_to_end_equals_clean_fid(mode, metrics, photographs, scripted, pair_of, install_weights, tmp_path):
    """The same PNGs through clean-fid with the same network: features to FID and KID."""
    import torch
    from cleanfid import fid

    install_weights({"inception_nv": scripted[24], "inception_pt": scripted[24]})
    network = inception.load("clean", scripted[24], "stand-in", "cpu")
    generated, reference = (clips_of(photographs, 3, seed) for seed in (1, 2))
    pairs = [pair_of(*both) for both in zip(generated, reference, strict=True)]
    chosen = segment_centres(20, 16)
    folders = [
        folder_of(np.concatenate([clip[chosen] for clip in clips]), tmp_path / name)
        for clips, name in ((generated, "generated"), (reference, "reference"))
    ]
    recorded: list[torch.Tensor] = []

    def recording(images: torch.Tensor) -> torch.Tensor:
        recorded.append(network(images))
        return recorded[-1]

    options = {
        "mode": mode, "num_workers": 0, "device": torch.device("cpu"), "verbose": False, "use_dataparallel": False,
        "custom_feat_extractor": recording,
    }  # fmt: skip
    with warnings.catch_warnings(), mock.patch.object(inception, "load", return_value=network):
        warnings.simplefilter("ignore")
        theirs = fid.compute_fid(*folders, **options)
        their_features = np.split(torch.cat(recorded).numpy(), 2)
        metric = metrics[0]()
        features = measure_all(metric, pairs)
    ours = [np.concatenate([clip[side] for clip in features]) for side in ("generated", "reference")]
    for mine, other in zip(ours, their_features, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    value = metric.aggregate(features).values["fid"]
    assert value > 0.01
    assert value == pytest.approx(theirs, rel=1e-6)
    assert value == pytest.approx(square_root_fid(*ours), rel=1e-7)
    their_kid = fid.kernel_distance(*their_features, num_subsets=1)  # one subset of everything
    assert metrics[1]().aggregate(features).values["kid"] == pytest.approx(their_kid, rel=1e-4)


def test_the_scripted_network_is_fed_as_clean_fid_feeds_it(photographs, scripted):
    import torch
    from cleanfid.inception_torchscript import InceptionV3W

    theirs = InceptionV3W(str(scripted[2048].parent), download=False, resize_inside=False).eval()
    images = np.stack([inception.resizer("clean")(frame) for frame in photographs[:3]])
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    network = inception.load("clean", scripted[2048], "stand-in", "cpu")
    found = inception.features(photographs[:3], "clean", network)
    assert found.shape == (3, 2048) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_state_dict_network_is_clean_fids(photographs, state_dict):
    """pytorch-fid's architecture with random weights, built by clean-fid and by the loader; nothing is downloaded."""
    import torch
    from cleanfid import features as clean_fid
    from cleanfid import inception_pytorch

    state = torch.load(state_dict, weights_only=True)
    with mock.patch.object(inception_pytorch, "load_state_dict_from_url", return_value=state):
        theirs = clean_fid.feature_extractor("pytorch_inception", torch.device("cpu"), use_dataparallel=False)
    images = np.stack([inception.resizer("legacy_pytorch")(frame) for frame in photographs[:2]])
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    with mock.patch.object(inception_pytorch, "load_state_dict_from_url", side_effect=AssertionError("a download")):
        network = inception.load("legacy_pytorch", state_dict, "random", "cpu")
    found = inception.features(photographs[:2], "legacy_pytorch", network)
    assert found.shape == (2, 2048) and found.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


DAMAGE = {
    "blur": lambda image, level: cv2.GaussianBlur(image, (0, 0), (1, 2, 4, 8)[level]),
    "jpeg": lambda image, level: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, (50, 20, 10, 5)[level]])[1], cv2.IMREAD_COLOR
    ),
    "noise": lambda image, level: np.clip(
        image + np.random.default_rng(image[0, 0].sum()).normal(0, (5, 15, 40, 80)[level], image.shape), 0, 255
    ).astype(np.uint8),
    "grey": lambda image, level: np.clip(
        image + (image.mean(axis=2, keepdims=True) - image) * (0.25, 0.5, 0.75, 1)[level], 0, 255
    ).astype(np.uint8),
}


@pytest.fixture(scope="module")
def set_features(photographs, scripted):
    """Clips -> features as ``measure`` keeps them, without files."""
    network = inception.load("clean", scripted[24], "stand-in", "cpu")

    def compute(clips):
        return [inception.features(clip[segment_centres(len(clip), 8)], "clean", network) for clip in clips]

    return compute


@pytest.mark.parametrize("damage", DAMAGE)
def test_graded_damage_moves_both_in_order(damage, photographs, set_features):
    clips = clips_of(photographs, 3, seed=3)
    reference = set_features(clips)
    fids, kids = [], []
    for level in range(4):
        damaged = [np.stack([DAMAGE[damage](frame, level) for frame in clip]) for clip in clips]
        features = [
            {"generated": generated, "reference": side}
            for generated, side in zip(set_features(damaged), reference, strict=True)
        ]
        fids.append(FIDClean().aggregate(features).values["fid"])
        kids.append(KIDClean().aggregate(features).values["kid"])
    assert fids == sorted(fids) and fids[3] > 2 * fids[0] > 0
    assert kids == sorted(kids) and kids[3] > kids[0]


def test_identical_sets_order_and_sides(photographs, set_features):
    first, second = (set_features(clips_of(photographs, 5, seed)) for seed in (4, 5))
    same = [{"generated": side, "reference": side} for side in first]
    assert FIDClean().aggregate(same).values["fid"] < 1e-3
    assert KIDClean().aggregate(same).values["kid"] <= 0  # unbiased: the diagonal counts between the sets only
    forward = [{"generated": a, "reference": b} for a, b in zip(first, second, strict=True)]
    swapped = [{"generated": clip["reference"], "reference": clip["generated"]} for clip in forward]
    for metric, name in ((FIDClean(), "fid"), (KIDClean(), "kid")):
        value = metric.aggregate(forward).values[name]
        assert value > 0
        assert metric.aggregate(forward[::-1]).values[name] == value
        assert metric.aggregate(swapped).values[name] == pytest.approx(value, rel=1e-9)
        counts = {"clips": 5, "generated_samples": 40, "reference_samples": 40}
        assert metric.aggregate(forward).detail.items() >= counts.items()


def test_kid_of_real_halves_is_zero_on_average(photographs, set_features):
    random = np.random.default_rng(0)
    samples = np.concatenate(set_features(clips_of(photographs, 10, seed=6)))
    values = []
    for _ in range(20):
        order = random.permutation(len(samples))
        values.append(polynomial_mmd2(samples[order[:40]], samples[order[40:]]))
    assert abs(np.mean(values)) < 2 * np.std(values, ddof=1) / np.sqrt(20)
    assert min(values) < 0


def test_batch_size_and_store_do_not_move_features(photographs, scripted, write_clip, install_weights, tmp_path):
    from t2av_bench.benchmarks.manifest import Item
    from t2av_bench.metrics.base import Settings

    install_weights({"inception_nv": scripted[24]})
    paths = [write_clip(clip) for clip in clips_of(photographs, 2, seed=8)]
    store = FeatureStore(tmp_path / "features")

    def pair() -> Pair:
        return Pair(Item(id="a"), *(Clip(path, features=store) for path in paths))

    plain = FIDClean(Settings(batch_size=32)).measure(Pair(Item(id="a"), *(Clip(path) for path in paths))).features
    small = FIDClean(Settings(batch_size=3)).measure(pair()).features
    with mock.patch.object(inception, "features", side_effect=AssertionError("computed again")):
        kept = KIDClean().measure(pair()).features  # KID finds what FID left
    for side in ("generated", "reference"):
        assert plain[side].shape == (16, 24)
        assert np.array_equal(small[side], plain[side])
        assert np.array_equal(kept[side], small[side])


def test_frames_are_distinct_evenly_spaced_and_named_by_their_ends():
    by_ends = {}
    for count in range(16, 200):
        indices = segment_centres(count, 16)
        assert len(set(indices)) == 16 and indices[0] >= 0 and indices[-1] < count
        assert set(np.diff(indices)) <= {count // 16, -(-count // 16)}
        # The store tells choices apart by their first and last index.
        assert np.array_equal(by_ends.setdefault((indices[0], indices[-1]), indices), indices)


def test_both_sides_use_the_same_frames_of_the_common_duration(photographs, scripted, pair_of, install_weights):
    install_weights({"inception_nv": scripted[24]})
    frames = photographs[:, :48, :48]
    pair = pair_of(frames[:17], frames)
    measurement = FIDClean().measure(pair)
    assert np.array_equal(measurement.features["generated"], measurement.features["reference"])
    assert measurement.detail == {
        "generated_frames": 17, "reference_frames": 24, "common_frames": 17, "length_difference": -7,
    }  # fmt: skip


def test_reasons(photographs, scripted, pair_of, install_weights, tmp_path):
    frames = photographs[:, :32, :32]
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch inception_nv --accept non-commercial"):
        FIDClean().measure(pair_of(frames, frames))
    install_weights({"inception_nv": scripted[24]})
    with pytest.raises(NotApplicable, match="--reference DIR"):
        FIDClean().measure(pair_of(frames))
    with pytest.raises(Unscorable, match="the clip has 15 frames at 25 fps; 16 are needed"):
        FIDClean().measure(pair_of(frames[:15], frames))
    with pytest.raises(NotApplicable, match="the reference clip has 9 frames"):
        FIDClean().measure(pair_of(frames, frames[:9]))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    pair = pair_of(frames, frames)
    pair.reference = Clip(broken)
    with pytest.raises(NotApplicable, match="the reference clip has no usable video"):
        FIDClean().measure(pair)
    with pytest.raises(Unscorable, match="at least 2"):
        FIDClean().aggregate([{"generated": np.zeros((16, 4)), "reference": np.zeros((16, 4))}])


def test_the_protocol_names_what_moves_the_numbers(scripted, install_weights):
    missing = FIDClean().protocol
    install_weights({"inception_nv": scripted[24]})
    fid, kid = FIDClean().protocol, KIDClean().protocol
    assert len(fid.weights["inception_nv"]) == 64
    assert len({missing.fingerprint, fid.fingerprint, kid.fingerprint}) == 3
    assert FIDClean().features_protocol == KIDClean().features_protocol


@pytest.mark.skipif(not _has_bfloat16("cpu"), reason="this processor has no bfloat16")
@pytest.mark.parametrize("metric", [FIDClean, FIDLegacyPytorch])
def test_bfloat16_is_another_protocol_with_features_of_its_own(
    metric, photographs, scripted, state_dict, write_clip, install_weights, tmp_path
):
    """Within the rounding of 8 bits of the exact features, and neither finds what the other kept."""
    from t2av_bench.benchmarks.manifest import Item

    install_weights({"inception_nv": scripted[24], "inception_pt": state_dict})
    path, store = write_clip(photographs[:, :48, :48]), FeatureStore(tmp_path / "features")
    exact, rounded = metric(), metric(dtype="bfloat16")
    found = [
        each.measure(Pair(Item(id="a"), *(Clip(path, features=store) for _ in range(2)))).features["generated"]
        for each in (exact, rounded, exact)
    ]
    assert np.array_equal(found[0], found[2])
    error = np.linalg.norm(found[1] - found[0]) / np.linalg.norm(found[0])
    assert 0 < error < 0.03
    assert found[1].dtype == np.float32
    assert metric(dtype="float32").protocol == exact.protocol != rounded.protocol
    assert exact.protocol.difference(rounded.protocol) == "dtype none against bfloat16"
