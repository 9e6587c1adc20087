"""Features of the embedded benchmark's frames and short clips, for Fréchet distances. See ``feature_networks``."""

from functools import lru_cache
from typing import Any

import numpy as np

from t2av_bench.gridface.extractors.pictures import network_input, resized
from t2av_bench.gridface.models.loading import load
from t2av_bench.utils.inference import full_precision

FRAME_CHECKPOINT, CLIP_CHECKPOINT = "frame_features", "clip_features"
_WINDOW_SIDE = 64
# Constants, not settings: the last digits of a convolution depend on its batch.
_FRAME_BATCH, _WINDOW_BATCH = 16, 8


def small_grey(frames: np.ndarray) -> np.ndarray:
    """(n, H, W, 3) uint8 RGB square frames -> (n, 64, 64) uint8 grey. Raises Unscorable for other shapes."""
    import cv2

    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in resized(frames)]
    return np.stack([cv2.resize(frame, (_WINDOW_SIDE, _WINDOW_SIDE), interpolation=cv2.INTER_AREA) for frame in grey])


def frame_features(frames: np.ndarray, device: str = "cpu") -> np.ndarray:
    """(n, H, W, 3) uint8 RGB square frames -> (n, 104) float32, compressed deviations."""
    return _run(FRAME_CHECKPOINT, resized(frames), _FRAME_BATCH, device)


def window_features(windows: np.ndarray, device: str = "cpu") -> np.ndarray:
    """(n, 16, 64, 64) uint8 grey, as by ``small_grey`` -> (n, 80) float32, compressed deviations."""
    return _run(CLIP_CHECKPOINT, windows, _WINDOW_BATCH, device)


def _run(name: str, pixels: np.ndarray, batch: int, device: str) -> np.ndarray:
    network = load_network(name, device)
    with full_precision():
        parts = network_input(pixels).split(batch)
        return np.concatenate([network.features(part.to(device)).cpu().numpy() for part in parts])


@lru_cache(maxsize=4)
def load_network(name: str, device: str = "cpu") -> Any:
    """A bundled network, ``FRAME_CHECKPOINT`` or ``CLIP_CHECKPOINT``, one per process and device."""
    from t2av_bench.gridface.models.feature_networks import ClipNetwork, FrameNetwork

    if name == CLIP_CHECKPOINT:
        return load(name, lambda state: ClipNetwork()).to(device)
    return load(name, lambda state: FrameNetwork(len(state["appearance.bias"]))).to(device)
