"""LIA-X's encoder and generator (arXiv 2508.09959; the scheme is LIA's, arXiv 2203.09043).

One network describes an image by a style latent "reference" and a motion code relative to it; another warps the
source's feature pyramid, level by level, along the style latent moved by a motion code:

    reference, features = encoder(source)
    frame = decoder(features, reference + direction(motion_code))

The resolution is fixed by the architecture: 512 x 512 shrinks to 4 x 4 over seven stages.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reference_model.utils.strict_loading import Shapes

from .operators import (
    ConvLayer,
    Direction,
    EqualisedConv2d,
    EqualisedLinear,
    FlowResidualBlock,
    ResidualBlock,
    StyledConv,
    ToFlow,
    ToRGB,
)

IMAGE_SIZE = 512
RESOLUTIONS = (8, 16, 32, 64, 128, 256, 512)
BLOCKS = 4
"""Residual blocks per level, in the motion branch and in the image branch."""


@dataclass(frozen=True)
class LIAXConfig:
    """Sizes of LIA-X. The defaults are the released ones.

    ``widths`` are the channels up to 64 x 64 pixels, at 128, at 256 and at 512; multiples of 32, because the
    motion branch normalises in 32 groups.
    """

    widths: tuple[int, int, int, int] = (1024, 512, 256, 128)
    style_dim: int = 1024
    motion_dim: int = 40

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or any(width % 32 for width in self.widths):
            raise ValueError(f"widths must be four multiples of 32, got {self.widths}")

    def width(self, resolution: int) -> int:
        """Channels of a feature map of this many pixels a side."""
        return self.widths[max(resolution // 64, 1).bit_length() - 1]

    @classmethod
    def from_release_state(cls, state: Mapping[str, Tensor]) -> "LIAXConfig":
        """Read the sizes off the shapes of a release state dict."""
        shape = Shapes(state, "LIA-X")
        style_dim, motion_dim = shape("dec.direction.weight")
        widths = [shape(f"dec.conv{n}_1.conv.weight")[1] for n in "456"]
        return cls((*widths, shape("enc.enc_2r.block1.0.weight")[0]), style_dim, motion_dim)


class Encoder(nn.Module):
    """Image (B, 3, 512, 512) to its reference latent (B, style_dim) and feature pyramid, 8 x 8 first."""

    def __init__(self, config: LIAXConfig):
        super().__init__()
        sizes = [IMAGE_SIZE >> i for i in range(len(RESOLUTIONS) + 1)]
        self.stem = ConvLayer(3, config.width(IMAGE_SIZE), 1)
        self.stages = nn.ModuleList(
            ResidualBlock(config.width(size), config.width(size // 2), down=True) for size in sizes[:-1]
        )
        self.to_reference = EqualisedConv2d(config.width(4), config.style_dim, 4, bias=False)
        self.to_motion = EqualisedLinear(config.style_dim, config.motion_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = self.stem(image)
        features = []
        for stage in self.stages:
            features.append(x)
            x = stage(x)
        return self.to_reference(x).flatten(1), features[::-1]

    def motion_code(self, reference: Tensor) -> Tensor:
        """Raw motion code (B, motion_dim) of an image, from its reference latent."""
        return self.to_motion(reference)


class Level(nn.Module):
    """One resolution of the decoder: a motion branch that predicts the flow, an image branch that paints.

    The motion branch carries on with the blended features. The image branch sees the warped source features
    only, plus its own result from the level below.
    """

    def __init__(self, inputs: int, channels: int, style_dim: int, *, lowest: bool = False):
        super().__init__()
        self.up = StyledConv(inputs, channels, style_dim, up=True)
        self.motion_blocks = nn.ModuleList(FlowResidualBlock(channels, style_dim) for _ in range(BLOCKS))
        self.to_flow = ToFlow(channels, style_dim)
        self.image_up = None if lowest else ConvLayer(inputs, channels, 3, resample="up")
        self.image_blocks = nn.Sequential(*(ResidualBlock(channels, channels) for _ in range(BLOCKS)))
        self.to_rgb = ToRGB(channels)

    def forward(
        self, x: Tensor, style: Tensor, features: Tensor, flow: Tensor | None, image: Tensor | None, rgb: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns (blended features, raw flow, image features, RGB). The last three arguments come from the level
        below, where there is one."""
        x = self.up(x, style)
        for block in self.motion_blocks:
            x = block(x, style)
        warped, x, flow = self.to_flow(x, style, features, flow)
        image = self.image_blocks(warped if self.image_up is None else warped + self.image_up(image))
        return x, flow, image, self.to_rgb(image, rgb)


class Decoder(nn.Module):
    """Feature pyramid of the source and a style latent to an image (B, 3, 512, 512), nominally in [-1, 1]."""

    def __init__(self, config: LIAXConfig):
        super().__init__()
        self.direction = Direction(config.style_dim, config.motion_dim)
        self.constant = nn.Parameter(torch.randn(1, config.width(4), 4, 4))
        self.first = StyledConv(config.width(4), config.width(4), config.style_dim)
        self.levels = nn.ModuleList(
            Level(config.width(size // 2), config.width(size), config.style_dim, lowest=size == RESOLUTIONS[0])
            for size in RESOLUTIONS
        )

    def forward(self, features: list[Tensor], style: Tensor) -> Tensor:
        """``features`` as the encoder gives them, batch 1 or that of ``style`` (B, style_dim)."""
        x = self.first(self.constant.expand(len(style), -1, -1, -1), style)
        flow = image = rgb = None
        for level, source in zip(self.levels, features, strict=True):
            x, flow, image, rgb = level(x, style, source, flow, image, rgb)
        return rgb


class Generator(nn.Module):
    """Encoder and decoder with the release's weights."""

    def __init__(self, config: LIAXConfig | None = None):
        super().__init__()
        self.config = config or LIAXConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)

    def style(self, reference: Tensor, motion_code: Tensor) -> Tensor:
        """Absolute mode, the release's renderer: reference (B, style_dim) + direction(motion_code)."""
        return reference + self.decoder.direction(motion_code)
