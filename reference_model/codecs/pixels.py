"""From the codecs' frames to pixels."""

import torch
from torch import Tensor


def frames_to_uint8(frames: Tensor) -> Tensor:
    """(..., 3, H, W) in [-1, 1] to (..., H, W, 3) uint8 RGB: clamped, scaled to 0..255, truncated (as released)."""
    return ((frames.clamp(-1, 1) + 1) * 127.5).to(torch.uint8).movedim(-3, -1)


def uint8_to_frames(pixels: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 RGB to (..., 3, H, W) float32 in [-1, 1]."""
    return pixels.movedim(-1, -3).float() / 127.5 - 1
