"""Mean and standard deviation of every motion dimension over a training set, and normalisation by them (Talker-T2AV
3.2)."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reference_model.utils.strict_loading import CheckpointError, read_checkpoint


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

    @classmethod
    def load(cls, path: str | Path) -> "MotionStatistics":
        """Read ``mean`` and ``std`` from a ``.json``, ``.safetensors`` or ``torch.save`` file."""
        path = Path(path)
        content = json.loads(path.read_text()) if path.suffix == ".json" else read_checkpoint(path)
        if missing := [name for name in ("mean", "std") if name not in content]:
            raise CheckpointError(f"{path} has no {' and no '.join(missing)}; it has {', '.join(map(str, content))}")
        return cls(*(torch.as_tensor(content[name], dtype=torch.float32).flatten() for name in ("mean", "std")))


def normalise_motion(raw: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Raw motion codes ``(..., 40)`` to the model's units. A deviation below 1e-6 counts as 1e-6."""
    return (raw.float() - mean) / deviation.clamp_min(1e-6)


def denormalise_motion(normalised: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """The inverse of :func:`normalise_motion`: what LIA-X renders."""
    return normalised * deviation.clamp_min(1e-6) + mean
