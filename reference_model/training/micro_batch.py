"""What one training forward reads: tensors alone. Every index is made beforehand, on the CPU, by :mod:`.collate`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..modules.flow_matching import LossDraws
from ..utils.devices import moved


@dataclass
class ModalityBatch:
    """One modality of B samples, and the R rows that its diffusion head is trained on.

    ``latents (B, K + W, P, C)``: each slot's patch behind K empty ones (K context patches), zeros where a slot has
    none. ``valid (B, S, P)``: which frames of the S slots in the sequence are real. ``condition (B, G)``: the global
    condition, speaker embedding or first motion frame.

    Rows: ``sample (R,)``; ``state (R,)``, the place of the hidden state that predicts the patch, in B x (1 + T)
    tokens; ``window (R, K + 1)``, the places of the K context patches and of the target, in B x (K + W) patches.
    ``draws``: the random numbers of their loss. ``share``: their part of the whole batch's rows.

    ``input_noise (B, S, P, C)`` is added to what the backbone reads, ``context_noise (R, K P, C)`` to the contexts;
    None without noise.
    """

    latents: Tensor
    valid: Tensor
    condition: Tensor
    sample: Tensor
    state: Tensor
    window: Tensor
    draws: LossDraws
    share: float
    input_noise: Tensor | None = None
    context_noise: Tensor | None = None


@dataclass
class MicroBatch:
    """B samples, a part of a batch. A sequence is the task token and T tokens of ``input_ids (B, T)``, where the
    patches' tokens (counted over B x S slots) ``token (N,)`` take the ``place (N,)`` (counted over B x (1 + T)).

    ``task (B,)``: rows of the task embedding. ``has_motion (B,)``: the others get the learnable padding.
    ``labelled (L,)``: places of the stop labels ``labels (L,)``, 0 or 1; ``stop_weight``: weight of a 1 (scalar);
    ``stop_share``: their part of the whole batch's labels. ``tokens`` counts tokens, ``padding`` empty places.
    """

    input_ids: Tensor
    task: Tensor
    has_motion: Tensor
    place: Tensor
    token: Tensor
    modalities: dict[str, ModalityBatch]
    labelled: Tensor
    labels: Tensor
    stop_weight: Tensor
    stop_share: float
    tokens: int
    padding: int

    def to(self, device: torch.device | str) -> "MicroBatch":
        return moved(self, device)
