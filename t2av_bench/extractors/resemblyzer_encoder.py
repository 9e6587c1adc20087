"""Resemblyzer's speaker encoder (GE2E, Wan et al. 2018), whose weights come with its package."""

import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.utils.inference import full_precision
from t2av_bench.utils.optional import require

SAMPLE_RATE = 16000
LEAST_SPEECH_SECONDS = 0.5
PARAMETERS = {
    "encoder": "resemblyzer",
    "voice_activity": "webrtcvad mode 3",
    "least_speech_seconds": LEAST_SPEECH_SECONDS,
    "partials": "1.6 s at 1.3 per second, coverage 0.75",
    "outside_range": "clipped",
}


@lru_cache(maxsize=1)
def load_resemblyzer(weights: str, device: str) -> Any:
    """A ``resemblyzer.VoiceEncoder``, kept for the next clip."""
    return _package().VoiceEncoder(device, verbose=False, weights_fpath=weights).eval()


def _package() -> Any:
    with warnings.catch_warnings():
        # webrtcvad and resemblyzer import modules that setuptools and SciPy have announced to remove.
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return require("resemblyzer", "speech")


def voiced(audio: np.ndarray) -> np.ndarray:
    """Audio (n,) at 16 kHz as the encoder wants it: raised to -30 dBFS where quieter, long pauses removed.

    Raises Unscorable where less than half a second of speech is left.
    """
    speech = _package().preprocess_wav(np.clip(audio, -1.0, 1.0))
    seconds = len(speech) / SAMPLE_RATE
    if seconds < LEAST_SPEECH_SECONDS:
        raise Unscorable(f"only {seconds:.2f} s of speech found, at least {LEAST_SPEECH_SECONDS} s are needed")
    return speech


def voice_embedding(audio: np.ndarray, weights: str, device: str = "cpu") -> np.ndarray:
    """Audio (n,) at 16 kHz, not silent -> (256,) float32 of unit length with no negative value.

    Raises Unscorable as ``voiced`` does.
    """
    with full_precision():
        embedding = load_resemblyzer(weights, device).embed_utterance(voiced(audio))
    return np.asarray(embedding, np.float32)
