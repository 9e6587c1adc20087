"""Checks of what a caller gives; every error names the item."""

from torch import Tensor

from .config import NetworkConfig


def check_text(index: int, text_ids: Tensor, config: NetworkConfig) -> None:
    """Raises ValueError for an empty text, and for ids that the network does not know."""
    if text_ids.ndim != 1 or not len(text_ids):
        raise ValueError(f"item {index}: the text has no tokens; give text_ids of shape (L,) with L at least 1")
    low, high = int(text_ids.min()), int(text_ids.max())
    if low < 0 or high >= config.vocab_size:
        raise ValueError(
            f"item {index}: text_ids go from {low} to {high}, the network knows 0 to {config.vocab_size - 1}; use the "
            f"tokenizer that belongs to it"
        )


def check_vector(index: int, name: str, value: Tensor, channels: int) -> None:
    """Raises ValueError unless ``value`` is a finite ``(channels,)``."""
    if value.shape != (channels,):
        raise ValueError(f"item {index}: {name} has shape {list(value.shape)}, the network needs [{channels}]")
    if not value.isfinite().all():
        raise ValueError(f"item {index}: {name} is not finite")


def check_latents(index: int, name: str, value: Tensor, channels: int) -> None:
    """Raises ValueError unless ``value`` is a finite ``(T, channels)`` with a frame at least."""
    if value.ndim != 2 or value.shape[1] != channels or not len(value):
        raise ValueError(f"item {index}: {name} has shape {list(value.shape)}, the network needs [T, {channels}]")
    if not value.isfinite().all():
        raise ValueError(f"item {index}: {name} is not finite")


def check_frames(index: int, frames: int) -> None:
    """Raises ValueError for a length below one frame."""
    if frames < 1:
        raise ValueError(f"item {index}: frames must be at least 1, got {frames}")
