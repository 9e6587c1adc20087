"""One TOML file says everything about a run; see ``reference_model/configs`` for the packaged ones.

    config = read_config("tiny", ["steps=200", "optimiser.learning_rate=1e-3"])
    config = TrainingConfig.from_dict({...})

``model.size`` and ``loss.recipe`` choose named defaults, over which the other settings of their tables are laid.
Unknown settings are errors that name the nearest match. Paths are relative to the current folder.
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import ConfigError, ModelConfig, _near, read_dataclass
from .forward import LOSS_RECIPES, LossRecipe

CONFIGS = Path(__file__).parent.parent / "configs"


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class SyntheticConfig:
    """Size of the built-in task: samples to train on, held-out samples, and words of a text."""

    samples: int = 2000
    validation_samples: int = 64
    shortest: int = 3
    longest: int = 8

    def __post_init__(self):
        _require("data.synthetic", self, samples=1, validation_samples=1, shortest=1, longest=self.shortest)


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from: ``kind`` is ``shards``, ``synthetic``, or ``given`` (sources passed to ``train``).

    ``t2av``, ``tts`` and ``validation`` are folders of shards (a path or a list of paths). T2AV uses the entries
    that have motion; TTS uses all of its folder and leaves motion out, so one folder can serve both. ``verify``
    checks the shards' ``size`` or, reading every byte at start, their ``digest``. ``workers`` are processes that
    prepare batches. ``pool_steps``: samples of so many steps are sorted by length together, which limits padding.
    ``max_tokens``: longer sequences are cut there.
    """

    kind: str = "shards"
    t2av: tuple[str, ...] = ()
    tts: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    verify: str = "digest"
    workers: int = 0
    pool_steps: int = 20
    max_tokens: int = 1000
    synthetic: SyntheticConfig = field(default_factory=lambda: SyntheticConfig())

    def __post_init__(self):
        _choice("data.kind", self.kind, ("shards", "synthetic", "given"))
        _choice("data.verify", self.verify, ("size", "digest"))
        _require("data", self, workers=0, pool_steps=1, max_tokens=2)
        for name in ("t2av", "tts", "validation"):
            value = getattr(self, name)
            value = (value,) if isinstance(value, str) and value else tuple(value or ())
            if not all(isinstance(folder, str) and folder for folder in value):
                raise ConfigError(f"data.{name} must be a folder or a list of folders, got {value!r}")
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class BatchConfig:
    """``size`` samples a step, over all processes; ``tts_share`` of them are TTS (section 3.4: half).

    ``accumulation`` splits a step into so many passes on each process, to save memory; gradients stay the same.
    """

    size: int = 256
    tts_share: float = 0.5
    accumulation: int = 1

    def __post_init__(self):
        _require("batch", self, size=1, accumulation=1)
        _between("batch.tts_share", self.tts_share, 0, 1)

    @property
    def tts(self) -> int:
        return round(self.size * self.tts_share)

    @property
    def t2av(self) -> int:
        return self.size - self.tts


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW. The rate rises linearly over ``warmup_share`` of the steps (section 4.1: 3 %) to ``learning_rate``.

    It stays there until ``decay_from`` of the steps, then falls to ``final_share`` of itself at the last step, by
    ``schedule`` ``linear`` or ``cosine``; ``constant`` does not fall. ``weight_decay`` acts on matrices, not on
    biases and norms. Gradients longer than ``clip_norm`` are shortened to it. The paper names AdamW, rate and
    warm-up; betas, decay and clipping are ours.
    """

    learning_rate: float = 1e-4
    warmup_share: float = 0.03
    schedule: str = "constant"
    decay_from: float = 0.0
    final_share: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def __post_init__(self):
        _choice("optimiser.schedule", self.schedule, ("constant", "linear", "cosine"))
        for name in ("warmup_share", "decay_from", "final_share"):
            _between(f"optimiser.{name}", getattr(self, name), 0, 1)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"optimiser.{name} must be at least 0 and below 1, got {getattr(self, name)}")
        for name in ("learning_rate", "epsilon", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"optimiser.{name} must be above 0, got {getattr(self, name)}")
        if not self.weight_decay >= 0:
            raise ConfigError(f"optimiser.weight_decay must not be negative, got {self.weight_decay}")


@dataclass(frozen=True)
class AidsConfig:
    """Helps for small models and short runs that are in neither paper nor release; 0 switches each off.

    ``input_noise``: normal noise of this mean scale (per patch, uniform up to twice it) on the latents that the
    backbone reads, so that it learns to bear its own errors; targets stay clean. ``context_noise``: normal noise of
    this scale on the preceding patch that the heads see. ``regression_weight``: weight of an L1 loss of a linear
    map from the hidden state to its patch; the map is kept in checkpoints, not in the model.
    """

    input_noise: float = 0.0
    context_noise: float = 0.0
    regression_weight: float = 0.0

    def __post_init__(self):
        _require("aids", self, input_noise=0, context_noise=0, regression_weight=0)


@dataclass(frozen=True)
class AverageConfig:
    """Exponential moving average of the weights: the model that a run delivers.

    The decay of update n is min(``decay``, n / (n + ``warmup``)), so that the average forgets its start quickly.
    """

    decay: float = 0.999
    warmup: int = 20

    def __post_init__(self):
        if not 0 <= self.decay < 1:
            raise ConfigError(f"average.decay must be at least 0 and below 1, got {self.decay}")
        _require("average", self, warmup=0)


@dataclass(frozen=True)
class ValidationConfig:
    """Losses of the averaged weights on held-out samples every ``every`` steps (0: never) and at the end."""

    every: int = 1000
    batch_size: int = 16

    def __post_init__(self):
        _require("validation", self, every=0, batch_size=1)


@dataclass(frozen=True)
class CheckpointConfig:
    """A checkpoint every ``every`` steps; the last ``keep`` of them stay."""

    every: int = 1000
    keep: int = 3

    def __post_init__(self):
        _require("checkpoints", self, every=1, keep=1)


@dataclass(frozen=True)
class JournalConfig:
    """A line of metrics every ``every`` steps: the mean over those steps."""

    every: int = 10

    def __post_init__(self):
        _require("journal", self, every=1)


@dataclass(frozen=True)
class TrainingConfig:
    """A run. ``precision`` is that of autocast (``bfloat16``, or ``float32`` for none); weights are float32 always.

    ``device``: ``auto``, ``cpu``, ``cuda``. ``threads``: CPU threads of each process, 0 leaves torch's choice.
    """

    output: str
    steps: int
    seed: int = 0
    device: str = "auto"
    precision: str = "bfloat16"
    threads: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    start: StartConfig = field(default_factory=lambda: StartConfig())
    data: DataConfig = field(default_factory=lambda: DataConfig())
    batch: BatchConfig = field(default_factory=lambda: BatchConfig())
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig())
    loss: LossRecipe = field(default_factory=lambda: LOSS_RECIPES["paper"])
    aids: AidsConfig = field(default_factory=lambda: AidsConfig())
    average: AverageConfig = field(default_factory=lambda: AverageConfig())
    validation: ValidationConfig = field(default_factory=lambda: ValidationConfig())
    checkpoints: CheckpointConfig = field(default_factory=lambda: CheckpointConfig())
    journal: JournalConfig = field(default_factory=lambda: JournalConfig())

    def __post_init__(self):
        _require("", self, steps=1, seed=0, threads=0)
        _choice("device", self.device, ("auto", "cpu", "cuda"))
        _choice("precision", self.precision, ("bfloat16", "float32"))
        if not self.output:
            raise ConfigError('output must name the folder of the run, e.g. output = "runs/first"')
        if self.data.kind == "shards":
            for count, name, share in ((self.batch.t2av, "t2av", 1), (self.batch.tts, "tts", 0)):
                if count and not getattr(self.data, name):
                    raise ConfigError(
                        f"each batch holds {count} {name.upper()} samples, but data.{name} names no "
                        f"folder; set it, or batch.tts_share = {share}"
                    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """Read plain values (TOML, JSON, :meth:`to_dict`). Raises :class:`.ConfigError`."""
        values = dict(values)
        if missing := [name for name in ("output", "steps") if name not in values]:
            raise ConfigError(f'{" and ".join(missing)} must be set, e.g. output = "runs/first", steps = 1000')
        for table, choice, named in (("model", "size", _model_defaults), ("loss", "recipe", _loss_defaults)):
            given = values.get(table, {})
            if not isinstance(given, Mapping):
                raise ConfigError(f"{table} must be a table of settings, got {given!r}")
            given = dict(given)
            known = named(given.pop(choice)) if choice in given else {}
            kind = ModelConfig if table == "model" else LossRecipe
            _check_names(kind, given, table, choice)
            values[table] = merged(known, given)
        return read_dataclass(cls, values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def read_config(path: str | Path, overrides: Iterable[str] = ()) -> TrainingConfig:
    """Read a TOML file, or a packaged configuration by name, and lay ``key.subkey=value`` overrides over it.

    A value is TOML (``8``, ``0.5``, ``true``, ``["a", "b"]``); what is not TOML is taken as text.
    Raises :class:`.ConfigError`.
    """
    file = Path(path)
    if not file.is_file():
        names = sorted(found.stem for found in CONFIGS.glob("*.toml"))
        if str(path) not in names:
            raise ConfigError(f"no file {path}{_near(str(path), names)}; give a TOML file or one of {', '.join(names)}")
        file = CONFIGS / f"{path}.toml"
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as TOML: {error}") from error
    for override in overrides:
        values = merged(values, _override(override))
    try:
        return TrainingConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``, table by table."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result


def _override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(
            f"cannot read the override {text!r}; write it as table.setting=value, e.g. optimiser.learning_rate=3e-4"
        )
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return parsed


def _model_defaults(size: str) -> dict[str, Any]:
    return ModelConfig.named(size).to_dict()


def _loss_defaults(recipe: str) -> dict[str, Any]:
    if recipe not in LOSS_RECIPES:
        raise ConfigError(
            f"no loss recipe {recipe!r}{_near(str(recipe), LOSS_RECIPES)}; there are {', '.join(LOSS_RECIPES)}"
        )
    return dataclasses.asdict(LOSS_RECIPES[recipe])


def _check_names(kind: type, given: Mapping[str, Any], table: str, choice: str) -> None:
    known = [choice, *(entry.name for entry in dataclasses.fields(kind))]
    for key in given:
        if key not in known:
            raise ConfigError(f"unknown setting '{table}.{key}'{_near(key, known)}; there are {', '.join(known)}")


def _require(where: str, config: Any, **least: float) -> None:
    for name, bound in least.items():
        if not getattr(config, name) >= bound:
            raise ConfigError(
                f"{where}{'.' if where else ''}{name} must be at least {bound}, got {getattr(config, name)}"
            )


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} must be between {low} and {high}, got {value}")


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}; got {value!r}{_near(value, choices)}")
