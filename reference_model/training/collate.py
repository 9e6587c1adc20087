"""Samples to the tensors of one micro-batch, with every random number that its losses need.

Random numbers come from one generator a sample, seeded by the caller: they are the same whatever the sample is
batched with and wherever it is prepared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..config import ModelConfig
from ..modules.flow_matching import LossDraws
from ..modules.stop_predictor import IGNORED
from .config import AidsConfig
from .forward import TrainingBatch
from .layout import Layout, Totals, labels_of
from .samples import Sample


@dataclass
class MicroBatch:
    """Part of a batch, B samples.

    ``labels (B, 1 + T)``: stop labels. ``draws``: random numbers of each head's rows. ``shares``: this part's share
    of the whole batch's rows (``speech``, ``motion``) and stop labels (``stop``). ``input_noise (B, T, C)`` and
    ``context_noise (R, K, C)`` by modality, empty without noise. ``tokens`` counts tokens, ``padding`` empty places.
    """

    batch: TrainingBatch
    labels: Tensor
    draws: dict[str, LossDraws]
    shares: dict[str, float]
    stop_weight: float
    input_noise: dict[str, Tensor]
    context_noise: dict[str, Tensor]
    tokens: int
    padding: int

    def to(self, device: torch.device | str) -> "MicroBatch":
        draws = {
            name: LossDraws(**{entry.name: getattr(draw, entry.name).to(device) for entry in fields(draw)})
            for name, draw in self.draws.items()
        }
        noise = {
            kind: {name: tensor.to(device) for name, tensor in getattr(self, kind).items()}
            for kind in ("input_noise", "context_noise")
        }
        return replace(self, batch=self.batch.to(device), labels=self.labels.to(device), draws=draws, **noise)


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
    longest = max(item.tokens for item in layouts)
    motion = [
        sample.speech.new_zeros(0, config.motion_dim) if sample.motion is None else sample.motion for sample in samples
    ]
    batch = TrainingBatch(
        input_ids=torch.stack([_ids(sample, item, longest) for sample, item in zip(samples, layouts, strict=True)]),
        attention_mask=torch.stack([torch.arange(longest) < item.tokens for item in layouts]),
        span=torch.tensor([[item.start, item.end] if item.slots else [-1, -1] for item in layouts]),
        task=torch.tensor([int(sample.motion is not None) for sample in samples]),
        speech_latents=_pad([sample.speech for sample in samples]),
        speech_lengths=torch.tensor([len(sample.speech) for sample in samples]),
        motion_latents=_pad(motion),
        motion_lengths=torch.tensor([len(frames) for frames in motion]),
        speaker_embedding=torch.stack([sample.speaker_embedding for sample in samples]),
    )
    labels = labels_of(layouts, config, 1 + longest)

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    draws = {name: _draws(name, layouts, generators, config, repeats) for name in ("speech", "motion")}
    noise: dict[str, Any] = {"input_noise": {}, "context_noise": {}}
    if aids.input_noise:
        noise["input_noise"] = {
            "speech": _pad(
                [
                    _input_noise(sample.speech, aids.input_noise, config.patch_size, generator)
                    for sample, generator in zip(samples, generators, strict=True)
                ]
            ),
            "motion": _pad(
                [
                    _input_noise(frames, aids.input_noise, config.patch_size, generator)
                    for frames, generator in zip(motion, generators, strict=True)
                ]
            ),
        }
    if aids.context_noise:
        noise["context_noise"] = {
            name: _context_noise(name, layouts, generators, config, repeats) * aids.context_noise
            for name in ("speech", "motion")
        }

    shares = {
        name: _share(sum(item.patches[name] for item in layouts), whole.patches[name]) for name in ("speech", "motion")
    }
    shares["stop"] = _share(int((labels != IGNORED).sum()), whole.labels)
    tokens = sum(1 + item.tokens for item in layouts)
    return MicroBatch(
        batch, labels, draws, shares, whole.stop_weight, tokens=tokens, padding=labels.numel() - tokens, **noise
    )


def _ids(sample: Sample, item: Layout, longest: int) -> Tensor:
    """Patch tokens overwrite the placeholders, so any id serves for those and for padding."""
    placeholders = torch.zeros(item.end - item.start, dtype=torch.long)
    ids = torch.cat((sample.text_ids.long(), placeholders, sample.suffix_ids.long()))[: item.tokens]
    return torch.nn.functional.pad(ids, (0, longest - len(ids)))


def _pad(frames: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(frames, batch_first=True)


def _draws(
    name: str, layouts: Sequence[Layout], generators: Sequence[torch.Generator], config: ModelConfig, repeats: int
) -> LossDraws:
    parts = [
        LossDraws.sample(
            torch.empty(item.patches[name] * repeats, config.patch_size, _channels(config, name)), generator
        )
        for item, generator in zip(layouts, generators, strict=True)
    ]
    columns = {entry.name: torch.cat([getattr(part, entry.name) for part in parts]) for entry in fields(LossDraws)}
    return LossDraws(**{column: _stand_in(tensor) for column, tensor in columns.items()})


def _stand_in(rows: Tensor) -> Tensor:
    """Where a part has no row at all, the forward pass has one of zeros; it draws from no sample's generator."""
    return rows if len(rows) else rows.new_zeros(1, *rows.shape[1:])


def _channels(config: ModelConfig, name: str) -> int:
    return config.speech_dim if name == "speech" else config.motion_dim


def _input_noise(latents: Tensor, scale: float, patch_size: int, generator: torch.Generator) -> Tensor:
    patches = -(-len(latents) // patch_size)
    amount = torch.rand(patches, generator=generator).repeat_interleave(patch_size)[: len(latents), None]
    return 2 * scale * amount * torch.randn(latents.shape, generator=generator)


def _context_noise(
    name: str, layouts: Sequence[Layout], generators: Sequence[torch.Generator], config: ModelConfig, repeats: int
) -> Tensor:
    shape = config.context_patches * config.patch_size, _channels(config, name)
    return _stand_in(
        torch.cat(
            [
                torch.randn(item.patches[name] * repeats, *shape, generator=generator)
                for item, generator in zip(layouts, generators, strict=True)
            ]
        )
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
