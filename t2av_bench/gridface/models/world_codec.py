"""The embedded audio codec: WORLD features, principal components, closed form. It stands where WhisperX-VAE stands.

Latents are the leading principal components over the square root of their standard deviation, scaled to a mean variance
of 1: what varies more stays larger, so a model that minimises a squared error learns it first.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2av_bench.gridface.data.corpus import AUDIO_RATE, FRAME_RATE
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

    def encode(self, audio: Tensor) -> Tensor:
        """(B, samples) to (B, samples // 640, 32); see the protocol. Raises ValueError below one frame."""
        latents = [self.latents_of(world.analyse(sound.cpu().double().numpy())) for sound in audio]
        return torch.from_numpy(np.stack(latents)).to(audio.device)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, T, 32) to (B, T * 640), T at least 1."""
        sounds = [world.synthesise(self.features_of(sequence.float().cpu().numpy())) for sequence in latents]
        return torch.from_numpy(np.stack(sounds)).to(latents.device, torch.float32)
