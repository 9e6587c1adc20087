"""Both diffusion heads side by side (section 3.3): one batched trunk instead of two. Not measured on a GPU yet.

The heads differ in their inputs and outputs; their trunks have the same shape. torch.func runs one trunk over both
stacks of weights, so that their products are batched ones: half the kernel launches of a patch, which bound small
batches on a GPU. The heads' own parameters become views of the stacks, so nothing is stored twice.
"""

import torch
from torch import Tensor, nn

from ..modules.flow_matching import PatchSampler, euler


class PairedTrunk:
    """Two trunks of equal shape over ``(2, R, T, D)``: entry 0 through the first, entry 1 through the second.

    Raises ValueError where their parameters differ in shape, or are packed away.
    """

    def __init__(self, first: nn.Module, second: nn.Module):
        shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (first, second)]
        if shapes[0] != shapes[1] or len(shapes[0]) != len(list(first.parameters())) + len(list(first.buffers())):
            raise ValueError("heads can only be paired when their trunks have the same shape and plain weights")
        self._first = first
        self._weights, self._tables = torch.func.stack_module_state([first, second])
        for name, stack in self._weights.items():
            stack.requires_grad_(False)
            first.get_parameter(name).data, second.get_parameter(name).data = stack[0], stack[1]

    def __call__(self, x: Tensor, keep: slice) -> Tensor:
        """``x (2, R, T, D)`` to the kept tokens, normalised."""

        def run(weights: dict[str, Tensor], tables: dict[str, Tensor], x: Tensor) -> Tensor:
            return torch.func.functional_call(self._first, (weights, tables), (x,), {"keep": keep})

        return torch.vmap(run)(self._weights, self._tables, x)


class PairedSampler:
    """What two :class:`PatchSampler` of the same settings do, together."""

    def __init__(self, first: PatchSampler, second: PatchSampler):
        self.samplers = first, second
        self.network = PairedTrunk(first.head.trunk, second.head.trunk).__call__

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Noise, hidden state, context and condition of the first head, then those of the second, shaped as in
        :class:`PatchSampler`; returns the patches ``(B, P, C)`` of both."""
        noises = inputs[0], inputs[4]
        branches = [
            sampler.branches(*inputs[start : start + 3]) for sampler, start in zip(self.samplers, (1, 5), strict=True)
        ]
        channels = [noise.shape[-1] for noise in noises]

        def velocity(x: Tensor, step: int) -> Tensor:
            sequences = [
                sampler.sequence(part, step, *branch)
                for sampler, part, branch in zip(self.samplers, x.split(channels, -1), branches, strict=True)
            ]
            outputs = self.network(torch.stack(sequences), slice(-x.shape[1], None))
            return torch.cat(
                [
                    sampler.guided(sampler.head.output_projection(output))
                    for sampler, output in zip(self.samplers, outputs, strict=True)
                ],
                -1,
            )

        # An Euler step is the same for every channel, so both modalities are one sample of all their channels.
        return euler(velocity, torch.cat(noises, -1), self.samplers[0].settings).split(channels, -1)
