"""silero-vad 6: how likely each 32 ms of a sound holds speech, and the stretches of speech that follow from it.

Silero Team 2021-2026 (github.com/snakers4/silero-vad, MIT): a small recurrent network that was trained on more than six
thousand languages, and the package's own rule that makes stretches of its probabilities. The network is read by
onnxruntime; the package itself is not needed.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench import weights
from t2av_bench.media.clip import Clip
from t2av_bench.utils.inference import onnx_session

WEIGHTS = "silero_vad"
SAMPLE_RATE = 16000
WINDOW = 512
# Samples before a window that the network sees too; zeros before the first.
_CONTEXT = 64
_STATE = (2, 1, 128)

THRESHOLD = 0.5
# Speech that has begun ends below this alone.
LOWER_THRESHOLD = 0.35
_LEAST_SPEECH = SAMPLE_RATE * 250 // 1000
_LEAST_SILENCE = SAMPLE_RATE * 100 // 1000
_PAD = SAMPLE_RATE * 30 // 1000
PARAMETERS = {
    "voice_activity": "silero-vad 6.2.3",
    "window": WINDOW,
    "context": _CONTEXT,
    "thresholds": [THRESHOLD, LOWER_THRESHOLD],
    "least_speech": _LEAST_SPEECH,
    "least_silence": _LEAST_SILENCE,
    "pad": _PAD,
}


@functools.lru_cache(maxsize=1)
def load(path: Path, digest: str | None) -> Any:
    """An onnxruntime session on the CPU, with one thread. ``digest`` only keys the cache."""
    return onnx_session(path, "speech")


def speech_probability(session: Any, audio: np.ndarray) -> np.ndarray:
    """Audio (n,) float32, 16 kHz, in [-1, 1] -> (m,) float32 in [0, 1], m = n / 512 rounded up: one each 32 ms.

    The last window is filled up with zeros. Windows are heard in order, and each knows all before it.
    """
    count = -(-len(audio) // WINDOW)
    heard = np.zeros(_CONTEXT + count * WINDOW, np.float32)
    heard[_CONTEXT : _CONTEXT + len(audio)] = audio
    state, rate = np.zeros(_STATE, np.float32), np.array(SAMPLE_RATE, np.int64)
    found = np.zeros(count, np.float32)
    for index in range(count):
        window = heard[None, index * WINDOW : index * WINDOW + _CONTEXT + WINDOW]
        probability, state = session.run(None, {"input": window, "state": state, "sr": rate})
        found[index] = probability[0, 0]
    return found


def speech_segments(probabilities: np.ndarray, samples: int) -> np.ndarray:
    """Stretches of speech, (k, 2) int64: first sample and the one after the last, in order and apart.

    probabilities: (m,) of ``speech_probability``. samples: length of the sound, at most 512 m. The rule of the package,
    at its defaults: speech begins at a window of 0.5 or more, and ends at the first one below 0.35 after which none
    reaches 0.5 before another window below 0.35 that lies 100 ms or more behind it. What lasts no longer than 250 ms
    goes; what is left is widened by 30 ms to both sides, or as far as the middle of a shorter gap.
    """
    found: list[list[int]] = []
    begin = quiet = None
    for index, probability in enumerate(np.asarray(probabilities, np.float64)):
        now = index * WINDOW
        if probability >= THRESHOLD:
            begin, quiet = now if begin is None else begin, None
        elif begin is not None and probability < LOWER_THRESHOLD:
            quiet = now if quiet is None else quiet
            if now - quiet >= _LEAST_SILENCE:
                found.append([begin, quiet])
                begin = quiet = None
    if begin is not None:
        found.append([begin, samples])
    segments = np.array([each for each in found if each[1] - each[0] > _LEAST_SPEECH], np.int64).reshape(-1, 2)
    gaps = segments[1:, 0] - segments[:-1, 1]
    widened = np.where(gaps < 2 * _PAD, gaps // 2, _PAD)
    segments[1:, 0] -= widened
    segments[:-1, 1] += widened
    segments[:1, 0] -= _PAD
    segments[-1:, 1] += _PAD
    return segments.clip(0, samples)


def speech_in(clip: Clip) -> np.ndarray:
    """``speech_segments`` of a clip's sound, once per clip. NotApplicable where the weights are missing."""

    def find() -> np.ndarray:
        session = load(weights.path(WEIGHTS), weights.digest(WEIGHTS))
        audio = clip.audio(SAMPLE_RATE)
        return speech_segments(speech_probability(session, audio), len(audio))

    return clip.memo(("speech", WEIGHTS), find)
