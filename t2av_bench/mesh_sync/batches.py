"""Batches of windows of mouth and sound, changed in the ways in which clips differ that say the same.

All windows of a batch are made at once. Both streams are stretched in time together; the mouth is mirrored, turned a
little, scaled, and gets the landmarks' noise; the sound gets another vocal tract, a room, other people talking, noise
and another microphone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from t2av_bench.extractors.log_mel import ROWS_PER_FRAME as ROWS
from t2av_bench.mesh_sync.features import MIRRORED, MOUTH, MeshSyncFeatures
from t2av_bench.mesh_sync.network import mouth_input, sound_input


@dataclass(frozen=True, slots=True)
class Spoiling:
    """How much windows are changed; 0 switches a change off."""

    speed: float = 0.12
    size: float = 0.45
    turn: float = 0.15
    jitter: float = 0.3
    still: float = 0.3
    drift: float = 0.5
    tract: float = 0.12
    tilt: float = 0.6
    babble: float = 0.4
    noise: float = 0.4
    room: float = 0.3
    grain: float = 0.4


class Material:
    """The clips end to end. mouths (N, 165): distance from the clip's median; sounds (4 N, 40): log energies."""

    def __init__(self, clips: Sequence[MeshSyncFeatures], length: int) -> None:
        usable = [clip for clip in clips if len(clip.mouth) > length]
        if not usable:
            raise ValueError(f"no clip is longer than the {length} frames of a window")
        self.mouths = np.concatenate([mouth_input(clip.mouth, clip.seen) for clip in usable])
        self.sounds = np.concatenate([clip.sound for clip in usable]).astype(np.float32)
        self.lengths = np.array([len(clip.mouth) for clip in usable])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.spread = self.mouths.std(0) + 1e-3
        self.length = length

    def draw(
        self, random: np.random.Generator, count: int, spoiling: Spoiling
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(count, 165, L) mouths over their spread, (count, 40, 4 L) sounds as the network takes them; their clips."""
        clips = random.choice(len(self.lengths), count, replace=count > len(self.lengths))
        speed = np.exp(random.uniform(-spoiling.speed, spoiling.speed, count))
        spanned = np.minimum(speed * (self.length - 1), self.lengths[clips] - 2.0)
        speed = spanned / (self.length - 1)
        first = random.uniform(0, 1, count) * (self.lengths[clips] - 2 - spanned)
        mouths = self._mouths(random, self.starts[clips], first, speed, spoiling)
        sounds = self._sounds(random, clips, first, speed, spoiling)
        return mouths.transpose(0, 2, 1), sounds.transpose(0, 2, 1), clips

    def _mouths(
        self, random: np.random.Generator, starts: np.ndarray, first: np.ndarray, speed: np.ndarray, spoiling: Spoiling
    ) -> np.ndarray:
        count, length = len(starts), self.length
        place = first[:, None] + speed[:, None] * np.arange(length)
        found = _between(self.mouths, starts[:, None], place).reshape(count, length, len(MOUTH), 3)
        mirror = random.random(count) < 0.5
        found[mirror] = found[mirror][:, :, list(MIRRORED)] * np.array([-1, 1, 1], np.float32)
        found = np.einsum("blpi,bij->blpj", found, _turns(random, count, spoiling.turn))
        found *= np.exp(random.uniform(-spoiling.size, spoiling.size, (count, 1, 1, 1))).astype(np.float32)
        spread = self.spread.reshape(len(MOUTH), 3)
        amount = random.uniform(0, spoiling.jitter, (count, 1, 1, 1)).astype(np.float32)
        found += random.standard_normal(found.shape, np.float32) * spread * amount
        found += random.standard_normal((count, 1, len(MOUTH), 3), np.float32) * spread * spoiling.still
        # What is left of the head's motion: a slow drift of all points at once.
        waves = random.standard_normal((count, 3, 3), np.float32) * spread.mean(0) * spoiling.drift
        pace = random.uniform(0, 0.5, (count, 1, 3)) * np.arange(length)[None, :, None]
        phase = random.uniform(0, 2 * np.pi, (count, 1, 3))
        found += np.einsum("blw,bwi->bli", np.sin(pace + phase).astype(np.float32), waves)[:, :, None]
        return found.reshape(count, length, -1) / self.spread

    def _sounds(
        self, random: np.random.Generator, clips: np.ndarray, first: np.ndarray, speed: np.ndarray, spoiling: Spoiling
    ) -> np.ndarray:
        count, rows = len(clips), ROWS * self.length
        place = ROWS * first[:, None] + speed[:, None] * (np.arange(rows) + 0.5) - 0.5
        found = _between(self.sounds, ROWS * self.starts[clips][:, None], place.clip(0))
        found = np.einsum("brc,bcd->brd", found, _tracts(random, count, found.shape[2], spoiling.tract))
        level = found.mean((1, 2), keepdims=True)
        if spoiling.room:
            _echo(found, np.flatnonzero(random.random(count) < spoiling.room), random)
        talking = np.flatnonzero(random.random(count) < spoiling.babble)
        others = random.permutation(count)[talking]
        ratio = random.uniform(1, 5, (len(talking), 1, 1)).astype(np.float32)
        found[talking] = np.logaddexp(found[talking], found[others] - level[others] + level[talking] - ratio)
        noisy = np.flatnonzero(random.random(count) < spoiling.noise)
        colour = random.standard_normal((len(noisy), 1, found.shape[2]), np.float32)
        colour -= random.uniform(-1, 5, (len(noisy), 1, 1)).astype(np.float32)
        found[noisy] = np.logaddexp(found[noisy], level[noisy] + colour)
        slope = random.standard_normal((count, 1, 1), np.float32) * np.linspace(-1, 1, found.shape[2], dtype=np.float32)
        found += spoiling.tilt * (slope + random.standard_normal((count, 1, found.shape[2]), np.float32))
        amount = random.uniform(0, 2 * spoiling.grain, (count, 1, 1)).astype(np.float32)
        found += random.standard_normal(found.shape, np.float32) * amount
        return sound_input(found)


def _between(values: np.ndarray, starts: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Rows of values (N, d) at starts + place, which lie between whole numbers: (B, L, d)."""
    whole = np.floor(place).astype(np.int64)
    part = (place - whole).astype(np.float32)[..., None]
    at = (starts + whole).clip(0, len(values) - 1)
    return np.asarray((1 - part) * values[at] + part * values[(at + 1).clip(0, len(values) - 1)])


def _turns(random: np.random.Generator, count: int, amount: float) -> np.ndarray:
    """(count, 3, 3) rotations by about ``amount`` radians."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(random.standard_normal((count, 3)) * amount).as_matrix().astype(np.float32)


def _tracts(random: np.random.Generator, count: int, bands: int, amount: float) -> np.ndarray:
    """(count, bands, bands): rows of energies times it are those of a shorter or longer vocal tract."""
    source = np.arange(bands) * np.exp(random.uniform(-amount, amount, (count, 1)))
    source = source.clip(0, bands - 1)
    return np.maximum(1 - np.abs(np.arange(bands)[None, :, None] - source[:, None, :]), 0).astype(np.float32)


def _echo(found: np.ndarray, which: np.ndarray, random: np.random.Generator) -> None:
    """A room's exponential decay, 60 dB in 0.1 to 0.5 s, some 3 to 15 dB below the direct sound, in place."""
    from scipy.signal import lfilter

    for index in which:
        decay = np.exp(-13.8 * 0.01 / random.uniform(0.1, 0.5))
        share = 10 ** -random.uniform(0.3, 1.5)
        energy = np.exp(found[index].astype(np.float64))
        tail = lfilter([0, 1 - decay], [1, -decay], energy, axis=0)
        found[index] = np.log(energy + share * tail / max(1 - decay, 1e-3) * 0.3)
