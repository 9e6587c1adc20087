"""Attention from one sequence to another, and rotary positions fast enough for many small blocks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 10_000.0


class RotaryPositions:
    """Rotations of positions 0 to ``length`` - 1, computed once for a forward pass; same angles and pairing of
    channels as :class:`reference_model.modules.transformer.RotaryEmbedding`, and usable in its place."""

    def __init__(self, head_dim: int, length: int, device: torch.device | None = None):
        frequency = 1.0 / BASE ** (torch.arange(0, head_dim, 2, device=device).float() / head_dim)
        angle = torch.outer(torch.arange(length, device=device).float(), frequency)
        self.table = torch.polar(torch.ones_like(angle), angle)[:, None]

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate ``x (..., tokens, heads, head_dim)``."""
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.table[: x.shape[-3]]).flatten(-2)


class CrossAttention(nn.Module):
    """Multi-head attention with queries from ``x`` and keys and values from ``source``."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor, rope: RotaryPositions | None = None) -> Tensor:
        """``x (B, N, D)``, ``source (B, S, D)`` to ``(B, N, D)``.

        ``mask`` broadcasts to (B, heads, N, S): boolean (True: attend) or added to the scores. ``rope`` counts
        positions of both sequences from their starts.
        """
        query = self.query(x).unflatten(-1, (self.heads, -1))
        key, value = self.key_value(source).unflatten(-1, (2, self.heads, -1)).unbind(2)
        if rope is not None:
            query, key = rope(query), rope(key)
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask
        )
        return self.output(attended.transpose(1, 2).flatten(2))
