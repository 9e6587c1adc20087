"""What every baseline's network offers: conditions read once, velocities at every time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reference_model.config import ConfigError

from .attention import RotaryPositions
from .batch import Batch, frame_mask
from .config import NetworkConfig
from .text import Placement, Text, TextEncoder


@dataclass
class Condition:
    """What does not change along a trajectory. ``mask (B, T)`` True for the clips' frames; ``keys (B, 1, 1, N)``
    the same for patches; ``frames (B,)``. ``text``: tokens and scores for attention; ``aligned (B, N, D)``: the
    text at its places; ``peer (B, N, D)``: the encoded speech that drives; ``speaker_embedding``, ``first_motion``.
    """

    frames: Tensor
    mask: Tensor
    keys: Tensor
    rope: RotaryPositions
    text: tuple[Tensor, Tensor] | None = None
    aligned: Tensor | None = None
    peer: Tensor | None = None
    speaker_embedding: Tensor | None = None
    first_motion: Tensor | None = None


class DiffusionNetwork(nn.Module, ABC):
    """Base of the baselines. ``modalities`` are those it draws, in the order of their noise; ``reads`` are the
    conditions, fields of :class:`.items.Item`."""

    family: str
    modalities: tuple[str, ...]
    reads: tuple[str, ...]

    def __init__(self, config: NetworkConfig):
        super().__init__()
        if config.family != self.family:
            raise ConfigError(f"{type(self).__name__} is {self.family}, the configuration says {config.family}")
        self.config = config
        if self.reads_text:
            self.text_encoder = TextEncoder(config)
            self.placement = Placement(config)

    @property
    def reads_text(self) -> bool:
        return "text_ids" in self.reads

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def channels(self, modality: str) -> int:
        return self.config.speech_dim if modality == "speech" else self.config.motion_dim

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def encode_text(self, batch: Batch) -> Text | None:
        """The text with its durations; None for a family without text."""
        if not self.reads_text:
            return None
        return self.text_encoder(batch.text_ids, batch.text_lengths, batch.speaker_embedding)

    def condition(self, batch: Batch, text: Text | None, keep: Tensor, length: int) -> Condition:
        """Read the conditions of clips in ``length`` frames (whole patches, at least the longest clip).

        ``text`` is :meth:`encode_text`'s; ``keep (B,)`` False where the condition that guidance strengthens is
        left out.
        """
        size = self.config.patch_size
        mask = frame_mask(batch.frames, length)
        rope = RotaryPositions(self.config.width // self.config.heads, length // size, mask.device)
        condition = Condition(
            batch.frames,
            mask,
            mask[:, None, None, ::size],
            rope,
            speaker_embedding=batch.speaker_embedding,
            first_motion=batch.first_motion,
        )
        if text is not None:
            tokens, scores, condition.aligned = self.placement(text, batch.frames / size, length // size, keep)
            condition.text = tokens, scores
        return condition

    @abstractmethod
    def velocity(self, noisy: dict[str, Tensor], time: Tensor, condition: Condition) -> dict[str, Tensor]:
        """Velocities of all ``modalities``, each ``(B, T, C)``, of ``noisy`` latents of that shape at ``time (B,)``
        (1: noise). Frames beyond a clip's end hold nothing of use."""
