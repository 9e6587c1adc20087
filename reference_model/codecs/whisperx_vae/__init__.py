"""WhisperX-VAE: the audio autoencoder of Talker-T2AV (Appendix B), 24 kHz audio to 32 values at 25 Hz.

The encoder is a Descript-style convolutional one plus the frozen Whisper encoder's features, the latent is the
mean of a Gaussian posterior, the decoder is the encoder mirrored. See :class:`WhisperXVAE`.
"""

from .config import WhisperSize, WhisperXVAEConfig
from .model import WhisperXVAE, load_whisperx_vae
from .names import whisperx_vae_names

__all__ = [
    "WhisperSize",
    "WhisperXVAE",
    "WhisperXVAEConfig",
    "load_whisperx_vae",
    "whisperx_vae_names",
]
