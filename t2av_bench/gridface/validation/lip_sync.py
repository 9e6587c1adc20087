"""Do GridFace's lip-sync and feature networks measure what they should? Graded damage on persons they never saw.

``python -m t2av_bench.gridface.validation.page`` writes ``docs/embedded_metrics.md``: two minutes on one core.
Clips are from the test splits: other persons and sentences, and other settings of the voices' pitch and rate, than in
training. Every clip was written as mp4 (H.264, AAC) and decoded again before anything was done to it.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from t2av_bench.gridface.data import corpus, damage
from t2av_bench.gridface.extractors import features as gridface_features
from t2av_bench.gridface.extractors import sync as gridface_sync
from t2av_bench.gridface.metrics.features import FRAMES_PER_CLIP, WINDOW, window_starts
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.media import clip as media
from t2av_bench.media.encode import write_mp4
from t2av_bench.metrics.distances import frechet_distance
from t2av_bench.metrics.paired_frames import segment_centres
from t2av_bench.validation import pictures, sounds

CLIPS = 40

STRANGER = "a stranger's audio"
FLOOR = "real (the floor)"

Change = Callable[..., np.ndarray]
"""Frames to frames, audio to audio, or motion to motion."""


@dataclass(frozen=True, slots=True)
class Clip:
    """frames: (T, 128, 128, 3) uint8 RGB at 25 fps. audio: (n,) float32 at 16 kHz. Both as decoded from an mp4."""

    frames: np.ndarray
    audio: np.ndarray


def clips(utterances: Iterable[corpus.Utterance], move: Change | None = None) -> list[Clip]:
    """Draw, encode and decode; ``move`` changes the motion (T, 16) before it is drawn."""
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for utterance, recording in corpus.recordings(utterances):
            motion = recording.motion if move is None else move(recording.motion)
            path = Path(folder) / f"{utterance.id}.mp4"
            write_mp4(path, Portrait(utterance.identity, corpus.SIZE).render(motion), recording.audio, fit_audio=True)
            decoded = media.Clip(path)
            frames = np.concatenate(list(decoded.frames()))
            made.append(Clip(frames, np.array(decoded.audio(corpus.AUDIO_RATE))))
            path.unlink()
    return made


# Lip sync ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SyncRow:
    """Results of one damage over all clips; ``expected`` is the true offset, None where there is none."""

    name: str
    expected: int | None
    results: Sequence[gridface_sync.SyncResult]

    @property
    def confidences(self) -> np.ndarray:
        return np.array([result.confidence for result in self.results])

    @property
    def distances(self) -> np.ndarray:
        return np.array([result.distance for result in self.results])

    def within(self, frames: int) -> float:
        """Share of the clips whose offset is at most ``frames`` from the true one."""
        assert self.expected is not None
        return float(np.mean([abs(result.offset - self.expected) <= frames for result in self.results]))


def score(clip: Clip) -> gridface_sync.SyncResult:
    """As the metric ``sync/gridface`` scores a clip."""
    return gridface_sync.load_sync().score(gridface_sync.mouths(clip.frames), clip.audio)


AUDIO_DAMAGE: tuple[tuple[str, int, Change], ...] = (
    ("audio 1 frame later", -1, partial(sounds.delay, samples=1 * corpus.HOP)),
    ("audio 2 frames later", -2, partial(sounds.delay, samples=2 * corpus.HOP)),
    ("audio 3 frames later", -3, partial(sounds.delay, samples=3 * corpus.HOP)),
    ("audio 5 frames later", -5, partial(sounds.delay, samples=5 * corpus.HOP)),
    ("audio 5 frames earlier", 5, partial(sounds.delay, samples=-5 * corpus.HOP)),
    ("audio 10 frames later", -10, partial(sounds.delay, samples=10 * corpus.HOP)),
    ("noise at 20 dB", 0, partial(sounds.hiss, decibels=20.0)),
    ("noise at 10 dB", 0, partial(sounds.hiss, decibels=10.0)),
    ("noise at 0 dB", 0, partial(sounds.hiss, decibels=0.0)),
)
"""Name, true offset, and what is done to the audio."""
MOUTH_DAMAGE: tuple[tuple[str, Change], ...] = (
    ("blurred, 1 pixel", partial(pictures.blur, sigma=1.0)),
    ("blurred, 2 pixels", partial(pictures.blur, sigma=2.0)),
    ("blurred, 4 pixels", partial(pictures.blur, sigma=4.0)),
    ("grain, 5 %", partial(pictures.grain, sigma=0.05)),
    ("grain, 10 %", partial(pictures.grain, sigma=0.1)),
    ("every second frame twice", damage.halve_rate),
)
MOTION_DAMAGE: tuple[tuple[str, Change], ...] = (
    ("mouth moves half as far", partial(damage.weaken_mouth, share=0.5)),
    ("mouth smoothed over 2 frames", partial(damage.smooth_mouth, sigma=2.0)),
    ("mouth smoothed over 4 frames", partial(damage.smooth_mouth, sigma=4.0)),
)
"""Done to the motion before it is drawn; widths are standard deviations."""


def sync_rows(real: Sequence[Clip], altered: Mapping[str, Sequence[Clip]] | None = None) -> list[SyncRow]:
    """Every damage of ``real``; ``altered`` are the same clips, drawn from changed motion."""
    network = gridface_sync.load_sync()
    seen = [network.embed_mouths(gridface_sync.mouths(clip.frames)) for clip in real]
    heard = [network.embed_audio(gridface_sync.log_mel(clip.audio)) for clip in real]

    def row(name: str, expected: int | None, mouth: list[np.ndarray], audio: list[np.ndarray]) -> SyncRow:
        return SyncRow(name, expected, list(map(gridface_sync.compare, mouth, audio)))

    rows = [row("in sync", 0, seen, heard)]
    for name, offset, change in AUDIO_DAMAGE:
        changed = [network.embed_audio(gridface_sync.log_mel(change(clip.audio))) for clip in real]
        rows.append(row(name, offset, seen, changed))
    for name, change in MOUTH_DAMAGE:
        changed = [network.embed_mouths(gridface_sync.mouths(change(clip.frames))) for clip in real]
        rows.append(row(name, 0, changed, heard))
    for name, drawn in (altered or {}).items():
        rows.append(SyncRow(name, 0, [score(clip) for clip in drawn]))
    frozen = [network.embed_mouths(gridface_sync.mouths(damage.freeze(clip.frames))) for clip in real]
    return [
        *rows,
        row("frozen picture", None, frozen, heard),
        SyncRow(STRANGER, None, [score(clip) for clip in strangers(real)]),
    ]


def strangers(real: Sequence[Clip]) -> list[Clip]:
    """Each clip's frames with the next clip's audio, both cut to the shorter one."""
    mixed = []
    for clip, other in zip(real, [*real[1:], real[0]], strict=True):
        count = min(len(clip.frames), len(other.audio) // corpus.HOP)
        mixed.append(Clip(clip.frames[:count], other.audio[: count * corpus.HOP]))
    return mixed


def separation(better: np.ndarray, worse: np.ndarray) -> float:
    """Chance that a random value of ``better`` is above one of ``worse`` (area under the ROC curve)."""
    above = better[:, None] - worse[None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


# Feature distances ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Features:
    """frames: (clips * 16, 104), windows: (clips * 4, 80): what the two metrics keep, clip after clip."""

    frames: np.ndarray
    windows: np.ndarray


def features(made: Sequence[Clip]) -> Features:
    """As the metrics take them from clips that are compared with clips of the same length."""
    frames, windows = [], []
    for clip in made:
        count = len(clip.frames)
        frames.append(gridface_features.frame_features(clip.frames[segment_centres(count, FRAMES_PER_CLIP)]))
        grey = gridface_features.small_grey(clip.frames)
        seen = np.stack([grey[start : start + WINDOW] for start in window_starts(count)])
        windows.append(gridface_features.window_features(seen))
    return Features(np.concatenate(frames), np.concatenate(windows))


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """Distances of one damage: from other real clips of the same persons, and from the very clips it was done to."""

    name: str
    frame: float
    clip: float
    frame_own: float | None = None
    clip_own: float | None = None


PICTURE_DAMAGE: tuple[tuple[str, Change], ...] = (
    ("blurred, 0.5 pixels", partial(pictures.blur, sigma=0.5)),
    ("blurred, 1 pixel", partial(pictures.blur, sigma=1.0)),
    ("blurred, 2 pixels", partial(pictures.blur, sigma=2.0)),
    ("grain, 1 %", partial(pictures.grain, sigma=0.01)),
    ("grain, 2 %", partial(pictures.grain, sigma=0.02)),
    ("grain, 5 %", partial(pictures.grain, sigma=0.05)),
    ("grain, 10 %", partial(pictures.grain, sigma=0.1)),
)
MOVEMENT_DAMAGE: tuple[tuple[str, Change], ...] = (
    ("every second frame twice", damage.halve_rate),
    ("frozen", damage.freeze),
    ("shuffled", damage.shuffle),
    ("backwards", damage.backwards),
    ("jitter, 1 pixel", partial(damage.jitter, pixels=1)),
    ("jitter, 3 pixels", partial(damage.jitter, pixels=3)),
)


def feature_rows(
    real: Sequence[Clip], takes: Sequence[Clip], unknown: Sequence[Clip],
    kinds: Sequence[tuple[str, Change]] = PICTURE_DAMAGE + MOVEMENT_DAMAGE,
) -> list[FeatureRow]:  # fmt: skip
    """real: the reference. takes: the same persons with other sentences, which are damaged. unknown: other persons.

    The first row is the floor: real clips against as many real clips.
    """
    reference, plain = features(real), features(takes)
    rows = [FeatureRow(FLOOR, *distances(plain, reference))]
    for name, change in kinds:
        changed = features([Clip(change(clip.frames), clip.audio) for clip in takes])
        rows.append(FeatureRow(name, *distances(changed, reference), *distances(changed, plain)))
    return [*rows, FeatureRow("other persons", *distances(features(unknown), reference))]


def distances(found: Features, reference: Features) -> tuple[float, float]:
    """Between the frames and between the windows of two sets."""
    return frechet_distance(found.frames, reference.frames), frechet_distance(found.windows, reference.windows)
