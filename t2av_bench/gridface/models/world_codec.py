"""The embedded audio codec: WORLD features, principal components, closed form. It stands where WhisperX-VAE stands.

Latents are the leading principal components over the square root of their standard deviation, scaled to a mean variance
of 1: what varies more stays larger, so a model that minimises a squared error learns it first.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2av_bench.gridface.data.corpus import AUDIO_RATE, FRAME_RATE, HOP
from t2av_bench.gridface.models import checkpoints, world

LATENT_DIM = 32
CHECKPOINT = "audio_codec"


@dataclass(frozen=True)
class WorldCodec:
    """A :class:`reference_model.codecs.AudioCodec`. mean: (216,); components: (32, 216) orthonormal; scale: (32,)."""

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray

    sample_rate = AUDIO_RATE
    frame_rate = FRAME_RATE

    @property
    def latent_dim(self) -> int:
        return len(self.components)

    @classmethod
    def load(cls) -> "WorldCodec":
        """The bundled codec, fitted on the training split."""
        from safetensors.numpy import load_file

        return cls(**load_file(checkpoints.path(CHECKPOINT)))

    @classmethod
    def whole(cls) -> "WorldCodec":
        """All features as they are: what the vocoder alone costs."""
        return cls(np.zeros(world.FEATURES, np.float32), np.eye(world.FEATURES, dtype=np.float32),
                   np.ones(world.FEATURES, np.float32))  # fmt: skip

    @classmethod
    def fit(cls, features: np.ndarray, latent_dim: int = LATENT_DIM) -> "WorldCodec":
        """Principal components of (N, 216) features."""
        features = np.asarray(features, np.float64)
        mean = features.mean(0)
        values, vectors = np.linalg.eigh(np.cov(features.T))
        order = np.argsort(values)[::-1][:latent_dim]
        components = vectors[:, order].T
        # An eigenvector's sign is the library's choice: the largest entry is made positive.
        largest = np.abs(components).argmax(1)
        components *= np.sign(components[np.arange(latent_dim), largest])[:, None]
        deviation = np.sqrt(values[order])
        scale = np.sqrt(deviation) * np.sqrt(deviation.mean())
        return cls(*(np.ascontiguousarray(array, np.float32) for array in (mean, components, scale)))

    def latents_of(self, features: np.ndarray) -> np.ndarray:
        """(T, 216) features -> (T, 32) float32."""
        return ((features - self.mean) @ self.components.T / self.scale).astype(np.float32)

    def features_of(self, latents: np.ndarray) -> np.ndarray:
        """(T, 32) latents -> (T, 216) float32."""
        return (latents * self.scale @ self.components + self.mean).astype(np.float32)

    def encode(self, audio: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, samples) to (B, samples // 640, 32); see the protocol. Raises ValueError below one frame."""
        counts = [audio.shape[1]] * len(audio) if lengths is None else lengths.tolist()
        result = torch.zeros(len(audio), audio.shape[1] // HOP, self.latent_dim)
        for row, sound, count in zip(result, audio, counts, strict=True):
            latents = self.latents_of(world.analyse(sound[: int(count)].cpu().double().numpy()))
            row[: len(latents)] = torch.from_numpy(latents)
        return result.to(audio.device)

    def decode(self, latents: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, 32) to (B, T * 640); ``lengths`` (B,) in frames, silence beyond."""
        counts = [latents.shape[1]] * len(latents) if lengths is None else lengths.tolist()
        result = torch.zeros(len(latents), latents.shape[1] * HOP)
        for row, sequence, count in zip(result, latents, counts, strict=True):
            if count:
                features = self.features_of(sequence[: int(count)].float().cpu().numpy())
                row[: int(count) * HOP] = torch.from_numpy(world.synthesise(features))
        return result.to(latents.device)
