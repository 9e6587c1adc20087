"""Semantic features of WhisperX-VAE: a frozen Whisper encoder, averaged in pairs to the latent rate.

Whisper sees a window of fixed length (30 s for every released size). Longer audio is cut into windows that
overlap by ``2 * MARGIN`` latent frames; each latent frame takes its feature from the window in which it lies
furthest from an edge. Audio of up to one window is processed exactly as the release does it.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from reference_model.utils.transformers import make_transformers_importable

from .config import WhisperSize

WHISPER_RATE = 16_000
WHISPER_FRAME_RATE = 50
MARGIN = 50
"""Latent frames (2 s) at a window's edge that another window is trusted with instead."""


def build_encoder(size: WhisperSize) -> nn.Module:
    """transformers' ``WhisperEncoder`` of these dimensions (exact GELU, feed-forward 4 times the width)."""
    make_transformers_importable()
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder(
        WhisperConfig(
            num_mel_bins=size.mel_bins,
            d_model=size.width,
            max_source_positions=size.positions,
            encoder_layers=size.layers,
            encoder_attention_heads=size.heads,
            encoder_ffn_dim=4 * size.width,
            activation_function="gelu",
        )
    )


def pair_average(features: Tensor, frames: int) -> Tensor:
    """(B, positions, width) at 50 Hz, cropped to ``2 * frames``, to (B, frames, width) at 25 Hz."""
    if features.shape[1] < 2 * frames:
        raise ValueError(f"{features.shape[1]} Whisper positions are too few for {frames} latent frames")
    return features[:, : 2 * frames].unflatten(1, (frames, 2)).mean(dim=2)


def window_starts(frames: int, window: int) -> list[int]:
    """First latent frame of every Whisper window over a clip of ``frames`` latent frames."""
    if frames <= window:
        return [0]
    margin = min(MARGIN, window // 4)
    return list(range(0, frames - 2 * margin, window - 2 * margin))


def kept_frames(starts: list[int], index: int, frames: int, window: int) -> tuple[int, int]:
    """The clip's frames [first, last) that window ``index`` is responsible for."""
    margin = min(MARGIN, window // 4)
    first = 0 if index == 0 else starts[index] + margin
    last = frames if index == len(starts) - 1 else starts[index + 1] + margin
    return first, last


class MelFrontEnd:
    """Log-mel windows as Whisper was trained on, from 24 kHz audio (soxr to 16 kHz, then transformers)."""

    def __init__(self, size: WhisperSize, sample_rate: int):
        make_transformers_importable()
        from transformers import WhisperFeatureExtractor

        self.sample_rate = sample_rate
        self.mel_frames = 2 * size.positions
        self.extractor = WhisperFeatureExtractor(
            feature_size=size.mel_bins,
            sampling_rate=WHISPER_RATE,
            chunk_length=math.ceil(size.positions / WHISPER_FRAME_RATE),
        )

    def resample(self, audio: Tensor) -> np.ndarray:
        """(samples,) at ``sample_rate`` to (samples,) at 16 kHz."""
        import soxr

        return soxr.resample(audio.detach().float().cpu().numpy(), self.sample_rate, WHISPER_RATE, quality="HQ")

    def window(self, audio_16k: np.ndarray, start: int, frames: int) -> Tensor:
        """Log-mel (1, mel_bins, 2 * positions) of ``frames`` latent frames from ``start`` (25 Hz), zero padded."""
        per_frame = WHISPER_RATE * 2 // WHISPER_FRAME_RATE
        piece = audio_16k[start * per_frame : (start + frames) * per_frame]
        mel = self.extractor(piece, sampling_rate=WHISPER_RATE, return_tensors="pt").input_features
        return mel[..., : self.mel_frames]


@torch.no_grad()
def semantic_features(encoder: nn.Module, front_end: MelFrontEnd, audio: Tensor, hop: int) -> Tensor:
    """Features at 25 Hz, (B, samples // hop, width), of (B, samples) audio; ``hop``: samples per latent frame."""
    window, frames = encoder.config.max_source_positions // 2, audio.shape[1] // hop
    starts = window_starts(frames, window)
    reference = encoder.conv1.weight
    out = reference.new_empty(len(audio), frames, encoder.config.d_model)
    for row, samples in enumerate(audio):
        audio_16k = front_end.resample(samples)
        for index, start in enumerate(starts):
            mel = front_end.window(audio_16k, start, window).to(reference)
            features = pair_average(encoder(mel).last_hidden_state, window)
            first, last = kept_frames(starts, index, frames, window)
            out[row, first:last] = features[0, first - start : last - start]
    return out
