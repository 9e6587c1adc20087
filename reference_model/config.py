"""Sizes of the model as strict dataclasses (paper sections 3.2, 3.3, 4.1) and three named configurations.

ModelConfig.named("release")                 # the published size: Qwen3-0.6B, 1024 wide, 1.07 B elements
ModelConfig.from_dict({...})                 # unknown keys are errors that name the nearest match
dataclasses.replace(config, arrangement="delay(1)")
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .arrangement import Arrangement


class ConfigError(ValueError):
    """A configuration that cannot describe a model."""


@dataclass(frozen=True)
class BackboneConfig:
    """The causal language model: a Qwen3 (section 3.2). Names are those of transformers' ``Qwen3Config``."""

    vocab_size: int = 151936
    hidden_size: int = 1024
    intermediate_size: int = 3072
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 40960
    tie_word_embeddings: bool = True

    def __post_init__(self):
        _require_positive(
            self,
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
        )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of "
                f"num_key_value_heads ({self.num_key_value_heads})"
            )


@dataclass(frozen=True)
class TransformerConfig:
    """A bidirectional transformer as wide as the backbone: a patch encoder or a diffusion head (section 4.1)."""

    layers: int = 4
    heads: int = 8

    def __post_init__(self):
        _require_positive(self, "layers", "heads")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape of the weights, and the token arrangement they were trained with.

    ``patch_size`` frames (of ``fps`` frames a second) make one patch; the heads see ``context_patches``
    preceding patches. ``arrangement`` is ``add``, ``interleaved_av``, ``interleaved_va`` or ``delay(k)``
    (Table 4). Patch encoders and heads have the backbone's width, because hidden states enter the heads
    without a projection.
    """

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    patch_encoder: TransformerConfig = field(default_factory=lambda: TransformerConfig(layers=4, heads=8))
    head: TransformerConfig = field(default_factory=lambda: TransformerConfig(layers=8, heads=8))
    speech_dim: int = 32
    motion_dim: int = 40
    speaker_dim: int = 256
    patch_size: int = 4
    context_patches: int = 1
    fps: int = 25
    arrangement: str = "add"

    def __post_init__(self):
        _require_positive(self, "speech_dim", "motion_dim", "speaker_dim", "patch_size", "context_patches", "fps")
        width = self.backbone.hidden_size
        for name in ("patch_encoder", "head"):
            heads = getattr(self, name).heads
            if width % heads or (width // heads) % 2:
                raise ConfigError(f"{name}.heads = {heads} must divide the width {width} into heads of even size")
        Arrangement.parse(self.arrangement)

    @classmethod
    def named(cls, name: str) -> "ModelConfig":
        """One of :data:`SIZES`: ``release``, ``small`` or ``tiny``."""
        if name not in SIZES:
            raise ConfigError(f"no size called {name!r}{_near(name, SIZES)}; there are {', '.join(SIZES)}")
        return SIZES[name]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Read what :meth:`to_dict` wrote; absent keys keep the release's value, unknown keys are errors."""
        return read_dataclass(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, for JSON or TOML."""
        return dataclasses.asdict(self)


def read_dataclass(kind: type, values: Mapping[str, Any], where: str = "") -> Any:
    """Build the dataclass ``kind`` from plain values, nested dataclasses included.

    Raises :class:`ConfigError` for a key that the dataclass lacks (with the nearest match) and for a value of
    the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or kind.__name__} must be a table of settings, got {values!r}")
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    arguments = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else key
        if key not in fields:
            raise ConfigError(f"unknown setting {path!r}{_near(key, fields)}; there are {', '.join(fields)}")
        wanted = fields[key].type
        if dataclasses.is_dataclass(wanted):
            value = read_dataclass(wanted, value, path)
        elif wanted is float and type(value) is int:
            value = float(value)
        elif wanted in (int, float, str, bool) and type(value) is not wanted:
            raise ConfigError(f"{path} must be {wanted.__name__}, got {value!r}")
        arguments[key] = value
    return kind(**arguments)


def _require_positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} must be at least 1, got {getattr(config, name)}")


def _near(name: str, known) -> str:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


SIZES: dict[str, ModelConfig] = {
    "release": ModelConfig(),
    "small": ModelConfig(
        backbone=BackboneConfig(
            vocab_size=2048,
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=6,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=32,
            max_position_embeddings=4096,
        ),
        patch_encoder=TransformerConfig(layers=2, heads=4),
        head=TransformerConfig(layers=4, heads=4),
    ),
    "tiny": ModelConfig(
        backbone=BackboneConfig(
            vocab_size=256,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=4096,
        ),
        patch_encoder=TransformerConfig(layers=1, heads=4),
        head=TransformerConfig(layers=2, heads=4),
    ),
}
"""Named sizes: the published one, one for a GPU afternoon, one for a CPU and for tests."""
