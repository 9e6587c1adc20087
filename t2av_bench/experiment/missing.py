"""What the rows of an experiment need and this machine has not, with the commands that bring it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from t2av_bench import systems
from t2av_bench.benchmarks.registry import benchmark
from t2av_bench.errors import ItemError, Lack
from t2av_bench.evaluation.planning import requested
from t2av_bench.generation.row import ExperimentRow
from t2av_bench.metrics import metric_class
from t2av_bench.utils.registry import PluginError, calling
from t2av_bench.weights.needs import lack

Kind = Literal["items", "clips", "system", "metric"]


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing of a row. name: of the system or metric; what the configuration calls the items, or the clips."""

    kind: Kind
    name: str
    lack: Lack


def check_files(row: ExperimentRow, data: Path | None) -> None:
    """ItemError, with what to do, where the row's items or folder of finished clips are not there."""
    for each in _files(row, data):
        raise ItemError(str(each.lack))


def missing(row: ExperimentRow, data: Path | None) -> list[Missing]:
    """Of a row, as far as it can be told without reading media, importing networks and starting anything.

    data: where its benchmark's data are, None: the usual folder. Metrics that ``all`` stands for are missed by nobody.
    """
    found = list(_files(row, data))
    if row.system:
        found += [Missing("system", row.system, each) for each in _of_system(row.system, row.options)]
    for id in requested(row.metrics):
        try:
            each = lack(metric_class(id))
        except PluginError as error:
            each = Lack(str(error))
        found += [Missing("metric", id, each)] if each else []
    return found


def _files(row: ExperimentRow, data: Path | None) -> Iterator[Missing]:
    if row.benchmark is not None and row.split is not None:
        for lack_of_items in benchmark(row.benchmark).missing(row.split, data):
            yield Missing("items", row.benchmark, lack_of_items)
    if row.manifest is not None and not row.manifest.is_file():
        name = row.items_named or row.manifest.name
        how = f"--manifest {name}=FILE" if row.items_named else "correct the row's 'benchmark'"
        yield Missing("items", name, Lack(
            f"there is no manifest at {row.manifest}: put the items there, or say where they are ({how})"
        ))  # fmt: skip
    if row.clips is not None and not row.clips.is_dir():
        yield Missing("clips", row.clips.name, Lack(
            f"'clips': {row.clips} is not a folder; expected one that holds finished clips, named like the items"
        ))  # fmt: skip


def _of_system(id: str, options: Mapping[str, Any]) -> list[Lack]:
    """What ``load`` would not find, and files and folders that options name."""
    try:
        kind = systems.system_class(id)
        with calling(f"the system {id} is broken"):
            found = kind.missing(**options)
    except (PluginError, ValueError) as error:
        return [Lack(str(error))]
    how = (f"t2av-bench systems recipe {id}",) if hasattr(kind, "spec") else ()
    absent = {name: value for name, value in options.items() if isinstance(value, Path) and not value.exists()}
    return found + [Lack(f"option {name}: there is no {value}", how) for name, value in absent.items()]
