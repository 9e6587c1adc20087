"""Training forward (section 3.4): mixed T2AV and TTS samples to what the three losses are taken of.

Sequence of a sample: task embedding, text, slots (in place of the placeholder tokens of its span), suffix.
A patch is predicted from the hidden state of the token before its own, so patch 0 is predicted from the last
text token, with an all-zero context.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model import TalkerT2AV, combine
from ..modules.flow_matching import LossSettings
from ..utils.config import strict_dataclass
from .micro_batch import MicroBatch, ModalityBatch


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
    """What one head is trained on: targets ``(R, P, C)``, hidden states ``(R, D)``, contexts ``(R, K P, C)`` and
    global conditions ``(R, G)``."""

    target: Tensor
    hidden: Tensor
    context: Tensor
    condition: Tensor


def sequence_embeddings(model: TalkerT2AV, part: MicroBatch) -> Tensor:
    """Backbone inputs ``(B, 1 + T, D)``."""
    text = model.embed_text(part.input_ids)
    task = model.task_embedding(part.task)[:, None].to(text.dtype)
    embeddings = torch.cat((task, text), dim=1)
    tokens = {name: model.encode(name, _heard(rows), rows.valid) for name, rows in part.modalities.items()}
    padding = model.motion_padding.to(tokens["motion"].dtype)
    tokens["motion"] = torch.where(part.has_motion[:, None, None], tokens["motion"], padding)
    placed = combine(model.arrangement, tokens["speech"], tokens["motion"]).to(embeddings.dtype)
    return embeddings.flatten(0, 1).index_copy(0, part.place, placed.flatten(0, 1)[part.token]).view_as(embeddings)


def _heard(rows: ModalityBatch) -> Tensor:
    """The slots of the sequence as the backbone reads them ``(B, S, P, C)``; targets and contexts stay clean."""
    empty, slots = rows.window.shape[1] - 1, rows.valid.shape[1]
    latents = rows.latents[:, empty : empty + slots]
    return latents if rows.input_noise is None else latents + rows.input_noise


def flow_rows(rows: ModalityBatch, hidden: Tensor) -> FlowRows:
    """The rows of one head from the hidden states ``(B, 1 + T, D)``: samples in order, patches in order, each repeated
    in place. Frames that pad the last patch are zero targets.

    A batch without any gets one of zeros, whose share is 0: so every parameter has a gradient, which distributed
    training needs.
    """
    if not len(rows.window):
        (size, channels), context = rows.latents.shape[2:], rows.window.shape[1] - 1
        zeros = rows.latents.new_zeros
        return FlowRows(
            zeros(1, size, channels),
            hidden.new_zeros(1, hidden.shape[-1]),
            zeros(1, context * size, channels),
            zeros(1, rows.condition.shape[-1]),
        )
    patches = rows.latents.flatten(0, 1)[rows.window]
    context = patches[:, :-1].flatten(1, 2)
    if rows.context_noise is not None:
        context = context + rows.context_noise
    return FlowRows(patches[:, -1], hidden.flatten(0, 1)[rows.state], context, rows.condition[rows.sample])
