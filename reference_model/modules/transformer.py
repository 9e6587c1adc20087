"""The bidirectional transformer of patch encoders and diffusion heads (section 4.1).

Pre-norm blocks of attention and SwiGLU without biases. Rotary positions pair ADJACENT channels (2i, 2i+1);
the Qwen3 backbone pairs channel i with i + head_dim/2 instead.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROPE_LENGTH = 1024
"""Rows of every rotary table; the released checkpoint stores them, so the length is part of its format."""


class RMSNorm(nn.Module):
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimension."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


class RotaryEmbedding(nn.Module):
    """A persistent table of (cos, sin) by position: ``table`` is ``(length, head_dim / 2, 2)``.

    The angle of pair i at position p is ``p / base^(2i / head_dim)``.
    """

    def __init__(self, head_dim: int, length: int = ROPE_LENGTH, base: float = 10_000.0):
        super().__init__()
        frequency = 1.0 / base ** (torch.arange(0, head_dim, 2).float() / head_dim)
        angle = torch.outer(torch.arange(length).float(), frequency)
        self.register_buffer("table", torch.stack((angle.cos(), angle.sin()), dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """Rotate ``x (..., tokens, heads, head_dim)``; the position is the token's index."""
        table = self.table[: x.shape[-3], None]
        even, odd = x.unflatten(-1, (-1, 2)).to(table.dtype).unbind(-1)
        cos, sin = table.unbind(-1)
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention in which every token sees every other."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Tensor, rope: RotaryEmbedding | None = None, mask: Tensor | None = None, keep: slice = slice(None)
    ) -> Tensor:
        """``x (B, T, D)`` to ``(B, kept tokens, D)``.

        ``mask`` broadcasts to (B, heads, queries, T): boolean (True: attend) or added to the scores.
        ``keep`` names the tokens whose output is wanted; the others only serve as keys.
        """
        query_key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).split((2, 1), dim=2)
        query_key = query_key.flatten(2, 3)
        if rope is not None:
            query_key = rope(query_key)
        query, key = query_key.transpose(1, 2).chunk(2, dim=1)
        attended = F.scaled_dot_product_attention(
            query[:, :, keep], key, value.squeeze(2).transpose(1, 2), attn_mask=mask
        )
        return self.output(attended.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """``down(silu(gate(x)) * up(x))`` with the hidden width ``int(8 * width / 3)``."""

    def __init__(self, width: int):
        super().__init__()
        hidden = int(8 * width / 3)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``+ mlp(norm(.))``."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention_norm = RMSNorm(width)
        self.attention = Attention(width, heads)
        self.mlp_norm = RMSNorm(width)
        self.mlp = SwiGLU(width)

    def forward(
        self, x: Tensor, rope: RotaryEmbedding | None = None, mask: Tensor | None = None, keep: slice = slice(None)
    ) -> Tensor:
        x = x[:, keep] + self.attention(self.attention_norm(x), rope, mask, keep)
        return x + self.mlp(self.mlp_norm(x))


class Trunk(nn.Module):
    """Input projection, blocks with rotary positions, final norm: the body of a diffusion head. ``input_width`` is that
    of the tokens (None: ``width``)."""

    def __init__(self, width: int, layers: int, heads: int, input_width: int | None = None):
        super().__init__()
        self.input_projection = nn.Linear(input_width or width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = RMSNorm(width)
        self.rope = RotaryEmbedding(width // heads)

    def forward(self, x: Tensor, mask: Tensor | None = None, keep: slice = slice(None)) -> Tensor:
        """``x (B, T, input width)``, ``mask`` as for :class:`Attention`; returns the tokens of ``keep``, normalised."""
        x = self.input_projection(x)
        return self.norm(run_blocks(self.blocks, x, self.rope, mask, keep))


def run_blocks(
    blocks: nn.ModuleList, x: Tensor, rope: RotaryEmbedding, mask: Tensor | None = None, keep: slice = slice(None)
) -> Tensor:
    """All blocks in turn; only the last one may drop tokens, since the earlier ones need them as keys."""
    for index, block in enumerate(blocks):
        x = block(x, rope, mask, keep if index == len(blocks) - 1 else slice(None))
    return x
