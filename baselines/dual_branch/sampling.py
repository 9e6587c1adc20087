"""Text, speaker and first frame to speech and motion."""

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
from .network import DualBranch


@dataclass
class Item:
    """``text_ids (L,)``, ``speaker_embedding (64,)``, ``first_motion (16,)``, normalised. ``frames``: the length,
    None to let the network choose it. ``seed`` decides the noise."""

    text_ids: Tensor
    speaker_embedding: Tensor
    first_motion: Tensor
    frames: int | None = None
    seed: int = 0


def load(path: str | Path, device: str = "cpu") -> DualBranch:
    """Read a checkpoint; see :func:`baselines.diffusion.checkpoints.load_network`."""
    return load_network(path, family=DualBranch.family, device=device)


def sample(network: DualBranch, items: Sequence[Item], settings: SamplerSettings | None = None) -> list[Generated]:
    """Draw every item, in order; an item's latents do not depend on the others. Guidance strengthens the text.

    Raises ValueError for an item that does not fit, naming it.
    """
    if not items:
        return []
    batch = _batch(network, items)
    frames = torch.tensor([item.frames or 0 for item in items])
    if (frames == 0).any():
        frames = torch.where(frames > 0, frames, torch.tensor(predict_frames(network, items)))
    batch.frames = frames
    return sampling.draw(network, batch, [item.seed for item in items], settings or SamplerSettings())


def predict_frames(network: DualBranch, items: Sequence[Item]) -> list[int]:
    """The length that the network chooses for each item's text and speaker, in frames (whole patches)."""
    return sampling.predict_frames(network, _batch(network, items))


def _batch(network: DualBranch, items: Sequence[Item]) -> Batch:
    config = network.config
    for index, item in enumerate(items):
        check_text(index, item.text_ids, config)
        check_vector(index, "speaker_embedding", item.speaker_embedding, config.speaker_dim)
        check_vector(index, "first_motion", item.first_motion, config.motion_dim)
        if item.frames is not None:
            check_frames(index, item.frames)
    return Batch(
        None,
        *texts([item.text_ids for item in items]),
        torch.stack([item.speaker_embedding.float() for item in items]),
        torch.stack([item.first_motion.float() for item in items]),
    )
