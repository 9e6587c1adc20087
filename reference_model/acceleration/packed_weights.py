"""Weights in oneDNN's blocked layout, for generation on the CPU.

A step multiplies 1 to 20 rows by matrices of 12 MB; with plain weights every product pays for re-blocking them.

torch offers this layout in public only for frozen, compiled models; :data:`_ops` are the operators behind that. They
are asked for in this file alone, and where a build or processor lacks them the model stays as it was.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..model import TalkerT2AV
from ..modules.transformer import Block

_ops = torch.ops.mkldnn


class PackedLinear(nn.Module):
    """A linear layer whose weight lives in oneDNN's blocked layout. State dicts hold the plain weight, bit for bit;
    it cannot be trained, loaded into or moved."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        # The weight is opaque to everything but oneDNN, so it is neither parameter nor buffer.
        self._weight = _ops._reorder_linear_weight(linear.weight.detach().contiguous(), None)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self.register_state_dict_post_hook(_unpacked)

    def forward(self, x: Tensor) -> Tensor:
        return _ops._linear_pointwise(x.contiguous(), self._weight, self._bias, "none", [], "")


def _unpacked(module: Any, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    state[prefix + "weight"] = module._weight.to_dense()
    if module._bias is not None:
        state[prefix + "bias"] = module._bias


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build and processor have oneDNN products of ``dtype`` (float32 or bfloat16)."""
    if not torch.backends.mkldnn.is_available() or dtype not in (torch.float32, torch.bfloat16):
        return False
    try:
        PackedLinear(nn.Linear(1, 1, dtype=dtype))(torch.zeros(1, 1, dtype=dtype))
    except (AttributeError, RuntimeError):  # another torch has no such operator, another processor no such product
        return False
    return True


def pack_linears(model: TalkerT2AV) -> int:
    """Replace the large linear layers of a model on the CPU by packed ones, in place; returns how many.

    For generation: saving works as before, training does not. Each original weight is freed as its packed copy is made.
    0 where the processor or build lacks the products; the model then stays as it was.
    """
    if model.device.type != "cpu":
        raise ValueError(f"packed weights are for the CPU; this model is on {model.device}")
    owners = [module for module in model.modules() if isinstance(module, Block)]
    owners += list(model.backbone.model.layers)
    packable = {dtype for dtype in (torch.float32, torch.bfloat16) if can_pack(dtype)}
    packed = 0
    for owner in owners:
        for name, linear in [pair for pair in owner.named_modules() if isinstance(pair[1], nn.Linear)]:
            if linear.weight.dtype in packable:
                parent, _, leaf = name.rpartition(".")
                setattr(owner.get_submodule(parent), leaf, PackedLinear(linear))
                packed += 1
    return packed
