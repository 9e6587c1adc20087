"""Stop predictor (section 3.2), its labels and its loss (section 3.4).

The predictor reads the hidden state of a slot's last token and answers: was that the last slot? Labels are 0
(continue), 1 (stop) and :data:`IGNORED`; the moments right before the end are ignored, since nobody can say
to the patch where speech ends.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100


class StopPredictor(nn.Module):
    """Linear, SiLU, linear to one logit."""

    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, 1, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """``hidden (..., D)`` to logits ``(...)``."""
        hidden = hidden.to(self.hidden.weight.dtype)
        return self.output(F.silu(self.hidden(hidden))).squeeze(-1)


def stop_labels(
    start: Tensor,
    slots: Tensor,
    tokens: int,
    *,
    patch_size: int = 4,
    fps: int = 25,
    ignore_seconds: float = 0.3,
    max_seconds: float = 30.0,
    tokens_per_slot: int = 1,
) -> Tensor:
    """Labels ``(B, tokens)`` for spans of ``slots (B,)`` slots that begin at token ``start (B,)``.

    The last slot is 1, the ``max(1, round(ignore_seconds * fps / patch_size))`` before it are ignored, earlier
    ones are 0. A span that runs past ``tokens``, or fills ``max_seconds``, was cut off: all its slots are 0 and
    it has no positive. A slot's label sits on its last token; everything else is ignored. What lies before token 0
    (a negative ``start``) or behind the last is left out.
    """
    ignored = max(1, round(ignore_seconds * fps / patch_size))
    longest = int(max_seconds * fps / patch_size)
    start, slots = start[:, None], slots[:, None]
    token = torch.arange(tokens, device=start.device) - start
    slot = token.div(tokens_per_slot, rounding_mode="floor")
    labelled = (slot >= 0) & (slot < slots) & (token % tokens_per_slot == tokens_per_slot - 1)
    to_end = slots - 1 - slot
    cut_off = (start + slots * tokens_per_slot > tokens) | (slots > longest)
    zero = labelled & (cut_off | (to_end > ignored))
    labels = torch.full_like(slot, IGNORED).masked_fill(zero, 0)
    return labels.masked_fill(labelled & ~cut_off & (to_end == 0), 1)


def positive_weight(labels: Tensor) -> Tensor:
    """Mean number of 0-labels over the samples that have a positive; 1 if none has (scalar, float32).

    The paper weights positives by the batch's ratio of continue to stop labels. That is this mean whenever
    every sample has a positive; samples that were cut off count only in the paper's ratio.
    """
    with_positive = (labels == 1).any(dim=1)
    if not with_positive.any():
        return torch.ones((), device=labels.device)
    return (labels[with_positive] == 0).sum(dim=1).float().mean()


def stop_loss(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Mean binary cross-entropy of ``logits (L,)`` with ``labels (L,)``, which are 0 or 1; positives are multiplied by
    ``weight``. 0 without labels."""
    if not len(labels):
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(logits.float(), labels.float(), pos_weight=weight.float())
