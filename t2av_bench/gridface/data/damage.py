"""Damage to GridFace's clips and their motion that ``t2av_bench.validation`` has none of. All is seeded and pure.

Frames are (T, H, W, 3) uint8 RGB at 25 fps.
"""

import numpy as np

from t2av_bench.gridface.speech.visemes import MOTION_NAMES, SPEECH_SIZE


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
