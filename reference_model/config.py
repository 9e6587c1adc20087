"""Sizes of the model as strict settings (paper sections 3.2, 3.3, 4.1) and three named configurations.

ModelConfig.named("release")                 # the published size: Qwen3-0.6B, 1024 wide, 1.07 B elements
ModelConfig.from_dict({...})                 # unknown keys are errors that name the nearest match
dataclasses.replace(config, arrangement="delay(1)")
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import PositiveInt

from .arrangement import Arrangement
from .utils.config import ConfigError, checked, near, strict_dataclass


@strict_dataclass
class BackboneConfig:
    """The causal language model: a Qwen3 (section 3.2). Names are those of transformers' ``Qwen3Config``."""

    vocab_size: PositiveInt = 151936
    hidden_size: PositiveInt = 1024
    intermediate_size: PositiveInt = 3072
    num_hidden_layers: PositiveInt = 28
    num_attention_heads: PositiveInt = 16
    num_key_value_heads: PositiveInt = 8
    head_dim: PositiveInt = 128
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 40960
    tie_word_embeddings: bool = True

    def __post_init__(self):
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of "
                f"num_key_value_heads ({self.num_key_value_heads})"
            )


@strict_dataclass
class TransformerConfig:
    """A bidirectional transformer as wide as the backbone: a patch encoder or a diffusion head (section 4.1)."""

    layers: PositiveInt = 4
    heads: PositiveInt = 8


@strict_dataclass
class ModelConfig:
    """Everything that fixes the shape of the weights, and the token arrangement they were trained with.

    ``patch_size`` frames (of ``fps`` frames a second) make one patch; the heads see ``context_patches``
    preceding patches. ``arrangement`` is ``add``, ``interleaved_av``, ``interleaved_va`` or ``delay(k)``
    (Table 4). Patch encoders and heads have the backbone's width, because hidden states enter the heads
    without a projection.
    """

    backbone: BackboneConfig = BackboneConfig()
    patch_encoder: TransformerConfig = TransformerConfig(layers=4, heads=8)
    head: TransformerConfig = TransformerConfig(layers=8, heads=8)
    speech_dim: PositiveInt = 32
    motion_dim: PositiveInt = 40
    speaker_dim: PositiveInt = 256
    patch_size: PositiveInt = 4
    context_patches: PositiveInt = 1
    fps: PositiveInt = 25
    arrangement: str = "add"

    def __post_init__(self):
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
            raise ConfigError(f"no size is called {name!r}{near(name, SIZES)}")
        return SIZES[name]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Read what :meth:`to_dict` wrote; absent keys keep the release's value, unknown keys are errors."""
        return checked(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, for JSON or TOML."""
        return dataclasses.asdict(self)


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
