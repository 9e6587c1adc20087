"""Offset, distance and confidence from the vectors of mouth and sound.

The distance at a shift is the mean over frames of the distance between the mouth's vector and that of the sound so much
earlier; D is the lowest of 31 shifts of whole frames, the offset is where a parabola through the lowest of the 121
shifts of 10 ms has its minimum. Positive offsets: the audio is early, as everywhere in this project.

SyncNet's confidence is the median of the curve less its minimum. The minimum over noise is biased downwards, the more
the shorter the clip, so that confidence is never 0 and cannot be compared between lengths. Here the clip is cut into
windows of a second, every other of which belongs to one half. In each window the depth (median over shifts less value)
is read at the offset at which the mean curve of the *other half* is lowest, and C is the mean over windows. No window
takes part in choosing where it is read, so C has mean 0 where there is no sync, at any length, as far as windows are
independent: the network sees half a second at once, which leaks some 0.02 into short clips. Where there is sync, C
depends on length only as far as half a clip is too short to find the offset. Its standard error is that of the mean of
independent windows, up to 30 % too low as neighbours resemble each other. (Each window read where all other windows
together are lowest would find weak sync a little more often, but over noise the windows' depths then move together,
and their scatter no longer tells the error.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.extractors.log_mel import ROWS_PER_FRAME as _ROWS
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.mesh_sync.features import MeshSyncFeatures
from t2av_bench.mesh_sync.network import MeshSyncNetwork, network_input

MAX_SHIFT = 15
STEP_MS = 10
FRAME_MS = STEP_MS * _ROWS
OFFSETS_MS = tuple(range(FRAME_MS * MAX_SHIFT, -FRAME_MS * MAX_SHIFT - 1, -STEP_MS))
"""Shifts in milliseconds, positive where the audio is early; every fourth is a whole frame, 15 ... -15."""
WINDOW = 1.0
LEAST_WINDOWS = 2
PARAMETERS: dict[str, Any] = {
    "max_shift": MAX_SHIFT,
    "step_ms": STEP_MS,
    "window_seconds": WINDOW,
    "crossfit": "two halves",
}
_BLOCK = 128  # frames whose distances are made at once, so that memory stays flat


@dataclass(frozen=True, slots=True)
class MeshSyncScore:
    """confidence: C, about 0 where nothing is in sync, at most 2; error: its standard error. distance: D, 0 to 2.

    offset_ms: to parts of 10 ms, -600 to 600, positive where the audio is early. distance_zero: at no shift.
    curve: (31,) float64, mean distance at offsets of 15 ... -15 frames.
    frames: (T,) float32, distance of each frame at the offset found, NaN where there is no face or no sound;
    frames_zero: the same at no shift. windows: how many of them C is the mean of.
    """

    confidence: float
    error: float
    distance: float
    offset_ms: float
    distance_zero: float
    curve: np.ndarray
    frames: np.ndarray
    frames_zero: np.ndarray
    windows: int


def score(features: MeshSyncFeatures, network: MeshSyncNetwork) -> MeshSyncScore:
    """Unscorable where less than two seconds can be compared."""
    return score_distances(frame_distances(features, network))


def frame_distances(features: MeshSyncFeatures, network: MeshSyncNetwork) -> np.ndarray:
    """(T, 121) float64: distance of each frame to the sound at each of ``OFFSETS_MS``, mean over the network's members;
    NaN without a face, and beyond the ends of the sound."""
    found = [distances(mouth, sound) for mouth, sound in network.embed(network_input(features))]
    mean = np.mean(found, axis=0)
    mean[~features.seen] = np.nan
    return mean


def distances(mouth: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """(T, D) and (4 T, D) unit vectors -> (T, 121) float64 distances between 0 and 2; NaN beyond the sound's ends."""
    reach = _ROWS * MAX_SHIFT
    found = np.full((len(mouth), 2 * reach + 1), np.nan)
    heard = sound.astype(np.float64)
    for start in range(0, len(mouth), _BLOCK):
        frames = np.arange(start, min(start + _BLOCK, len(mouth)))
        # Frame k at an offset of o rows (audio early) belongs to row 4k - o.
        rows = _ROWS * frames[:, None] - np.arange(reach, -reach - 1, -1)
        inside = (rows >= 0) & (rows < len(sound))
        first, last = int(rows.clip(0).min()), int(rows.max()) + 1
        cosines = mouth[frames].astype(np.float64) @ heard[first:last].T
        picked = np.take_along_axis(cosines, (rows - first).clip(0, cosines.shape[1] - 1), axis=1)
        found[frames] = np.where(inside, np.sqrt(np.maximum(2 - 2 * picked, 0)), np.nan)
    return found


def score_distances(found: np.ndarray) -> MeshSyncScore:
    """found: (T, 121) of ``frame_distances``. Unscorable for less than two seconds of frames."""
    depths = crossfitted_depths(*window_curves(found))
    curve = _mean(found)
    best = int(np.argmin(curve))
    zero = _ROWS * MAX_SHIFT
    whole = curve[::_ROWS]
    return MeshSyncScore(
        confidence=float(depths.mean()),
        error=float(depths.std(ddof=1) / np.sqrt(len(depths))),
        distance=float(whole.min()),
        offset_ms=_refined(curve, best),
        distance_zero=float(curve[zero]),
        curve=whole,
        frames=found[:, best].astype(np.float32),
        frames_zero=found[:, zero].astype(np.float32),
        windows=len(depths),
    )


def window_curves(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each window the (w, 121) sum of distances per shift, and (w, 121) how many frames it is of.

    Windows are equally long runs of the frames that have a distance at all; so at every shift a window has at least ten
    frames. Unscorable for less than two windows.
    """
    known = found[~np.isnan(found).all(1)]
    count = round(len(known) / (WINDOW * FRAME_RATE))
    if count < LEAST_WINDOWS:
        raise Unscorable(
            f"{len(known) / FRAME_RATE:.2f} s of face with sound can be compared, "
            f"{LEAST_WINDOWS * WINDOW:g} s are needed"
        )
    parts = np.array_split(known, count)
    return np.stack([np.nansum(part, 0) for part in parts]), np.stack([(~np.isnan(part)).sum(0) for part in parts])


def crossfitted_depths(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(w,) depth of each window (w, 121) at the shift that is best for the other half of the windows."""
    half = np.arange(len(sums)) % 2
    place = [int((sums[half == each].sum(0) / counts[half == each].sum(0)).argmin()) for each in (1, 0)]
    curves = sums / counts
    return np.asarray(np.median(curves, axis=1) - curves[np.arange(len(curves)), np.array(place)[half]])


def _mean(found: np.ndarray) -> np.ndarray:
    """(121,) mean distance over the frames that have one."""
    known = ~np.isnan(found)
    return np.where(known, found, 0).sum(0) / known.sum(0)


def _refined(curve: np.ndarray, best: int) -> float:
    """Offset in milliseconds at the vertex of the parabola through the lowest point and those 20 ms beside it."""
    reach = 2
    if not reach <= best < len(curve) - reach:
        return float(OFFSETS_MS[best])
    left, middle, right = curve[best - reach], curve[best], curve[best + reach]
    bend = left - 2 * middle + right
    move = reach * 0.5 * (left - right) / bend if bend > 0 else 0.0
    return OFFSETS_MS[best] - STEP_MS * float(np.clip(move, -reach, reach))
