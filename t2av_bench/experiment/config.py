"""The configuration of ``run``: which systems, on which items, by which metrics, in which tables. Checked strictly.

Everything that is wrong in the file itself is refused here, before anything is made. What this machine has not (items,
finished clips, systems, weights) costs the rows that need it, see ``missing``.

Files that come with us, below ``experiments/``, go by their name alone: what they name lies in the working folder.
"""

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from t2av_bench import systems
from t2av_bench.benchmarks.registry import GRIDFACE
from t2av_bench.benchmarks.registry import registry as benchmarks
from t2av_bench.evaluation.config import LoggedConfig, Names, Resources
from t2av_bench.generation.lengths import Length
from t2av_bench.generation.row import ExperimentRow, GroupTable
from t2av_bench.systems.base import Task
from t2av_bench.utils.config import ConfigError, load_toml, near
from t2av_bench.utils.registry import PluginError, calling, hints_of

BUILT_IN = Path(__file__).resolve().parents[2] / "experiments"
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]


class RowConfig(BaseModel):
    """One system on one task: a folder of clips, a run, and a row in tables.

    name: names the folders of clips and scores. label: the system's name in tables (default: ``name``); rows of one
        label on clips of different languages share a line of a table that has columns by language.
    system, or clips: the folder of finished clips, named like the items; ``{seed}`` in it stands for the row's seed.
    benchmark, metrics, tables: instead of the file's. split: of GridFace. items: the first so many.
    seed, or several seeds: each makes a run of its own, called ``NAME-seed-N``. options: of the system; ``{seed}`` in
        one stands for the row's seed, so that each seed can have its checkpoint.
    length: what systems that follow one are told where only the text decides: ``estimate`` from the text, ``native``
        (nothing) or that of the ``reference``. Default: estimate for t2av, native for tts.
    step: training step of the checkpoint, for learning curves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    label: str | None = Field(default=None, min_length=1)
    system: str | None = None
    clips: str | None = Field(default=None, min_length=1)
    task: Task = "t2av"
    benchmark: str | None = None
    split: str | None = None
    items: int | None = Field(default=None, ge=1)
    seed: Seed | None = None
    seeds: tuple[Seed, ...] | None = Field(default=None, min_length=1)
    max_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    metrics: Names | None = None
    tables: tuple[str | GroupTable, ...] | None = None
    length: Length | None = None
    step: int | None = Field(default=None, ge=0)
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_of_each_kind(self) -> Self:
        if (self.system is None) == (self.clips is None):
            raise ValueError("a row has either 'system' or 'clips', a folder of finished clips")
        if self.clips is not None and self.options:
            raise ValueError("'options' are those of a system; finished clips have none")
        if self.length is not None and (self.clips is not None or self.task not in ("t2av", "tts")):
            made = "finished clips" if self.clips is not None else f"clips of the task {self.task}"
            raise ValueError(f"'length' is for t2av and tts, where nothing but the text decides it; {made} have theirs")
        if self.seed is not None and self.seeds is not None:
            raise ValueError("'seed' and 'seeds' exclude each other")
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("'seeds' names a seed twice")
        return self


class RunConfig(LoggedConfig):
    """The keys of a configuration file. Paths in a file are relative to the file.

    benchmark: ``gridface``, which is built on demand in ``data``; one that was prepared there, by its name; or a
        manifest of your own (JSON Lines): its path, or its name in ``manifests``.
    generation_batch_size: clips that a system makes at a time, where it gains from that. workers, batch sizes and order
    move no number beyond float rounding.
    tables: printed at the end, and written below ``out``; without any, one table of all rows is. Names of
        specifications, or ``[[tables]]`` with ``by``, a key of the items.
    """

    out: Path = Field(description="Folder of clips, runs and tables.  [default: the file's]")
    benchmark: str = GRIDFACE
    data: Path | None = Field(
        default=None,
        description="Folder of the benchmarks that are built.  [default: T2AV_BENCH_DATA, or the user's cache]",
    )
    manifests: dict[str, Path] = Field(
        default={},
        description="NAME=FILE: where the items are that the file's rows call NAME. Repeatable.",
    )
    tables: tuple[str | GroupTable, ...] = ()
    generation_batch_size: int = Field(
        default=8, ge=1, le=4096, description="Clips that a system makes at a time, where it gains from that."
    )
    items: int | None = Field(default=None, ge=1, description="At most the first so many items of each row.")
    seed: Seed = 0
    rows: tuple[RowConfig, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked configuration with its rows."""

    config: RunConfig
    rows: tuple[ExperimentRow, ...]


def load(file: Path, given: Mapping[str, Any] | None = None, only: tuple[str, ...] = ()) -> Loaded:
    """A file's keys, overridden by ``given``; only: names of the rows that are wanted (all where empty).

    file: its path, or the name of one of ``built_in``. given: any of ``RunConfig``'s keys but ``rows``.
    Raises ConfigError.
    """
    file, folder = _place(file)
    given = dict(given or {})
    if given.get("manifests"):
        given["manifests"] = {name: Path(path).absolute() for name, path in given["manifests"].items()}
    config = load_toml(file, RunConfig, given, folder=folder)
    manifests = {name: folder / path for name, path in config.manifests.items()}
    config = config.model_copy(update={"manifests": manifests})
    used = sorted({row.benchmark or config.benchmark for row in config.rows})
    if unused := [name for name in manifests if name not in used]:
        raise ConfigError(f"{file}: 'manifests': no row has the benchmark {unused[0]!r}{near(unused[0], used)}")
    rows = [row for given in config.rows for row in _resolved(given, config, file, folder)]
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{file}: two rows are called {name!r}: names are those of folders; see also 'label'")
    config = config.model_copy(update={
        "options": _metric_options(config, rows), "resources": _resources(config, rows, file),
    })  # fmt: skip
    if only:
        wanted = matching(only, names, "--only")
        rows = [row for row in rows if row.name in wanted]
    return Loaded(config, tuple(rows))


def matching(wanted: Iterable[str], names: Sequence[str], option: str) -> set[str]:
    """The names of rows that are meant: a row with several seeds goes by its own name too. Raises ConfigError."""
    found = set()
    for name in wanted:
        meant = {each for each in names if each == name or each.startswith(f"{name}-seed-")}
        if not meant:
            raise ConfigError(f"{option} {name}: no such row{near(name, names)}")
        found |= meant
    return found


def built_in() -> list[str]:
    """Names of the files that come with us."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def _place(file: Path) -> tuple[Path, Path]:
    """The file, and the folder that its paths are relative to."""
    if str(file) in built_in() and not file.exists():
        return BUILT_IN / f"{file}.toml", Path()
    if not file.suffix and not file.exists() and len(file.parts) == 1:
        raise ConfigError(f"there is no configuration {file}{near(str(file), built_in())}")
    return file, file.parent


def _resolved(given: RowConfig, config: RunConfig, file: Path, folder: Path) -> list[ExperimentRow]:
    where = f"{file}: row {given.name!r}"
    benchmark = given.benchmark or config.benchmark
    named = benchmark if benchmark in config.manifests else ""
    manifest = config.manifests.get(benchmark)
    if manifest is None and benchmark not in benchmarks:
        manifest = folder / benchmark
    benchmark = benchmarks.find(benchmark) if manifest is None else benchmark
    tables = tuple(
        str(folder / name) if isinstance(name, str) and name.endswith(".toml") else name
        for name in (config.tables if given.tables is None else given.tables)
    )
    rows = []
    try:
        split = None if manifest is not None else _only_split(given, config, benchmark)
        items = _checked_items(given, split, config, manifest, benchmark)
        items = min((count for count in (items, config.items) if count is not None), default=None)
        system = systems.registry.find(given.system) if given.system is not None else ""
        for seed, suffix, said in _seeds(given):
            options = _with_seed(given.options, seed)
            options = _checked_system(system, given.task, options, folder) if system else {}
            label = _labelled(given.label or given.name, system, options)
            rows.append(ExperimentRow(
                given.name + suffix, label + said, system, given.task, manifest, split,
                items, seed, given.max_seconds, given.metrics or config.metrics, tables, given.step, options,
                None if manifest is not None else benchmark,
                None if given.clips is None else folder / _with_seed(given.clips, seed), named,
                given.length,
            ))  # fmt: skip
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return rows


def _seeds(given: RowConfig) -> list[tuple[int, str, str]]:
    """Seed, what it adds to the name, and to the label."""
    if given.seeds is None:
        return [(given.seed or 0, "", "")]
    return [(seed, f"-seed-{seed}", f" (seed {seed})") for seed in given.seeds]


def _with_seed(options: Any, seed: int) -> Any:
    if isinstance(options, dict):
        return {name: _with_seed(value, seed) for name, value in options.items()}
    return options.replace("{seed}", str(seed)) if isinstance(options, str) else options


def _only_split(given: RowConfig, config: RunConfig, benchmark: str) -> str | None:
    """The row's split, or the one that its benchmark has."""
    splits = list(benchmarks.create(benchmark).splits_in(config.data))
    return splits[0] if given.split is None and len(splits) == 1 else given.split


def _checked_items(
    given: RowConfig, split: str | None, config: RunConfig, manifest: Path | None, benchmark: str
) -> int | None:  # fmt: skip
    if manifest is not None:
        known = benchmarks.ids()
        if given.split is not None and benchmark not in config.manifests:
            raise ValueError(f"'split' is for {', '.join(known)}; a manifest of your own has its items in one file")
        if not manifest.is_file() and benchmark not in config.manifests and not Path(benchmark).suffix:
            raise ValueError(
                f"there is no benchmark {benchmark!r}, nor a manifest at {manifest}{near(benchmark, known)}"
            )
        return given.items
    splits = benchmarks.create(benchmark).splits_in(config.data)
    if split is None:
        raise ValueError(f"'split' is missing: {benchmark} has {', '.join(splits)}")
    if split not in splits:
        raise ValueError(f"{benchmark} has no split {split!r}{near(split, splits)}")
    if given.items is not None and given.items > splits[split]:
        raise ValueError(f"'items': {benchmark} {split} has {splits[split]} items, got {given.items}")
    return given.items


def _checked_system(id: str, task: str, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options as ``systems.load`` takes them: paths relative to ``folder`` become ``Path``. ValueError if wrong.

    A broken plug-in is no error here: its row has the reason in place of clips, and costs the others nothing.
    """
    try:
        kind = systems.registry.class_of(id)
        if task not in kind.needs:
            raise ValueError(f"the system {id} does not serve the task {task}; it serves {', '.join(kind.needs)}")
        hints = hints_of(kind.load)
        given = {name: _as_path(value, hints.get(name), folder) for name, value in options.items()}
        systems.registry.check_options(id, given)
    except PluginError:
        return dict(options)
    return given


def _labelled(label: str, system: str, options: Mapping[str, Any]) -> str:
    """The label, with what the system wants said beside it where it does not say that itself."""
    if not system:
        return label
    try:
        with calling(f"the system {system} is broken"):
            said = systems.registry.class_of(system).beside_label(**options)
    except PluginError:  # its clips have the reason
        return label
    return f"{label} ({said})" if said and said not in label else label


def _as_path(value: Any, hint: Any, folder: Path) -> Any:
    """What an option that takes paths is given: a file of the configuration's folder; names stay names."""
    kinds = {hint, *typing.get_args(hint)}
    if not isinstance(value, str) or Path not in kinds:
        return value
    is_name = str in kinds and not (folder / value).exists() and not Path(value).suffix and "/" not in value
    return value if is_name else folder / value


def _resources(config: RunConfig, rows: list[ExperimentRow], file: Path) -> dict[str, Resources]:
    """The resources by id of metrics and systems. ConfigError for those of none of any row."""
    from t2av_bench.metrics import resolve

    measured = {id for row in rows for id in resolve(row.metrics)}
    made = {row.system for row in rows if row.system}
    found: dict[str, Resources] = {}
    for name, each in config.resources.items():
        ids = [name] if name in made else [id for id in _meant(name) if id in measured]
        if not ids:
            raise ConfigError(f"{file}: 'resources': no row has the metric or system {name!r}{near(name, [*made])}")
        found |= dict.fromkeys(ids, each)
    return found


def _meant(name: str) -> list[str]:
    from t2av_bench.metrics import resolve

    try:
        return resolve([name])
    except ValueError:
        return []


def _metric_options(config: RunConfig, rows: list[ExperimentRow]) -> dict[str, dict[str, Any]]:
    """The options by id. ValueError for those of a metric that no row measures, or that it does not take."""
    from t2av_bench.metrics import create, registry, resolve

    found = registry.options_of(config.options, list(dict.fromkeys(id for row in rows for id in resolve(row.metrics))))
    for id, options in found.items():
        create(id, None, options)
    return found
