"""Normalisation of LIA-X motion codes (section 3.2): per dimension, by training-set mean and deviation."""

from torch import Tensor


def normalise_motion(raw: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Raw motion codes ``(..., 40)`` to the model's units. A deviation below 1e-6 counts as 1e-6."""
    return (raw.float() - mean) / deviation.clamp_min(1e-6)


def denormalise_motion(normalised: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """The inverse of :func:`normalise_motion`: what LIA-X renders."""
    return normalised * deviation.clamp_min(1e-6) + mean
