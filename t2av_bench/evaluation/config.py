"""What ``evaluate`` is asked for: one model behind the command's options, a TOML file's keys and Python's keywords."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from t2av_bench.media.limits import DEFAULT, Limits
from t2av_bench.utils.config import ConfigError, assignment, dump_toml, load_toml, near
from t2av_bench.utils.machine import cores, user_cache
from t2av_bench.utils.memory import GB, WORKER_BYTES, fitting
from t2av_bench.utils.text import names
from t2av_bench.utils.worker_engine import MOST_WORKERS


def _some_names(given: Any) -> Any:
    found = names(given) if isinstance(given, str | Sequence) else given
    if found == ():
        raise ValueError("names no metric; 't2av-bench list metrics' shows all")
    return found


Names = Annotated[tuple[str, ...], BeforeValidator(_some_names)]
LOGGERS = ("wandb",)
"""What scores can be logged to; ``api.loggers`` knows how."""


def _known_logger(name: str) -> str:
    if name not in LOGGERS:
        raise ValueError(f"scores cannot be logged there{near(name, LOGGERS)}")
    return name


class Resources(BaseModel):
    """What a worker takes of a machine of a cluster. memory: GB, reserved for it and its limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_cpus: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    num_gpus: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    memory: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class MeasuringConfig(BaseModel):
    """What ``evaluate``, ``run`` and ``validity`` have in common: by which metrics, and how they are computed.

    A field's description is the help of its option, which is made from the field (``cli.options``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: Names = Field(
        default=("all",),
        description="Comma-separated families, ids, columns or other names ('list metrics' shows all).",
    )
    workers: int | None = Field(
        default=None, ge=1, le=MOST_WORKERS,
        description="Processes; changes no number.  [default: cores, fewer where memory is short, 1 on a GPU; on a "
        "cluster as many as its machines hold]",
    )  # fmt: skip
    device: str = Field(default="cpu", pattern=r"^(cpu|mps|cuda(:\d+)?)$", description="cpu, cuda, cuda:N or mps.")
    batch_size: int = Field(default=32, ge=1, le=4096, description="Samples a metric's network sees at a time.")
    timeout: float = Field(default=1800.0, gt=0, description="Seconds that one metric may take on one clip.")
    memory: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="GB of memory that one process may hold.  [default: its share of what is available]",
    )  # fmt: skip
    max_failures: int = Field(default=0, ge=0, description="Clips that may fail before the exit status is 1.")
    allow_missing: bool = Field(
        default=False, description="Exit status 0 also where a metric that was asked for by name has no value."
    )
    options: dict[str, dict[str, str | int | float | bool]] = Field(
        default={},
        description="METRIC.OPTION=VALUE, such as sync/exact.min_track=50; part of the protocol. Repeatable.",
    )

    @cached_property
    def processes(self) -> int:
        """``workers``; without them one process a core as far as memory reaches, and one alone on a GPU."""
        if self.workers or self.device != "cpu":
            return self.workers or 1
        return fitting(self.process_bytes, cores())

    @cached_property
    def process_bytes(self) -> float:
        """``memory`` of one process; without it what is to be expected."""
        return self.memory * GB if self.memory else WORKER_BYTES + _weight_bytes(self.metrics)


class PlacedConfig(MeasuringConfig):
    """Also where that is: on this machine, or on a cluster."""

    engine: str = Field(
        default="local", pattern=r"^(local|ray)$",
        description="Where the processes run: local, on this machine, or ray, on a cluster (docs/cluster.md); changes "
        "no number.",
    )  # fmt: skip
    address: str | None = Field(
        default=None,
        description="Of the Ray cluster, such as 10.0.0.1:6379.  [default: RAY_ADDRESS, the one that runs here, or a "
        "new one of this machine alone]",
    )
    ship: bool = Field(
        default=False,
        description="Send the files to the cluster's machines, by their contents, and what is made back; without it "
        "all machines see the folders.",
    )
    resources: dict[str, Resources] = Field(
        default={},
        description="METRIC.KEY=VALUE with num_cpus, num_gpus or memory (GB), such as fvd.num_gpus=0.5: what a worker "
        "takes of a machine of the cluster. Repeatable.",
    )

    @property
    def known_workers(self) -> int | None:
        """``processes``; on a cluster ``workers``, without which there are as many as its machines hold."""
        return self.processes if self.engine == "local" else self.workers

    @property
    def most_workers(self) -> int:
        """Of the engine, which may have place for fewer."""
        return self.known_workers or MOST_WORKERS


class LoggedConfig(PlacedConfig):
    """Also where the scores are logged, once they are in the run folder; that is part of no protocol."""

    log: Annotated[str, AfterValidator(_known_logger)] | None = Field(
        default=None, description="Log the scores when they are there: to wandb, Weights & Biases (docs/logging.md)."
    )
    log_media: int = Field(
        default=16, ge=0, description="With --log: clips of each run, the first so many, that are logged to be played."
    )


class EvaluateConfig(LoggedConfig):
    """A folder of clips, and how to score it. ``out`` is always there: without one it is a folder in the user's cache.

    options: metric id -> arguments of its constructor, which are part of its protocol.
    """

    generated: Path = Field(description="Folder of generated clips, also without the option's name.")
    reference: Path | None = Field(
        default=None,
        description="Folder of reference clips, named like the generated ones: names without a clip fail.",
    )
    manifest: Path | None = Field(
        default=None,
        description="JSON Lines: one item a line with id, text, language, reference, … (docs/evaluate.md).",
    )
    out: Path = Field(  # type: ignore[assignment]  # _with_a_place sees to it
        default=None,
        description="Run folder; the same command continues it.  [default: one of its own in the user's cache]",
    )
    name: str | None = Field(default=None, description="The system's name in tables.  [default: the folder's]")
    max_seconds: float = Field(
        default=DEFAULT.seconds, gt=0, description="Seconds of the longest clip that is decoded."
    )
    max_gigapixels: float = Field(
        default=DEFAULT.gigapixels, gt=0,
        description="Largest clip that is decoded: pictures x width x height, in 10^9.",
    )  # fmt: skip
    limit: int | None = Field(default=None, ge=1, description="Evaluate the first so many items alone.")
    shard: str | None = Field(
        default=None, pattern=r"^[1-9]\d{0,4}/[1-9]\d{0,4}$",
        description="I/N: the I-th of N parts of the items, on one of several machines; 'merge' makes one run of them.",
    )  # fmt: skip
    cache: Path | None = Field(
        default=None, description="Feature cache to share between runs.  [default: inside the run folder]"
    )
    step: int | None = Field(
        default=None, ge=0, description="Training step of the checkpoint that made the clips, for learning curves."
    )

    @model_validator(mode="after")
    def _with_a_place(self) -> Self:
        if self.out is None:
            object.__setattr__(self, "out", _default_folder(self))
        if self.part:
            index, parts = self.part
            if self.log:
                raise ValueError(
                    f"--shard {self.shard} with --log {self.log}: a part is not logged; after 'merge' repeat the "
                    "command with --log and without --shard, which measures nothing again"
                )
            if index > parts:
                raise ValueError(f"--shard {self.shard}: there are shards 1/{parts} to {parts}/{parts}")
            name = f"shard-{index}-of-{parts}"
            if self.out.name != name:  # all shards may be given one folder
                object.__setattr__(self, "out", self.out / name)
        return self

    @property
    def part(self) -> tuple[int, int] | None:
        """``shard`` as numbers, from 1: which, of how many."""
        if self.shard is None:
            return None
        index, parts = map(int, self.shard.split("/"))
        return index, parts

    @property
    def system(self) -> str:
        """The system's name in tables."""
        return self.name or self.generated.resolve().name

    @property
    def limits(self) -> Limits:
        """Of what is decoded of a clip."""
        return Limits(self.max_seconds, self.max_gigapixels)


# What a run is about, apart from how and where it is computed.
_ABOUT = {"name", "generated", "reference", "manifest", "metrics", "options", "limit", "step"}


def _default_folder(config: EvaluateConfig) -> Path:
    """Where a run without a folder of its own is kept: ``runs/NAME-DIGEST`` in the user's cache.

    The digest is of the folders, the metrics and their options, so that another question is another run.
    """
    document = config.model_dump(include=_ABOUT)
    paths = {
        key: str(document[key].resolve()) if isinstance(document[key], Path) else document[key] for key in document
    }
    digest = hashlib.sha256(json.dumps(paths, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    name = "".join(letter if letter.isalnum() else "_" for letter in config.system)
    return user_cache() / "runs" / f"{name[:40]}-{digest}"


def load(file: Path | None, given: Mapping[str, Any]) -> EvaluateConfig:
    """A file's keys, overridden by what was given on the command line or from Python. Raises ConfigError."""
    return load_toml(file, EvaluateConfig, given, call=lambda key: f"--{key.replace('_', '-')}")


def parse_resources(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """``fvd.num_gpus=1`` -> {"fvd": {"num_gpus": 1}}."""
    return parse_options(texts, "--resource", "METRIC.KEY=VALUE, such as fvd.num_gpus=1")


def parse_options(
    texts: Iterable[str], what: str = "--option", expected: str = "METRIC.OPTION=VALUE, such as sync/exact.min_track=50"
) -> dict[str, dict[str, Any]]:
    """``sync/exact.min_track=50`` -> {"sync/exact": {"min_track": 50}}. Values as in TOML; bare words are strings."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, value = assignment(text, what, expected)
        metric, _, key = name.rpartition(".")
        if not (metric and key):
            raise ConfigError(f"{what} {text!r}: expected {expected}")
        found.setdefault(metric, {})[key] = value
    return found


def dump(config: EvaluateConfig) -> str:
    """The configuration as TOML, with absolute paths, so that it can be run again from anywhere."""
    said = "# The resolved configuration of this run: t2av-bench evaluate --config evaluate.toml\n"
    return said + dump_toml(config.model_dump())


def _weight_bytes(metrics: Iterable[str]) -> float:
    """What the networks of these metrics hold: their files count twice, as half precision becomes single on a CPU."""
    from t2av_bench import weights
    from t2av_bench.metrics import metric_class, resolve

    total = 0
    for id in {weight for metric in resolve(metrics) for weight in metric_class(metric).weights}:
        path = weights.configured().find(id)
        files = [] if path is None else path.rglob("*") if path.is_dir() else [path]
        total += sum(file.stat().st_size for file in files if file.is_file())
    return 2 * total


def check_device(device: str, engine: str = "local") -> None:
    """ValueError where the device is not there, before hours are spent failing clip by clip."""
    if device == "cpu":
        return
    if engine != "local":  # this machine need not have it
        if device != "cuda":
            raise ValueError(f"--device {device} with --engine {engine}: the engine gives out the cards; use cuda")
        return
    import torch

    backend = device.split(":")[0]
    available = torch.cuda.is_available() if backend == "cuda" else torch.backends.mps.is_available()
    if not available or (":" in device and int(device.split(":")[1]) >= torch.cuda.device_count()):
        raise ValueError(f"--device {device}: torch {torch.__version__} finds no such device here; use --device cpu")
