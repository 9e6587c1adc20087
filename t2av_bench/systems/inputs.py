"""Voices and driving speech, from any audio or video file.

A voice is cut at ``LONGEST_VOICE`` seconds, where asked for after what comes before and after speech was trimmed. A
frame of 20 ms speaks when its level is within ``SPEECH_RANGE`` dB of the level that the file exceeds for half a second
in all (so that a click sets no standard); a file that exceeds ``SILENCE`` dBFS for less than that is silent. Driving
speech is not trimmed: its time line is the clip's.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import GenerationFailed

SPEAKER_RATE = 16_000
LEAST_SPEECH = 1.0
LONGEST_VOICE = 30.0
SPEECH_RANGE = 35.0
SILENCE = -60.0
# Kept on both sides: consonants begin and end below the threshold.
MARGIN = 0.1
_FRAME = 0.02
_STANDARD_FRAMES = 25


@dataclass(frozen=True, slots=True)
class Voice:
    """audio: (n,) float32 at ``SPEAKER_RATE``.

    start, end: what was taken of the file, in seconds; speech_seconds: of them, how many speak.
    """

    audio: np.ndarray
    start: float
    end: float
    speech_seconds: float
    notes: tuple[str, ...] = ()


@contextmanager
def input_named(role: str) -> Iterator[None]:
    """Every reason that arises inside names the input that it is about, as GenerationFailed."""
    try:
        yield
    except Unscorable as reason:
        raise GenerationFailed(f"{role}: {reason}") from reason


def speech_span(audio: np.ndarray, rate: int) -> tuple[float, float, float]:
    """Where (n,) mono audio speaks: start and end in seconds with margins, and the seconds that speak in between.

    Raises GenerationFailed for silence.
    """
    length = round(_FRAME * rate)
    count = -(-len(audio) // length)
    padded = np.zeros(count * length)
    padded[: len(audio)] = audio
    power = np.square(padded).reshape(count, length).mean(axis=1)
    standard = np.sort(power)[-min(_STANDARD_FRAMES, count)]
    if standard < 10 ** (SILENCE / 10):
        peak = float(np.abs(audio).max())
        level = f"its peak is {20 * np.log10(peak):.0f} dBFS" if peak > 0 else "all samples are zero"
        raise GenerationFailed(f"there is no half second above {SILENCE:.0f} dBFS, so it counts as silent ({level})")
    speaks = np.flatnonzero(power >= standard * 10 ** (-SPEECH_RANGE / 10))
    start = max(0.0, float(speaks[0]) * _FRAME - MARGIN)
    end = min(len(audio) / rate, float(speaks[-1] + 1) * _FRAME + MARGIN)
    return start, end, len(speaks) * _FRAME


def read_voice(path: Path, trim: bool = True) -> Voice:
    """A voice to speak in. Raises GenerationFailed: silent, or less than ``LEAST_SPEECH`` seconds of speech.

    trim: leave out what comes before and after speech. Raises MediaError for a file without usable audio.
    """
    audio = Clip(path).audio(SPEAKER_RATE)
    start, end, spoken = speech_span(audio, SPEAKER_RATE)
    if spoken < LEAST_SPEECH:
        raise GenerationFailed(
            f"{path.name} holds {spoken:.2f} s of speech, at least {LEAST_SPEECH:g} s are needed (3 s and more give a "
            "steadier voice)"
        )
    if not trim:
        start, end = 0.0, len(audio) / SPEAKER_RATE
    notes: tuple[str, ...] = ()
    if end - start > LONGEST_VOICE:
        notes = (f"{path.name}: the first {LONGEST_VOICE:g} of {end - start:.1f} s of voice are used",)
        end = start + LONGEST_VOICE
        spoken = speech_span(_seconds(audio, start, end), SPEAKER_RATE)[2]
    return Voice(_seconds(audio, start, end), start, end, spoken, notes)


def read_speech(path: Path, max_seconds: float, rate: int) -> tuple[np.ndarray, bool]:
    """The first ``max_seconds`` of a file's audio, (n,) float32 at ``rate``, and whether it was cut there.

    Raises GenerationFailed for silence, MediaError for a file without usable audio.
    """
    audio = Clip(path).audio(rate)
    used = audio[: round(max_seconds * rate)].copy()
    speech_span(used, rate)
    return used, len(used) < len(audio)


def first(batches: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The first ``count`` pictures of batches (n, H, W, 3)."""
    for batch in batches:
        if count <= 0:
            return
        yield batch[:count]
        count -= len(batch)


def _seconds(audio: np.ndarray, start: float, end: float) -> np.ndarray:
    return audio[round(start * SPEAKER_RATE) : round(end * SPEAKER_RATE)].copy()
