"""One modality's diffusion transformer: noisy patches in, their velocity out.

Blocks of self-attention, attention to the text, attention to a peer (the other tower, or an encoded modality) and a
gated MLP; the last two are there only where the family has them. Time modulates every block (adaptive layer norm
with one network for the whole tower and a table for each block).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.modules.diffusion_head import TimestepNetwork, sinusoidal_embedding
from reference_model.modules.transformer import Attention, SwiGLU

from .attention import CrossAttention, RotaryPositions
from .config import NetworkConfig

MODULATIONS = 6
"""Shift, scale and gate of self-attention, then of the MLP."""
FIRST_VARIANCE = 0.1
"""Of the error of clean latents as a tower estimates them, by channel, before training; latents have about 1."""
VARIANCE_PACE = 10.0
"""An optimiser moves every parameter by about its rate: without this factor the variance would learn for thousands of
updates."""


class TowerBlock(nn.Module):
    """One block; ``text`` and ``peer`` say which attentions it has beside the one to itself."""

    def __init__(self, width: int, heads: int, text: bool, peer: bool):
        super().__init__()
        self.attention = Attention(width, heads)
        self.text_attention = CrossAttention(width, heads) if text else None
        self.peer_attention = CrossAttention(width, heads) if peer else None
        self.mlp = SwiGLU(width)
        # Gates start at 1: a run of a few thousand updates has no time to open closed ones.
        self.table = nn.Parameter(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 1.0])[:, None].repeat(1, width))

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        rope: RotaryPositions,
        mask: Tensor,
        text: tuple[Tensor, Tensor] | None = None,
        peer: Tensor | None = None,
    ) -> Tensor:
        """``x (B, N, D)``, ``modulation (B, 6, 1, D)``, ``mask (B, 1, 1, N)`` True for real positions.

        ``text``: tokens ``(B, K, D)`` and what is added to their scores ``(B, heads, N, K)``. ``peer (B, N, D)``
        has the same positions as ``x``.
        """
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = (modulation + self.table[:, None]).unbind(1)
        x = x + gate * self.attention(modulated(x, shift, scale), rope, mask)
        if self.text_attention is not None:
            tokens, scores = text
            x = x + self.text_attention(normalised(x), tokens, scores)
        if self.peer_attention is not None:
            x = x + self.peer_attention(normalised(x), normalised(peer), mask, rope)
        return x + mlp_gate * self.mlp(modulated(x, mlp_shift, mlp_scale))


class Tower(nn.Module):
    """Everything of one modality of ``channels`` channels a frame, with a global condition of its own."""

    def __init__(self, channels: int, condition_channels: int, config: NetworkConfig, *, text: bool, peer: bool):
        super().__init__()
        width, self.patch_size = config.width, config.patch_size
        self.width = width
        self.input_projection = nn.Linear(config.patch_size * channels, width)
        self.condition_projection = nn.Linear(condition_channels, width)
        self.time_network = TimestepNetwork(width)
        self.modulation = nn.Linear(width, MODULATIONS * width)
        self.blocks = nn.ModuleList(TowerBlock(width, config.heads, text, peer) for _ in range(config.layers))
        self.final_modulation = nn.Linear(width, 2 * width)
        self.output_projection = nn.Linear(width, config.patch_size * channels)
        self.variance_exponent = nn.Parameter(torch.zeros(channels))
        for layer in (self.modulation, self.final_modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def enter(self, noisy: Tensor, time: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``noisy (B, T, C)``, ``time (B,)``, ``condition (B, G)`` to tokens ``(B, N, D)``, the blocks' modulation
        ``(B, 6, 1, D)`` and the output's ``(2, B, 1, D)``."""
        condition = self.condition_projection(condition)
        patches = noisy.unflatten(1, (-1, self.patch_size)).flatten(2)
        tokens = self.input_projection(patches / spread(time)) + condition[:, None]
        state = F.silu(self.time_network(sinusoidal_embedding(time, self.width)) + condition)
        blocks = self.modulation(state).view(len(state), MODULATIONS, 1, -1)
        return tokens, blocks, self.final_modulation(state)[:, None].chunk(2, dim=-1)

    def leave(self, tokens: Tensor, final: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """The velocity ``(B, T, C)``, from the tokens' estimate of the clean patches; see :func:`velocity_of`."""
        shift, scale = final
        clean = self.output_projection(modulated(tokens, shift, scale))
        clean = clean.unflatten(-1, (self.patch_size, -1)).flatten(1, 2)
        variance = FIRST_VARIANCE * (VARIANCE_PACE * self.variance_exponent).exp()
        return velocity_of(clean, noisy, time, variance)


def velocity_of(clean: Tensor, noisy: Tensor, time: Tensor, variance: Tensor) -> Tensor:
    """Mean velocity of ``noisy (B, T, C)`` at ``time (B,)`` where clean latents are normal with mean ``clean`` and
    ``variance (C,)``.

    A network that estimates clean latents need not carry a patch's noise through its tokens, which are narrower
    (arXiv 2511.13720); the variance is what it may trust the noisy latents with. Without variance this is
    ``(noisy - clean) / time``; with variance 1 it is the preconditioning of arXiv 2206.00364 on this path.
    """
    share = time[:, None, None]
    rest = (1 - share) * variance
    return ((share - rest) * noisy - share * clean) / ((1 - share) * rest + share.square())


def spread(time: Tensor) -> Tensor:
    """Standard deviation of the noisy latents where the clean ones have 1: ``(B,)`` to ``(B, 1, 1)``."""
    return (time.square() + (1 - time).square()).sqrt()[:, None, None]


def normalised(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, normalised(x), 1 + scale)
