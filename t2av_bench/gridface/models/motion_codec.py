"""The embedded motion codec: drawn faces to 16 motion dimensions, and back. It stands where LIA-X stands.

The decoder is the renderer itself, so it is exact; the encoder is a small trained network. A renderer needs to know
whom it draws: the codec recognises which of the benchmark's persons the source image shows, and checks its answer by
drawing that person in the same pose. Knowing the person also helps the encoder, which cannot tell a low brow from a
lowered one: the gallery holds what it misjudges for each person on average.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2av_bench.gridface.models import checkpoints, identity_gallery, motion_encoder, motion_statistics
from t2av_bench.gridface.models.identity_gallery import IdentityGallery, UnknownIdentity
from t2av_bench.gridface.models.motion_encoder import IMAGE_SIZE, MotionEncoder, load_encoder
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.gridface.speech.visemes import FRAME_RATE, MOTION_SIZE

FARTHEST = 5.0
"""Largest distance to the gallery at which a person is recognised; measured in ``docs/embedded_motion.md``."""
LARGEST_DIFFERENCE = 24.0
"""Largest root mean square difference (of 255) between a source image and the recognised person in its pose."""
_BATCH = 32


class DrawnRenderer:
    """The persons on B source images. ``identities``: their seeds."""

    def __init__(self, identities: list[int], device: torch.device | str = "cpu") -> None:
        self.identities = identities
        self.device = torch.device(device)
        self._portraits = [portrait(identity, str(self.device)) for identity in identities]

    @torch.no_grad()
    def render(self, motion_latents: Tensor) -> Tensor:
        """(B, T, 16) normalised latents to frames (B, T, 3, 128, 128) in [-1, 1]."""
        fits = motion_latents.ndim == 3 and motion_latents.shape[0::2] == (len(self._portraits), MOTION_SIZE)
        if not fits:
            raise ValueError(
                f"motion latents must be ({len(self._portraits)}, T, {MOTION_SIZE}) for these sources, got "
                f"{tuple(motion_latents.shape)}"
            )
        motion = motion_statistics.denormalize(motion_latents.detach().to(self.device, torch.float32))
        drawn = [
            torch.cat([portrait.draw(part) for part in one.split(_BATCH)])
            for portrait, one in zip(self._portraits, motion, strict=True)
        ]
        return torch.stack(drawn) * 2 - 1


class DrawnMotionCodec:
    """A :class:`reference_model.codecs.MotionCodec` for GridFace's portraits."""

    latent_dim = MOTION_SIZE
    image_size = IMAGE_SIZE
    frame_rate = FRAME_RATE

    def __init__(self, encoder: MotionEncoder, gallery: IdentityGallery, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.encoder = encoder.to(self.device).eval().requires_grad_(False)
        self.gallery = gallery

    @classmethod
    def load(cls, folder: Path = checkpoints.FOLDER, device: torch.device | str = "cpu") -> "DrawnMotionCodec":
        """The bundled codec, or that of another folder that ``checkpoints.add`` filled.

        Raises UnknownWeights (ValueError), and NotApplicable with the command that makes the file, where one is
        missing or damaged.
        """
        encoder = load_encoder(checkpoints.path(motion_encoder.CHECKPOINT, folder))
        return cls(encoder, IdentityGallery.load(checkpoints.path(identity_gallery.CHECKPOINT, folder)), device)

    def normalize(self, motion_code: Tensor) -> Tensor:
        """Motion (..., 16) in ``visemes.MOTION_NAMES``' own units to latents of about unit variance."""
        return motion_statistics.normalize(motion_code)

    def denormalize(self, motion_latents: Tensor) -> Tensor:
        """The inverse of :meth:`normalize`."""
        return motion_statistics.denormalize(motion_latents)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 3, 128, 128) RGB in [-1, 1] to normalised motion latents (B, T, 16)."""
        if frames.ndim != 5:
            raise ValueError(f"frames must be (B, T, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), got {tuple(frames.shape)}")
        flat = frames.flatten(0, 1)
        _check(flat)
        return self.normalize(self._read(flat)[0]).unflatten(0, frames.shape[:2])

    def source(self, source_image: Tensor) -> DrawnRenderer:
        """Recognise the persons on (B, 3, 128, 128) RGB in [-1, 1]. Raises UnknownIdentity for anybody else."""
        return DrawnRenderer(self.identify(source_image), self.device)

    def identify(self, source_image: Tensor) -> list[int]:
        """The identity of each image (B, 3, 128, 128) RGB in [-1, 1]; raises UnknownIdentity naming the first that is
        nobody of the gallery."""
        _check(source_image)
        pictures = _pictures(source_image)
        motion, people, distances = self._read(source_image)
        for index, (person, distance) in enumerate(zip(people.tolist(), distances.tolist(), strict=True)):
            difference = float("nan")
            if distance <= FARTHEST:
                with torch.no_grad():
                    drawn = portrait(person, str(self.device)).draw(motion[index : index + 1])
                picture = drawn[0].permute(1, 2, 0).cpu().numpy() * 255
                difference = float(np.sqrt(np.mean((picture - pictures[index]) ** 2)))
            if not difference <= LARGEST_DIFFERENCE:
                seen = (
                    f"the nearest, {person}, is {distance:.1f} standard deviations away, at most {FARTHEST:g} are "
                    f"allowed" if distance > FARTHEST else
                    f"it is as colourful as person {person}, but differs by {difference:.0f} of 255, at most "
                    f"{LARGEST_DIFFERENCE:g} are allowed"
                )  # fmt: skip
                raise UnknownIdentity(
                    f"source image {index + 1} of {len(pictures)} shows none of GridFace's {len(self.gallery.people)} "
                    f"persons ({seen}): the drawn codec animates only those; take a frame of one of the benchmark's "
                    "clips, uncropped"
                )
        return people.tolist()

    @torch.no_grad()
    def _read(self, frames: Tensor) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """(N, 3, 128, 128) to motion (N, 16) in its own units, the nearest persons (N,), and their distances (N,)."""
        motion, people, distances = [], [], []
        for part in frames.split(_BATCH):
            found, far = self.gallery.nearest(_pictures(part))
            offsets = np.where(far[:, None] <= FARTHEST, self.gallery.offset(found), 0.0)
            motion.append(
                self.encoder(
                    part.to(self.device, torch.float32),
                    torch.from_numpy(offsets).to(self.device, torch.float32),
                )
            )
            people.append(found)
            distances.append(far)
        return torch.cat(motion), np.concatenate(people), np.concatenate(distances)


@lru_cache(maxsize=64)
def portrait(identity: int, device: str = "cpu") -> Portrait:
    """A painted person of 128 x 128; the latest 64 are kept (0.05 s and 3 MB each)."""
    return Portrait(identity, IMAGE_SIZE, device=device)


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1:] != (3, IMAGE_SIZE, IMAGE_SIZE):
        raise ValueError(
            f"the drawn codec takes images (N, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), got {tuple(images.shape)}; "
            "resize the whole picture, do not crop it"
        )
    if not images.is_floating_point() or (images.numel() and not images.abs().max() <= 1.01):
        found = "values that are not finite" if images.isnan().any() else f"up to {images.abs().max().item():g}"
        raise ValueError(f"the drawn codec takes RGB in [-1, 1], got {images.dtype}, {found}; use image / 127.5 - 1")


def _pictures(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] to (N, H, W, 3) float32 in [0, 255]."""
    return ((images.float() + 1) * 127.5).permute(0, 2, 3, 1).cpu().numpy()
