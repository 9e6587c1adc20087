"""Speech and first frame to motion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reference_model.flow_matching import SamplerSettings

from ..diffusion import sampling
from ..diffusion.batch import Batch, padded
from ..diffusion.checkpoints import load_network
from ..diffusion.items import check_latents, check_vector
from ..diffusion.sampling import Generated
from .network import AudioDriven


@dataclass
class Item:
    """``speech (T, 32)``, ``first_motion (16,)``, normalised. ``seed`` decides the noise."""

    speech: Tensor
    first_motion: Tensor
    seed: int = 0


def load(path: str | Path, device: str = "cpu") -> AudioDriven:
    """Read a checkpoint; see :func:`baselines.diffusion.checkpoints.load_network`."""
    return load_network(path, family=AudioDriven.family, device=device)


def sample(network: AudioDriven, items: Sequence[Item], settings: SamplerSettings | None = None) -> list[Generated]:
    """Draw every item, in order, as long as its speech; an item's latents do not depend on the others. Guidance
    strengthens the speech.

    Raises ValueError for an item that does not fit, naming it.
    """
    if not items:
        return []
    config = network.config
    for index, item in enumerate(items):
        check_latents(index, "speech", item.speech, config.speech_dim)
        check_vector(index, "first_motion", item.first_motion, config.motion_dim)
    batch = Batch(
        torch.tensor([len(item.speech) for item in items]),
        first_motion=torch.stack([item.first_motion.float() for item in items]),
        speech=padded([item.speech.float() for item in items], config.patch_size),
    )
    return sampling.draw(network, batch, [item.seed for item in items], settings or SamplerSettings())
