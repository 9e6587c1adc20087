"""The autoencoder itself and its loader."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from reference_model.utils.strict_loading import CheckpointError, load_strictly, read_state

from .config import WhisperXVAEConfig
from .layers import WaveformDecoder, WaveformEncoder, convolution
from .names import INFERENCE, TRAINING_ONLY, whisperx_vae_names
from .whisper_features import (
    WHISPER_FRAME_RATE,
    MelFrontEnd,
    build_encoder,
    semantic_features,
)

CHUNK_FRAMES = 500
"""Latent frames (20 s) that the convolutional encoder and decoder take at once; bounds memory, not results."""


def chunks(frames: int, context: int) -> Iterator[tuple[int, int, int, int]]:
    """Chunks ``[first, last)`` of so many latent frames, and ``[begin, end)``: each with ``context`` on both sides."""
    for first in range(0, frames, CHUNK_FRAMES):
        last = min(first + CHUNK_FRAMES, frames)
        yield max(first - context, 0), first, last, min(last + context, frames)


class WhisperXVAE(nn.Module):
    """WhisperX-VAE; implements :class:`reference_model.codecs.AudioCodec`."""

    def __init__(self, config: WhisperXVAEConfig | None = None):
        super().__init__()
        config = config or WhisperXVAEConfig()
        self.config = config
        self.sample_rate = config.sample_rate
        self.frame_rate = WHISPER_FRAME_RATE // 2
        self.latent_dim = config.latent_dim
        self.hop = config.hop
        self.encoder = WaveformEncoder(config.encoder_width, config.encoder_strides, config.hidden_dim)
        self.decoder = WaveformDecoder(config.hidden_dim, config.decoder_width, config.decoder_strides)
        self.to_posterior = convolution(config.hidden_dim, 2 * config.latent_dim, 1)
        self.from_latent = convolution(config.latent_dim, config.hidden_dim, 1)
        self.whisper_encoder = build_encoder(config.whisper)

    @functools.cached_property
    def mel_front_end(self) -> MelFrontEnd:
        return MelFrontEnd(self.config.whisper, self.sample_rate)

    def acoustic(self, audio: Tensor) -> Tensor:
        """Convolutional features of (B, N) audio: (B, hidden_dim, N // hop).

        Long clips are worked through in chunks, with as much context on both sides as can matter.
        """
        frames, audio = audio.shape[-1] // self.hop, audio[:, None]
        pieces = []
        for begin, first, last, end in chunks(frames, -(-self.encoder.context // self.hop)):
            # Samples past the last whole hop still count as context.
            stop = audio.shape[-1] if end == frames else end * self.hop
            piece = self.encoder(audio[..., begin * self.hop : stop])
            pieces.append(piece[..., first - begin : last - begin])
        return torch.cat(pieces, dim=-1)

    def posterior(self, combined: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale parameter of the latent Gaussian, (B, T, latent_dim) each, of what the bottleneck sees."""
        mean, scale = self.to_posterior(combined).transpose(1, 2).chunk(2, dim=-1)
        return mean, scale

    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """24 kHz audio (B, samples) in [-1, 1] to latents (B, samples // hop, latent_dim): the posterior mean.

        Any duration is accepted: see :mod:`.whisper_features` for how Whisper's 30 s window is moved over longer audio.
        """
        if audio.ndim != 2:
            raise ValueError(f"audio must be (batch, samples), got {tuple(audio.shape)}")
        if audio.shape[1] < self.hop:
            raise ValueError(f"{audio.shape[1]} samples are less than one latent frame ({self.hop} samples)")
        if self.hop * self.frame_rate != self.sample_rate:
            raise ValueError(
                f"strides with product {self.hop} do not give {self.frame_rate} Hz latents at "
                f"{self.sample_rate} Hz, so Whisper's features cannot be aligned"
            )
        semantic = semantic_features(self.whisper_encoder, self.mel_front_end, audio, self.hop)
        mean, _ = self.posterior(self.acoustic(audio) + semantic.transpose(1, 2))
        return mean

    def waveform_logits(self, latents: Tensor) -> Tensor:
        """(B, T, latent_dim) to the waveform before its tanh, (B, T * hop)."""
        return self.decoder(self.from_latent(latents.transpose(1, 2)))[:, 0]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, latent_dim) to 24 kHz audio (B, T * hop) in [-1, 1]; in chunks, as :meth:`acoustic`."""
        pieces = []
        for begin, first, last, end in chunks(latents.shape[1], self.decoder.context):
            audio = torch.tanh(self.waveform_logits(latents[:, begin:end]))
            pieces.append(audio[:, (first - begin) * self.hop : (last - begin) * self.hop])
        return torch.cat(pieces, dim=1)

    def fold_weight_norm(self) -> "WhisperXVAE":
        """Replace every weight-normalised weight by its product, for inference; the state dict changes with it."""
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        return self


def load_whisperx_vae(
    source: str | Path | Mapping[str, Tensor],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    heads: int | None = None,
) -> WhisperXVAE:
    """Build the codec at the checkpoint's own sizes and load it, for inference.

    ``source`` is the release's training checkpoint (tensors under ``state_dict``), a plain file of its tensors,
    or such a state dict. Parts that only training uses (discriminators, semantic head, Whisper's text decoder)
    are left out; everything below :data:`.names.INFERENCE` must fit exactly. Raises
    :class:`~reference_model.utils.strict_loading.CheckpointError` with the names that do not.
    """
    content, name = read_state(source, "state_dict")
    state = {
        key: value
        for key, value in content.items()
        if key.split(".")[0] in INFERENCE and not key.startswith(TRAINING_ONLY)
    }
    if not state:
        raise CheckpointError(f"{name} holds nothing of WhisperX-VAE: no name starts with {', '.join(INFERENCE)}")
    config = WhisperXVAEConfig.from_release_state(state, heads=heads)
    with torch.device("meta"):
        model = WhisperXVAE(config)
    load_strictly(model, state, names=whisperx_vae_names(config), source=name, device=device, dtype=dtype)
    return model.eval().requires_grad_(False).fold_weight_norm()
