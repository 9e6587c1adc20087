"""Convolutional halves of WhisperX-VAE: Descript-style encoder and decoder (Talker-T2AV Appendix B).

Tensors are (B, channels, time).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

DILATIONS = (1, 3, 9)
KERNEL = 7


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha with one alpha per channel (Ziyin et al. 2020)."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x).square() / (self.alpha + 1e-9)


def convolution(inputs: int, outputs: int, kernel: int, *, dilation: int = 1) -> nn.Conv1d:
    """Weight-normalised convolution that keeps the length."""
    return weight_norm(nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2))


class ResidualUnit(nn.Module):
    """x + conv1(snake(conv7_dilated(snake(x))))."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.snake1 = Snake(channels)
        self.dilated = convolution(channels, channels, KERNEL, dilation=dilation)
        self.snake2 = Snake(channels)
        self.pointwise = convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(self.snake2(self.dilated(self.snake1(x))))


class DownStage(nn.Module):
    """Three residual units, then a convolution of kernel 2s and stride s that doubles the channels."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.residual_units = nn.ModuleList(ResidualUnit(channels, dilation) for dilation in DILATIONS)
        self.snake = Snake(channels)
        self.down = weight_norm(
            nn.Conv1d(channels, 2 * channels, 2 * stride, stride=stride, padding=math.ceil(stride / 2))
        )

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.residual_units:
            x = unit(x)
        return self.down(self.snake(x))


class UpStage(nn.Module):
    """A transposed convolution of kernel 2s and stride s that halves the channels, then three residual units."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.snake = Snake(channels)
        self.up = weight_norm(
            nn.ConvTranspose1d(
                channels,
                channels // 2,
                2 * stride,
                stride=stride,
                padding=math.ceil(stride / 2),
                output_padding=stride % 2,
            )
        )
        self.residual_units = nn.ModuleList(ResidualUnit(channels // 2, dilation) for dilation in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.snake(x))
        for unit in self.residual_units:
            x = unit(x)
        return x


class WaveformEncoder(nn.Module):
    """(B, 1, samples) to (B, hidden, samples // hop); samples past the last whole hop still count as context."""

    def __init__(self, width: int, strides: Sequence[int], hidden_dim: int):
        super().__init__()
        self.stem = convolution(1, width, KERNEL)
        self.stages = nn.ModuleList(DownStage(width * 2**i, stride) for i, stride in enumerate(strides))
        top = width * 2 ** len(strides)
        self.snake = Snake(top)
        self.head = convolution(top, hidden_dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(self.snake(x))

    @property
    def context(self) -> int:
        """Samples on either side of a latent frame's own hop that can still change it (rounded up)."""
        reach, rate = KERNEL // 2, 1
        for stage in self.stages:
            reach += sum(DILATIONS) * (KERNEL // 2) * rate + math.ceil(1.5 * stage.stride) * rate
            rate *= stage.stride
        return reach + rate


class WaveformDecoder(nn.Module):
    """(B, input_dim, T) to the waveform before its final tanh, (B, 1, T * hop)."""

    def __init__(self, input_dim: int, width: int, strides: Sequence[int]):
        super().__init__()
        self.stem = convolution(input_dim, width, KERNEL)
        self.stages = nn.ModuleList(UpStage(width // 2**i, stride) for i, stride in enumerate(strides))
        bottom = width // 2 ** len(strides)
        self.snake = Snake(bottom)
        self.head = convolution(bottom, 1, KERNEL)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(self.snake(x))

    @property
    def context(self) -> int:
        """Latent frames on either side of one that can still hear it (rounded up)."""
        reach, rate = KERNEL // 2, 1
        for stage in self.stages:
            reach += 1 / rate
            rate *= stage.stride
            reach += sum(DILATIONS) * (KERNEL // 2) / rate
        return math.ceil(reach + KERNEL // 2 / rate)
