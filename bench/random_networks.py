"""Networks of the published sizes with random weights, as files that the metrics load in place of the released ones.

Speed is a matter of sizes: where the released weights may not be shipped, a measurement runs on these, on both sides.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

from t2av_bench import weights
from t2av_bench.utils.optional import make_torchvision_importable

make_torchvision_importable()


def sync_networks(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """SyncNet with varied batch statistics, S3FD that is sure of the background as a trained one mostly is."""
    from syncnet_python.detectors.s3fd.nets import S3FDNet
    from syncnet_python.SyncNetModel import S

    torch.manual_seed(seed)
    syncnet, detector = S(), S3FDNet(device="cpu")
    for module in syncnet.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = None
    with torch.no_grad():
        seen = syncnet.netcnnlip(torch.rand(1, 3, 16, 224, 224) * 255)
        syncnet.netfclip(seen[0, :, :, 0, 0].T)
        syncnet.forward_aud(torch.randn(32, 1, 13, 20) * 10)
        for layer in detector.conf:
            layer.bias[-1] -= 12.0
    return syncnet.eval(), detector.eval()


def inception() -> nn.Module:
    """pytorch-fid's architecture with its 1008 outputs."""
    from cleanfid import inception_pytorch

    with mock.patch.object(inception_pytorch, "load_state_dict_from_url"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mock.patch.object(nn.Module, "load_state_dict"):
            network = inception_pytorch.fid_inception_v3()
    return _alive(network)


def _alive(network: nn.Module) -> nn.Module:
    """In evaluation mode, scaled so that responses survive all layers."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)
    return network.eval()


class _Unit(nn.Module):
    """Convolution with as much padding as keeps the size (divided by the stride), batch normalisation, rectifier."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        before = (kernel - stride) // 2
        self.padding = [before, max(kernel - stride, 0) - before] * 3
        self.convolution = nn.Conv3d(into, out, kernel, stride, bias=False)
        self.normalisation = nn.BatchNorm3d(out, eps=0.001)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        if self.padding[1] > 0:
            video = F.pad(video, self.padding)
        return F.relu(self.normalisation(self.convolution(video)))


class _Block(nn.Module):
    """Four branches side by side."""

    def __init__(self, into: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.one = _Unit(into, one, 1)
        self.three = nn.Sequential(_Unit(into, three[0], 1), _Unit(three[0], three[1], 3))
        self.five = nn.Sequential(_Unit(into, five[0], 1), _Unit(five[0], five[1], 3))
        self.pooled = nn.Sequential(nn.MaxPool3d(3, 1, 1), _Unit(into, pooled, 1))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.one(video), self.three(video), self.five(video), self.pooled(video)], 1)


class I3D(nn.Module):
    """The two-stream paper's Inception-v1 in three dimensions (Carreira & Zisserman 2017), with the call of the
    TorchScript export that FVD implementations share: (n, 3, T, H, W) in [0, 255] -> (n, 400)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Unit(3, 64, 7, 2), nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True), _Unit(64, 64, 1),
            _Unit(64, 192, 3), nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True),
            _Block(192, 64, (96, 128), (16, 32), 32), _Block(256, 128, (128, 192), (32, 96), 64),
            nn.MaxPool3d(3, 2, ceil_mode=True),
            _Block(480, 192, (96, 208), (16, 48), 64), _Block(512, 160, (112, 224), (24, 64), 64),
            _Block(512, 128, (128, 256), (24, 64), 64), _Block(512, 112, (144, 288), (32, 64), 64),
            _Block(528, 256, (160, 320), (32, 128), 128), nn.MaxPool3d(2, 2, ceil_mode=True),
            _Block(832, 256, (160, 320), (32, 128), 128), _Block(832, 384, (192, 384), (48, 128), 128),
            nn.AvgPool3d((2, 7, 7), 1), nn.Conv3d(1024, 400, 1),
        )  # fmt: skip

    def forward(
        self, video: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
    ) -> torch.Tensor:
        if resize:
            count, channels, frames, height, width = video.shape
            pictures = video.transpose(1, 2).reshape(count * frames, channels, height, width)
            pictures = F.interpolate(pictures, size=(224, 224), mode="bilinear", align_corners=False)
            video = pictures.reshape(count, frames, channels, 224, 224).transpose(1, 2)
        if rescale:
            video = 2 * video / 255 - 1
        return self.layers(video).mean(dim=[2, 3, 4])


def utmos_state() -> dict[str, torch.Tensor]:
    """UTMOS22 strong's tensors by their published names."""
    from t2av_bench.extractors import utmos

    torch.manual_seed(0)
    names = utmos.build(utmos.PUBLISHED).state_dict()
    return {utmos.published_name(name): 0.05 * torch.randn(tensor.shape) for name, tensor in names.items()}


def save(network: nn.Module | dict[str, torch.Tensor], path: Path) -> Path:
    """The network's tensors as a file."""
    torch.save(network.state_dict() if isinstance(network, nn.Module) else network, path)
    return path


def save_i3d(path: Path) -> Path:
    """I3D as a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(_alive(I3D())).save(str(path))
    return path


def write(folder: Path) -> dict[str, Path]:
    """Weights id -> file, of all networks here."""
    syncnet, detector = sync_networks()
    made = {"syncnet_v2": syncnet, "sfd_face": detector, "inception_pt": inception(), "utmos22_strong": utmos_state()}
    files = {id: save(network, folder / f"{id}.pt") for id, network in made.items()}
    return {**files, "i3d_torchscript": save_i3d(folder / "i3d_torchscript.pt")}


@contextlib.contextmanager
def in_place(files: dict[str, Path]) -> Iterator[None]:
    """Metrics of this process load these files; other weights are the machine's own."""
    path, digest = weights.path, weights.digest
    with (
        mock.patch.object(weights, "path", lambda id: files.get(id) or path(id)),
        mock.patch.object(weights, "digest", lambda id: "random" if id in files else digest(id)),
    ):
        yield
