"""Sizes of a baseline's network and the settings of its training; strict dataclasses, as the reference's."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from reference_model.config import ConfigError
from reference_model.training.config import (
    AverageConfig,
    CheckpointConfig,
    JournalConfig,
    OptimiserConfig,
    Share,
    ValidationConfig,
)
from reference_model.utils.config import checked, strict_dataclass

Family = Literal["dual_branch", "audio_driven", "length_matched_tts"]
FAMILIES = typing.get_args(Family)


@strict_dataclass
class NetworkConfig:
    """Everything that fixes the shape of a network's weights.

    ``family`` is one of :data:`FAMILIES`. ``patch_size`` frames (at 25 Hz) make one token of ``width`` channels.
    ``layers`` blocks in each tower; ``condition_layers`` blocks in the encoder of the text (or of the speech that
    drives). ``vocab_size`` counts text token ids, 0 included.
    """

    family: Family
    width: PositiveInt = 64
    layers: PositiveInt = 2
    heads: PositiveInt = 4
    condition_layers: PositiveInt = 1
    vocab_size: PositiveInt = 80
    speech_dim: PositiveInt = 32
    motion_dim: PositiveInt = 16
    speaker_dim: PositiveInt = 64
    patch_size: PositiveInt = 4

    def __post_init__(self):
        if self.width % (2 * self.heads):
            raise ConfigError(f"width must be a multiple of {2 * self.heads} for {self.heads} heads, got {self.width}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NetworkConfig":
        """Read what :meth:`to_dict` wrote. Unknown keys and wrong types raise :class:`.ConfigError`."""
        return checked(cls, values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@strict_dataclass
class FlowConfig:
    """The loss. ``condition_dropout``: share of clips that lose the condition that guidance strengthens (the text,
    or the speech that drives). ``time_mean``, ``time_scale``: of the time's logit, as in the reference's loss.
    ``motion_weight``, ``length_weight``: weights beside the speech loss's 1.
    """

    condition_dropout: Share = 0.1
    time_mean: float = -0.4
    time_scale: NonNegativeFloat = 1.0
    motion_weight: NonNegativeFloat = 1.0
    length_weight: NonNegativeFloat = 0.1


@strict_dataclass
class TrainingConfig:
    """A run of ``steps`` updates with ``batch_size`` clips each, over all processes and ``accumulation`` passes.

    The clips of ``pool_steps`` updates are sorted by length together, which limits padding. The other settings are as
    those of the reference's run.
    """

    network: NetworkConfig
    steps: PositiveInt = 5000
    seed: NonNegativeInt = 0
    batch_size: PositiveInt = 16
    accumulation: PositiveInt = 1
    pool_steps: PositiveInt = 20
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["bfloat16", "float32"] = "float32"
    threads: NonNegativeInt = 1
    timeout: PositiveInt = 1800
    activation_checkpointing: bool = False
    flow: FlowConfig = FlowConfig()
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=2e-3, schedule="cosine")
    average: AverageConfig = AverageConfig(decay=0.995)
    validation: ValidationConfig = ValidationConfig(every=250)
    checkpoints: CheckpointConfig = CheckpointConfig()
    journal: JournalConfig = JournalConfig()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """Read plain values (TOML, JSON, :meth:`to_dict`). Raises :class:`.ConfigError`."""
        return checked(cls, values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
