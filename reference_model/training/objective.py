"""The training loss of a micro-batch, as its part of the whole batch's loss (section 3.4).

Unsplit and without aids this is :func:`.forward.training_forward` (a test holds the two together). The
differences: random numbers and labels come prepared, each loss is multiplied by the part's share of the whole
batch, and the aids of :class:`.AidsConfig` may add noise and a regression loss.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import TalkerT2AV
from ..modules.backbone import hidden_states
from ..modules.flow_matching import flow_matching_loss
from ..modules.stop_predictor import stop_loss
from .collate import MicroBatch
from .config import AidsConfig
from .forward import FlowRows, LossRecipe, flow_rows, sequence_embeddings

MODALITIES = ("speech", "motion")


@dataclass
class Losses:
    """Scalars that add up over the parts of a batch. ``loss`` is their weighted sum, the others are unweighted."""

    loss: Tensor
    speech: Tensor
    motion: Tensor
    stop: Tensor
    regression: Tensor

    def detached(self) -> dict[str, Tensor]:
        return {f"{name}_loss" if name != "loss" else name: value.detach() for name, value in vars(self).items()}


class Objective(nn.Module):
    """The model with its losses; one module, so that distributed training sees a single forward pass."""

    def __init__(self, model: TalkerT2AV, recipe: LossRecipe, aids: AidsConfig):
        super().__init__()
        self.model, self.recipe, self.aids = model, recipe, aids
        config = model.config
        self.regression = nn.ModuleDict()
        if aids.regression_weight:
            for name in MODALITIES:
                # Zeros, so nothing is drawn from the global generator.
                self.regression[name] = nn.utils.skip_init(
                    nn.Linear, config.backbone.hidden_size, config.patch_size * model.channels(name)
                )
                nn.init.zeros_(self.regression[name].weight)
                nn.init.zeros_(self.regression[name].bias)

    def forward(self, part: MicroBatch) -> Losses:
        model, batch, recipe = self.model, part.batch, self.recipe
        embeddings, mask, slots = sequence_embeddings(model, self._as_read(part))
        hidden = hidden_states(model.backbone, embeddings, mask) * mask[..., None].to(embeddings.dtype)
        flow, regression = {}, hidden.new_zeros((), dtype=torch.float32)
        for name in MODALITIES:
            rows = flow_rows(model, batch, name, hidden, slots, recipe.repeats)
            share = part.shares[name]
            flow[name] = share * flow_matching_loss(
                model.head(name),
                rows.target,
                rows.hidden,
                self._context(part, name, rows),
                rows.condition,
                part.draws[name],
                recipe.flow,
            )
            if name in self.regression:
                regression = regression + share * self._regression_loss(name, rows)
        logits = model.stop_predictor(hidden) * mask
        stop = part.shares["stop"] * stop_loss(logits, part.labels, torch.tensor(part.stop_weight).to(logits.device))
        total = (
            flow["speech"]
            + recipe.motion_weight * flow["motion"]
            + recipe.stop_weight * stop
            + self.aids.regression_weight * regression
        )
        return Losses(total, flow["speech"], flow["motion"], stop, regression)

    def _as_read(self, part: MicroBatch):
        """The batch as the backbone reads it; targets and contexts keep the clean one."""
        noise = part.input_noise
        if not noise:
            return part.batch
        return replace(
            part.batch,
            speech_latents=part.batch.speech_latents + noise["speech"],
            motion_latents=part.batch.motion_latents + noise["motion"],
        )

    @staticmethod
    def _context(part: MicroBatch, name: str, rows: FlowRows) -> Tensor:
        if not part.context_noise:
            return rows.context
        # Before the first patch there is nothing, here as in generation: those frames stay zero.
        return rows.context + part.context_noise[name] * (rows.context != 0).any(dim=-1, keepdim=True)

    def _regression_loss(self, name: str, rows: FlowRows) -> Tensor:
        prediction = self.regression[name](rows.hidden.to(self.regression[name].weight.dtype))
        return F.l1_loss(prediction.float(), rows.target.flatten(1))
