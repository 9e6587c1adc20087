"""Audio as the speech metrics ask for it: mono, 16 kHz, long enough and not silent.

What is wrong with the generated clip is a failure of that clip; what is wrong with the reference is nobody's, so the
pair leaves the mean (not applicable) instead of counting against the model.
"""

from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import SOUND, Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.overlap import require_overlap

SAMPLE_RATE = 16000
# Three steps of a 16-bit file: dithered digital silence stays below, the quietest recorded room does not.
SILENCE_PEAK = 1e-4
PARAMETERS = {"sample_rate": SAMPLE_RATE, **SOUND, "silence": SILENCE_PEAK}


def check_speech(audio: np.ndarray, least_seconds: float) -> np.ndarray:
    """The audio itself, (n,) at 16 kHz. Raises Unscorable where it is shorter than asked for, or silent."""
    seconds = len(audio) / SAMPLE_RATE
    if seconds < least_seconds:
        raise Unscorable(f"the audio is {seconds:.2f} s long, at least {least_seconds:g} s are needed")
    peak = float(np.max(np.abs(audio)))
    if peak < SILENCE_PEAK:
        level = f"peak {20 * np.log10(peak):.0f} dBFS" if peak > 0 else "digital silence"
        raise Unscorable(f"the audio is silent ({level})")
    return audio


def generated_speech(pair: Pair, least_seconds: float) -> np.ndarray:
    """(n,) float32 of the generated clip. Raises Unscorable (also as MediaError)."""
    return check_speech(pair.generated.audio(SAMPLE_RATE), least_seconds)


def reference_speech(clip: Clip, least_seconds: float) -> np.ndarray:
    """(n,) float32 of a reference clip. Raises NotApplicable with the reason where it cannot serve."""
    try:
        return check_speech(clip.audio(SAMPLE_RATE), least_seconds)
    except Unscorable as error:
        raise NotApplicable(f"the reference audio ({clip.path.name}) cannot be used: {error}") from error


def common_speech(
    pair: Pair, least_seconds: float, least_overlap: float
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Reference and generated audio, both cut to the shorter one's length from the start, and their durations (s).

    Delays are not compensated. Raises as ``reference_speech`` and ``generated_speech``, also for what is left
    after the cut, and Unscorable where one lasts less than ``least_overlap`` of the other.
    """
    clean = reference_speech(pair.require_reference(), least_seconds)
    generated = generated_speech(pair, least_seconds)
    durations = {"reference_seconds": len(clean) / SAMPLE_RATE, "generated_seconds": len(generated) / SAMPLE_RATE}
    require_overlap(durations["generated_seconds"], durations["reference_seconds"], least_overlap, "sound")
    length = min(len(clean), len(generated))
    try:
        check_speech(clean[:length], 0)
    except Unscorable as error:
        raise NotApplicable(f"the reference's first {length / SAMPLE_RATE:.2f} s cannot be used: {error}") from error
    return clean[:length], check_speech(generated[:length], 0), durations
