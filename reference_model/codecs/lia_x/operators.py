"""Building blocks of LIA-X: StyleGAN2's equalised and modulated convolutions (Karras et al. 2020,
arXiv 1912.04958), with the flow head of LIA (Wang et al. 2022, arXiv 2203.09043).

Images and feature maps are (B, channels, H, W); a style is (B, style_dim). "Equalised" weights are stored at unit
variance and multiplied by 1 / sqrt(fan in) when used. The network is frozen: sums overwrite what a layer has just made
(at 512 x 512 the time goes into fresh memory as much as into arithmetic), so nothing here can be trained.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resampling import blur_after_upsampling, blur_before_stride, upsample

SLOPE = 0.2
GAIN = math.sqrt(2)


def _precise(x: Tensor) -> Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Derived:
    """A quantity computed from a weight, kept for as long as that weight stays as it is."""

    def __init__(self, compute: Callable[[Tensor], Tensor]):
        self.compute = compute
        self.key: tuple | None = None
        self.value: Tensor | None = None

    def __call__(self, weight: Tensor) -> Tensor:
        version = 0 if weight.is_inference() else weight._version
        key = (weight.data_ptr(), version, weight.dtype, weight.device)
        if key != self.key:
            with torch.inference_mode(False), torch.no_grad():
                self.key, self.value = key, self.compute(weight.detach())
        return self.value


class FusedLeakyReLU(nn.Module):
    """leaky_relu(x + bias, 0.2) * sqrt(2), the bias per channel (axis 1); overwrites ``x``."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(x.add_(self.bias[:, None, None]), SLOPE).mul_(GAIN)


class EqualisedConv2d(nn.Module):
    """Convolution whose weight is scaled when used."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class EqualisedLinear(nn.Module):
    """Linear layer whose weight is scaled when used."""

    def __init__(self, inputs: int, outputs: int, *, bias_init: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class ConvLayer(nn.Module):
    """Convolution with its resampling (``"up"``, ``"down"`` or none); ``activated``: and fused leaky ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        resample: str | None = None,
        activated: bool = True,
    ):
        super().__init__()
        self.filter = {"up": upsample, "down": lambda: blur_before_stride(kernel), None: nn.Identity}[resample]()
        self.convolution = EqualisedConv2d(
            inputs,
            outputs,
            kernel,
            stride=2 if resample == "down" else 1,
            padding=0 if resample == "down" else kernel // 2,
            bias=False,
        )
        self.activation = FusedLeakyReLU(outputs) if activated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.convolution(self.filter(x)))


class ModulatedConv2d(nn.Module):
    """Convolution whose weights a style scales per input channel, normalised again per output channel; ``up`` doubles
    the resolution.

    For a batch it is written as scaling of inputs and outputs around one shared convolution: the same sums as
    with weights per sample, at the price of a single convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_dim: int,
        *,
        up: bool = False,
        demodulate: bool = True,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualisedLinear(style_dim, inputs, bias_init=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.kernel, self.up, self.demodulate = kernel, up, demodulate
        self.blur = blur_after_upsampling() if up else nn.Identity()
        # At full size, adding up 0.8 billion squares for every frame would cost as much as a coarse level.
        self._energy = Derived(lambda weight: _precise(weight[0]).square().sum(dim=(2, 3)))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        style = self.modulation(style) * self.scale
        weight = self.weight[0]
        if len(style) == 1:
            weight = weight * style[0, :, None, None]
        else:
            x = x * style[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        else:
            x = F.conv2d(x, weight, padding=self.kernel // 2)
        if self.demodulate:
            energy = _precise(style).square() @ self._energy(self.weight).T
            gain = torch.rsqrt(energy + 1e-8).to(x.dtype)[:, :, None, None]
            x = x.mul_(gain)
        return self.blur(x)


class StyledConv(nn.Module):
    """Modulated 3 x 3 convolution and fused leaky ReLU; no noise is injected."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, *, up: bool = False):
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, outputs, 3, style_dim, up=up)
        self.activation = FusedLeakyReLU(outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.activation(self.convolution(x, style))


class ResidualBlock(nn.Module):
    """(two convolutions + skip) / sqrt(2). With ``down`` both paths halve the resolution.

    The skip is the identity for equal widths without resampling, else a 1 x 1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, down: bool = False):
        super().__init__()
        resample = "down" if down else None
        self.conv1 = ConvLayer(inputs, outputs, 3)
        self.conv2 = ConvLayer(outputs, outputs, 3, resample=resample)
        self.skip = (
            ConvLayer(inputs, outputs, 1, resample=resample, activated=False)
            if down or inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)).add_(self.skip(x)).div_(GAIN)


class FlowResidualBlock(nn.Module):
    """a = styled_conv1(x); a + gamma * styled_conv2(group_norm(a)), 32 groups."""

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.conv1 = StyledConv(channels, channels, style_dim)
        self.conv2 = StyledConv(channels, channels, style_dim)
        self.norm = nn.GroupNorm(32, channels)
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv1(x, style)
        return torch.addcmul(x, self.gamma, self.conv2(self.norm(x), style))


class ToRGB(nn.Module):
    """1 x 1 convolution to 3 channels (activated), a bias, and the image of the level below enlarged by 2."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = ConvLayer(channels, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.upsample = upsample()

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        x = self.convolution(x) + self.bias
        return x if skip is None else x + self.upsample(skip)


class ToFlow(nn.Module):
    """Warps the source's features by a predicted flow and blends them in where the mask says so.

    Returns (warped features * mask, blended features, raw flow). The raw flow (B, 3, H, W) holds x and y before
    tanh and the mask before its sigmoid; it is handed up to the next level.
    """

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.convolution = ModulatedConv2d(channels, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.upsample = upsample()

    def forward(
        self, x: Tensor, style: Tensor, features: Tensor, skip: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.convolution(x, style) + self.bias
        if skip is not None:
            raw = raw + self.upsample(skip)
        height, width = raw.shape[2:]
        # Half precision cannot address 512 pixels, so positions and sampling are at least float32.
        offset = torch.tanh(_precise(raw[:, :2])).permute(0, 2, 3, 1)
        columns = torch.linspace(-1, 1, width, device=raw.device, dtype=offset.dtype)
        rows = torch.linspace(-1, 1, height, device=raw.device, dtype=offset.dtype)
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1) + offset
        mask = torch.sigmoid(raw[:, 2:])
        features = _precise(features).expand(len(raw), *features.shape[1:])
        warped = F.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        warped = warped.to(x.dtype) * mask
        return warped, warped + (1 - mask) * x, raw


class Direction(nn.Module):
    """Motion code (B, motion_dim) to a displacement of the style latent (B, style_dim), along orthonormal axes.

    The axes are Q of a QR decomposition of the stored matrix. Their signs matter, and they follow LAPACK's
    Householder convention, so the decomposition always runs on the CPU (and once per weight).
    """

    def __init__(self, style_dim: int, motion_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(style_dim, motion_dim))
        self._axes = Derived(lambda weight: torch.linalg.qr(_precise(weight).cpu() + 1e-8).Q.to(weight))

    def axes(self) -> Tensor:
        """Q, (style_dim, motion_dim)."""
        return self._axes(self.weight)

    def forward(self, motion_code: Tensor) -> Tensor:
        return motion_code @ self.axes().T
