"""Sizes of a baseline's network and the settings of its training; strict dataclasses, as the reference's."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reference_model.config import ConfigError, read_dataclass
from reference_model.training.config import (
    AverageConfig,
    CheckpointConfig,
    JournalConfig,
    OptimiserConfig,
    ValidationConfig,
)

FAMILIES = ("dual_branch", "audio_driven", "length_matched_tts")


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the shape of a network's weights.

    ``family`` is one of :data:`FAMILIES`. ``patch_size`` frames (at 25 Hz) make one token of ``width`` channels.
    ``layers`` blocks in each tower; ``condition_layers`` blocks in the encoder of the text (or of the speech that
    drives). ``vocab_size`` counts text token ids, 0 included.
    """

    family: str
    width: int = 64
    layers: int = 2
    heads: int = 4
    condition_layers: int = 1
    vocab_size: int = 80
    speech_dim: int = 32
    motion_dim: int = 16
    speaker_dim: int = 64
    patch_size: int = 4

    def __post_init__(self):
        if self.family not in FAMILIES:
            raise ConfigError(f"family must be one of {', '.join(FAMILIES)}; got {self.family!r}")
        for entry in dataclasses.fields(self):
            if entry.type is int and getattr(self, entry.name) < 1:
                raise ConfigError(f"{entry.name} must be at least 1, got {getattr(self, entry.name)}")
        if self.width % (2 * self.heads):
            raise ConfigError(f"width must be a multiple of {2 * self.heads} for {self.heads} heads, got {self.width}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NetworkConfig":
        """Read what :meth:`to_dict` wrote. Unknown keys and wrong types raise :class:`.ConfigError`."""
        if not isinstance(values, Mapping) or "family" not in values:
            raise ConfigError(f"family must be set to one of {', '.join(FAMILIES)}")
        return read_dataclass(cls, values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class FlowConfig:
    """The loss. ``condition_dropout``: share of clips that lose the condition that guidance strengthens (the text,
    or the speech that drives). ``time_mean``, ``time_scale``: of the time's logit, as in the reference's loss.
    ``motion_weight``, ``length_weight``: weights beside the speech loss's 1.
    """

    condition_dropout: float = 0.1
    time_mean: float = -0.4
    time_scale: float = 1.0
    motion_weight: float = 1.0
    length_weight: float = 0.1

    def __post_init__(self):
        if not 0 <= self.condition_dropout <= 1:
            raise ConfigError(f"flow.condition_dropout must be between 0 and 1, got {self.condition_dropout}")
        for name in ("time_scale", "motion_weight", "length_weight"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"flow.{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True)
class TrainingConfig:
    """A run of ``steps`` updates with ``batch_size`` clips each, in float32.

    The clips of ``pool_steps`` updates are sorted by length together, which limits padding. ``device``: ``auto``,
    ``cpu``, ``cuda``. ``threads``: CPU threads, 0 leaves torch's choice.
    """

    network: NetworkConfig
    steps: int = 5000
    seed: int = 0
    batch_size: int = 16
    pool_steps: int = 20
    device: str = "auto"
    threads: int = 1
    flow: FlowConfig = field(default_factory=FlowConfig)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=2e-3, schedule="cosine"))
    average: AverageConfig = field(default_factory=lambda: AverageConfig(decay=0.995))
    validation: ValidationConfig = field(default_factory=lambda: ValidationConfig(every=250))
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    journal: JournalConfig = field(default_factory=JournalConfig)

    def __post_init__(self):
        for name, least in (("steps", 1), ("seed", 0), ("batch_size", 1), ("pool_steps", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"device must be auto, cpu or cuda; got {self.device!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """Read plain values (TOML, JSON, :meth:`to_dict`). Raises :class:`.ConfigError`."""
        if not isinstance(values, Mapping) or "network" not in values:
            raise ConfigError("network must be set: a table with at least family")
        NetworkConfig.from_dict(values["network"])  # says what is missing
        return read_dataclass(cls, values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
