"""PSNR, SSIM and LPIPS: closed forms, literal and other implementations, damage in order, alignment, failures."""

import math
import tracemalloc
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage, signal

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import perceptual
from t2av_bench.media.limits import FrameBudget
from t2av_bench.metrics.base import Settings
from t2av_bench.metrics.lpips import LPIPSVGG, LPIPSAlex
from t2av_bench.metrics.psnr import PSNR, psnr
from t2av_bench.metrics.ssim import SSIM, ssim


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    """Random weights in the layout of torchvision's AlexNet file, convolutions scaled to keep responses alive."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    network = alexnet(weights=None)
    for layer in network.features:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(network.features.state_dict(prefix="features."), path)
    return path


@pytest.fixture
def install_lpips(backbone, install_weights) -> None:
    head = weights.path("lpips_alex_lin")
    install_weights({"alexnet_tv": backbone, "lpips_alex_lin": head})


@pytest.fixture(scope="module")
def model(backbone):
    return perceptual.load("alex", backbone, weights.path("lpips_alex_lin"), ("random",), "cpu")


def noisy(frames: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return np.clip(frames + np.random.default_rng(seed).normal(0, sigma, frames.shape), 0, 255).astype(np.uint8)


def test_psnr_closed_forms():
    black = np.zeros((2, 8, 9, 3), np.uint8)
    assert psnr(black, black + 255).tolist() == [0.0, 0.0]
    for step in (1, 5, 50):
        assert psnr(black, black + step) == pytest.approx([20 * math.log10(255 / step)] * 2, rel=1e-12)
    one = black.copy()
    one[1, 3, 4, 2] = 7
    assert psnr(black, one).tolist() == pytest.approx([100.0, 10 * math.log10(255**2 * 8 * 9 * 3 / 49)], rel=1e-12)


def test_psnr_equals_the_definition(photographs):
    damaged = noisy(photographs, 20)
    errors = ((photographs.astype(float) - damaged.astype(float)) ** 2).mean(axis=(1, 2, 3))
    assert psnr(photographs, damaged) == pytest.approx(10 * np.log10(65025 / errors), rel=1e-12)


def test_psnr_is_the_mean_of_frames_and_flags_the_cap(pair_of):
    frames = np.full((5, 16, 16, 3), 100, np.uint8)
    other = frames.copy()
    other[3:] += 10
    measurement = PSNR().measure(pair_of(other, frames))
    assert measurement.values["psnr"] == pytest.approx((3 * 100 + 2 * 20 * math.log10(25.5)) / 5, rel=1e-12)
    assert measurement.detail["capped_frames"] == 3


def literal_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. as written, position by position, with a full two-dimensional window."""
    r = np.arange(-5, 6)
    window = np.exp(-(r[:, None] ** 2 + r[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel in range(3):
        a, b = x[..., channel].astype(np.float64), y[..., channel].astype(np.float64)
        for top in range(a.shape[0] - 10):
            for left in range(a.shape[1] - 10):
                p, q = a[top : top + 11, left : left + 11], b[top : top + 11, left : left + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                covariance = (window * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + 6.5025) * (2 * covariance + 58.5225)
                              / ((mp**2 + mq**2 + 6.5025) * (vp + vq + 58.5225)))  # fmt: skip
    return float(np.mean(values))


def test_ssim_equals_the_definition(photographs):
    x, y = photographs[0, :24, :20], noisy(photographs[:1], 15)[0, :24, :20]
    assert ssim(x[None], y[None])[0] == pytest.approx(literal_ssim(x, y), abs=1e-10)


@pytest.mark.parametrize("values", [1, 11 * 3 * 96, 12 * 3 * 96, 1 << 30])
def test_ssim_does_not_depend_on_its_strips(values, photographs, monkeypatch):
    whole = ssim(photographs[:2], noisy(photographs[:2], 15))
    monkeypatch.setattr("t2av_bench.metrics.ssim._STRIP_VALUES", values)
    assert ssim(photographs[:2], noisy(photographs[:2], 15)) == pytest.approx(whole, rel=1e-12)


def test_ssim_equals_a_convolution_by_scipy(photographs):
    x, y = photographs[0], ndimage.gaussian_filter(photographs[0], (2, 2, 0))
    taps = signal.windows.gaussian(11, 1.5)
    window = np.outer(taps, taps) / taps.sum() ** 2
    means = []
    for c in range(3):
        a, b = x[..., c].astype(float), y[..., c].astype(float)
        blur = lambda v: signal.fftconvolve(v, window, mode="valid")  # noqa: E731
        ma, mb = blur(a), blur(b)
        va, vb, ab = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        means.append(((2 * ma * mb + 6.5025) * (2 * ab + 58.5225)
                      / ((ma**2 + mb**2 + 6.5025) * (va + vb + 58.5225))).mean())  # fmt: skip
    assert ssim(x[None], y[None])[0] == pytest.approx(np.mean(means), abs=1e-9)


def test_ssim_of_constant_images_has_a_closed_form():
    """Published example of common_metrics_on_video_quality: black against white is 9.999e-05, PSNR 0."""
    black = np.zeros((1, 64, 64, 3), np.uint8)
    assert ssim(black, black + 255)[0] == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-9)
    grey = black + 100
    assert ssim(grey, black + 50)[0] == pytest.approx((2 * 5000 + 6.5025) / (12500 + 6.5025), rel=1e-9)
    assert ssim(grey, grey)[0] == 1.0


def test_identity_and_symmetry(photographs, model):
    damaged = noisy(photographs, 10)
    assert ssim(photographs, photographs) == pytest.approx([1.0] * 24, abs=1e-12)
    assert psnr(photographs, photographs).tolist() == [100.0] * 24
    assert np.all(perceptual.distance(model, photographs[:4], photographs[:4]) == 0)
    assert np.allclose(ssim(photographs, damaged), ssim(damaged, photographs), atol=1e-12)
    assert psnr(photographs, damaged).tolist() == psnr(damaged, photographs).tolist()
    forward, backward = (perceptual.distance(model, *both) for both in (
        (photographs[:4], damaged[:4]), (damaged[:4], photographs[:4])))  # fmt: skip
    np.testing.assert_allclose(forward, backward, rtol=1e-5)
    assert forward.min() > 0


@pytest.mark.parametrize("damage", ["noise", "blur", "shift"])
def test_graded_damage_moves_all_three_in_order(damage, photographs, model):
    apply = {
        "noise": lambda frames, level: noisy(frames, (4, 10, 25, 60)[level]),
        "blur": lambda frames, level: np.stack(
            [cv2.GaussianBlur(frame, (0, 0), (0.7, 1.5, 3, 6)[level]) for frame in frames]
        ),
        "shift": lambda frames, level: np.roll(frames, (1, 2, 4, 8)[level], axis=2),
    }[damage]
    frames = photographs[::6]
    damaged = [frames, *(apply(frames, level) for level in range(4))]
    lpips_values = [perceptual.distance(model, side, frames).mean() for side in damaged]
    psnr_values = [psnr(side, frames).mean() for side in damaged]
    ssim_values = [ssim(side, frames).mean() for side in damaged]
    assert all(a < b for a, b in zip(lpips_values, lpips_values[1:], strict=False))
    assert all(a > b for a, b in zip(psnr_values, psnr_values[1:], strict=False))
    assert all(a > b for a, b in zip(ssim_values, ssim_values[1:], strict=False))


def test_lpips_equals_the_package_on_the_same_weights(photographs, backbone, pair_of, install_lpips):
    import lpips
    from torchvision.models import alexnet

    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    features = alexnet(weights=None).features
    features.load_state_dict({k.removeprefix("features."): v for k, v in torch.load(backbone).items()})
    slices = [theirs.net.slice1, theirs.net.slice2, theirs.net.slice3, theirs.net.slice4, theirs.net.slice5]
    for cut, (start, stop) in zip(slices, ((0, 2), (2, 5), (5, 8), (8, 10), (10, 12)), strict=True):
        for inner, layer in zip(cut, features[start:stop], strict=True):
            inner.load_state_dict(layer.state_dict())
    frames, other = photographs[:5], noisy(photographs[:5], 30)
    tensors = [torch.from_numpy(f.transpose(0, 3, 1, 2).copy()).float() / 255 for f in (other, frames)]
    with torch.no_grad():
        expected = theirs(*tensors, normalize=True).mean().item()
        wrong_range = theirs(*tensors).mean().item()
    assert abs(wrong_range - expected) > 0.05 * expected  # [0, 1] passed as [-1, 1] would be seen here
    for batch_size in (1, 2, 32):
        measured = LPIPSAlex(Settings(batch_size=batch_size)).measure(pair_of(other, frames))
        assert measured.values["lpips"] == pytest.approx(expected, rel=1e-5)


def test_the_vgg_backbone_lands_in_its_slices(tmp_path, photographs):
    import lpips
    from torchvision.models import vgg

    torch.manual_seed(1)
    features = vgg.make_layers(vgg.cfgs["D"])
    torch.save(features.state_dict(prefix="features."), tmp_path / "vgg16.pth")
    with ExitStack() as stack:  # the random start takes seconds and must not matter
        for name in ("normal_", "kaiming_normal_", "kaiming_uniform_"):
            stack.enter_context(mock.patch.object(torch.nn.init, name))
        ours = perceptual.load("vgg", tmp_path / "vgg16.pth", weights.path("lpips_vgg_lin"), (), "cpu")
    images, other = photographs[:2, :48, :48], noisy(photographs[:2, :48, :48], 30)
    responses: list[list[torch.Tensor]] = []
    for side in (images, other):  # the same distance from torchvision's layers and the package's head, written out
        x = torch.from_numpy(side.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[
            :, None, None
        ]
        taps = []
        with torch.no_grad():
            for number, layer in enumerate(features[:30]):
                x = layer(x)
                if number in (3, 8, 15, 22, 29):
                    taps.append(lpips.normalize_tensor(x))
        responses.append(taps)
    head = torch.load(weights.path("lpips_vgg_lin"), map_location="cpu", weights_only=True)
    expected = sum(
        ((a - b) ** 2 * head[f"lin{k}.model.1.weight"]).sum(dim=1).mean(dim=(1, 2))
        for k, (a, b) in enumerate(zip(*responses, strict=True))
    )
    np.testing.assert_allclose(perceptual.distance(ours, images, other), expected.numpy(), rtol=1e-5)


def test_loading_lpips_leaves_the_global_random_state_alone(backbone):
    before = torch.random.get_rng_state()
    perceptual.load.__wrapped__("alex", backbone, weights.path("lpips_alex_lin"), (), "cpu")
    assert torch.equal(before, torch.random.get_rng_state())


def test_published_lpips_with_the_real_backbone():
    """Example of common_metrics_on_video_quality: black against white at 64x64 is 0.81401."""
    if not weights.is_present("alexnet_tv"):
        pytest.skip("the weights alexnet_tv are not here")
    real = perceptual.load("alex", weights.path("alexnet_tv"), weights.path("lpips_alex_lin"), (), "cpu")
    black = np.zeros((1, 64, 64, 3), np.uint8)
    assert perceptual.distance(real, black, black + 255)[0] == pytest.approx(0.81401, abs=1e-4)


def test_an_incomplete_backbone_is_refused(tmp_path, backbone):
    state = torch.load(backbone)
    state.pop("features.8.bias")
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(NotApplicable, match="features.8.bias"):
        perceptual.load("alex", tmp_path / "short.pth", weights.path("lpips_alex_lin"), (), "cpu")


@pytest.mark.parametrize("function", [psnr, ssim, lambda a, b: LPIPSAlex().compare(a, b)])
def test_the_scale_is_checked(function, photographs):
    with pytest.raises(ValueError, match="reference images are float64 .* expected uint8"):
        function(photographs[:1], photographs[:1] / 255)
    with pytest.raises(ValueError, match=r"shape \(96, 96, 3\); expected uint8 \(n, H, W, 3\)"):
        function(photographs[0], photographs[0])
    with pytest.raises(ValueError, match="expected the same shape"):
        function(photographs[:1], photographs[:1, :90])


@pytest.mark.parametrize("metric", [PSNR, SSIM, LPIPSAlex])
def test_alignment_failures_and_lengths(metric, photographs, pair_of, install_lpips):
    frames = photographs[:, :40, :40]
    name = metric.quantities[0].name
    whole = metric().measure(pair_of(noisy(frames[:9], 8), frames[:9]))
    longer = metric(least_overlap=0.3).measure(pair_of(noisy(frames[:9], 8), frames))
    assert longer.values == whole.values
    assert "length_difference" not in whole.detail and longer.detail["length_difference"] == -15
    assert metric(least_overlap=0.3).protocol.fingerprint != metric().protocol.fingerprint
    metric().measure(pair_of(noisy(frames[:9], 8), frames[:10]))
    with pytest.raises(Unscorable, match=r"the clip's video covers 87 % of the reference \(0\.28 of 0\.32 s\)"):
        metric().measure(pair_of(noisy(frames[:7], 8), frames[:8]))
    with pytest.raises(Unscorable, match=r"the reference's video covers 37 % of the clip .* \(option least_overlap\)"):
        metric().measure(pair_of(noisy(frames, 8), frames[:9]))
    late = metric().measure(pair_of(noisy(frames[3:12], 8), frames[:9]))
    worse = late.values[name] > whole.values[name]
    assert worse == (metric.quantities[0].direction == "lower")
    with pytest.raises(Unscorable, match="frames of the clip are 40x40 and of the reference 40x38; .* never resize"):
        metric().measure(pair_of(frames, frames[:, :38]))
    with pytest.raises(NotApplicable, match="--reference DIR"):
        metric().measure(pair_of(frames))


def test_tiny_frames_are_unscorable(pair_of, install_lpips):
    frames = np.zeros((2, 10, 16, 3), np.uint8)
    for metric, needed in ((SSIM, 11), (LPIPSAlex, 32)):
        with pytest.raises(Unscorable, match=f"have 10 pixels on their shorter side; {needed} are needed"):
            metric().measure(pair_of(frames, frames))
    assert PSNR().measure(pair_of(frames, frames)).values["psnr"] == 100


def test_smallest_lpips_frames_work(model):
    frames = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32, 3)).astype(np.uint8)
    assert perceptual.distance(model, *frames)[0] > 0


def test_missing_backbones_name_the_command(photographs, pair_of):
    for metric, id in ((LPIPSAlex, "alexnet_tv"), (LPIPSVGG, "vgg16_tv")):
        with pytest.raises(NotApplicable, match=f"t2av-bench weights fetch {id}"):
            metric().measure(pair_of(photographs[:1], photographs[:1]))


def test_memory_does_not_grow_with_clip_length(pair_of, photographs):
    peaks = []
    for repeats in (2, 8):
        frames = np.concatenate([photographs] * repeats)
        pair = pair_of(frames, frames)
        pair.generated.frame_budget = pair.reference.frame_budget = FrameBudget(0)
        del frames
        tracemalloc.start()
        PSNR(Settings(batch_size=8)).measure(pair)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3
