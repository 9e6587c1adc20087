"""Mean and standard deviation of every motion dimension over a training set, and normalisation by them (Talker-T2AV
3.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MotionStatistics:
    """``mean`` and ``std``, (motion_dim,) float tensors in the codec's raw units; ``std`` is not negative."""

    mean: Tensor
    std: Tensor

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(
                f"mean and std must be vectors of one length, got {tuple(self.mean.shape)} and {tuple(self.std.shape)}"
            )
        if not (torch.isfinite(self.mean).all() and torch.isfinite(self.std).all() and (self.std >= 0).all()):
            raise ValueError("mean and std must be finite, and no std below zero")


def normalise_motion(raw: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Raw motion codes ``(..., 40)`` to the model's units. A deviation below 1e-6 counts as 1e-6."""
    return (raw.float() - mean) / deviation.clamp_min(1e-6)


def denormalise_motion(normalised: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """The inverse of :func:`normalise_motion`: what LIA-X renders."""
    return normalised * deviation.clamp_min(1e-6) + mean
