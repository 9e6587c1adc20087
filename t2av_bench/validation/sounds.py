"""Damage to sound, (n,) float32 in [-1, 1]; as long afterwards as before."""

import numpy as np


def delay(audio: np.ndarray, samples: int) -> np.ndarray:
    """So many samples later (earlier where negative); the gap is silent."""
    moved = np.zeros_like(audio)
    if samples >= 0:
        moved[samples:] = audio[: len(audio) - samples]
    else:
        moved[:samples] = audio[-samples:]
    return moved


def hiss(audio: np.ndarray, decibels: float, random: np.random.Generator | None = None) -> np.ndarray:
    """White noise at a signal-to-noise ratio of ``decibels`` over the clip; without ``random`` always the same."""
    noise = (random or np.random.default_rng([0, 4])).standard_normal(len(audio))
    level = np.sqrt(np.mean(audio.astype(np.float64) ** 2)) / 10 ** (decibels / 20)
    return (audio + level * noise).astype(np.float32)


def mute(audio: np.ndarray, percent: float) -> np.ndarray:
    """Silence in the middle of the clip, ``percent`` of its time."""
    changed = audio.copy()
    length = round(len(audio) * percent / 100)
    start = (len(audio) - length) // 2
    changed[start : start + length] = 0
    return changed


def low_pass(audio: np.ndarray, hertz: float, rate: int) -> np.ndarray:
    """Without what is above ``hertz``: Butterworth of order 8, forwards and backwards, so that nothing is late."""
    from scipy.signal import butter, sosfiltfilt

    return sosfiltfilt(butter(8, hertz, fs=rate, output="sos"), audio).astype(np.float32)
