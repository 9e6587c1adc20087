"""Faster protocols with networks that are here: what they move where SyncNet's, Inception's and I3D's weights are not.

Sync: by how much the boxes of fewer looks are off is measured on the real clips; GridFace's drawn clips are cut so far
off, frame by frame, and scored by GridFace's sync network, which knows them and no real face. Sets: GridFace's networks
for frames and short clips, and Inception of random weights, on the real clips.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import random_networks
from measuring import processor_seconds

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import inception, syncnet
from t2av_bench.faces import crop
from t2av_bench.faces.track import Track
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.extractors import features, pictures, sync
from t2av_bench.gridface.metrics.features import WINDOW, window_starts
from t2av_bench.gridface.validation import lip_sync
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.distances import frechet_distance, polynomial_mmd2
from t2av_bench.metrics.fvd import centre_square
from t2av_bench.metrics.paired_frames import segment_centres
from t2av_bench.utils.inference import Dtype, precision

FRAMES = 16
SYNC = "GridFace's sync network"
SETS = ("GridFace's frame network", "GridFace's clip network", "Inception, random weights")
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")


def in_precision(run: Callable[[Any], Any], dtype: Dtype) -> Callable[[Any], Any]:
    """A network's function of tensors, with a float32 result."""

    def rounded(values: Any) -> Any:
        with precision(dtype, "cpu"):
            return run(values).float()

    return rounded


@cache
def sync_network(dtype: Dtype) -> sync.GridFaceSync:
    """GridFace's, with its mouths in a precision as SyncNet's are."""
    import torch

    network = sync.load_sync().network

    class Reduced(torch.nn.Module):
        embed_audio = staticmethod(network.embed_audio)
        embed_mouths = staticmethod(in_precision(network.embed_mouths, dtype))

    return sync.GridFaceSync(Reduced())


@cache
def drawn() -> list[Any]:
    """Twelve of GridFace's clips, whose sync the network knows."""
    return lip_sync.clips(corpus.utterances(corpus.TEST_SPLITS[0], 12))


def deviation(exact: Track, other: Track) -> np.ndarray | None:
    """(n, 3) of the frames that both tracks have, as a crop is cut (median of 13 frames): how far the other's box is
    beside and below the exact one, in widths of this, and how many times as wide. None where they share none."""
    first = max(int(track.frames[0]) for track in (exact, other))
    end = 1 + min(int(track.frames[-1]) for track in (exact, other))
    if end <= first:
        return None
    (half, x, y), (half_other, x_other, y_other) = (
        np.stack(crop.smooth(track.boxes))[:, first - int(track.frames[0]) : end - int(track.frames[0])]
        for track in (exact, other)
    )
    half = np.maximum(half, 0.5)
    return np.stack([(x_other - x) / (2 * half), (y_other - y) / (2 * half), half_other / half], axis=1)


def moved(frames: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Frames as they are cut where the face's box is so far off; a drawn face is half as wide as its picture.

    deviations: (n, 3), repeated where there are more frames.
    """
    import cv2

    side = frames.shape[1]
    centre = np.array([0.5, 0.475]) * side
    shown = []
    for frame, (x, y, scale) in zip(frames, np.resize(deviations, (len(frames), 3)), strict=True):
        shift = centre * (1 - scale) + np.array([x, y]) * side / 2
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shown.append(cv2.warpAffine(frame, matrix, (side, side), flags=how, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(shown)


def sync_values(number: int, deviations: np.ndarray | None, dtype: Dtype) -> dict[str, float]:
    """C, D and offset of a drawn clip, cut as far off as a real one was; None: as it is."""
    clip = drawn()[number % len(drawn())]
    frames = clip.frames if deviations is None else moved(clip.frames, deviations)
    found = sync_network(dtype).score(sync.mouths(frames), clip.audio)
    return {"C": found.confidence, "D": found.distance, "offset": float(found.offset)}


@cache
def set_networks(dtype: Dtype) -> dict[str, Callable[[Clip, int], np.ndarray]]:
    """By name: a clip and the frames that it shares with its original -> features (samples, d) float32."""

    def frames(clip: Clip, common: int) -> np.ndarray:
        return centre_square(clip.frames_at(segment_centres(common, FRAMES)))

    def windows(clip: Clip, common: int) -> np.ndarray:
        square = np.concatenate([features.small_grey(centre_square(batch)) for batch in clip.frames()])
        return np.stack([square[start : start + WINDOW] for start in window_starts(common)])

    def by_gridface(name: str, look: Callable[[Clip, int], np.ndarray], clip: Clip, common: int) -> np.ndarray:
        run = in_precision(features.load_network(name).features, dtype)
        return run(pictures.network_input(look(clip, common))).numpy()

    def by_inception(clip: Clip, common: int) -> np.ndarray:
        shown = inception.resized(clip.frames_at(segment_centres(common, FRAMES // 2)), "legacy_pytorch")
        return inception.embed(shown, random_inception(), dtype=dtype)

    return dict(zip(SETS, (
        partial(by_gridface, features.FRAME_CHECKPOINT, lambda clip, common: pictures.resized(frames(clip, common))),
        partial(by_gridface, features.CLIP_CHECKPOINT, windows),
        by_inception,
    ), strict=True))  # fmt: skip


def set_values(pairs: Sequence[tuple[Clip, Clip]]) -> Iterator[tuple[str, str, float, float, int]]:
    """Network, distance, its value in float32 and in bfloat16, and of how many clips.

    pairs: clips and their originals; those below 16 frames are left out.
    """
    found: dict[tuple[str, Dtype, int], list[np.ndarray]] = {}
    usable = 0
    for pair in pairs:
        common = min(_kept(clip, "frames", lambda clip=clip: np.array([clip.frame_count]))[0] for clip in pair)
        if common >= WINDOW:
            usable += 1
            for name, dtype, side in product(SETS, DTYPES, (0, 1)):
                run = partial(set_networks(dtype)[name], pair[side], common)
                found.setdefault((name, dtype, side), []).append(_kept(pair[side], f"{name}, {dtype}, {common}", run))
        for clip in pair:
            clip.release()
    for name in SETS if usable else ():
        sides = [[np.concatenate(found[name, dtype, side]) for side in (0, 1)] for dtype in DTYPES]
        for distance, of in (("Fréchet distance", frechet_distance), ("kernel distance", polynomial_mmd2)):
            exact, other = (of(*both) for both in sides)
            yield name, distance, exact, other, usable


def _kept(clip: Clip, what: str, run: Callable[[], np.ndarray]) -> np.ndarray:
    return clip.stored("stand-ins", what, lambda: {"found": run()})["found"]


@dataclass(frozen=True, slots=True)
class Rounded:
    """Features of a network in bfloat16 against float32. difference: norm over the features' norm, median and largest
    of the samples; seconds: of the processor, of both."""

    network: str
    weights: str
    samples: int
    difference_median: float
    difference_largest: float
    seconds_float32: float
    seconds_bfloat16: float


def rounded(clips: Sequence[Clip]) -> Iterator[Rounded | dict[str, str]]:
    """Networks in both precisions, or why one was not tried."""
    for make_network in (_syncnet, _inception, _gridface_sync, _gridface_frames):
        try:
            yield make_network(clips)
        except (NotApplicable, Unscorable, ImportError) as error:
            yield {"network": make_network.__name__.strip("_"), "reason": str(error)}


def _syncnet(clips: Sequence[Clip]) -> Rounded:
    real = weights.is_present("syncnet_v2")
    random = None if real else random_networks.sync_networks()[0]
    made = [syncnet.syncnet(dtype=dtype) if real else syncnet.SyncNet(random, dtype=dtype) for dtype in DTYPES]
    crops = [next(crop.whole_frames(clip.frames(9))) for clip in clips]
    return _both("SyncNet, mouths", WHOSE[real], [partial(_each, network.embed_mouths, crops) for network in made])


@cache
def random_inception() -> Callable[..., Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = random_networks.save(random_networks.inception(), Path(folder) / "inception_pt")
        return inception.load("legacy_pytorch", file, "random", "cpu")


def _inception(clips: Sequence[Clip]) -> Rounded:
    real, id = weights.is_present("inception_pt"), "inception_pt"
    network = inception.load("legacy_pytorch", weights.path(id), weights.digest(id), "cpu") if real else (
        random_inception()
    )  # fmt: skip
    frames = [clip.frames_at(range(4)) for clip in clips]
    made = [partial(inception.features, mode="legacy_pytorch", network=network, dtype=dtype)
            for dtype in DTYPES]  # fmt: skip
    return _both("Inception (pytorch-fid)", WHOSE[real], [partial(_each, each, frames) for each in made])


def _gridface_sync(clips: Sequence[Clip]) -> Rounded:
    mouths = [sync.stream_mouths([centre_square(next(clip.frames(16)))]) for clip in clips]
    made = [partial(_each, sync_network(dtype).embed_mouths, mouths) for dtype in DTYPES]
    return _both("GridFace's sync network, mouths", "trained, in this package", made)


def _gridface_frames(clips: Sequence[Clip]) -> Rounded:
    network = features.load_network(features.FRAME_CHECKPOINT)
    frames = [pictures.network_input(pictures.resized(centre_square(next(clip.frames(4))))) for clip in clips]
    made = [partial(_each, in_precision(network.features, dtype), frames) for dtype in DTYPES]
    return _both("GridFace's frame network", "trained, in this package", made)


def _each(function: Callable[[np.ndarray], np.ndarray], inputs: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([function(each) for each in inputs])


WHOSE = {True: "released", False: "random"}


def _both(name: str, whose: str, made: Sequence[Callable[[], np.ndarray]]) -> Rounded:
    found, seconds = [], []
    for run in made:
        run()  # the first pass lays weights out
        start = processor_seconds()
        found.append(run())
        seconds.append(processor_seconds() - start)
    apart = np.linalg.norm(found[1] - found[0], axis=1) / np.linalg.norm(found[0], axis=1)
    return Rounded(name, whose, len(apart), float(np.median(apart)), float(apart.max()), *seconds)
