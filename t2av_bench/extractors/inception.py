"""Inception v3 pool features of frames, exactly as clean-fid resizes and feeds them.

mode ``clean``: antialiased bicubic resize by Pillow in floating point, then the TorchScript network of StyleGAN
(``inception-2015-12-05.pt``). mode ``legacy_pytorch``: bilinear resize by torch without antialiasing, then
pytorch-fid's network, as most papers with pytorch-fid numbers did it.
"""

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from t2av_bench.utils.inference import Dtype, load_torchscript, precision, to_device
from t2av_bench.utils.optional import make_torchvision_importable, require

if TYPE_CHECKING:
    import torch

Mode = Literal["clean", "legacy_pytorch"]
WEIGHTS: dict[str, str] = {"clean": "inception_nv", "legacy_pytorch": "inception_pt"}
# Frames a pass, no setting: the last digits of a convolution depend on its batch. 32 hold 1 GB of the first layers.
BATCH = 32
_patching = threading.Lock()


@functools.cache
def resizer(mode: Mode) -> Callable[[np.ndarray], np.ndarray]:
    """clean-fid's resize to 299x299: (H, W, 3) uint8 -> (299, 299, 3) float32 in [0, 255]."""
    with warnings.catch_warnings():  # clean-fid silences all warnings of the process while it builds one of them
        return require("cleanfid.resize", "video").build_resizer(mode)


@functools.lru_cache(maxsize=2)
def load(mode: Mode, path: Path, digest: str | None, device: str) -> "Callable[[torch.Tensor], torch.Tensor]":
    """The network as a function (n, 3, 299, 299) float32 in [0, 255] -> (n, 2048). ``digest`` only keys the cache."""
    if mode == "clean":
        return _load_torchscript(path, device)
    return _load_state_dict(path, device)


def _load_torchscript(path: Path, device: str) -> "Callable[[torch.Tensor], torch.Tensor]":
    import torch

    layers = load_torchscript(path, device).layers.to(memory_format=torch.channels_last)
    # The whole scripted module would resize again inside; its layers expect about [-1, 1].
    return lambda images: layers((images - 128) / 128).flatten(1)


def _load_state_dict(path: Path, device: str) -> "Callable[[torch.Tensor], torch.Tensor]":
    """Batch normalisation is folded into the convolutions, and channels lie last: rounding differs, and half the time
    is saved."""
    import torch
    from torch.nn.utils import fuse_conv_bn_eval

    make_torchvision_importable()
    network_module: Any = require("cleanfid.inception_pytorch", "video")
    state = torch.load(path, map_location="cpu", weights_only=True)
    # clean-fid's constructor always downloads; it is handed the verified file instead.
    with _patching, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        download = network_module.load_state_dict_from_url
        network_module.load_state_dict_from_url = lambda *_, **__: state
        try:
            network = network_module.InceptionV3(output_blocks=[3], resize_input=False)
        finally:
            network_module.load_state_dict_from_url = download
    network = network.eval()
    for block in network.modules():
        if isinstance(block, network_module.torchvision.models.inception.BasicConv2d):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), torch.nn.Identity()
    network = network.to(device, memory_format=torch.channels_last)
    return lambda images: network((images / 255).contiguous(memory_format=torch.channels_last))[0].flatten(1)


def features(
    frames: Sequence[np.ndarray] | np.ndarray,
    mode: Mode,
    network: "Callable[[torch.Tensor], torch.Tensor]",
    device: str = "cpu",
    dtype: Dtype = "float32",
) -> np.ndarray:
    """Pool features of RGB frames (n, H, W, 3) uint8: (n, d) float32, d = 2048 for the real networks.

    dtype: of the convolutions; NotApplicable for one that the device does not have.
    """
    starts = range(0, len(frames), BATCH)
    return np.concatenate(
        [embed(resized(frames[start : start + BATCH], mode), network, device, dtype) for start in starts]
    )


def resized(frames: Sequence[np.ndarray] | np.ndarray, mode: Mode) -> np.ndarray:
    """RGB frames (n, H, W, 3) uint8 as the network sees them: (n, 3, 299, 299) float32 in [0, 255]."""
    return np.stack([resizer(mode)(frame) for frame in frames]).transpose(0, 3, 1, 2).copy()


def embed(
    images: np.ndarray, network: "Callable[[torch.Tensor], torch.Tensor]", device: str = "cpu",
    dtype: Dtype = "float32",
) -> np.ndarray:  # fmt: skip
    """Pool features (n, d) float32 of resized images, in one pass. dtype: see ``features``."""
    with precision(dtype, device):
        return network(to_device(images, device)).float().cpu().numpy()
