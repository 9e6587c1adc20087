"""LIA-X as a motion codec: frames to normalised motion latents, and a source image with latents to frames."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from reference_model.codecs.motion_statistics import MotionStatistics, denormalise_motion, normalise_motion
from reference_model.utils.strict_loading import load_strictly, read_state

from .generator import IMAGE_SIZE, Generator, LIAXConfig
from .names import lia_x_names


class LIAXRenderer:
    """One source image (B, 3, 512, 512), encoded once; renders motion latents in batches of frames."""

    def __init__(self, codec: "LIAXCodec", source_image: Tensor):
        codec.check_images(source_image)
        self.codec = codec
        with torch.no_grad():
            self.reference, self.features = codec.generator.encoder(source_image)

    @torch.no_grad()
    def render(self, motion_latents: Tensor) -> Tensor:
        """(B, T, motion_dim) normalised latents to frames (B, T, 3, 512, 512), nominally in [-1, 1] and not clamped."""
        sources, generator = len(self.reference), self.codec.generator
        if motion_latents.ndim != 3 or motion_latents.shape[0::2] != (sources, self.codec.latent_dim):
            raise ValueError(
                f"motion latents must be ({sources}, T, {self.codec.latent_dim}) for these sources, got "
                f"{tuple(motion_latents.shape)}"
            )
        codes = self.codec.denormalize(motion_latents.to(self.reference.device)).to(self.reference.dtype)
        rows = []
        for i, own in enumerate(codes):
            features, reference = [level[i : i + 1] for level in self.features], self.reference[i : i + 1]
            styles = generator.style(reference, own).split(self.codec.frames_per_batch)
            rows.append(torch.cat([generator.decoder(features, style) for style in styles]))
        return torch.stack(rows)


class LIAXCodec(nn.Module):
    """Implements :class:`reference_model.codecs.MotionCodec` with a LIA-X generator.

    ``statistics`` are the training set's mean and standard deviation of every motion dimension; the model
    predicts normalised latents. ``frames_per_batch`` bounds memory and never changes results beyond rounding; by
    default it is 8 on an accelerator and 1 on a CPU, where one 512 x 512 frame already fills the caches and
    larger batches only cost more fresh memory (at widths of 32: 3.4 instead of 2.7 processor seconds a frame at 8).
    """

    image_size = IMAGE_SIZE
    frame_rate = 25

    def __init__(
        self,
        generator: Generator,
        statistics: MotionStatistics,
        *,
        frames_per_batch: int | None = None,
    ):
        super().__init__()
        if statistics.mean.shape != (generator.config.motion_dim,):
            raise ValueError(
                f"the motion statistics have {statistics.mean.numel()} dimensions, the generator "
                f"{generator.config.motion_dim}"
            )
        self.generator = generator
        self.register_buffer("motion_mean", statistics.mean.float().clone())
        self.register_buffer("motion_std", statistics.std.float().clone())
        self.latent_dim = generator.config.motion_dim
        self._frames_per_batch = frames_per_batch

    @property
    def frames_per_batch(self) -> int:
        return self._frames_per_batch or (1 if self.motion_mean.device.type == "cpu" else 8)

    def normalize(self, motion_code: Tensor) -> Tensor:
        return normalise_motion(motion_code, self.motion_mean, self.motion_std)

    def denormalize(self, motion_latents: Tensor) -> Tensor:
        return denormalise_motion(motion_latents, self.motion_mean, self.motion_std)

    @torch.no_grad()
    def encode_motion(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 3, 512, 512) in [-1, 1] to raw motion codes (B, T, motion_dim), in LIA-X's own units."""
        if frames.ndim != 5:
            raise ValueError(f"frames must be (B, T, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), got {tuple(frames.shape)}")
        encoder, weight = self.generator.encoder, self.generator.encoder.to_motion.weight
        codes = []
        for batch in frames.flatten(0, 1).split(self.frames_per_batch):
            self.check_images(batch)
            codes.append(encoder.motion_code(encoder(batch.to(weight))[0]))
        return torch.cat(codes).unflatten(0, frames.shape[:2])

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 3, 512, 512) in [-1, 1] to normalised motion latents (B, T, motion_dim)."""
        return self.normalize(self.encode_motion(frames))

    def source(self, source_image: Tensor) -> LIAXRenderer:
        """Encode the identity image (B, 3, 512, 512) in [-1, 1] once."""
        return LIAXRenderer(self, source_image)

    def check_images(self, images: Tensor) -> None:
        """Raise ``ValueError`` unless ``images`` is (N, 3, 512, 512) float in about [-1, 1]."""
        if images.ndim != 4 or images.shape[1:] != (3, IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"LIA-X takes images (N, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), got {tuple(images.shape)}; "
                f"crop a square around the face and resize it"
            )
        if not images.is_floating_point() or images.abs().max() > 2:
            raise ValueError(
                f"LIA-X takes RGB in [-1, 1], got {images.dtype} up to {images.max().item():g}; use image / 127.5 - 1"
            )


def load_lia_x(
    source: str | Path | Mapping[str, Tensor],
    statistics: MotionStatistics,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LIAXCodec:
    """Build LIA-X at the checkpoint's own widths and load it strictly, for inference.

    ``source`` is the published file (a plain state dict) or such a state dict. The published weights are
    licensed CC BY-NC 4.0. Raises :class:`~reference_model.utils.strict_loading.CheckpointError` naming every key
    that does not fit.
    """
    state, name = read_state(source)
    config = LIAXConfig.from_release_state(state)
    with torch.device("meta"):
        generator = Generator(config)
    load_strictly(generator, state, names=lia_x_names(), source=name, device=device, dtype=dtype)
    generator.eval().requires_grad_(False)
    return LIAXCodec(generator, statistics).to(device)
