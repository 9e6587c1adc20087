"""What a baseline is asked for: checked, with errors that name the item, and joined to a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .batch import Batch, padded, texts
from .network import DiffusionNetwork


@dataclass
class Item:
    """One clip. A network takes what its ``reads`` names and leaves the rest; latents are normalised.

    ``text_ids (L,)``, ``speaker_embedding (64,)``, ``first_motion (16,)``, ``speech (T, 32)``: what is to be moved
    to. ``frames``: the length at 25 Hz; None for that of the speech, or else for the network's own choice. ``seed``
    decides the noise, so sampling needs one of each item.
    """

    text_ids: Tensor | None = None
    speaker_embedding: Tensor | None = None
    first_motion: Tensor | None = None
    speech: Tensor | None = None
    frames: int | None = None
    seed: int | None = None


def batched(network: DiffusionNetwork, items: Sequence[Item]) -> Batch:
    """What ``network`` reads of ``items``. ``frames`` is None unless every item says how long it is."""
    columns = {name: [getattr(item, name) for item in items] for name in network.reads}
    batch = Batch(None)
    if "text_ids" in columns:
        batch.text_ids, batch.text_lengths = texts(columns["text_ids"])
    for name in ("speaker_embedding", "first_motion"):
        if name in columns:
            setattr(batch, name, torch.stack([value.float() for value in columns[name]]))
    frames = [item.frames for item in items]
    if "speech" in columns:
        batch.speech = padded([speech.float() for speech in columns["speech"]], network.config.patch_size)
        frames = [len(speech) for speech in columns["speech"]]
    if None not in frames:
        batch.frames = torch.tensor(frames)
    return batch


def check(network: DiffusionNetwork, items: Sequence[Item]) -> None:
    """Raises ValueError for an item without something that the network reads, or with something that does not fit."""
    config = network.config
    shapes = {
        "text_ids": (None,),
        "speaker_embedding": (config.speaker_dim,),
        "first_motion": (config.motion_dim,),
        "speech": (None, config.speech_dim),
    }
    for index, item in enumerate(items):
        for name in network.reads:
            value, shape = getattr(item, name), shapes[name]
            if value is None or value.ndim != len(shape) or value.shape[-1] != (shape[-1] or len(value)):
                wanted = ", ".join("T" if size is None else str(size) for size in shape)
                given = "is missing" if value is None else f"has shape {list(value.shape)}"
                raise ValueError(f"item {index}: {name} {given}, the network needs [{wanted}]")
            if not len(value) or not value.isfinite().all():
                raise ValueError(f"item {index}: {name} {'is not finite' if len(value) else 'is empty'}")
        if item.frames is not None and item.frames < 1:
            raise ValueError(f"item {index}: frames must be at least 1, got {item.frames}")
        if "text_ids" in network.reads:
            low, high = int(item.text_ids.min()), int(item.text_ids.max())
            if low < 0 or high >= config.vocab_size:
                raise ValueError(
                    f"item {index}: text_ids go from {low} to {high}, the network knows 0 to {config.vocab_size - 1}; "
                    f"use the tokenizer that belongs to it"
                )
