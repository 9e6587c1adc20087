"""Training forward (section 3.4): mixed T2AV and TTS samples to the three losses.

Sequence of a sample: task embedding, text, slots (in place of the placeholder tokens of its span), suffix.
A patch is predicted from the hidden state of the token before its own, so patch 0 is predicted from the last
text token, with an all-zero context.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model import TalkerT2AV, combine, to_patches
from ..modules.backbone import hidden_states
from ..modules.flow_matching import LossDraws, LossSettings, flow_matching_loss
from ..modules.stop_predictor import positive_weight, stop_labels, stop_loss
from ..utils.config import strict_dataclass


@dataclass
class TrainingBatch:
    """B samples, right padded. Lengths are frames at 25 Hz; a motion length of 0 makes a TTS sample.

    ``span (B, 2)`` is [start, end) of the placeholder tokens in ``input_ids (B, T)``, before the task token is
    put in front; (-1, -1) where a sample has none. It must hold ``arrangement.slots(...) *
    tokens_per_slot`` tokens, less what truncation cut off.
    """

    input_ids: Tensor
    attention_mask: Tensor
    span: Tensor
    task: Tensor
    speech_latents: Tensor
    speech_lengths: Tensor
    motion_latents: Tensor
    motion_lengths: Tensor
    speaker_embedding: Tensor

    def to(self, device: torch.device | str) -> "TrainingBatch":
        return TrainingBatch(**{name: value.to(device) for name, value in vars(self).items()})


@strict_dataclass
class LossRecipe:
    """Weights of the losses (section 4.1). ``LOSS_RECIPES`` has the paper's and the release's.

    ``repeats`` draws every flow-matching row so many times; ``stop_positive_factor`` multiplies the weight of
    stop labels (see :func:`..modules.stop_predictor.positive_weight`).
    """

    motion_weight: float = 10.0
    stop_weight: float = 1.0
    stop_positive_factor: float = 0.3
    repeats: int = 2
    flow: LossSettings = LossSettings()


LOSS_RECIPES = {
    "paper": LossRecipe(motion_weight=8.0, stop_positive_factor=1.0, repeats=1),
    "release": LossRecipe(),
}


@dataclass
class FlowRows:
    """What one head is trained on: targets ``(R, P, C)``, hidden states ``(R, D)``, contexts ``(R, K, C)`` and
    global conditions ``(R, G)``. ``present`` is False when the batch had no row and one zero row stands in, so
    that every parameter has a gradient (of zero) in distributed training."""

    target: Tensor
    hidden: Tensor
    context: Tensor
    condition: Tensor
    present: bool


@dataclass
class TrainingOutput:
    """Losses (scalars, before their weights) and what they were computed from.

    ``motion_loss`` of a batch without motion is that of a zero row; it enters ``loss`` with weight 0.
    """

    loss: Tensor
    speech_loss: Tensor
    motion_loss: Tensor
    stop_loss: Tensor
    stop_weight: Tensor
    stop_labels: Tensor
    stop_logits: Tensor
    embeddings: Tensor
    hidden: Tensor
    speech_rows: FlowRows
    motion_rows: FlowRows


def training_forward(
    model: TalkerT2AV,
    batch: TrainingBatch,
    recipe: LossRecipe,
    draws: dict[str, LossDraws] | None = None,
    generator: torch.Generator | None = None,
) -> TrainingOutput:
    """The three losses of a batch. ``draws`` injects the random numbers of ``"speech"`` and ``"motion"``;
    otherwise they come from ``generator`` (on the model's device), speech first."""
    embeddings, mask, slots = sequence_embeddings(model, batch)
    hidden = hidden_states(model.backbone, embeddings, mask) * mask[..., None].to(embeddings.dtype)
    labels, logits, weight = _stop(model, batch, recipe, hidden, mask, slots)
    rows = {
        "speech": flow_rows(model, batch, "speech", hidden, slots, recipe.repeats),
        "motion": flow_rows(model, batch, "motion", hidden, slots, recipe.repeats),
    }
    losses = {}
    for modality, row in rows.items():
        draw = draws[modality] if draws else LossDraws.sample(row.target, generator)
        losses[modality] = flow_matching_loss(
            model.head(modality), row.target, row.hidden, row.context, row.condition, draw, recipe.flow
        )
    stop = stop_loss(logits, labels, weight)
    total = (
        losses["speech"] * float(rows["speech"].present)
        + losses["motion"] * (recipe.motion_weight * rows["motion"].present)
        + recipe.stop_weight * stop
    )
    return TrainingOutput(
        total,
        losses["speech"],
        losses["motion"],
        stop,
        weight,
        labels,
        logits,
        embeddings,
        hidden,
        rows["speech"],
        rows["motion"],
    )


def sequence_embeddings(model: TalkerT2AV, batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Backbone inputs ``(B, 1 + T, D)``, their mask ``(B, 1 + T)`` (bool) and slots per sample ``(B,)``."""
    arrangement, config = model.arrangement, model.config
    text = model.embed_text(batch.input_ids)
    task = model.task_embedding(batch.task)[:, None].to(text.dtype)
    embeddings = torch.cat((task, text), dim=1)
    mask = F.pad(batch.attention_mask.bool(), (1, 0), value=True)
    slots = (batch.span[:, 1] - batch.span[:, 0]).clamp_min(0) // arrangement.tokens_per_slot
    most = int(slots.max()) if len(slots) else 0
    if most == 0:
        return embeddings, mask, slots

    tokens = {}
    for modality, delay in (("speech", 0), ("motion", arrangement.delay)):
        latents, lengths = _latents(batch, modality)
        patches = F.pad(
            to_patches(latents, most - delay, config.patch_size)
            if most > delay
            else latents.new_zeros(len(latents), 0, config.patch_size, latents.shape[-1]),
            (0, 0, 0, 0, min(delay, most), 0),
        )
        frame = torch.arange(most * config.patch_size, device=latents.device) - delay * config.patch_size
        valid = ((frame >= 0) & (frame < lengths[:, None])).unflatten(1, (most, config.patch_size))
        tokens[modality] = model.encode(modality, patches, valid)
    with_motion = (batch.motion_lengths > 0)[:, None, None]
    tokens["motion"] = torch.where(with_motion, tokens["motion"], model.motion_padding.to(tokens["motion"].dtype))

    placed = combine(arrangement, tokens["speech"], tokens["motion"]).to(embeddings.dtype)
    index = torch.arange(placed.shape[1], device=placed.device)
    sample, token = torch.nonzero(index < (slots * arrangement.tokens_per_slot)[:, None], as_tuple=True)
    position = batch.span[sample, 0] + 1 + token
    return embeddings.index_put((sample, position), placed[sample, token]), mask, slots


def flow_rows(
    model: TalkerT2AV, batch: TrainingBatch, modality: str, hidden: Tensor, slots: Tensor, repeats: int
) -> FlowRows:
    """The rows of one head: samples in order, patches in order, each repeated ``repeats`` times in place.

    Samples with a single patch give none. Frames that pad the last patch are zero targets. The context of a
    patch is the ``context_patches`` before it, zeros before the start.
    """
    config, arrangement = model.config, model.arrangement
    size, context = config.patch_size, config.context_patches
    latents, lengths = _latents(batch, modality)
    delay = arrangement.delay if modality == "motion" else 0
    parts: list[tuple[Tensor, ...]] = []
    for sample, frames in enumerate(lengths.tolist()):
        count = min(-(-frames // size), int(slots[sample]) - delay)
        if count < 2:
            continue
        patches = to_patches(latents[sample : sample + 1, :frames], count, size)[0]
        history = F.pad(patches, (0, 0, 0, 0, context, 0))
        contexts = torch.stack([history[patch : patch + context].flatten(0, 1) for patch in range(count)])
        tokens = torch.tensor([arrangement.token(modality, patch) for patch in range(count)], device=hidden.device)
        condition = batch.speaker_embedding[sample] if modality == "speech" else latents[sample, 0]
        parts.append((patches, hidden[sample, batch.span[sample, 0] + tokens], contexts, condition.expand(count, -1)))
    if parts:
        target, states, contexts, condition = (
            torch.cat(column).repeat_interleave(repeats, dim=0) for column in zip(*parts, strict=True)
        )
        return FlowRows(target, states, contexts, condition, True)
    zeros = latents.new_zeros
    channels = model.channels(modality)
    condition_channels = config.speaker_dim if modality == "speech" else config.motion_dim
    return FlowRows(
        zeros(1, size, channels),
        hidden.new_zeros(1, hidden.shape[-1]),
        zeros(1, context * size, channels),
        zeros(1, condition_channels),
        False,
    )


def _stop(
    model: TalkerT2AV, batch: TrainingBatch, recipe: LossRecipe, hidden: Tensor, mask: Tensor, slots: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Stop labels, logits (zero at padding), both ``(B, 1 + T)``, and the weight of positives."""
    config = model.config
    start = torch.where(batch.span[:, 0] < 0, -1, batch.span[:, 0] + 1)
    labels = stop_labels(
        start,
        slots,
        hidden.shape[1],
        patch_size=config.patch_size,
        fps=config.fps,
        tokens_per_slot=model.arrangement.tokens_per_slot,
    )
    logits = model.stop_predictor(hidden) * mask
    return labels, logits, positive_weight(labels) * recipe.stop_positive_factor


def _latents(batch: TrainingBatch, modality: str) -> tuple[Tensor, Tensor]:
    if modality == "speech":
        return batch.speech_latents, batch.speech_lengths
    return batch.motion_latents, batch.motion_lengths
