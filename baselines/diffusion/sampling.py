"""Noise to clips (section 4.2's sampler, over whole clips): all positions of all modalities move together.

Each item has noise of its own from its seed, and is masked off from the padding of its batch: its latents are those
of a batch of one, up to the rounding of differently shaped matrix products.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reference_model.modules.flow_matching import SamplerSettings, euler, guided, sampler_times

from .batch import padded, whole_patches
from .items import Item, batched, check
from .network import Condition, DiffusionNetwork

LONGEST = 4096
"""Frames beyond which a predicted length is refused: nobody asked for minutes of a sentence."""


@dataclass
class Generated:
    """Latents on the CPU in float32, ``speech (T, 32)`` and ``motion (T, 16)``, None for a modality not drawn."""

    speech: Tensor | None
    motion: Tensor | None


@torch.no_grad()
def sample(
    network: DiffusionNetwork, items: Sequence[Item], settings: SamplerSettings | None = None
) -> list[Generated]:
    """Draw every item, in order; an item's latents do not depend on the others. Guidance strengthens the text, or the
    speech that drives.

    Raises ValueError for an item that does not fit, naming it.
    """
    if not items:
        return []
    settings = settings or SamplerSettings()
    check(network, items)
    batch = batched(network, items).to(network.device)
    if batch.frames is None:
        chosen = predict_frames(network, items)
        frames = [item.frames or choice for item, choice in zip(items, chosen, strict=True)]
        batch.frames = torch.tensor(frames, device=network.device)
    frames, seeds = batch.frames.tolist(), [item.seed for item in items if item.seed is not None]
    if len(seeds) < len(items):
        index = [item.seed for item in items].index(None)
        raise ValueError(f"item {index} has no seed: give each item one of its own, or they share their noise")
    length = whole_patches(max(frames), network.config.patch_size)
    noise = torch.cat(list(_noise(network, frames, seeds).values()), dim=-1).to(network.device)

    drawn = [network.channels(name) for name in network.modalities]
    rows = torch.arange(2 if settings.guidance != 1 else 1, device=network.device).repeat_interleave(len(frames))
    both = batch.doubled() if settings.guidance != 1 else batch
    condition = network.condition(both, network.encode_text(both), rows == 0, length)
    times, _ = sampler_times(settings)

    def velocity(x: Tensor, step: int) -> Tensor:
        time = times[step].to(x.device).expand(len(both.frames))
        x = torch.cat((x, x)) if len(both.frames) > len(x) else x
        parts = dict(zip(network.modalities, x.split(drawn, dim=-1), strict=True))
        value = _joined(network, parts, time, condition)
        if len(rows) == len(frames):
            return value
        return guided(*value.chunk(2), settings.guidance, settings.zero_star)

    latents = euler(velocity, noise, settings).cpu()
    results = []
    for row, count in zip(latents, frames, strict=True):
        parts = dict(zip(network.modalities, row[:count].split(drawn, dim=-1), strict=True))
        results.append(Generated(*(parts[name].clone() if name in parts else None for name in ("speech", "motion"))))
    return results


@torch.no_grad()
def predict_frames(network: DiffusionNetwork, items: Sequence[Item]) -> list[int]:
    """The length that the network chooses for each item's text and speaker, in frames: whole patches, at least one.

    Raises ValueError for an item that does not fit, or whose length is beyond :data:`LONGEST`, naming it.
    """
    check(network, items)
    text = network.encode_text(batched(network, items).to(network.device))
    frames = (text.patches.round().clamp(min=1) * network.config.patch_size).tolist()
    for index, count in enumerate(frames):
        if not count <= LONGEST:
            raise ValueError(f"item {index}: the predicted length is {count} frames, more than {LONGEST}; give frames")
    return [int(count) for count in frames]


def _noise(network: DiffusionNetwork, frames: list[int], seeds: list[int]) -> dict[str, Tensor]:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    size = network.config.patch_size
    return {
        name: padded(
            [
                torch.randn(whole_patches(count, size), network.channels(name), generator=generator)
                for count, generator in zip(frames, generators, strict=True)
            ],
            size,
        )
        for name in network.modalities
    }


def _joined(network: DiffusionNetwork, parts: dict[str, Tensor], time: Tensor, condition: Condition) -> Tensor:
    """Velocities of all modalities side by side, zero beyond a clip's end: guidance sums over frames."""
    velocities = network.velocity(parts, time, condition)
    return torch.cat([velocities[name] for name in network.modalities], dim=-1) * condition.mask[..., None]
