"""Features of the embedded benchmark's frames and short clips, for Fréchet distances. See ``feature_networks``."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.gridface.extractors.pictures import resized

if TYPE_CHECKING:
    from torch import Tensor

FRAME_CHECKPOINT, CLIP_CHECKPOINT = "frame_features", "clip_features"
_WINDOW_SIDE = 64
# Constants, not settings: the last digits of a convolution depend on its batch.
_FRAME_BATCH, _WINDOW_BATCH = 16, 8


def small_grey(frames: np.ndarray) -> np.ndarray:
    """(n, H, W, 3) uint8 RGB square frames -> (n, 64, 64) uint8 grey. Raises Unscorable for other shapes."""
    import cv2

    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in resized(frames)]
    return np.stack([cv2.resize(frame, (_WINDOW_SIDE, _WINDOW_SIDE), interpolation=cv2.INTER_AREA) for frame in grey])


def frame_input(frames: np.ndarray) -> "Tensor":
    """(n, 128, 128, 3) uint8 RGB -> (n, 3, 128, 128) float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 127.5 - 1


def window_input(windows: np.ndarray) -> "Tensor":
    """(n, 16, 64, 64) uint8 grey -> the same as float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(windows)).float() / 127.5 - 1


def frame_features(frames: np.ndarray, device: str = "cpu") -> np.ndarray:
    """(n, H, W, 3) uint8 RGB square frames -> (n, 104) float32, compressed deviations."""
    return _run(load_frame_network(device), [frame_input(resized(frames))], _FRAME_BATCH, device)


def window_features(windows: np.ndarray, device: str = "cpu") -> np.ndarray:
    """(n, 16, 64, 64) uint8 grey, as by ``small_grey`` -> (n, 80) float32, compressed deviations."""
    return _run(load_clip_network(device), [window_input(windows)], _WINDOW_BATCH, device)


def _run(network: Any, pictures: list["Tensor"], batch: int, device: str) -> np.ndarray:
    from t2av_bench.utils.inference import full_precision

    with full_precision():
        parts = [part for values in pictures for part in values.split(batch)]
        return np.concatenate([network.features(part.to(device)).cpu().numpy() for part in parts])


@lru_cache(maxsize=2)
def load_frame_network(device: str = "cpu") -> Any:
    """The bundled frame network, one per process and device."""
    from t2av_bench.gridface.models.feature_networks import FrameNetwork
    from t2av_bench.gridface.models.loading import load

    return load(FRAME_CHECKPOINT, lambda state: FrameNetwork(len(state["appearance.bias"]))).to(device)


@lru_cache(maxsize=2)
def load_clip_network(device: str = "cpu") -> Any:
    """The bundled clip network, one per process and device."""
    from t2av_bench.gridface.models.feature_networks import ClipNetwork
    from t2av_bench.gridface.models.loading import load

    return load(CLIP_CHECKPOINT, lambda state: ClipNetwork()).to(device)
