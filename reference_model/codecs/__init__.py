"""Codecs: what turns sound and picture into the latents that the model predicts, and back.

Two small protocols. The released pair is :mod:`.whisperx_vae` and :mod:`.lia_x`; whatever else implements the
protocols (a small embedded pair, say) can stand in for them without the model noticing.
Units: audio is mono float in [-1, 1] at ``sample_rate``; frames are RGB float in [-1, 1]; both latent sequences
run at ``frame_rate`` (25 per second in the release), frame ``i`` of one beside frame ``i`` of the other.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


class SourceRenderer(Protocol):
    """Renders one identity, whose source image has been encoded once."""

    def render(self, motion_latents: Tensor) -> Tensor:
        """(B, t, latent_dim) normalised motion latents to (B, t, 3, image_size, image_size) in [-1, 1]."""
        ...


@runtime_checkable
class AudioCodec(Protocol):
    """Sound to latents and back. Released: :class:`.whisperx_vae.WhisperXVAE`."""

    sample_rate: int
    """Samples per second of the audio on both ends."""
    frame_rate: int
    """Latents per second."""
    latent_dim: int

    def encode(self, audio: Tensor) -> Tensor:
        """(B, samples) to (B, T, latent_dim), T = floor(samples * frame_rate / sample_rate)."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """(B, T, latent_dim) to (B, T * sample_rate / frame_rate)."""
        ...


@runtime_checkable
class MotionCodec(Protocol):
    """Pictures of a face to motion latents, and back with a source image. Released: :class:`.lia_x.LIAXCodec`."""

    latent_dim: int
    image_size: int
    """Height and width of source images and frames, in pixels."""
    frame_rate: int
    """Frames (and latents) per second."""

    def normalize(self, motion_code: Tensor) -> Tensor:
        """Raw codes (..., latent_dim) to latents: minus the stored mean, over the stored standard deviation."""
        ...

    def denormalize(self, motion_latents: Tensor) -> Tensor:
        """The inverse of :meth:`normalize`."""
        ...

    def encode(self, frames: Tensor) -> Tensor:
        """(B, T, 3, image_size, image_size) in [-1, 1] to normalised motion latents (B, T, latent_dim)."""
        ...

    def source(self, source_image: Tensor) -> SourceRenderer:
        """Encode the identity (B, 3, image_size, image_size) once, for any number of renderings."""
        ...
