"""One TOML file says everything about a run; see ``reference_model/configs`` for the packaged ones.

    config = read_config("tiny", ["steps=200", "optimiser.learning_rate=1e-3"])
    config = TrainingConfig.from_dict({...})

``model.size`` and ``loss.recipe`` choose named defaults, over which the other settings of their tables are laid.
Unknown settings are errors that name the nearest match. Paths are relative to the current folder.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ..config import ModelConfig
from ..utils.config import ConfigError, assignment, checked, merged, near, read_toml, strict_dataclass
from .forward import LOSS_RECIPES, LossRecipe
from .shards import dims_found

CONFIGS = Path(__file__).parent.parent / "configs"
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Folders = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda value: (value,) if value and isinstance(value, str) else tuple(value or ())),
]
"""A folder or a list of folders."""


@strict_dataclass
class StartConfig:
    """Weights to start from instead of random ones.

    ``weights``: a whole model, ours or the release's. ``backbone``: a Qwen3 (safetensors file, or the folder that
    holds ``model.safetensors``), as the paper does. ``freeze_text_embedding``: as the release's training did.
    """

    weights: str = ""
    backbone: str = ""
    freeze_text_embedding: bool = False

    def __post_init__(self):
        if self.weights and self.backbone:
            raise ConfigError("start.weights already holds a backbone; give start.weights or start.backbone, not both")
        if self.freeze_text_embedding and not (self.weights or self.backbone):
            raise ConfigError(
                "start.freeze_text_embedding would freeze random numbers: give start.weights or start.backbone, or set "
                "start.freeze_text_embedding = false"
            )


@strict_dataclass
class SyntheticConfig:
    """Size of the built-in task: samples to train on, held-out samples, and words of a text."""

    samples: PositiveInt = 2000
    validation_samples: PositiveInt = 64
    shortest: PositiveInt = 3
    longest: PositiveInt = 8

    def __post_init__(self):
        if self.longest < self.shortest:
            raise ConfigError(f"longest = {self.longest} must be at least shortest = {self.shortest}")


@strict_dataclass
class DataConfig:
    """Where samples come from: ``kind`` is ``shards``, ``synthetic``, or ``given`` (sources passed to ``train``).

    ``t2av``, ``tts`` and ``validation`` are folders of shards (a path or a list of paths). T2AV uses the entries
    that have motion; TTS uses all of its folder, or of T2AV's where it has none, and leaves motion out. ``verify``
    checks the shards' ``size`` or, reading every byte at start, their ``digest``. ``workers`` are processes that
    prepare batches. ``pool_steps``: samples of so many steps are sorted by length together, which limits padding.
    ``max_tokens``: longer sequences are cut there. ``window_seconds``: of a longer clip each step trains on a part of
    that length from a random place, the same in both modalities, with the whole text (0: on the whole clip).
    """

    kind: Literal["shards", "synthetic", "given"] = "shards"
    t2av: Folders = ()
    tts: Folders = ()
    validation: Folders = ()
    verify: Literal["size", "digest"] = "digest"
    workers: NonNegativeInt = 0
    pool_steps: PositiveInt = 20
    max_tokens: Annotated[int, Field(ge=2)] = 1000
    window_seconds: NonNegativeFloat = 30.0
    synthetic: SyntheticConfig = SyntheticConfig()


@strict_dataclass
class BatchConfig:
    """``size`` samples a step, over all processes; ``tts_share`` of them are TTS (section 3.4: half).

    ``accumulation`` splits a step into so many passes on each process, to save memory; gradients stay the same.
    """

    size: PositiveInt = 256
    tts_share: Share = 0.5
    accumulation: PositiveInt = 1

    @property
    def tts(self) -> int:
        return round(self.size * self.tts_share)

    @property
    def t2av(self) -> int:
        return self.size - self.tts


@strict_dataclass
class OptimiserConfig:
    """AdamW. The rate rises linearly over ``warmup_share`` of the steps (section 4.1: 3 %) to ``learning_rate``.

    It stays there until ``decay_from`` of the steps, then falls to ``final_share`` of itself at the last step, by
    ``schedule`` ``linear`` or ``cosine``; ``constant`` does not fall. ``weight_decay`` acts on matrices, not on
    biases and norms. Gradients longer than ``clip_norm`` are shortened to it. The paper names AdamW, rate and
    warm-up; betas, decay and clipping are ours.
    """

    learning_rate: PositiveFloat = 1e-4
    warmup_share: Share = 0.03
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    decay_from: Share = 0.0
    final_share: Share = 0.01
    beta1: Decay = 0.9
    beta2: Decay = 0.98
    epsilon: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.01
    clip_norm: PositiveFloat = 1.0


@strict_dataclass
class AidsConfig:
    """Helps for small models and short runs that are in neither paper nor release; 0 switches each off.

    ``input_noise``: normal noise of this mean scale (per patch, uniform up to twice it) on the latents that the
    backbone reads, so that it learns to bear its own errors; targets stay clean. ``context_noise``: normal noise of
    this scale on the preceding patch that the heads see. ``regression_weight``: weight of an L1 loss of a linear
    map from the hidden state to its patch; the map is kept in checkpoints, not in the model.
    """

    input_noise: NonNegativeFloat = 0.0
    context_noise: NonNegativeFloat = 0.0
    regression_weight: NonNegativeFloat = 0.0


@strict_dataclass
class AverageConfig:
    """Exponential moving average of the weights: the model that a run delivers. ``decay`` 0: the weights themselves.

    The decay of update n is min(``decay``, n / (n + ``warmup``)), so that the average forgets its start quickly.
    """

    decay: Decay = 0.999
    warmup: NonNegativeInt = 20


@strict_dataclass
class ValidationConfig:
    """Losses of the averaged weights on held-out samples every ``every`` steps (0: never) and at the end."""

    every: NonNegativeInt = 1000
    batch_size: PositiveInt = 16


@strict_dataclass
class CheckpointConfig:
    """A checkpoint every ``every`` steps; the last ``keep`` of them stay."""

    every: PositiveInt = 1000
    keep: PositiveInt = 3


@strict_dataclass
class JournalConfig:
    """A line of metrics every ``every`` steps: the mean over those steps.

    ``trackers`` are told the same: TensorBoard writes to the folder ``t2av-training`` of the run, W&B has a project of
    this name.
    """

    every: PositiveInt = 10
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()


@strict_dataclass
class TrainingConfig:
    """A run. ``precision`` is that of autocast (``bfloat16``, or ``float32`` for none); weights are float32 always.

    ``device``: ``auto``, ``cpu``, ``cuda``. ``threads``: CPU threads of each process, 0 leaves torch's choice.
    ``timeout``: seconds that a process waits for the others before the run fails. ``activation_checkpointing``
    computes activations again in the backward pass instead of keeping them: less memory, about a third more time.
    """

    output: Annotated[str, Field(min_length=1, description='the folder of the run, e.g. output = "runs/first"')]
    steps: Annotated[int, Field(ge=1, description="updates to make, e.g. steps = 1000")]
    seed: NonNegativeInt = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    threads: NonNegativeInt = 0
    timeout: PositiveInt = 1800
    activation_checkpointing: bool = False
    model: ModelConfig = ModelConfig()
    start: StartConfig = StartConfig()
    data: DataConfig = DataConfig()
    batch: BatchConfig = BatchConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    loss: LossRecipe = LOSS_RECIPES["paper"]
    aids: AidsConfig = AidsConfig()
    average: AverageConfig = AverageConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoints: CheckpointConfig = CheckpointConfig()
    journal: JournalConfig = JournalConfig()

    def __post_init__(self):
        if self.data.kind == "shards":
            for count, name, share in ((self.batch.t2av, "t2av", 1), (self.batch.tts, "tts", 0)):
                if count and not (getattr(self.data, name) or self.data.t2av):
                    raise ConfigError(
                        f"each batch holds {count} {name.upper()} samples, but data.{name} names no "
                        f"folder; set it, or batch.tts_share = {share}"
                    )

    @property
    def accumulation(self) -> int:
        return self.batch.accumulation

    @property
    def window_frames(self) -> int:
        """``data.window_seconds`` in latent frames."""
        return round(self.data.window_seconds * self.model.fps)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """Read plain values (TOML, JSON, :meth:`to_dict`). Raises :class:`.ConfigError`."""
        values = dict(values)
        for table, choice, named in (("model", "size", ModelConfig.named), ("loss", "recipe", loss_recipe)):
            if isinstance(given := values.get(table), Mapping):
                known = [choice, *cls.__pydantic_fields__[table].annotation.__pydantic_fields__]
                if unknown := [name for name in given if name not in known]:
                    raise ConfigError(f"unknown key '{table}.{unknown[0]}'{near(unknown[0], known)}")
                own = {name: value for name, value in given.items() if name != choice}
                values[table] = merged(dataclasses.asdict(named(given[choice])), own) if choice in given else own
        return checked(cls, values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def read_config(path: str | Path, overrides: Iterable[str] = ()) -> TrainingConfig:
    """Read a TOML file, or a packaged configuration by name, and lay ``key.subkey=value`` overrides over it.

    A value is TOML (``8``, ``0.5``, ``true``, ``["a", "b"]``); what is not TOML is taken as text. Channel counts that
    neither says are those of the shards that it names. Raises :class:`.ConfigError`, :class:`.SampleError`.
    """
    file = Path(path)
    if not file.is_file():
        names = sorted(found.stem for found in CONFIGS.glob("*.toml"))
        if str(path) not in names:
            raise ConfigError(f"no file {path}, nor a packaged configuration of this name{near(str(path), names)}")
        file = CONFIGS / f"{path}.toml"
    values = read_toml(file)
    for override in overrides:
        values = merged(values, _override(override))
    if dims := dims_found(values.get("data")):
        values = merged({"model": dims}, values)
    try:
        return TrainingConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def loss_recipe(name: str) -> LossRecipe:
    """One of ``LOSS_RECIPES``. Raises :class:`.ConfigError`."""
    if name not in LOSS_RECIPES:
        raise ConfigError(f"no loss recipe is called {name!r}{near(str(name), LOSS_RECIPES)}")
    return LOSS_RECIPES[name]


def _override(text: str) -> dict[str, Any]:
    expected = "table.setting=value, e.g. optimiser.learning_rate=3e-4"
    key, value = assignment(text, "the override", expected)
    if not all(key.split(".")):
        raise ConfigError(f"the override {text!r}: expected {expected}")
    for part in reversed(key.split(".")):
        value = {part: value}
    return value
