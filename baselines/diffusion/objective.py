"""The training loss of a batch: flow matching of every modality drawn (section 3.3 of the reference's paper), and the
predicted length."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.modules.flow_matching import LossDraws, LossSettings, noised
from reference_model.training.samples import Sample
from reference_model.utils.devices import moved

from .batch import Batch, padded
from .config import FlowConfig
from .items import Item, batched
from .network import DiffusionNetwork


@dataclass
class TrainingBatch:
    """``batch`` of B clips, part of a larger one of ``whole`` frames and clips; their clean latents ``targets`` by
    modality ``(B, T, C)``, and every random number of the losses: ``draws`` by modality, with the same time and the
    same dropping of the condition for both."""

    batch: Batch
    targets: dict[str, Tensor]
    draws: dict[str, LossDraws]
    whole: tuple[int, int]

    @property
    def tokens(self) -> int:
        """Frames of latents."""
        return int(self.batch.frames.sum())

    @property
    def padding(self) -> int:
        """Empty places beside them."""
        return next(iter(self.targets.values())).shape[:2].numel() - self.tokens

    def to(self, device: torch.device | str) -> "TrainingBatch":
        return moved(self, device)


def collate(
    samples: Sequence[Sample], seeds: Sequence[int], network: DiffusionNetwork, whole: tuple[int, int] | None = None
) -> TrainingBatch:
    """``samples`` (with motion, where the network reads or draws it) with a seed each: a sample's random numbers do
    not depend on what it is batched with. ``whole``: frames and clips of the batch that they are part of."""
    size = network.config.patch_size
    items = [
        Item(
            sample.text_ids,
            sample.speaker_embedding,
            sample.motion[0] if "first_motion" in network.reads else None,
            sample.speech,
            len(sample.speech),
        )
        for sample in samples
    ]
    batch = batched(network, items)
    targets = {name: padded([getattr(sample, name) for sample in samples], size) for name in network.modalities}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    scalars = torch.stack([torch.rand(2, generator=generator) for generator in generators])
    normal = torch.cat([torch.randn(1, generator=generator) for generator in generators])
    draws = {}
    for name, target in targets.items():
        lengths = [-(-len(sample.speech) // size) * size for sample in samples]
        noise = [
            torch.randn(length, target.shape[-1], generator=generator)
            for length, generator in zip(lengths, generators, strict=True)
        ]
        draws[name] = LossDraws(scalars[:, 0], scalars[:, 1], normal, padded(noise, size))
    return TrainingBatch(batch, targets, draws, whole or (int(batch.frames.sum()), len(samples)))


class Objective(nn.Module):
    """A network with its losses."""

    def __init__(self, model: DiffusionNetwork, flow: FlowConfig):
        super().__init__()
        self.model, self.flow = model, flow
        self.settings = LossSettings(
            hidden_dropout=flow.condition_dropout, time_mean=flow.time_mean, time_scale=flow.time_scale
        )

    def forward(self, part: TrainingBatch) -> dict[str, Tensor]:
        """Scalars that add up over the parts of a batch: ``speech_loss`` and ``motion_loss`` (those the network draws),
        means over the frames of all clips and over channels of the squared error of the velocity; ``length_loss``, a
        smooth absolute error in patches, mean over clips; and ``loss``, their weighted sum."""
        model, batch = self.model, part.batch
        frames, clips = part.whole
        noisy = {}
        for name, target in part.targets.items():
            noisy[name], time = noised(target, part.draws[name], self.settings)
            length, keep = target.shape[1], part.draws[name].hidden_uniform > self.flow.condition_dropout
        text = model.encode_text(batch)
        condition = model.condition(batch, text, keep, length)
        losses = {}
        for name, velocity in model.velocity(noisy, time, condition).items():
            error = (velocity - (part.draws[name].noise - part.targets[name])).square().mean(dim=-1)
            of_clips = (error * condition.mask).sum(dim=1) / batch.frames
            losses[f"{name}_loss"] = (of_clips * (batch.frames / frames)).sum()
        if text is not None:
            patches = batch.frames / model.config.patch_size
            losses["length_loss"] = F.smooth_l1_loss(text.patches, patches, reduction="sum") / clips
        weights = {"motion_loss": self.flow.motion_weight, "length_loss": self.flow.length_weight}
        return {"loss": sum(weights.get(name, 1.0) * value for name, value in losses.items()), **losses}
