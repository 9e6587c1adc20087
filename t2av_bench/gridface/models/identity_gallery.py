"""Who is on a picture: the benchmark's persons by their look, whatever their faces do.

A picture is described by 16 x 16 colours, which linear discriminant analysis turns into 48 numbers: differences that
one person's motion makes (and files, through compression and resampling) shrink to unit size, differences between
persons stay large. The gallery holds these numbers for every person of every split, 340 of them, in 0.1 MB, and what
the motion encoder misjudges for that person on average (how wide the mouth is at rest, how high the brows are).
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.speech.visemes import MOTION_SIZE

if TYPE_CHECKING:
    from t2av_bench.gridface.models.motion_encoder import MotionEncoder

CHECKPOINT = "identity_gallery"
PLACES = 16
DIMENSIONS = 48
FRAMES_PER_PERSON = 48
# Share of the average variance added to every direction, so that none is taken to be without spread.
_SHRINKAGE = 1e-3
_REAL = ("signatures", "offsets", "centre", "projection")


class UnknownIdentity(ValueError):
    """The picture shows none of the benchmark's persons."""


def everybody() -> list[int]:
    """The identities of all splits, in order."""
    return sorted({person for split in corpus.SPLITS for person in corpus.identities(split)})


def describe(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) RGB in [0, 255], H and W multiples of 16, to (N, 768) float64: the mean colour of each place."""
    count, height, width = pictures.shape[:3]
    blocks = pictures.reshape(count, PLACES, height // PLACES, PLACES, width // PLACES, 3)
    return blocks.mean((2, 4), dtype=np.float64).reshape(count, -1)


@dataclass(frozen=True)
class IdentityGallery:
    """people: (n,) identities, ascending; signatures: (n, 48); offsets: (n, 16) motion that is to be added to the
    encoder's estimate; centre: (768,) and projection: (768, 48) give a signature."""

    people: np.ndarray
    signatures: np.ndarray
    offsets: np.ndarray
    centre: np.ndarray
    projection: np.ndarray

    def nearest(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, H, W, 3) RGB in [0, 255] to the nearest persons (N,) and how far away they are (N,).

        The distance is in standard deviations per dimension: about 1 for the right person, whatever the face does.
        """
        found = (describe(pictures) - self.centre) @ self.projection
        distances = np.sqrt(((found[:, None] - self.signatures) ** 2).mean(-1))
        best = distances.argmin(1)
        return self.people[best], distances[np.arange(len(best)), best]

    def offset(self, people: np.ndarray) -> np.ndarray:
        """(N,) identities of the gallery to (N, 16)."""
        return self.offsets[np.searchsorted(self.people, people)]

    def save(self, folder: str | Path) -> Path:
        """Write ``identity_gallery.safetensors``, in half precision, with how it was made, into ``folder``."""
        from safetensors.numpy import save_file

        from t2av_bench.utils.files import replacing

        path = Path(folder) / f"{CHECKPOINT}.safetensors"
        tensors = {name: getattr(self, name).astype(np.float16) for name in _REAL}
        tensors["people"] = self.people.astype(np.int32)
        facts = {
            "command": f"t2av-bench train embedded {CHECKPOINT}", "data_version": f"{corpus.NAME} {corpus.VERSION}",
            "parameters": sum(tensor.size for tensor in tensors.values()), "updates": 0, "seed": 0,
            "how": f"{FRAMES_PER_PERSON} drawn poses of each person",
        }  # fmt: skip
        with replacing(path) as partial:
            save_file(tensors, partial, {"facts": json.dumps(facts, sort_keys=True)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> "IdentityGallery":
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return cls(tensors["people"].astype(np.int64), *(tensors[name].astype(np.float64) for name in _REAL))


def train(output: str | Path, encoder: "MotionEncoder | None" = None, quiet: bool = False) -> Path:
    """Build the gallery of everybody for ``encoder`` (the one in the box by default), and write it into ``output``."""
    from t2av_bench.gridface.models import checkpoints, motion_encoder

    encoder = encoder or motion_encoder.load_encoder(checkpoints.path(motion_encoder.CHECKPOINT))
    return build(encoder, quiet=quiet).save(output)


def poses(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, 16) float32: independent dimensions, spread as in speech; lips touch teeth or each other in every other
    pose."""
    from t2av_bench.gridface.models.motion_statistics import MEAN, STD

    motion = MEAN + STD * random.standard_normal((count, MOTION_SIZE))
    motion[:, 3:5] *= random.uniform(size=(count, 2)) < 0.5
    return np.clip(motion, [0.0] * 7 + [-1.0] * 9, 1.0).astype(np.float32)


def build(encoder: "MotionEncoder", people: list[int] | None = None, *, quiet: bool = True) -> IdentityGallery:
    """Draw everybody (or ``people``, ascending) in 48 poses and learn what tells them apart; 60 seconds on one core."""
    import torch

    from t2av_bench.gridface.portrait.portrait import Portrait
    from t2av_bench.gridface.training.motion import damage

    people = everybody() if people is None else people
    random = np.random.default_rng(0x6A11)
    means, offsets, inside = [], [], np.zeros((PLACES * PLACES * 3,) * 2)
    started = time.monotonic()
    for number, person in enumerate(people, 1):
        motion = poses(random, FRAMES_PER_PERSON)
        frames = Portrait(person, corpus.SIZE).render(motion)
        with torch.no_grad():
            pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
            offsets.append(np.median(motion - encoder(pictures).numpy(), 0))
        frames[::2] = damage(random, frames[::2])
        described = describe(frames)
        means.append(described.mean(0))
        centred = described - means[-1]
        inside += centred.T @ centred
        if not quiet and number % 50 == 0:
            print(f"gallery: {number} of {len(people)} persons, {time.monotonic() - started:.0f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
    inside /= len(people) * (FRAMES_PER_PERSON - 1)
    inside += _SHRINKAGE * np.trace(inside) / len(inside) * np.eye(len(inside))
    values, vectors = np.linalg.eigh(inside)
    whitening = vectors / np.sqrt(values)
    centre = np.mean(means, 0)
    whitened = (np.stack(means) - centre) @ whitening
    _, _, axes = np.linalg.svd(whitened, full_matrices=False)
    projection = whitening @ axes[:DIMENSIONS].T
    return IdentityGallery(
        np.array(people), (np.stack(means) - centre) @ projection, np.stack(offsets), centre, projection
    )
