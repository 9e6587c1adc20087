"""Sizes of WhisperX-VAE, given or read off a checkpoint's shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import Tensor

from reference_model.utils.strict_loading import Shapes


@dataclass(frozen=True)
class WhisperSize:
    """Dimensions of the Whisper model whose encoder gives the semantic features (default: large-v3)."""

    mel_bins: int = 128
    positions: int = 1500
    """Encoder positions, at 50 Hz: 1500 are the 30 s window."""
    width: int = 1280
    heads: int = 20
    layers: int = 32


@dataclass(frozen=True)
class WhisperXVAEConfig:
    """Sizes of the audio autoencoder (Talker-T2AV Appendix B). The defaults are the released ones.

    ``encoder_width`` (of the first convolution; it doubles at every stride) is stated nowhere in the paper, so
    a checkpoint decides it: see :meth:`from_release_state`.
    """

    encoder_width: int = 64
    encoder_strides: tuple[int, ...] = (2, 4, 10, 12)
    hidden_dim: int = 1280
    decoder_width: int = 1536
    decoder_strides: tuple[int, ...] = (12, 10, 4, 2)
    latent_dim: int = 32
    whisper: WhisperSize = WhisperSize()
    sample_rate: int = 24_000

    def __post_init__(self) -> None:
        if prod(self.encoder_strides) != prod(self.decoder_strides):
            raise ValueError(
                f"encoder strides {self.encoder_strides} and decoder strides "
                f"{self.decoder_strides} must have the same product"
            )
        if self.whisper.width != self.hidden_dim:
            raise ValueError(
                f"Whisper's width {self.whisper.width} must equal hidden_dim {self.hidden_dim}: "
                f"its features are added to the convolutional ones"
            )

    @property
    def hop(self) -> int:
        """Samples per latent frame."""
        return prod(self.encoder_strides)

    @classmethod
    def from_release_state(cls, state: Mapping[str, Tensor], *, heads: int | None = None) -> "WhisperXVAEConfig":
        """Read every size off the shapes of a release state dict.

        Strides follow from kernels (a stride-s convolution has kernel 2s). The number of Whisper heads shows
        in no shape: every Whisper has heads of width 64, which is assumed unless ``heads`` is given.
        """
        shape = Shapes(state, "WhisperX-VAE")
        encoder_stages = shape.count("CodecEnc.block.{}.block.4.weight_v", first=1)
        decoder_stages = shape.count("CodecDec.model.{}.block.1.weight_v", first=1)
        width, mel_bins, _ = shape("semantic_model.encoder.conv1.weight")
        size = WhisperSize(
            mel_bins=mel_bins,
            positions=shape("semantic_model.encoder.positional_embedding")[0],
            width=width,
            heads=heads or max(width // 64, 1),
            layers=shape.count("semantic_model.encoder.blocks.{}.attn.query.weight"),
        )
        return cls(
            encoder_width=shape("CodecEnc.block.0.weight_v")[0],
            encoder_strides=tuple(
                shape(f"CodecEnc.block.{i}.block.4.weight_v")[2] // 2 for i in range(1, encoder_stages + 1)
            ),
            hidden_dim=shape(f"CodecEnc.block.{encoder_stages + 2}.weight_v")[0],
            decoder_width=shape("CodecDec.model.0.weight_v")[0],
            decoder_strides=tuple(
                shape(f"CodecDec.model.{i}.block.1.weight_v")[2] // 2 for i in range(1, decoder_stages + 1)
            ),
            latent_dim=shape("vae.out_proj.weight_v")[1],
            whisper=size,
        )
