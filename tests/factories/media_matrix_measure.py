"""What a file of the media matrix shows and sounds through ``Clip``, against what was put into it."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from media_matrix_factory import (
    BURST_SECONDS,
    FLASHES,
    SECONDS,
    Case,
    is_flash,
    picture_number,
    source_sound,
    write_case,
)

from t2av_bench.media.clip import Clip

RATE = 16000
GRID = 25
_SEARCH_SECONDS = 0.15


@dataclass(slots=True)
class Measured:
    """Times in ms.

    shown: number of the source picture in each slot of the 25 fps grid.
    bias, worst: mean and largest |shown - slot|, of the slots up to the last picture.
    ideal_bias: the mean of the nearest-picture rule, by arithmetic.
    burst_errors: heard minus true moment of each burst in the file. flash_errors: for each flash, how much later it
        is seen than its burst is heard, beyond the truth.
    seconds: length of the sound.
    """

    shown: list[int] = field(default_factory=list)
    bias: float = 0.0
    worst: float = 0.0
    ideal_bias: float = 0.0
    burst_errors: list[float] = field(default_factory=list)
    flash_errors: list[float] = field(default_factory=list)
    psnr: float | None = None
    stoi: float | None = None
    seconds: float | None = None


def measure(case: Case, path: Path, folder: Path) -> Measured:
    """Read a file of the matrix; ``folder`` keeps the mp4 twins. Raises MediaError as ``Clip`` does."""
    clip, found = Clip(path), Measured()
    if case.video:
        frames = np.concatenate(list(clip.frames()))
        _look(case, frames, found)
        found.psnr = _psnr(case, frames, found.shown, folder)
    if case.audio:
        heard = clip.audio(RATE)
        found.seconds = len(heard) / RATE
        _listen(case, heard, found)
        found.stoi = _stoi(case, heard, folder)
    if case.video and case.audio:
        _compare(case, frames, found)
    return found


def _look(case: Case, frames: np.ndarray, found: Measured) -> None:
    found.shown = [picture_number(frame) for frame in frames]
    slots = [k for k in range(len(frames)) if Fraction(k, GRID) <= case.times[-1]]
    late = [_late(case, k, found.shown[k]) for k in slots]
    ideal = [_late(case, k, case.nearest(Fraction(k, GRID))) for k in slots]
    found.bias, found.worst, found.ideal_bias = np.mean(late), np.max(np.abs(late)), np.mean(ideal)


def _late(case: Case, slot: int, number: int) -> float:
    """Moment of the picture minus its slot's, ms; infinite for a number that the clip does not have."""
    return float(case.times[number] - Fraction(slot, GRID)) * 1000 if number < len(case.times) else np.inf


def audible_bursts(case: Case) -> list[Fraction]:
    start, end = case.sound_interval
    return [flash for flash in FLASHES if start <= flash and float(flash) + BURST_SECONDS <= end]


def burst_moment(heard: np.ndarray, true: Fraction) -> float:
    """Moment (s) at which ``heard`` (n,) at 16 kHz holds the source's burst of the moment ``true``, to 1/100 sample."""
    burst = source_sound(true, float(true) + BURST_SECONDS, RATE).astype(np.float64)
    padding = np.zeros(round(_SEARCH_SECONDS * RATE) + len(burst))
    padded = np.concatenate([padding, heard.astype(np.float64), padding])
    first = round((float(true) - _SEARCH_SECONDS) * RATE) + len(padding)
    window = padded[first : first + round(2 * _SEARCH_SECONDS * RATE) + len(burst)]
    likeness = np.correlate(window, burst, "valid")
    best = int(np.argmax(likeness))
    if not 0 < best < len(likeness) - 1:
        return np.inf
    before, at, after = likeness[best - 1 : best + 2]
    return float(true) - _SEARCH_SECONDS + (best + (before - after) / (2 * (before - 2 * at + after))) / RATE


def _listen(case: Case, heard: np.ndarray, found: Measured) -> None:
    found.burst_errors = [1000 * (burst_moment(heard, true) - float(true)) for true in audible_bursts(case)]


def _compare(case: Case, frames: np.ndarray, found: Measured) -> None:
    lit = [is_flash(frame) for frame in frames]
    for true, burst_error in zip(audible_bursts(case), found.burst_errors, strict=False):
        # From 0.1 s before the flash on: at 12 fps it is seen up to 42 ms early.
        slots = [k for k in range(len(lit)) if lit[k] and -0.1 < k / GRID - float(true) < 0.3]
        if not slots or found.shown[slots[0]] >= len(case.times):
            found.flash_errors.append(np.inf)
            continue
        seen_error = -_late(case, slots[0], found.shown[slots[0]])
        found.flash_errors.append(seen_error - burst_error)


def _psnr(case: Case, frames: np.ndarray, shown: list[int], folder: Path) -> float:
    """Mean over the slots, against the picture of the mp4 twin that should stand there."""
    twin = twin_pictures(folder, case.rate, case.container == "avi" and case.rate is None)
    right = [twin[case.nearest(Fraction(k, GRID))] for k in range(len(frames))]
    squares = np.array([np.mean((a.astype(float) - b) ** 2) for a, b in zip(frames, right, strict=True)])
    return float(np.mean(np.minimum(100, 10 * np.log10(255**2 / np.maximum(squares, 1e-9)))))


def _stoi(case: Case, heard: np.ndarray, folder: Path) -> float | None:
    """Against the mp4 twin's sound, over what this file should hold of it."""
    pystoi = pytest_or_none("pystoi")
    if pystoi is None:
        return None
    start, end = (round(max(float(moment), 0) * RATE) for moment in case.sound_interval)
    twin = twin_sound(folder)
    end = min(end, len(twin))
    padded = np.concatenate([heard, np.zeros(max(0, end - len(heard)), np.float32)])
    return float(pystoi.stoi(twin[start:end], padded[start:end], RATE))


def pytest_or_none(name: str):
    try:
        return __import__(name)
    except ImportError:
        return None


@cache
def twin_pictures(folder: Path, rate: Fraction | None, gaps: bool) -> list[np.ndarray]:
    """(H, W, 3) uint8 pictures of the same content in an mp4, one for each number; read by PyAV alone."""
    twin = Case("mp4", "h264 B", None, rate)
    if gaps:
        twin.__dict__["times"] = Case("avi", "h264", None, None).times
    path = write_case(folder, twin)
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@cache
def twin_sound(folder: Path) -> np.ndarray:
    """(n,) at 16 kHz: the same content's sound in an mp4 that holds nothing else."""
    path = write_case(folder, Case("mp4", None, "aac", timing="longer"))
    return Clip(path).audio(RATE)[: round(SECONDS * RATE)]
