"""Patch transformer encoder (section 3.2): P projected frames become one token of the backbone."""

import torch
from torch import Tensor, nn

from .transformer import Block, RMSNorm, RotaryEmbedding, run_blocks


class PatchEncoder(nn.Module):
    """A learnable CLS token in front (position 0), bidirectional blocks over P + 1 tokens, the output at CLS.

    Every patch is encoded on its own; nothing passes between patches. ``input_width`` is that of the projected frames
    (None: ``width``).
    """

    def __init__(self, width: int, layers: int, heads: int, input_width: int | None = None):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, 1, width) * 0.02)
        self.input_projection = nn.Linear(input_width or width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = RMSNorm(width)
        self.rope = RotaryEmbedding(width // heads)

    def forward(self, frames: Tensor) -> Tensor:
        """``frames (B, N, P, input width)``, already projected, to tokens ``(B, N, D)``."""
        batch, patches = frames.shape[:2]
        x = self.input_projection(frames)
        cls = self.cls_token.to(x.dtype).expand(batch, patches, 1, -1)
        x = torch.cat((cls, x), dim=2).flatten(0, 1)
        x = run_blocks(self.blocks, x, self.rope, keep=slice(0, 1))
        return self.norm(x).squeeze(1).unflatten(0, (batch, patches))
