"""Graded damage for validity tables: what a metric ought to notice, one function a kind. All are seeded and pure.

Frames are (T, H, W, 3) uint8 RGB at 25 fps, audio is (n,) float32 at 16 kHz with 640 samples a frame.
"""

import numpy as np

from t2av_bench.gridface.data.corpus import HOP
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, SPEECH_SIZE


def blur(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, ``sigma`` in pixels."""
    import cv2

    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def grain(frames: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    """Gaussian noise for each pixel and colour; ``sigma`` as a fraction of full scale."""
    noise = np.random.default_rng([seed, 1]).standard_normal(frames.shape, dtype=np.float32)
    return np.clip(frames + 255 * sigma * noise + 0.5, 0, 255).astype(np.uint8)


def freeze(frames: np.ndarray) -> np.ndarray:
    """The middle frame, all the time."""
    return np.repeat(frames[len(frames) // 2][None], len(frames), axis=0)


def halve_rate(frames: np.ndarray) -> np.ndarray:
    """Every second frame, shown twice."""
    return frames[np.arange(len(frames)) // 2 * 2]


def shuffle(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """All frames in random order."""
    return frames[np.random.default_rng([seed, 2]).permutation(len(frames))]


def backwards(frames: np.ndarray) -> np.ndarray:
    """Last frame first."""
    return frames[::-1]


def jitter(frames: np.ndarray, pixels: int, seed: int = 0) -> np.ndarray:
    """Each frame moved by up to ``pixels`` in each direction, edges repeated."""
    moves = np.random.default_rng([seed, 3]).integers(0, 2 * pixels + 1, (len(frames), 2))
    height, width = frames.shape[1:3]
    padded = np.pad(frames, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    return np.stack(
        [frame[down : down + height, right : right + width] for frame, (down, right) in zip(padded, moves, strict=True)]
    )


def delay(audio: np.ndarray, frames: int, hop: int = HOP) -> np.ndarray:
    """Audio ``frames`` of ``hop`` samples later (earlier where negative), as long as before; the gap is silent."""
    moved = np.zeros_like(audio)
    shift = frames * hop
    if shift >= 0:
        moved[shift:] = audio[: len(audio) - shift]
    else:
        moved[:shift] = audio[-shift:]
    return moved


def hiss(audio: np.ndarray, decibels: float, seed: int = 0) -> np.ndarray:
    """White noise at a signal-to-noise ratio of ``decibels`` over the whole clip."""
    noise = np.random.default_rng([seed, 4]).standard_normal(len(audio))
    level = np.sqrt(np.mean(audio.astype(np.float64) ** 2)) / 10 ** (decibels / 20)
    return (audio + level * noise).astype(np.float32)


def smooth_mouth(motion: np.ndarray, sigma: float) -> np.ndarray:
    """(T, 16) motion with its mouth blurred over time, ``sigma`` in frames."""
    from scipy.ndimage import gaussian_filter1d

    changed = motion.copy()
    changed[:, :SPEECH_SIZE] = gaussian_filter1d(motion[:, :SPEECH_SIZE], sigma, axis=0, mode="nearest")
    return changed


def weaken_mouth(motion: np.ndarray, share: float) -> np.ndarray:
    """(T, 16) motion with its mouth moving only ``share`` of the way from its mean."""
    changed = motion.copy()
    mouth = motion[:, :SPEECH_SIZE]
    changed[:, :SPEECH_SIZE] = mouth.mean(0) + share * (mouth - mouth.mean(0))
    return changed


assert MOTION_NAMES[:SPEECH_SIZE] == ("jaw", "lip_width", "lip_rounding", "lip_teeth", "lip_closure", "tongue")
