"""Diffusion head (section 3.3): the velocity of one modality's next patch.

Token sequence of length 2 + context frames + P:

    [hidden + time], [global condition], context frames (preceding patches), noisy frames

The output is read at the noisy frames. The global condition is the speaker embedding (audio) or the first
motion frame (video). The released network also takes a step size; it is always 0 there, but the output of its
small network is a learned constant that is still added.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transformer import Trunk


class TimestepNetwork(nn.Module):
    """Two linear layers with SiLU between, on a sinusoidal embedding."""

    def __init__(self, width: int):
        super().__init__()
        self.input = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(F.silu(self.input(x.to(self.input.weight.dtype))))


class DiffusionHead(nn.Module):
    """Bidirectional transformer over one hidden state, one condition, the context and the noisy patch."""

    def __init__(self, channels: int, condition_channels: int, width: int, layers: int, heads: int):
        super().__init__()
        self.width = width
        self.noisy_projection = nn.Linear(channels, width)
        self.context_projection = nn.Linear(channels, width)
        self.condition_projection = nn.Linear(condition_channels, width)
        self.output_projection = nn.Linear(width, channels)
        self.time_network = TimestepNetwork(width)
        self.step_network = TimestepNetwork(width)
        self.trunk = Trunk(width, layers, heads)

    def forward(
        self,
        noisy: Tensor,
        hidden: Tensor,
        time: Tensor,
        context: Tensor,
        condition: Tensor,
        step: Tensor | None = None,
    ) -> Tensor:
        """Predict the velocity ``(B, P, C)``.

        ``noisy (B, P, C)``; ``hidden (B, D)``; ``time (B,)`` in [0, 1], 1 is noise; ``context (B, K, C)``, zeros
        where there is no history; ``condition (B, condition channels)``; ``step (B,)``, None for 0.
        """
        first = hidden.to(self.dtype) + self.time_tokens(time, step)
        return self.velocity(noisy, first, self.condition_tokens(condition, context))

    @property
    def dtype(self) -> torch.dtype:
        return self.noisy_projection.weight.dtype

    def time_tokens(self, time: Tensor, step: Tensor | None = None) -> Tensor:
        """What is added to the hidden state for each of ``time (B,)``: ``(B, D)``."""
        step = torch.zeros_like(time) if step is None else step
        return self.time_network(sinusoidal_embedding(time, self.width)) + self.step_network(
            sinusoidal_embedding(step, self.width)
        )

    def condition_tokens(self, condition: Tensor, context: Tensor) -> Tensor:
        """The tokens that stay the same along the trajectory: ``(B, 1 + K, D)``."""
        condition = self.condition_projection(condition.to(self.dtype))[:, None]
        return torch.cat((condition, self.context_projection(context.to(self.dtype))), dim=1)

    def velocity(self, noisy: Tensor, first: Tensor, condition_tokens: Tensor) -> Tensor:
        """The network proper: ``noisy (B, P, C)``, ``first (B, D)``, ``condition_tokens (B, 1 + K, D)``."""
        tokens = self.sequence(noisy, first, condition_tokens)
        return self.output_projection(self.trunk(tokens, keep=slice(-noisy.shape[1], None)))

    def sequence(self, noisy: Tensor, first: Tensor, condition_tokens: Tensor) -> Tensor:
        """The tokens that the trunk reads, ``(B, 2 + K + P, D)``."""
        noisy_tokens = self.noisy_projection(noisy.to(self.dtype))
        return torch.cat((first[:, None].to(noisy_tokens.dtype), condition_tokens, noisy_tokens), dim=1)


def sinusoidal_embedding(time: Tensor, width: int) -> Tensor:
    """``concat(sin, cos)`` of ``1000 * time * 10000^(-i / (width/2 - 1))``: ``(B,)`` to ``(B, width)``, float32.

    The argument reaches 1000 rad, so another rounding of the frequencies moves the result by up to 1e-4.
    """
    half = width // 2
    scale = math.log(10_000) / (half - 1)
    frequency = torch.exp(torch.arange(half, device=time.device, dtype=torch.float32) * -scale)
    angle = 1000.0 * time.float()[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=-1)
