"""Text, speaker and a length to speech."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reference_model.flow_matching import SamplerSettings

from ..diffusion import sampling
from ..diffusion.batch import Batch, texts
from ..diffusion.checkpoints import load_network
from ..diffusion.items import check_frames, check_text, check_vector
from ..diffusion.sampling import Generated
from .network import LengthMatchedTTS


@dataclass
class Item:
    """``text_ids (L,)``, ``speaker_embedding (64,)``, ``frames``: the length at 25 Hz. ``seed`` decides the noise."""

    text_ids: Tensor
    speaker_embedding: Tensor
    frames: int
    seed: int = 0


def load(path: str | Path, device: str = "cpu") -> LengthMatchedTTS:
    """Read a checkpoint; see :func:`baselines.diffusion.checkpoints.load_network`."""
    return load_network(path, family=LengthMatchedTTS.family, device=device)


def sample(
    network: LengthMatchedTTS, items: Sequence[Item], settings: SamplerSettings | None = None
) -> list[Generated]:
    """Draw every item, in order; an item's latents do not depend on the others. Guidance strengthens the text.

    Raises ValueError for an item that does not fit, naming it.
    """
    if not items:
        return []
    config = network.config
    for index, item in enumerate(items):
        check_text(index, item.text_ids, config)
        check_vector(index, "speaker_embedding", item.speaker_embedding, config.speaker_dim)
        check_frames(index, item.frames)
    batch = Batch(
        torch.tensor([item.frames for item in items]),
        *texts([item.text_ids for item in items]),
        torch.stack([item.speaker_embedding.float() for item in items]),
    )
    return sampling.draw(network, batch, [item.seed for item in items], settings or SamplerSettings())
