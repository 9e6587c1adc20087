"""Samples to the tensors of one micro-batch, with every index and every random number that its losses need.

Random numbers come from one generator a sample, seeded by the caller: they are the same whatever the sample is
batched with and wherever it is prepared.
"""

from collections.abc import Sequence
from dataclasses import fields

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..arrangement import Arrangement
from ..config import ModelConfig
from ..modules.flow_matching import LossDraws
from ..modules.stop_predictor import IGNORED
from .config import AidsConfig
from .layout import MODALITIES, Layout, Totals, labels_of
from .micro_batch import MicroBatch, ModalityBatch
from .samples import Sample


def collate(
    samples: Sequence[Sample],
    layouts: Sequence[Layout],
    seeds: Sequence[int],
    whole: Totals,
    config: ModelConfig,
    aids: AidsConfig,
    repeats: int,
) -> MicroBatch:
    """``samples`` with their ``layouts`` and ``seeds``, as part of a batch that counts ``whole``."""
    per_slot = Arrangement.parse(config.arrangement).tokens_per_slot
    filled = torch.tensor([item.end - item.start for item in layouts])
    slots = -(-int(filled.max()) // per_slot)
    frames = {
        "speech": [item.speech for item in samples],
        "motion": [torch.zeros(0, config.motion_dim) if item.motion is None else item.motion for item in samples],
    }
    conditions = {
        "speech": [item.speaker_embedding for item in samples],
        "motion": [motion[0] if len(motion) else torch.zeros(config.motion_dim) for motion in frames["motion"]],
    }
    generators = [Generator().manual_seed(seed) for seed in seeds]
    modalities = {
        name: _modality(name, frames[name], conditions[name], layouts, whole, config, repeats, slots, generators)
        for name in MODALITIES
    }
    for name, rows in modalities.items():
        if aids.input_noise:
            rows.input_noise = _input_noise(name, frames[name], aids.input_noise, config, slots, generators)
    for name, rows in modalities.items():
        if aids.context_noise:
            rows.context_noise = _context_noise(name, layouts, aids.context_noise, config, repeats, generators)

    sample, token = _numbered(filled)
    length = 1 + max(item.tokens for item in layouts)
    start = torch.tensor([1 + item.start for item in layouts])
    labels = labels_of(layouts, config).flatten()
    labelled = (labels != IGNORED).nonzero()[:, 0]
    tokens = sum(1 + item.tokens for item in layouts)
    return MicroBatch(
        input_ids=torch.stack([_ids(item, place, length - 1) for item, place in zip(samples, layouts, strict=True)]),
        task=torch.tensor([int(item.motion is not None) for item in samples]),
        has_motion=torch.tensor([len(motion) > 0 for motion in frames["motion"]]),
        place=sample * length + start[sample] + token,
        token=sample * slots * per_slot + token,
        modalities=modalities,
        labelled=labelled,
        labels=labels[labelled],
        stop_weight=torch.tensor(whole.stop_weight),
        stop_share=_share(len(labelled), whole.labels),
        tokens=tokens,
        padding=len(labels) - tokens,
    )


def _modality(
    name: str,
    frames: Sequence[Tensor],
    conditions: Sequence[Tensor],
    layouts: Sequence[Layout],
    whole: Totals,
    config: ModelConfig,
    repeats: int,
    slots: int,
    generators: Sequence[Generator],
) -> ModalityBatch:
    arrangement, context = Arrangement.parse(config.arrangement), config.context_patches
    delay = arrangement.slot(name, 0)
    counts = torch.tensor([item.patches[name] for item in layouts])
    width = max(slots, delay + int(counts.max()))
    sample, patch = (column.repeat_interleave(repeats) for column in _numbered(counts))
    start = torch.tensor([item.start for item in layouts])
    length = 1 + max(item.tokens for item in layouts)
    frame = torch.arange(slots * config.patch_size) - delay * config.patch_size
    known = torch.tensor([len(latents) for latents in frames])[:, None]
    return ModalityBatch(
        latents=_by_slot(frames, delay, context, width, config.patch_size),
        valid=((frame >= 0) & (frame < known)).unflatten(1, (slots, config.patch_size)),
        condition=torch.stack(list(conditions)),
        sample=sample,
        state=sample * length + start[sample] + arrangement.token(name, patch),
        window=(sample * (context + width) + delay + patch)[:, None] + torch.arange(context + 1),
        draws=_draws(frames[0].shape[-1], counts * repeats, config.patch_size, generators),
        share=_share(int(counts.sum()), whole.patches[name]),
    )


def _numbered(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Row and number of every entry, of ``counts (B,)`` entries a row: (3, 1) gives (0, 0, 0, 1) and (0, 1, 2, 0)."""
    row = torch.arange(len(counts)).repeat_interleave(counts)
    return row, torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]


def _by_slot(frames: Sequence[Tensor], delay: int, empty: int, slots: int, patch_size: int) -> Tensor:
    """``frames (T, C)`` of each sample to ``(B, empty + slots, P, C)``, from slot ``delay`` on."""
    table = torch.zeros(len(frames), (empty + slots) * patch_size, frames[0].shape[-1])
    first = (empty + delay) * patch_size
    for row, latents in zip(table, frames, strict=True):
        row[first : first + len(latents)] = latents[: max(0, len(row) - first)]
    return table.unflatten(1, (empty + slots, patch_size))


def _ids(sample: Sample, item: Layout, longest: int) -> Tensor:
    """Patch tokens overwrite the placeholders, so any id serves for those and for padding."""
    placeholders = torch.zeros(item.end - item.start, dtype=torch.long)
    ids = torch.cat((sample.text_ids.long(), placeholders, sample.suffix_ids.long()))[: item.tokens]
    return F.pad(ids, (0, longest - len(ids)))


def _draws(channels: int, counts: Tensor, patch_size: int, generators: Sequence[Generator]) -> LossDraws:
    parts = [
        LossDraws.sample(torch.empty(count, patch_size, channels), generator)
        for count, generator in zip(counts.tolist(), generators, strict=True)
    ]
    columns = {entry.name: torch.cat([getattr(part, entry.name) for part in parts]) for entry in fields(LossDraws)}
    return LossDraws(**{column: _stand_in(tensor) for column, tensor in columns.items()})


def _stand_in(rows: Tensor) -> Tensor:
    """Where a part has no row at all, the forward pass has one of zeros; it draws from no sample's generator."""
    return rows if len(rows) else rows.new_zeros(1, *rows.shape[1:])


def _input_noise(
    name: str,
    frames: Sequence[Tensor],
    scale: float,
    config: ModelConfig,
    slots: int,
    generators: Sequence[Generator],
) -> Tensor:
    """Noise for every frame, of an amount that each patch draws anew: ``(B, S, P, C)``."""
    size, noise = config.patch_size, []
    for latents, generator in zip(frames, generators, strict=True):
        amount = torch.rand(-(-len(latents) // size), generator=generator).repeat_interleave(size)
        amount = amount[: len(latents), None]
        noise.append(2 * scale * amount * torch.randn(latents.shape, generator=generator))
    return _by_slot(noise, Arrangement.parse(config.arrangement).slot(name, 0), 0, slots, size)


def _context_noise(
    name: str,
    layouts: Sequence[Layout],
    scale: float,
    config: ModelConfig,
    repeats: int,
    generators: Sequence[Generator],
) -> Tensor:
    """Noise for every context ``(R, K P, C)``. Before the first patch there is nothing, here as in generation."""
    channels = config.speech_dim if name == "speech" else config.motion_dim
    shape = config.context_patches, config.patch_size, channels
    noise = []
    for item, generator in zip(layouts, generators, strict=True):
        count = item.patches[name]
        patch = torch.arange(count).repeat_interleave(repeats)[:, None] - torch.arange(config.context_patches, 0, -1)
        drawn = torch.randn(count * repeats, shape[0] * shape[1], channels, generator=generator).view(-1, *shape)
        noise.append(drawn * (patch >= 0)[..., None, None])
    return _stand_in(torch.cat(noise)).flatten(1, 2) * scale


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
