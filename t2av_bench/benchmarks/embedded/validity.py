"""Do GridFace's lip-sync and feature networks measure what they should? Graded damage on persons they never saw.

``python -m t2av_bench.benchmarks.embedded.validity`` writes ``docs/embedded_metrics.md``: two minutes on one core.
Clips are from the test splits: other persons and sentences, and other settings of the voices' pitch and rate, than in
training. Every clip was written as mp4 (H.264, AAC) and decoded again before anything was done to it.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2av_bench.benchmarks.embedded import corpus, damage
from t2av_bench.distances import frechet_distance
from t2av_bench.extractors import gridface_features, gridface_sync
from t2av_bench.metrics.gridface_features import FRAMES_PER_CLIP, WINDOW, window_starts
from t2av_bench.metrics.paired_frames import segment_centres

CLIPS = 40
SYNC_SPLITS = ("test-en", "test-zh")

Damage = Callable[["Clip"], "Clip"]


@dataclass(frozen=True, slots=True)
class Clip:
    """frames: (T, 128, 128, 3) uint8 RGB at 25 fps. audio: (n,) float32 at 16 kHz. Both as decoded from an mp4."""

    frames: np.ndarray
    audio: np.ndarray


def clips(utterances: Iterable[corpus.Utterance], move: Callable[[np.ndarray], np.ndarray] | None = None) -> list[Clip]:
    """Draw, encode and decode; ``move`` changes the motion (T, 16) before it is drawn."""
    from t2av_bench.benchmarks.embedded.portrait import Portrait
    from t2av_bench.benchmarks.embedded.speech import Synthesizer
    from t2av_bench.media import clip as media
    from t2av_bench.media.encode import write_mp4

    made = []
    with Synthesizer() as synthesizer, tempfile.TemporaryDirectory() as folder:
        for utterance in utterances:
            recording = corpus.record(utterance, synthesizer)
            motion = recording.motion if move is None else move(recording.motion)
            path = Path(folder) / f"{utterance.id}.mp4"
            write_mp4(path, Portrait(utterance.identity, corpus.SIZE).render(motion), recording.audio, fit_audio=True)
            decoded = media.Clip(path)
            frames = np.concatenate(list(decoded.frames()))
            made.append(Clip(frames, np.array(decoded.audio(corpus.AUDIO_RATE))))
            path.unlink()
    return made


def on_frames(change: Callable[..., np.ndarray], *arguments: float) -> Damage:
    """A damage of the frames alone."""
    return lambda clip: Clip(change(clip.frames, *arguments), clip.audio)


def on_audio(change: Callable[..., np.ndarray], *arguments: float) -> Damage:
    """A damage of the audio alone."""
    return lambda clip: Clip(clip.frames, change(clip.audio, *arguments))


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
    return gridface_sync.load().score(gridface_sync.mouths(clip.frames), clip.audio)


def sync_rows(real: Sequence[Clip], others: Sequence[Sequence[Clip]] = (), names: Sequence[str] = ()) -> list[SyncRow]:
    """Every damage of ``real``; ``others`` are clips that were drawn from changed motion, with their ``names``."""
    rows = [SyncRow("in sync", 0, [score(clip) for clip in real])]
    for frames in (1, 2, 3, 5, -5, 10):
        late = "later" if frames > 0 else "earlier"
        name = f"audio {abs(frames)} frame{'s'[: abs(frames) > 1]} {late}"
        rows.append(SyncRow(name, -frames, [score(on_audio(damage.delay, frames)(clip)) for clip in real]))
    rows.append(SyncRow("a stranger's audio", None, [score(clip) for clip in strangers(real)]))
    for name, change in (
        ("audio with noise, 20 dB", on_audio(damage.hiss, 20.0)),
        ("audio with noise, 10 dB", on_audio(damage.hiss, 10.0)),
        ("audio with noise, 0 dB", on_audio(damage.hiss, 0.0)),
        ("blurred, 1 pixel", on_frames(damage.blur, 1.0)),
        ("blurred, 2 pixels", on_frames(damage.blur, 2.0)),
        ("blurred, 4 pixels", on_frames(damage.blur, 4.0)),
        ("grain, 5 %", on_frames(damage.grain, 0.05)),
        ("grain, 10 %", on_frames(damage.grain, 0.1)),
        ("every second frame twice", on_frames(damage.halve_rate)),
    ):
        rows.append(SyncRow(name, 0, [score(change(clip)) for clip in real]))
    rows.append(SyncRow("frozen picture", None, [score(on_frames(damage.freeze)(clip)) for clip in real]))
    return rows + [SyncRow(name, 0, [score(c) for c in made]) for name, made in zip(names, others, strict=True)]


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
    """frames: (clips * 16, 104), films: (clips * 4, 80): what the two metrics keep, clip after clip."""

    frames: np.ndarray
    films: np.ndarray


def features(made: Sequence[Clip]) -> Features:
    """As the metrics take them from clips that are compared with clips of the same length."""
    frames, films = [], []
    for clip in made:
        count = len(clip.frames)
        frames.append(gridface_features.frame_features(clip.frames[segment_centres(count, FRAMES_PER_CLIP)]))
        grey = gridface_features.small_grey(clip.frames)
        windows = np.stack([grey[start : start + WINDOW] for start in window_starts(count)])
        films.append(gridface_features.film_features(windows))
    return Features(np.concatenate(frames), np.concatenate(films))


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """Distances of one damage: from other real clips of the same persons, and from the very clips it was done to."""

    name: str
    frame: float
    film: float
    frame_own: float | None = None
    film_own: float | None = None


PICTURE_DAMAGE: tuple[tuple[str, Damage], ...] = (
    ("blurred, 0.5 pixels", on_frames(damage.blur, 0.5)),
    ("blurred, 1 pixel", on_frames(damage.blur, 1.0)),
    ("blurred, 2 pixels", on_frames(damage.blur, 2.0)),
    ("grain, 1 %", on_frames(damage.grain, 0.01)),
    ("grain, 2 %", on_frames(damage.grain, 0.02)),
    ("grain, 5 %", on_frames(damage.grain, 0.05)),
    ("grain, 10 %", on_frames(damage.grain, 0.1)),
)
MOVEMENT_DAMAGE: tuple[tuple[str, Damage], ...] = (
    ("every second frame twice", on_frames(damage.halve_rate)),
    ("frozen", on_frames(damage.freeze)),
    ("shuffled", on_frames(damage.shuffle)),
    ("backwards", on_frames(damage.backwards)),
    ("jitter, 1 pixel", on_frames(damage.jitter, 1)),
    ("jitter, 3 pixels", on_frames(damage.jitter, 3)),
)


def feature_rows(
    real: Sequence[Clip], takes: Sequence[Clip], unknown: Sequence[Clip],
    kinds: Sequence[tuple[str, Damage]] = PICTURE_DAMAGE + MOVEMENT_DAMAGE,
) -> list[FeatureRow]:  # fmt: skip
    """real: the reference. takes: the same persons with other sentences, which are damaged. unknown: other persons.

    The first row is the floor: real clips against as many real clips.
    """
    reference, plain = features(real), features(takes)
    rows = [_feature_row("real (the floor)", plain, reference, None)]
    for name, change in kinds:
        rows.append(_feature_row(name, features([change(clip) for clip in takes]), reference, plain))
    return [*rows, _feature_row("other persons", features(unknown), reference, None)]


def _feature_row(name: str, found: Features, reference: Features, own: Features | None) -> FeatureRow:
    frame = frechet_distance(found.frames, reference.frames)
    film = frechet_distance(found.films, reference.films)
    if own is None:
        return FeatureRow(name, frame, film)
    beside = frechet_distance(found.frames, own.frames), frechet_distance(found.films, own.films)
    return FeatureRow(name, frame, film, *beside)


def main(page: Path, count: int = CLIPS) -> None:
    """Measure everything on ``count`` clips a set and write the page."""
    from functools import partial

    from t2av_bench.benchmarks.embedded.validity_page import write

    chosen = [clip for split in SYNC_SPLITS for clip in corpus.utterances(split, count)[: count // len(SYNC_SPLITS)]]
    altered = {
        "mouth half as wide open": partial(damage.weaken_mouth, share=0.5),
        "mouth a quarter as wide open": partial(damage.weaken_mouth, share=0.25),
        "mouth smoothed over 1 frame": partial(damage.smooth_mouth, sigma=1.0),
        "mouth smoothed over 2 frames": partial(damage.smooth_mouth, sigma=2.0),
        "mouth smoothed over 4 frames": partial(damage.smooth_mouth, sigma=4.0),
    }
    sync = sync_rows(clips(chosen), [clips(chosen, move) for move in altered.values()], list(altered))
    # test-en has 40 persons, who return in the same order: the second 40 clips are other sentences of the first 40's.
    real, takes = np.split(np.array(corpus.utterances("test-en", 2 * count), dtype=object), 2)
    unknown = [*corpus.utterances("dub", count // 2), *corpus.utterances("codec", count - count // 2)]
    write(page, sync, feature_rows(clips(real), clips(takes), clips(unknown)), count)


if __name__ == "__main__":
    main(Path("docs/embedded_metrics.md"))
