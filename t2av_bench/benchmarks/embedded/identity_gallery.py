"""Who is on a picture: the benchmark's persons by their look, whatever their faces do.

A picture is described by 16 x 16 colours, which linear discriminant analysis turns into 48 numbers: differences that
one person's motion makes (and files, through compression and resampling) shrink to unit size, differences between
persons stay large. The gallery holds these numbers for every person of every split, 340 of them, in 0.1 MB.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2av_bench.benchmarks.embedded import corpus

CHECKPOINT = "identity_gallery"
PLACES = 16
DIMENSIONS = 48
FRAMES_PER_PERSON = 32
SENTENCES = 60
# Share of the average variance added to every direction, so that none is taken to be without spread.
_SHRINKAGE = 1e-3
_REAL = ("signatures", "centre", "projection")


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
    """people: (n,) identities; signatures: (n, 48); centre: (768,) and projection: (768, 48) give a signature."""

    people: np.ndarray
    signatures: np.ndarray
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

    def save(self, folder: str | Path) -> Path:
        """Write ``identity_gallery.safetensors``, in half precision, with how it was made, into ``folder``."""
        from safetensors.numpy import save_file

        from t2av_bench.files import replacing

        path = Path(folder) / f"{CHECKPOINT}.safetensors"
        tensors = {name: getattr(self, name).astype(np.float16) for name in _REAL}
        tensors["people"] = self.people.astype(np.int32)
        facts = {
            "command": f"t2av-bench train embedded {CHECKPOINT}", "data_version": f"{corpus.NAME} {corpus.VERSION}",
            "parameters": sum(tensor.size for tensor in tensors.values()), "updates": 0, "seed": 0,
            "how": f"linear discriminant analysis of {FRAMES_PER_PERSON} drawn poses of each person",
        }  # fmt: skip
        with replacing(path) as partial:
            save_file(tensors, partial, {"facts": json.dumps(facts, sort_keys=True)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> "IdentityGallery":
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return cls(tensors["people"].astype(np.int64), *(tensors[name].astype(np.float64) for name in _REAL))


def train(output: str | Path, quiet: bool = False) -> Path:
    """Build the gallery of everybody and write it into the folder ``output``."""
    return build(quiet=quiet).save(output)


def build(people: list[int] | None = None, *, quiet: bool = True) -> IdentityGallery:
    """Draw everybody (or ``people``) in 32 poses and learn what tells them apart; 40 seconds on one core."""
    from t2av_bench.benchmarks.embedded.portrait import Portrait
    from t2av_bench.benchmarks.embedded.training_motion import damage, mouth_and_head_tracks, sample_motion

    people = everybody() if people is None else people
    random = np.random.default_rng(0x6A11)
    tracks = mouth_and_head_tracks("train", SENTENCES)
    means, inside = [], np.zeros((PLACES * PLACES * 3,) * 2)
    started = time.monotonic()
    for number, person in enumerate(people, 1):
        frames = Portrait(person, corpus.SIZE).render(sample_motion(random, tracks, FRAMES_PER_PERSON))
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
    return IdentityGallery(np.array(people), (np.stack(means) - centre) @ projection, centre, projection)
