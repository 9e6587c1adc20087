"""Sample rate conversion and the 16-bit rule."""

import numpy as np

from t2av_bench.errors import MediaError

# Part of every audio protocol: soxr's "HQ" recipe (20 bits), which librosa calls soxr_hq.
RESAMPLER = "soxr-hq"


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """(n,) float32 at ``rate`` Hz -> (about n * new_rate / rate,) float32 at ``new_rate`` Hz; equal rates: unchanged.

    MediaError where so few samples come in that none goes out.
    """
    if rate <= 0 or new_rate <= 0:
        raise ValueError(f"sample rates are positive, got {rate} and {new_rate}")
    if rate == new_rate:
        return samples
    import soxr

    converted = soxr.resample(np.ascontiguousarray(samples, np.float32), rate, new_rate, quality="HQ")
    if not len(converted):
        raise MediaError(f"the audio is too short to be resampled: {len(samples)} sample(s) at {rate} Hz")
    return converted


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Float samples in [-1, 1] -> int16: times 32768, rounded half to even, clipped to [-32768, 32767].

    This is ffmpeg's conversion, and it returns 16-bit files that were read as floats unchanged.
    """
    scaled = np.rint(np.asarray(samples, np.float64) * 32768.0)
    return np.clip(scaled, -32768, 32767).astype(np.int16)
