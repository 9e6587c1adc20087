"""Motion to model latents and back: each of the 16 dimensions minus its mean, over its deviation, in training clips.

Both functions take (..., 16) arrays or tensors, in the order of ``visemes.MOTION_NAMES``.
"""

from typing import Any

import numpy as np

# Of the first 600 clips of the training split.
MEAN = np.array(
    [0.300, 0.241, 0.137, 0.023, 0.120, 0.130, 0.064, 0.233, 0.012, 0.123, 0.001, 0.008, 0.100, 0.153, 0.001, -0.049],
    np.float32,
)
STD = np.array(
    [0.212, 0.241, 0.263, 0.132, 0.252, 0.169, 0.216, 0.268, 0.350, 0.252, 0.305, 0.303, 0.232, 0.179, 0.334, 0.196],
    np.float32,
)


def normalize(motion: Any) -> Any:
    return (motion - _like(MEAN, motion)) / _like(STD, motion)


def denormalize(latents: Any) -> Any:
    return latents * _like(STD, latents) + _like(MEAN, latents)


def _like(values: np.ndarray, other: Any) -> Any:
    return values if isinstance(other, np.ndarray) else other.new_tensor(values)
