"""Who is on a picture: the benchmark's persons by their look, whatever their faces do.

A picture is described by 16 x 16 colours, which linear discriminant analysis turns into 48 numbers: differences that
one person's motion makes (and files, through compression and resampling) shrink to unit size, differences between
persons stay large. The gallery holds these numbers for every person of every split, 340 of them, in 0.1 MB, and what
the motion encoder misjudges for that person on average (how wide the mouth is at rest, how high the brows are).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

CHECKPOINT = "identity_gallery"
PLACES = 16
DIMENSIONS = 48
FRAMES_PER_PERSON = 48
STORED = ("signatures", "offsets", "centre", "projection")
"""Arrays that a file holds in half precision, beside ``people``."""


class UnknownIdentity(ValueError):
    """The picture shows none of the benchmark's persons."""


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

    @classmethod
    def load(cls, path: str | Path) -> "IdentityGallery":
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return cls(tensors["people"].astype(np.int64), *(tensors[name].astype(np.float64) for name in STORED))
