"""Small pieces that pictures are drawn with: coordinate grids, soft edges, blobs, layers. Everything is differentiable.

Importing this module imports torch; it is therefore imported by the modules that draw, which are themselves imported
when a portrait is made.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def grid(
    left: float, right: float, top: float, bottom: float, width: int, height: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """x and y at pixel centres, each (height, width)."""
    x = left + (torch.arange(width, device=device) + 0.5) * ((right - left) / width)
    y = top + (torch.arange(height, device=device) + 0.5) * ((bottom - top) / height)
    return x.expand(height, width).contiguous(), y[:, None].expand(height, width).contiguous()


def smoothstep(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def edge(distance: Tensor, softness: float | Tensor) -> Tensor:
    """Coverage of a shape from the signed distance to its edge (positive inside): linear over ``+-softness``."""
    return (distance * (0.5 / softness) + 0.5).clamp(0, 1)


def bell(squared: Tensor) -> Tensor:
    """exp(-squared). Cut off at exp(-50), because underflow makes the exponential five times slower."""
    return torch.exp(-squared.clamp(max=50.0))


def blob(x: Tensor, y: Tensor, centre_x: float, centre_y: float, size_x: float, size_y: float) -> Tensor:
    """A Gaussian hill of height 1."""
    return bell(((x - centre_x) / size_x) ** 2 + ((y - centre_y) / size_y) ** 2)


def colour(values: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """(3, 1, 1) on the device of ``like``."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).reshape(3, 1, 1)


def over(picture: Tensor, layer: Tensor, coverage: Tensor) -> Tensor:
    """``layer`` painted over ``picture`` where ``coverage`` is 1."""
    return torch.lerp(picture, layer, coverage)
