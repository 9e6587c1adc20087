"""The configuration of ``evaluate``: everything on the command line can stand in a TOML file, checked strictly."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from t2av_bench.media.limits import DEFAULT, Limits
from t2av_bench.utils.machine import cores
from t2av_bench.utils.memory import GB, WORKER_BYTES, fitting


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and what was expected."""


class EvaluateConfig(BaseModel):
    """The keys of an ``evaluate`` configuration file; each is an option of the command of the same name.

    Paths in a file are relative to the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    generated: Path
    reference: Path | None = None
    manifest: Path | None = None
    out: Path
    name: str | None = None
    metrics: tuple[str, ...] = ("all",)
    device: str = Field(default="cpu", pattern=r"^(cpu|mps|cuda(:\d+)?)$")
    workers: int | None = Field(default=None, ge=1, le=512)
    batch_size: int = Field(default=32, ge=1, le=4096)
    timeout: float = Field(default=1800.0, gt=0)
    memory: float | None = Field(default=None, gt=0)
    max_seconds: float = Field(default=DEFAULT.seconds, gt=0)
    max_gigapixels: float = Field(default=DEFAULT.gigapixels, gt=0)
    max_failures: int = Field(default=0, ge=0)
    allow_missing: bool = False
    limit: int | None = Field(default=None, ge=1)
    cache: Path | None = None
    step: int | None = Field(default=None, ge=0)
    options: dict[str, dict[str, str | int | float | bool]] = {}


_PATHS = ("generated", "reference", "manifest", "out", "cache")


def load(
    file: Path | None, given: Mapping[str, Any], otherwise: Mapping[str, Any] = MappingProxyType({})
) -> EvaluateConfig:
    """A file's keys, overridden by what was given on the command line. Raises ConfigError.

    otherwise: what holds where neither says anything.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"cannot read the configuration {file}: {error}") from error
        for key in _PATHS:
            if isinstance(values.get(key), str):
                values[key] = file.parent / values[key]
    options = values.get("options")
    values = {**otherwise, **values} | {key: value for key, value in given.items() if value is not None}
    if isinstance(options, dict) and given.get("options"):
        for metric, chosen in given["options"].items():
            options[metric] = {**options.get(metric, {}), **chosen}
        values["options"] = options
    try:
        return EvaluateConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(problem) for problem in error.errors())) from error


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    option = f"--{key.replace('_', '-')}"
    if problem["type"] == "missing":
        return f"{key!r} is missing: give {option} or the key in the configuration file"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, EvaluateConfig.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(EvaluateConfig.model_fields)}"
        return f"unknown key {key!r}; {hint}"
    return f"{option}: {problem['msg']}, got {problem['input']!r}"


def parse_options(texts: list[str]) -> dict[str, dict[str, Any]]:
    """``sync/exact.min_track=50`` -> {"sync/exact": {"min_track": 50}}. Values as in TOML; bare words are strings."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        metric, dot, key = name.strip().rpartition(".")
        if not (equals and dot and metric and key):
            raise ConfigError(f"--option {text!r}: expected METRIC.OPTION=VALUE, such as sync/exact.min_track=50")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()
        found.setdefault(metric, {})[key] = parsed
    return found


def dump(config: EvaluateConfig) -> str:
    """The resolved configuration as TOML, with absolute paths, so that it can be run again from anywhere."""
    lines = ["# The resolved configuration of this run: t2av-bench evaluate --config evaluate.toml"]
    for key, value in config.model_dump().items():
        if isinstance(value, Path):
            value = str(value.resolve())
        if value is not None and key != "options":
            # JSON's strings, numbers and arrays of strings are TOML's too.
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    for metric, chosen in config.options.items():
        lines += ["", f"[options.{json.dumps(metric)}]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in chosen.items()]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``evaluate`` was asked for. ``name`` is the system's name in tables; the rest as on the command line.

    ``options`` are metric id -> arguments of its constructor; they are part of its protocol. ``step`` is the training
    step of the checkpoint that made the clips, for learning curves. ``memory``: GB that one worker may hold (None: its
    share of what is available). ``limits``: of what is decoded of a clip. ``limit``: the first so many items alone.
    """

    name: str
    generated: Path
    reference: Path | None
    manifest: Path | None
    metrics: tuple[str, ...]
    device: str = "cpu"
    batch_size: int = 32
    workers: int = 1
    timeout: float = 1800.0
    memory: float | None = None
    limits: Limits = DEFAULT
    cache: Path | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    step: int | None = None
    limit: int | None = None


def worker_bytes(metrics: Iterable[str], limit: float | None = None) -> float:
    """What a worker of these metrics (families or ids) holds: ``limit`` GB where given, else room for its networks.

    Weights files count twice, because half precision becomes single on a CPU.
    """
    from t2av_bench import weights
    from t2av_bench.metrics import metric_class, resolve

    if limit is not None:
        return limit * GB
    total = 0
    for id in {weight for metric in resolve(metrics) for weight in metric_class(metric).weights}:
        path = weights.configured().find(id)
        files = [] if path is None else path.rglob("*") if path.is_dir() else [path]
        total += sum(file.stat().st_size for file in files if file.is_file())
    return WORKER_BYTES + 2 * total


def default_workers(device: str, each: float = WORKER_BYTES) -> int:
    """One process a core and for each so many bytes of memory available; one alone where they would share a GPU."""
    return fitting(each, cores()) if device == "cpu" else 1


def plan_of(config: EvaluateConfig) -> Plan:
    return Plan(
        name=config.name or config.generated.resolve().name,
        generated=config.generated,
        reference=config.reference,
        manifest=config.manifest,
        metrics=config.metrics,
        device=config.device,
        batch_size=config.batch_size,
        workers=config.workers or default_workers(config.device, worker_bytes(config.metrics, config.memory)),
        timeout=config.timeout,
        memory=config.memory,
        limits=Limits(config.max_seconds, config.max_gigapixels),
        cache=config.cache,
        options=config.options,
        step=config.step,
        limit=config.limit,
    )


def check_device(device: str) -> None:
    """ValueError where the device is not there, before hours are spent failing clip by clip."""
    if device == "cpu":
        return
    import torch

    backend = device.split(":")[0]
    available = torch.cuda.is_available() if backend == "cuda" else torch.backends.mps.is_available()
    if not available or (":" in device and int(device.split(":")[1]) >= torch.cuda.device_count()):
        raise ValueError(f"--device {device}: torch {torch.__version__} finds no such device here; use --device cpu")
