"""Making generation faster without changing what it computes (up to the rounding of matrix products).

The loop itself already keeps one static cache, runs both guidance branches in one call and computes nothing twice.
On top of that:

* :func:`pack_linears` (CPU): weights in oneDNN's blocked layout. A step multiplies 1 to 20 rows by matrices of
  12 MB; with plain weights every product pays for re-blocking them. Measured on two cores: a matrix product of
  20 rows takes half the time in float32 and 0.6 in bfloat16.
* :func:`accelerate` (CUDA above all): torch.compile over the heads, the patch encoders and the decoding step, CUDA
  graphs of the whole solver loop and of the decoding step, or both.
* :class:`.paired_heads.PairedSampler`: both heads as one batched network, which halves their launches; the loop
  uses it by itself on CUDA.
"""

import functools

import torch
from torch import Tensor, nn

from ..model import TalkerT2AV
from ..modules.transformer import Block
from .cuda_graphs import Recorded
from .step_functions import StepFunctions


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


def accelerate(
    model: TalkerT2AV,
    *,
    compile: bool = False,
    graphs: bool = False,
    backend: str = "inductor",
    mode: str | None = None,
) -> None:
    """Have the sampling loop call compiled (``compile``) or recorded (``graphs``) networks; without either, plain ones.

    Results stay the same up to rounding. The first patches of every new batch size pay for it: seconds for graphs,
    minutes for compilation. Graphs need a CUDA device; ``backend`` and ``mode`` go to torch.compile. Weights must not
    change afterwards: call again after loading others.
    """
    if graphs and model.device.type != "cuda":
        raise ValueError(f"CUDA graphs need a model on a CUDA device; this one is on {model.device}")
    if mode == "reduce-overhead":
        raise ValueError("compilation records no graphs of its own here; use graphs=True with the default mode")
    compiler = None
    if compile:
        # Every network has a few shapes (batch sizes); each is worth a version of its own, and none a dynamic one.
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
        compiler = functools.partial(torch.compile, backend=backend, mode=mode, dynamic=False)
    plain = compiler is None and not graphs
    model.step_functions = None if plain else StepFunctions(model, compiler, Recorded if graphs else None)
