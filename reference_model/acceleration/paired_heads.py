"""Both diffusion heads side by side (section 3.3): one batched trunk instead of two.

The heads differ in their inputs and outputs; their trunks have the same shape. Their weights are stacked
``(2, out, in)`` and the two rows of work run as batched matrix products. That halves the kernel launches of a
patch, which bound small batches on a GPU. The heads' own parameters become views of the stacks, so nothing is
stored twice.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..modules.diffusion_head import DiffusionHead
from ..modules.flow_matching import PatchSampler, SamplerSettings, guided, sampler_times
from ..modules.transformer import Trunk


class PairedTrunk:
    """Two trunks of equal shape over ``(2, R, T, D)``: entry 0 through the first, entry 1 through the second."""

    def __init__(self, first: Trunk, second: Trunk):
        self._rope, self._heads, self._eps = first.rope, first.blocks[0].attention.heads, first.norm.eps
        own, other = dict(first.named_parameters()), dict(second.named_parameters())
        self._weights = {}
        for name in own:
            stack = torch.stack((own[name].detach(), other[name].detach()))
            own[name].data, other[name].data = stack[0], stack[1]
            self._weights[name] = stack

    def __call__(self, x: Tensor, keep: slice) -> Tensor:
        """``x (2, R, T, D)`` to the kept tokens, normalised."""
        weights = self._weights
        x = self._linear("input_projection", x) + weights["input_projection.bias"][:, None, None]
        layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
        for layer in range(layers):
            block, kept = f"blocks.{layer}.", keep if layer == layers - 1 else slice(None)
            attended = self._attention(block + "attention.", self._norm(block + "attention_norm", x), kept)
            x = x[:, :, kept] + attended
            normed = self._norm(block + "mlp_norm", x)
            gate, up = self._linear(block + "mlp.gate", normed), self._linear(block + "mlp.up", normed)
            x = x + self._linear(block + "mlp.down", F.silu(gate) * up)
        return self._norm("norm", x)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return torch.bmm(x.flatten(1, 2), self._weights[name + ".weight"].mT).unflatten(1, x.shape[1:3])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), None, self._eps) * self._weights[name + ".weight"][:, None, None]

    def _attention(self, name: str, x: Tensor, keep: slice) -> Tensor:
        qkv = self._linear(name + "qkv", x).flatten(0, 1).unflatten(-1, (3, self._heads, -1))
        query_key = self._rope(qkv[:, :, :2].flatten(2, 3)).transpose(1, 2)
        query, key = query_key.chunk(2, dim=1)
        attended = F.scaled_dot_product_attention(query[:, :, keep], key, qkv[:, :, 2].transpose(1, 2))
        return self._linear(name + "output", attended.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2]))


class PairedSampler:
    """What two :class:`PatchSampler` do, for patches of both heads that share their hidden states."""

    def __init__(self, first: DiffusionHead, second: DiffusionHead, settings: SamplerSettings):
        if not can_pair(first, second):
            raise ValueError("heads can only be paired when their trunks have the same shape and plain weights")
        self.heads, self.settings = (first, second), settings
        self.network = PairedTrunk(first.trunk, second.trunk).__call__
        self.samplers = PatchSampler(first, settings), PatchSampler(second, settings)

    def __call__(self, hidden: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden (B, D)``, then noise, context and condition of the first head, then those of the second, shaped
        as in :class:`PatchSampler`; returns the patches ``(B, P, C)`` of both."""
        settings = self.settings
        noises, contexts, conditions = inputs[0::3], inputs[1::3], inputs[2::3]
        branches = [
            sampler.branches(hidden, context, condition)
            for sampler, context, condition in zip(self.samplers, contexts, conditions, strict=True)
        ]
        _, lengths = sampler_times(settings)
        samples = [noise.float() * settings.temperature for noise in noises]
        for step in range(settings.still_steps, settings.steps):
            velocities = self._velocities(samples, step, branches)
            samples = [x - lengths[step] * v for x, v in zip(samples, velocities, strict=True)]
        return samples[0], samples[1]

    def _velocities(self, samples: list[Tensor], step: int, branches: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        both = self.settings.guidance != 1
        sequences = []
        for head, sampler, x, (hidden, tokens) in zip(self.heads, self.samplers, samples, branches, strict=True):
            noisy = head.noisy_projection((torch.cat((x, x)) if both else x).to(head.dtype))
            first = (hidden + sampler.time_tokens[step])[:, None]
            sequences.append(torch.cat((first, tokens, noisy), dim=1))
        outputs = self.network(torch.stack(sequences), slice(-samples[0].shape[1], None))
        velocities = []
        for head, output in zip(self.heads, outputs, strict=True):
            velocity = head.output_projection(output).float()
            if both:
                conditional, unconditional = velocity.chunk(2)
                velocity = guided(conditional, unconditional, self.settings.guidance, self.settings.zero_star)
            velocities.append(velocity)
        return velocities


def can_pair(first: DiffusionHead, second: DiffusionHead) -> bool:
    """Whether both trunks have the same parameters, none of them packed away."""
    plain = all(
        isinstance(module, nn.Linear)
        for head in (first, second)
        for block in head.trunk.blocks
        for module in (block.attention.qkv, block.mlp.gate)
    )
    shapes = [{name: p.shape for name, p in head.trunk.named_parameters()} for head in (first, second)]
    return plain and shapes[0] == shapes[1]
