"""Damage a set of clips by grades, score all of it, and hold every metric to its claims; the same call continues.

OUT/clips/DAMAGE-GRADE/  the damaged clips, and OUT/clips/control/ the undamaged ones (see ``making``)
OUT/runs/DAMAGE-GRADE/   their run folders, as ``evaluate`` makes them
OUT/features/            what all runs measure alike (the originals), kept once
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BeforeValidator, Field

from t2av_bench.benchmarks.manifest import Entry, Item, read_manifest
from t2av_bench.benchmarks.names import name_of
from t2av_bench.benchmarks.pairing import Sounds, pair
from t2av_bench.errors import ItemError
from t2av_bench.evaluation.config import EvaluateConfig, MeasuringConfig, check_device, dump
from t2av_bench.evaluation.evaluate import Progress, alone_in, evaluate
from t2av_bench.metrics import metric_class, registry, resolve
from t2av_bench.metrics.base import Damage
from t2av_bench.results.run import RunResult, open_run
from t2av_bench.scores import Status
from t2av_bench.utils.config import ConfigError, folded, load_toml, near
from t2av_bench.utils.files import write_text
from t2av_bench.utils.progress import Notice, OnStep, Step
from t2av_bench.utils.text import names, some
from t2av_bench.utils.worker_pool import WorkerPool
from t2av_bench.validation.damages import DAMAGES
from t2av_bench.validation.making import UNDAMAGED, Grade, make, place_of
from t2av_bench.validation.matrix import Validity
from t2av_bench.validation.verdicts import cells
from t2av_bench.weights.needs import lacks, unusable

Listed = BeforeValidator(lambda given: names(given) if isinstance(given, str) else given)
Config = TypeVar("Config", bound="DamagingConfig")


class DamagingConfig(MeasuringConfig):
    """Which clips are written anew, and by which metrics they are scored. clips: one folder, or files."""

    clips: tuple[Path, ...] = Field(min_length=1)
    manifest: Path | None = Field(
        default=None, description="JSON Lines: one item a line with id, text, language, … (docs/evaluate.md)."
    )


class ValidityConfig(DamagingConfig):
    """Which clips are damaged, and how."""

    out: Path = Field(
        default=Path("validity-run"),
        description="Folder for the damaged clips and their scores; the same command continues it.",
    )
    damage: Annotated[tuple[str, ...], Listed] = Field(
        default=("all",), min_length=1, description=f"Comma-separated kinds of damage: {', '.join(get_args(Damage))}."
    )
    grades: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Listed] | None = Field(
        default=None, min_length=1,
        description="Comma-separated grades, from 1, the weakest, to 4; where there are fewer, the strongest for those "
        "beyond.  [default: all]",
    )  # fmt: skip

    @property
    def chosen(self) -> dict[str, list[Grade]]:
        """Damage -> its grades, from weak to strong. Raises ConfigError for an unknown name."""
        found = {}
        for name in DAMAGES if "all" in map(folded, self.damage) else self.damage:
            if name not in DAMAGES:
                raise ConfigError(f"--damage: there is no {name!r}{near(name, DAMAGES)}; {some(DAMAGES, len(DAMAGES))}")
            grades = DAMAGES[name].grades
            places = range(1, len(grades) + 1) if self.grades is None else sorted(self.grades)
            found[name] = [(name, grades[place]) for place in dict.fromkeys(min(len(grades), at) - 1 for at in places)]
        return found

    @property
    def metric_ids(self) -> list[str]:
        """The metrics; of ``all`` those that have what they need here. Raises ValueError where none is left."""
        found = []
        for name in self.metrics:
            found += [
                id for id in resolve([name]) if folded(name) != "all" or unusable(metric_class(id)) is None
            ]  # fmt: skip
        if not found:
            absent = lacks(*map(metric_class, resolve(list(self.metrics))), weights=False)
            raise ConfigError(
                "--metrics: no metric has what it needs here; 't2av-bench list metrics' says what"
                + (f"; {absent}" if absent else "")
            )
        return list(dict.fromkeys(found))


def load(model: type[Config], given: Mapping[str, Any]) -> Config:
    """given: what is known by keywords of Python, ``clips`` one path or several. Raises ConfigError."""
    clips = given["clips"]
    files = (clips,) if isinstance(clips, str | Path) or not isinstance(clips, Sequence) else tuple(clips)
    return load_toml(None, model, {**given, "clips": files}, call=lambda key: f"--{key.replace('_', '-')}")


def validity(config: ValidityConfig, on_step: OnStep, notice: Notice) -> Validity:
    """Raises ValueError for what cannot be carried out; whatever befalls a clip is a reason."""
    check_device(config.device)
    ids, chosen = config.metric_ids, config.chosen
    if absent := lacks(*map(metric_class, ids)):
        raise ConfigError(f"--metrics: {absent}")
    options = registry.options_of(config.options, ids)
    entries = entries_of(config, notice)
    grades = [grade for each in chosen.values() for grade in each]
    with alone_in(config.out), WorkerPool() as pool:
        make(entries, grades, config.out, pool, config.processes, config.timeout, on_step)
        asked = dict.fromkeys((UNDAMAGED, *grades), ids)
        runs = score(config, options, config.out, asked, len(entries), pool, on_step)
    damaged = {name: {grade: runs[name, grade] for _, grade in each} for name, each in chosen.items()}
    ordered = {name: DAMAGES[name].ordered for name in chosen}
    claims = {id: metric_class(id).validity for id in ids}
    return Validity(len(entries), tuple(cells(runs[UNDAMAGED], damaged, ordered, claims)))


def score(
    config: DamagingConfig, options: Mapping[str, dict[str, Any]], out: Path, asked: Mapping[Grade, Sequence[str]],
    clips: int, pool: WorkerPool, on_step: OnStep,
) -> dict[Grade, RunResult]:  # fmt: skip
    """Score the clips that were written (``making.make``) below ``out``, so many a grade.

    options: of the metrics, by id. asked: grade -> ids of its metrics.
    """
    total, done = clips * sum(map(len, asked.values())), 0
    runs: dict[Grade, RunResult] = {}
    for grade, ids in asked.items():
        folder = place_of(out / "clips", "", grade).parent
        name = folder.name
        settings = EvaluateConfig(
            generated=folder, manifest=out / "manifest.jsonl", out=out / "runs" / name, name=name, metrics=tuple(ids),
            options={id: given for id, given in options.items() if id in ids}, cache=out / "features",
            workers=config.processes, **config.model_dump(include={"device", "batch_size", "timeout", "memory"}),
        )  # fmt: skip
        settings.out.mkdir(parents=True, exist_ok=True)
        write_text(settings.out / "evaluate.toml", dump(settings))

        def measured(at: Progress, before: int = done, name: str = name) -> None:
            text = f"{name} {at.metric} {at.clip}"
            on_step(Step("scoring", before + at.done, total, "measurements", text, at.status is Status.FAILED))

        evaluate(settings, measured, lambda text: None, pool)
        done += clips * len(ids)
        on_step(Step("scoring", done, total, "measurements", name))
        runs[grade] = open_run(settings.out)
    return runs


def entries_of(config: DamagingConfig, notice: Notice) -> list[Entry]:
    """The clips with their items; what is to be said of them goes to ``notice``. Raises ItemError."""
    entries, notices = _entries(config.clips, config.manifest)
    for text in notices:
        notice(text)
    return entries


def _entries(clips: Sequence[Path], manifest: Path | None) -> tuple[list[Entry], list[str]]:
    """A folder's clips as ``evaluate`` finds them, or files. Raises ItemError."""
    if len(clips) == 1 and clips[0].is_dir():
        return pair(clips[0], None, manifest)
    items = {entry.item.id: entry.item for entry in read_manifest(manifest)} if manifest else {}
    sounds = Sounds()
    found: dict[str, Entry] = {}
    for path in clips:
        if not path.is_file():
            raise ItemError(f"{path} is no file; expected one folder of clips, or files")
        id = name_of(Path(path.name))
        if id in found:
            raise ItemError(f"two clips are called {id!r}: {found[id].generated} and {path}")
        item = items.get(id, Item(id=id))
        found[id] = Entry(item.model_copy(update={"audio": sounds.of(path, item.audio)}), path)
    return list(found.values()), list(sounds.notices())
