"""Words to tokens, their durations, and with these the clip's length and each word's place in it.

Without autoregression something must say which word a position belongs to. Here every text token has a duration, in
patches. Their sum is the predicted length of the clip, which trains them; scaled to the length that a clip really
has, they say where each token lies. Attention prefers tokens that lie near (a Gaussian in units of the token's own
duration), so the flow-matching loss trains durations too. Two tokens without a word, before the first and after the
last, take up silence.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.modules.transformer import Block, RMSNorm

from .attention import RotaryPositions
from .config import NetworkConfig

FIRST_GUESS = 2.0
"""Patches that a token lasts before training: a word of a third of a second."""
SHARPNESS = 4.0
"""Of the alignment that is added to a tower's input; attention learns its own."""


@dataclass
class Text:
    """``tokens (B, K, D)``, K = words + 2; ``mask (B, K)`` True for real ones; ``durations (B, K)`` in patches,
    0 where there is no token."""

    tokens: Tensor
    mask: Tensor
    durations: Tensor

    @property
    def patches(self) -> Tensor:
        """Predicted length of each clip ``(B,)``, in patches, not rounded."""
        return self.durations.sum(dim=1)


class TextEncoder(nn.Module):
    """Token ids and the speaker to :class:`Text`: a small bidirectional transformer."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        width = config.width
        self.head_dim = width // config.heads
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.ends = nn.Parameter(torch.randn(2, width))
        self.speaker = nn.Linear(config.speaker_dim, width)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.condition_layers))
        self.norm = RMSNorm(width)
        self.duration = nn.Linear(width, 1)
        nn.init.zeros_(self.duration.weight)
        nn.init.constant_(self.duration.bias, math.log(math.expm1(FIRST_GUESS)))

    def forward(self, text_ids: Tensor, text_lengths: Tensor, speaker_embedding: Tensor) -> Text:
        """``text_ids (B, L)``, ``text_lengths (B,)``, ``speaker_embedding (B, S)``."""
        count, place = text_lengths[:, None], torch.arange(text_ids.shape[1] + 2, device=text_ids.device)
        words = F.pad(self.embedding(text_ids), (0, 0, 1, 1))
        x = torch.where((place == count + 1)[..., None], self.ends[1], words)
        x = torch.where((place == 0)[:, None], self.ends[0], x)
        x = x + self.speaker(speaker_embedding)[:, None]
        mask = place <= count + 1
        rope = RotaryPositions(self.head_dim, x.shape[1], x.device)
        for block in self.blocks:
            x = block(x, rope, mask[:, None, None])
        x = self.norm(x)
        durations = F.softplus(self.duration(x)).squeeze(-1) * mask
        return Text(x, mask, durations)


def offsets(text: Text, patches: Tensor, count: int) -> Tensor:
    """Where each of ``count`` patches lies relative to each token, in durations of the token: ``(B, count, K)``.

    0 is the token's middle, +-1/2 are its ends. ``patches (B,)`` are the clips' lengths, which the durations are
    scaled to. 0 for tokens that do not exist.
    """
    durations = text.durations * (patches / text.patches)[:, None]
    middles = durations.cumsum(dim=1) - durations / 2
    centres = torch.arange(count, device=durations.device) + 0.5
    distance = centres[None, :, None] - middles[:, None]
    return distance / durations.masked_fill(~text.mask, 1.0)[:, None] * text.mask[:, None]


class Placement(nn.Module):
    """Puts a text at the positions of a clip."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.null = nn.Parameter(torch.randn(config.width))
        self.phase = nn.Linear(3, config.width)
        self.sharpness = nn.Parameter(torch.linspace(-1, 2, config.heads))

    def forward(self, text: Text, patches: Tensor, count: int, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the towers read of a text.

        Returns the tokens ``(B, K, D)``, what is added to the scores of attention to them ``(B, heads, count, K)``,
        and a rough alignment for the towers' inputs ``(B, count, D)``: near tokens, and how far each is through.
        Where ``keep (B,)`` is False there is one and the same learnt vector in all places, so that nothing of the
        text is left.
        """
        offset = offsets(text, patches, count)
        square = offset.square()
        hidden = ~text.mask[:, None]
        scores = -(self.sharpness.exp()[:, None, None] * square[:, None]).masked_fill(hidden[:, None], torch.inf)
        weight = torch.softmax((-SHARPNESS * square).masked_fill(hidden, -torch.inf), dim=-1)
        through = torch.pi * (weight * offset).sum(dim=-1)
        duration = (weight * text.durations[:, None]).sum(dim=-1)
        phase = self.phase(torch.stack((through.sin(), through.cos(), duration.log1p()), dim=-1))
        kept = keep[:, None, None]
        aligned = torch.where(kept, weight @ text.tokens + phase, self.null)
        return torch.where(kept, text.tokens, self.null), scores, aligned
