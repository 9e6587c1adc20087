"""Tensors to a device, whatever holds them."""

import dataclasses
from typing import Any

import torch
from torch import Tensor


def moved(value: Any, device: torch.device | str) -> Any:
    """A copy of a dataclass or dict, nested or not, with its tensors on ``device``; anything else as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: moved(entry, device) for key, entry in value.items()}
    if dataclasses.is_dataclass(value):
        return type(value)(**{name: moved(entry, device) for name, entry in vars(value).items()})
    return value
