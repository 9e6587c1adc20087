"""The training loss of a micro-batch, as its part of the whole batch's loss (section 3.4).

Each loss is a mean over the whole batch: multiplied by the part's share of it, losses of parts add up. The aids of
:class:`.AidsConfig` may add a regression loss.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..model import TalkerT2AV
from ..modules.backbone import hidden_states
from ..modules.flow_matching import flow_matching_loss
from ..modules.stop_predictor import stop_loss
from .config import AidsConfig
from .forward import FlowRows, LossRecipe, flow_rows, sequence_embeddings
from .layout import MODALITIES
from .micro_batch import MicroBatch


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
        model, recipe = self.model, self.recipe
        hidden = hidden_states(model.backbone, sequence_embeddings(model, part))
        flow, regression = {}, hidden.new_zeros(()).float()
        for name, rows in part.modalities.items():
            row = flow_rows(rows, hidden)
            flow[name] = rows.share * flow_matching_loss(
                model.head(name), row.target, row.hidden, row.context, row.condition, rows.draws, recipe.flow
            )
            if name in self.regression:
                regression = regression + rows.share * self._regression_loss(name, row)
        logits = model.stop_predictor(hidden).flatten()[part.labelled]
        stop = part.stop_share * stop_loss(logits, part.labels, part.stop_weight)
        total = (
            flow["speech"]
            + recipe.motion_weight * flow["motion"]
            + recipe.stop_weight * stop
            + self.aids.regression_weight * regression
        )
        return Losses(total, flow["speech"], flow["motion"], stop, regression)

    def _regression_loss(self, name: str, rows: FlowRows) -> Tensor:
        prediction = self.regression[name](rows.hidden.to(self.regression[name].weight.dtype))
        return F.l1_loss(prediction.float(), rows.target.flatten(1))
