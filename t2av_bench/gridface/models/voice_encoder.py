"""The embedded speaker condition: how the audio codec's latents lie where the voice speaks.

It tells the benchmark's voices apart (see docs/embedded_benchmark.md) and is what the models are given; speaker
similarity in tables comes from another encoder (``sim/resemblyzer``), so that no system is judged by its own input.
"""

import numpy as np
import torch
from torch import Tensor

from t2av_bench.gridface.data.corpus import HOP
from t2av_bench.gridface.models.world_codec import WorldCodec

_RANGE_DECIBELS = 30.0


class VoiceEncoder:
    """Mean and standard deviation of each latent over the frames within 30 dB of the loudest."""

    def __init__(self, codec: WorldCodec) -> None:
        self.codec = codec
        self.embedding_dim = 2 * codec.latent_dim

    def embed(self, audio: np.ndarray | Tensor) -> Tensor:
        """(n,) mono at 16 kHz -> (64,) float32. Raises ValueError for less than 0.2 s of sound above silence."""
        audio = np.asarray(audio, np.float64)
        latents = self.codec.encode(torch.from_numpy(audio)[None])[0].numpy()
        level = np.square(audio[: len(latents) * HOP]).reshape(len(latents), HOP).mean(1)
        speaks = level > level.max() * 10 ** (-_RANGE_DECIBELS / 10)
        if level.max() < 1e-8 or speaks.sum() < 5:
            raise ValueError("the voice is silent or shorter than 0.2 s; give one that speaks for 1 s or more")
        chosen = latents[speaks]
        return torch.from_numpy(np.concatenate([chosen.mean(0), chosen.std(0)]).astype(np.float32))

    def __call__(self, audio: Tensor) -> Tensor:
        """(B, samples) -> (B, 64), as the reference's speaker encoder is called."""
        return torch.stack([self.embed(row.cpu()) for row in audio])
