"""I3D (Kinetics-400) logits of fixed-length clips by the TorchScript export that FVD implementations share."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from t2av_bench.utils.inference import Dtype, load_torchscript, precision, to_device

if TYPE_CHECKING:
    import torch

WEIGHTS = "i3d_torchscript"
# Windows of a pass that clips share on a GPU.
BATCH = 8


@functools.lru_cache(maxsize=1)
def load(path: Path, digest: str | None, device: str) -> "torch.jit.ScriptModule":
    """The scripted network. ``digest`` only keys the cache."""
    import torch

    return load_torchscript(path, device).to(memory_format=torch.channels_last_3d)


def logits(
    network: "torch.jit.ScriptModule",
    video: np.ndarray,
    device: str = "cpu",
    *,
    dtype: Dtype = "float32",
    rescale: bool = True,
    resize: bool = True,
) -> np.ndarray:
    """Logits before the softmax: video (n, T, H, W, 3) RGB, T >= 10 -> (n, 400) float32.

    dtype: of the convolutions; NotApplicable for one that the device does not have.
    rescale, resize: done inside the network. With both, values are in [0, 255] at any size (StyleGAN-V); without, in
    [-1, 1] at 224x224.
    """
    with precision(dtype, device):
        # As it is, for bytes are a quarter of what the network takes.
        tensor = to_device(np.ascontiguousarray(video.transpose(0, 4, 1, 2, 3)), device).float()
        return network(tensor, rescale=rescale, resize=resize, return_features=True).float().cpu().numpy()
