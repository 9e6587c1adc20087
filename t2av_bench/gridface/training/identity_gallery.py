"""The gallery of everybody: drawn in 48 poses each, and what tells them apart learnt."""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.extractors.pictures import network_input
from t2av_bench.gridface.models import checkpoints, motion_encoder
from t2av_bench.gridface.models.identity_gallery import (
    CHECKPOINT,
    DIMENSIONS,
    FRAMES_PER_PERSON,
    PLACES,
    STORED,
    IdentityGallery,
    describe,
)
from t2av_bench.gridface.models.motion_encoder import MotionEncoder
from t2av_bench.gridface.models.motion_statistics import MEAN, STD
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.gridface.speech.visemes import MOTION_SIZE
from t2av_bench.gridface.training.extractors import write
from t2av_bench.gridface.training.motion import damage

# Share of the average variance added to every direction, so that none is taken to be without spread.
_SHRINKAGE = 1e-3


def everybody() -> list[int]:
    """The identities of all splits, in order."""
    return sorted({person for split in corpus.SPLITS for person in corpus.identities(split)})


def train(output: Path, encoder: MotionEncoder | None = None, quiet: bool = False) -> Path:
    """Build the gallery of everybody for ``encoder`` (the bundled one by default), and write it into ``output``."""
    encoder = encoder or motion_encoder.load_encoder(checkpoints.path(motion_encoder.CHECKPOINT))
    return save(build(encoder, quiet=quiet), output)


def save(gallery: IdentityGallery, output: Path) -> Path:
    """Write a gallery's file into ``output``, in half precision, with how it was made."""
    arrays = {name: getattr(gallery, name).astype(np.float16) for name in STORED}
    arrays["people"] = gallery.people.astype(np.int32)
    return write(arrays, CHECKPOINT, output, how=f"{FRAMES_PER_PERSON} drawn poses of each person")


def poses(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, 16) float32: independent dimensions, spread as in speech; lips touch teeth or each other in every other
    pose."""
    motion = MEAN + STD * random.standard_normal((count, MOTION_SIZE))
    motion[:, 3:5] *= random.uniform(size=(count, 2)) < 0.5
    return np.clip(motion, [0.0] * 7 + [-1.0] * 9, 1.0).astype(np.float32)


def build(encoder: MotionEncoder, people: list[int] | None = None, *, quiet: bool = True) -> IdentityGallery:
    """Draw everybody (or ``people``, ascending) in 48 poses and learn what tells them apart; 60 seconds on one core."""
    people = everybody() if people is None else people
    random = np.random.default_rng(0x6A11)
    means, offsets, inside = [], [], np.zeros((PLACES * PLACES * 3,) * 2)
    started = time.monotonic()
    for number, person in enumerate(people, 1):
        motion = poses(random, FRAMES_PER_PERSON)
        frames = Portrait(person, corpus.SIZE).render(motion)
        with torch.no_grad():
            offsets.append(np.median(motion - encoder(network_input(frames)).numpy(), 0))
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
