"""Clips of different lengths as one padded batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from reference_model.utils.devices import moved


@dataclass
class Batch:
    """B clips. What a family has no use for is None.

    ``frames (B,)``: latent frames of each clip, None where only its text is read. ``text_ids (B, L)`` and
    ``text_lengths (B,)``. ``speaker_embedding (B, S)``. ``first_motion (B, M)``: the clip's first frame of motion.
    ``speech (B, T, 32)``: the speech that drives, T frames in whole patches, zeros beyond a clip's end.
    """

    frames: Tensor | None
    text_ids: Tensor | None = None
    text_lengths: Tensor | None = None
    speaker_embedding: Tensor | None = None
    first_motion: Tensor | None = None
    speech: Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        return moved(self, device)

    def doubled(self) -> "Batch":
        """Every clip twice: (B clips, the same B clips)."""
        return Batch(
            **{name: None if value is None else torch.cat((value, value)) for name, value in vars(self).items()}
        )


def whole_patches(frames: int, patch_size: int) -> int:
    """``frames`` rounded up to whole patches, in frames."""
    return -(-frames // patch_size) * patch_size


def padded(latents: Sequence[Tensor], patch_size: int) -> Tensor:
    """``(T_i, C)`` each, to ``(B, T, C)``: zeros behind, T the longest in whole patches."""
    stacked = pad_sequence(list(latents), batch_first=True)
    missing = whole_patches(stacked.shape[1], patch_size) - stacked.shape[1]
    return torch.nn.functional.pad(stacked, (0, 0, 0, missing))


def texts(ids: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Token ids ``(L_i,)`` each, to ``(B, L)`` and lengths ``(B,)``."""
    return pad_sequence([one.long() for one in ids], batch_first=True), torch.tensor([len(one) for one in ids])


def frame_mask(frames: Tensor, length: int) -> Tensor:
    """True for the frames of each clip: ``(B, length)``."""
    return torch.arange(length, device=frames.device) < frames[:, None]
