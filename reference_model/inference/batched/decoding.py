"""A batch's place in the backbone: padded prompts, positions, which columns of the cache each row sees.

Prompts are padded on the left and masked; positions count a row's own tokens; generated tokens follow column by column.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...modules.backbone import RotaryTable, decode
from .networks import StepNetworks


class Decoder:
    """Hidden states (after the final norm) of a batch that grows token by token.

    ``prompts`` are embeddings ``(tokens, D)``, one a row; ``most`` bounds the tokens that :meth:`step` will be given.
    ``hidden (B, D)`` is the state of every row's last token.
    """

    def __init__(self, networks: StepNetworks, prompts: list[Tensor], most: int):
        self._networks, self._backbone = networks, networks.model.backbone
        self._filled = max(map(len, prompts))
        self._cache = networks.take_cache(len(prompts), self._filled + max(most, 1))
        self._rotary = RotaryTable.of(self._backbone, self._filled + most)
        self._start(prompts)

    def _start(self, prompts: list[Tensor]) -> None:
        longest, device = self._filled, prompts[0].device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        pad = (longest - lengths)[:, None]
        self._column = torch.arange(self._cache.columns, device=device)
        self._padded = len({len(prompt) for prompt in prompts}) > 1
        self._visible = self._column >= pad
        self._position = lengths
        embeddings = torch.stack([F.pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts])
        token = self._column[:longest]
        causal = (token[None, :] <= token[:, None]) & self._visible[:, None, :longest]
        # A padding token sees itself alone: softmax over nothing would be NaN.
        causal = causal | torch.eye(longest, dtype=torch.bool, device=device)
        positions = self._rotary.at((token - pad).clamp_min(0))
        self.hidden = decode(self._backbone, embeddings, *positions, self._cache, 0, longest, causal)

    def step(self, tokens: Tensor) -> None:
        """One token for every row: ``tokens (B, D)``."""
        column = self._filled
        if self._networks.keeps_rows:
            mask = (self._visible & (self._column <= column))[:, None]
        else:
            mask = self._visible[:, None, : column + 1] if self._padded else None
        cos, sin = self._rotary.at(self._position[:, None])
        self.hidden = self._networks.decode(self._cache, tokens[:, None], cos, sin, column, mask)
        self._position = self._position + 1
        self._filled += 1

    def keep(self, rows: list[int]) -> None:
        """Go on with the batch rows ``rows`` (ascending) alone."""
        self._cache.keep(rows)
        self.hidden, self._visible, self._position = self.hidden[rows], self._visible[rows], self._position[rows]

    def close(self) -> None:
        """Hand the cache back, for the next batch of this size."""
        self._networks.return_cache(self._cache)
