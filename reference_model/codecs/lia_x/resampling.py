"""Resampling of LIA-X: StyleGAN2's 4 x 4 low-pass filter before shrinking and after enlarging (Karras et al. 2020,
arXiv 1912.04958). Feature maps are (B, channels, H, W).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def binomial_kernel(gain: float = 1.0) -> Tensor:
    """The 4 x 4 low-pass kernel outer([1, 3, 3, 1]) / 64, times ``gain``."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) * (gain / 64)


class Filter(nn.Module):
    """Low-pass filter of every channel on its own, with zero padding ``(before, after)`` on both axes.

    ``up`` inserts ``up - 1`` zeros after each pixel first; ``gain`` makes up for them. The kernel is a buffer, as in
    the release's state dict, and is applied as a convolution (that is, flipped).
    """

    def __init__(self, padding: tuple[int, int], *, up: int = 1, gain: float = 1.0):
        super().__init__()
        self.padding, self.up = padding, up
        self.register_buffer("kernel", binomial_kernel(gain))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        before, after = self.padding
        if self.up > 1:
            # A transposed convolution is zero insertion followed by a convolution that starts one kernel earlier.
            weight = self.kernel.to(x.dtype).expand(channels, 1, *self.kernel.shape)
            full = F.conv_transpose2d(x, weight, stride=self.up, groups=channels)
            reach = self.kernel.shape[0] - 1
            size = [n * self.up + before + after - reach for n in x.shape[2:]]
            skip = reach - before
            return full[..., skip : skip + size[0], skip : skip + size[1]]
        weight = self.kernel.to(x.dtype).flip(0, 1).expand(channels, 1, *self.kernel.shape)
        if before != after:
            x, before = F.pad(x, (before, after, before, after)), 0
        return F.conv2d(x, weight, padding=before, groups=channels)


def upsample() -> Filter:
    """Enlarge by 2."""
    return Filter((2, 1), up=2, gain=4.0)


def blur_before_stride(kernel: int) -> Filter:
    """The blur in front of a stride-2 convolution of this kernel size without padding."""
    total = 2 + (kernel - 1)
    return Filter(((total + 1) // 2, total // 2))


def blur_after_upsampling() -> Filter:
    """The blur behind a stride-2 transposed 3 x 3 convolution."""
    return Filter((1, 1), gain=4.0)
