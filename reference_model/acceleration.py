"""Making generation faster without changing what it computes (up to the rounding of matrix products).

The loop itself already keeps one static cache, runs both guidance branches in one call and computes nothing twice.
On top of that:

* :func:`pack_linears` (CPU): weights in oneDNN's blocked layout. A step multiplies 1 to 20 rows by matrices of
  12 MB; with plain weights every product pays for re-blocking them. Measured on two cores: a matrix product of
  20 rows takes half the time in float32 and 0.6 in bfloat16.
* :func:`compile_model` (CUDA above all): torch.compile over the diffusion heads and the decoding step, where the
  kernel launches are; ``mode="reduce-overhead"`` adds CUDA graphs.
* :class:`.paired_heads.PairedSampler`: both heads as one batched network, which halves their launches; the loop
  uses it by itself on CUDA.
"""

import torch
from torch import Tensor, nn

from .backbone import decode
from .model import TalkerT2AV
from .transformer import Block


class PackedLinear(nn.Module):
    """A linear layer for inference whose weight lives in oneDNN's blocked layout. It cannot be saved or trained."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        # The weight is opaque to everything but oneDNN, so it is no buffer: state dicts and .to() must not see it.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), None)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x.contiguous(), self._weight, self._bias, "none", [], "")


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build and processor have oneDNN products of ``dtype`` (float32 or bfloat16)."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype is torch.float32 or (dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack_linears(model: TalkerT2AV) -> int:
    """Replace the large linear layers of a model on the CPU by packed ones, in place; returns how many.

    For generation only: keep another model for training and saving. Each original weight is freed as its packed
    copy is made. 0 where the processor or build lacks the products; the model then stays as it was.
    """
    if model.device.type != "cpu":
        raise ValueError(f"packed weights are for the CPU; this model is on {model.device}")
    owners = [module for module in model.modules() if isinstance(module, Block)]
    owners += list(model.backbone.model.layers)
    packed = 0
    for owner in owners:
        for name, linear in [pair for pair in owner.named_modules() if isinstance(pair[1], nn.Linear)]:
            if not can_pack(linear.weight.dtype):
                continue
            parent, _, leaf = name.rpartition(".")
            setattr(owner.get_submodule(parent), leaf, PackedLinear(linear))
            packed += 1
    return packed


def compile_model(model: TalkerT2AV, *, mode: str = "default", backend: str = "inductor") -> None:
    """Compile both heads' networks and the backbone's decoding step, in place, for generation.

    The first patches pay for it. Steps then have constant shapes (attention runs over the whole cache, masked),
    so one graph serves a whole batch; a batch that loses finished rows compiles again.
    """
    options = {"mode": mode} if backend == "inductor" else {}
    for head in (model.speech_head, model.motion_head):
        head.velocity = torch.compile(head.velocity, backend=backend, **options)
    model.compiled_decode = torch.compile(decode, backend=backend, **options)
