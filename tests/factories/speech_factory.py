"""Speech and pairs for the tests of the speech metrics: synthetic voices, written as float WAV files."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from media_factory import write_clip

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import resample
from t2av_bench.metrics.base import Pair

RATE = 16000
SENTENCE = "The north wind and the sun were arguing about which of them was the stronger."


@lru_cache(maxsize=32)
def say(text: str = SENTENCE, voice: str = "en-us+m3", pitch: int = 50) -> np.ndarray:
    """(n,) float32 at 16 kHz, read-only."""
    pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")
    from t2av_bench.gridface.speech.synthesizer import SAMPLE_RATE, Synthesizer

    with Synthesizer() as synthesizer:
        spoken = synthesizer.say(text, voice, pitch=pitch).samples
    audio = resample(spoken.astype(np.float32) / 32768, SAMPLE_RATE, RATE)
    audio.flags.writeable = False
    return audio


def with_noise(audio: np.ndarray, snr_db: float, seed: int = 0) -> np.ndarray:
    """Audio plus white noise at a signal-to-noise ratio, float32."""
    noise = np.random.default_rng(seed).standard_normal(len(audio))
    noise *= np.sqrt(np.mean(np.square(audio, dtype=np.float64)) / np.mean(noise**2) * 10 ** (-snr_db / 10))
    return (audio + noise).astype(np.float32)


def sound_file(folder: Path, name: str, audio: np.ndarray, rate: int = RATE) -> Path:
    """A float WAV file, which keeps samples outside [-1, 1]."""
    return write_clip(folder / f"{name}.wav", audio=audio, audio_rate=rate, audio_codec="pcm_f32le")


def pair(folder: Path, generated: np.ndarray, reference: np.ndarray | None = None, **item: str) -> Pair:
    """A pair of sound files; ``item`` are fields of the Item."""
    clean = None if reference is None else Clip(sound_file(folder, "reference", reference))
    return Pair(Item(id="clip", **item), Clip(sound_file(folder, "generated", generated)), clean)
