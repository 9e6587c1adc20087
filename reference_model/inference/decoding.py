"""A batch's place in the backbone: padded prompts, positions, which columns of the cache each row sees.

Prompts are padded on the left and masked; positions count a row's own tokens. Generated tokens go to columns behind
the prompt, and from the ``ring``-th on they overwrite the oldest of them, which makes the attention window.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..acceleration.step_functions import StepFunctions
from ..modules.backbone import RotaryTable, decode


class Decoder:
    """Hidden states (after the final norm) of a batch that grows token by token.

    ``prompts`` are embeddings ``(tokens, D)``, one a row; ``most`` bounds the tokens that :meth:`step` will be given,
    ``ring`` how many of them attention remembers. ``hidden (B, D)`` is the state of every row's last token.
    """

    def __init__(self, functions: StepFunctions, prompts: list[Tensor], most: int, ring: int, dtype: torch.dtype):
        self._functions, self._backbone = functions, functions.model.backbone
        self._prompt, self._ring, self._fed = max(map(len, prompts)), max(ring, 1), 0
        self._cache = functions.take_cache(len(prompts), self._prompt + self._ring, dtype)
        self._rotary = RotaryTable.of(self._backbone, self._prompt + most)
        self._start(prompts)

    def _start(self, prompts: list[Tensor]) -> None:
        longest, device = self._prompt, prompts[0].device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        pad = (longest - lengths)[:, None]
        column = torch.arange(self._cache.columns, device=device)
        self._padded = len({len(prompt) for prompt in prompts}) > 1
        self._visible = column >= pad
        self._position = lengths
        embeddings = torch.stack([F.pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts])
        token = column[:longest]
        causal = (token[None, :] <= token[:, None]) & self._visible[:, None, :longest]
        # A padding token sees itself alone: softmax over nothing would be NaN.
        causal = causal | torch.eye(longest, dtype=torch.bool, device=device)
        positions = self._rotary.at((token - pad).clamp_min(0))
        self.hidden = decode(self._backbone, embeddings, *positions, self._cache, 0, longest, causal)

    def step(self, tokens: Tensor) -> None:
        """One token for every row: ``tokens (B, D)``."""
        column = self._prompt + self._fed % self._ring
        visible = self._prompt + min(self._fed + 1, self._ring)
        cos, sin = self._rotary.at(self._position[:, None])
        if self._functions.constant_shapes:
            seen = self._visible & (torch.arange(self._cache.columns, device=tokens.device) < visible)
            step = self._functions.decode_step(self._cache)
            self.hidden = step(tokens[:, None], cos, sin, torch.tensor([column], device=tokens.device), seen[:, None])
        else:
            mask = self._visible[:, None, :visible] if self._padded else None
            self.hidden = decode(self._backbone, tokens[:, None], cos, sin, self._cache, column, visible, mask)
        self._position = self._position + 1
        self._fed += 1

    def keep(self, rows: list[int]) -> None:
        """Go on with the batch rows ``rows`` (ascending) alone."""
        self._cache.keep(rows)
        self.hidden, self._visible, self._position = self.hidden[rows], self._visible[rows], self._position[rows]

    def close(self) -> None:
        """Hand the cache back, for the next batch of this size."""
        self._functions.return_cache(self._cache)
