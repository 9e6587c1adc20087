"""What there is to measure with, to generate with, and to generate for."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from t2av_bench.utils.config import folded, near
from t2av_bench.utils.frames import frame

if TYPE_CHECKING:
    from pandas import DataFrame

    from t2av_bench.metrics.base import Metric
    from t2av_bench.systems.base import System

METRICS = {
    "id": "text", "title": "text", "quantities": "object", "licence": "text", "stand_in": "bool",
    "by_default": "bool", "extra": "text", "missing_weights": "object", "missing_packages": "object", "paper": "text",
    "broken": "text",
}  # fmt: skip
SYSTEMS = {
    "id": "text", "title": "text", "tasks": "object", "licence": "text", "extra": "text", "missing_weights": "object",
    "missing_packages": "object", "paper": "text", "broken": "text",
}  # fmt: skip
BENCHMARKS = {"id": "text", "splits": "object", "broken": "text"}


def list_metrics() -> "DataFrame":
    """The metrics, one a row: id, title, quantities (a tuple of names), licence of its weights, stand_in (bundled, not
    comparable with published numbers), by_default (``all`` means it too), extra (of pip), missing_weights and
    missing_packages (tuples; both empty: ready), paper. broken: why a plug-in cannot be used, None for the others."""
    return frame([
        {**_row(row, METRICS), "quantities": tuple(column["name"] for column in row.get("columns", ())),
         "stand_in": row.get("embedded", False), "by_default": row.get("by_default", False)} for row in metrics()
    ], METRICS)  # fmt: skip


def list_systems() -> "DataFrame":
    """The systems, one a row: id, title, tasks (task -> what it needs of an item), licence, extra, missing_weights,
    missing_packages, paper, broken: as of ``list_metrics``."""
    return frame([{"tasks": {}, **_row(row, SYSTEMS)} for row in systems()], SYSTEMS)


def _row(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    missing = {name: tuple(row.get(name, ())) for name in ("missing_weights", "missing_packages")}
    return {**dict.fromkeys(columns), **row, **missing}


def list_benchmarks() -> "DataFrame":
    """The benchmarks, one a row: id, splits (split -> number of items), broken: as of ``list_metrics``."""
    from t2av_bench.benchmarks.registry import benchmark, benchmark_ids

    rows: list[dict[str, Any]] = []
    for id in benchmark_ids():
        try:
            rows.append({"id": id, "splits": dict(benchmark(id).splits), "broken": None})
        except ValueError as error:  # a broken plug-in, or a damaged benchmark.toml
            rows.append({"id": id, "splits": {}, "broken": str(error)})
    return frame(rows, BENCHMARKS)


def metrics() -> list[dict[str, Any]]:
    """The metrics as ``list metrics --json`` prints them. A broken plug-in comes last, with its id and ``broken``, the
    reason, alone; the others' is None."""
    from t2av_bench.metrics import broken, metric_class, metric_ids

    return _listed(metric_ids(), metric_class, broken(), lambda metric: {
        "columns": [
            {"name": quantity.name, "direction": quantity.direction, "unit": quantity.unit,
             "interval": quantity.interval, "aliases": metric.also_called(quantity.name)}
            for quantity in metric.quantities
        ],
        "embedded": metric.stand_in, "by_default": metric.by_default,
    })  # fmt: skip


def systems() -> list[dict[str, Any]]:
    """The systems, likewise. never_run: it is other people's, and nobody has attested a run with its weights."""
    from t2av_bench.systems import broken, system_class, system_ids
    from t2av_bench.systems.external.attestations import never_run
    from t2av_bench.systems.external.spec import spec, spec_ids

    external = {id for id in spec_ids() if spec(id).carrier != "folder"}  # nobody runs those here
    return _listed(system_ids(), system_class, broken(), lambda system: {
        "tasks": {task: list(needs) for task, needs in system.needs.items()},
        "never_run": system.id in external and never_run(system.id),
    })  # fmt: skip


def _listed(
    ids: Iterable[str], class_of: Callable[[str], Any], broken: Mapping[str, str], own: Callable[[Any], dict[str, Any]]
) -> list[dict[str, Any]]:
    from t2av_bench.weights.needs import missing

    rows = []
    for kind in (class_of(id) for id in ids if id not in broken):
        weights, packages = missing(kind)
        rows.append({
            "id": kind.id, "title": kind.title, **own(kind), "licence": kind.licence, "extra": kind.extra,
            "missing_weights": [entry.id for entry in weights], "missing_packages": packages, "paper": kind.paper,
            "broken": None,
        })  # fmt: skip
    return rows + [{"id": id, "broken": why} for id, why in broken.items()]


def users_of_weights(names: Iterable[str]) -> "list[type[Metric] | type[System]]":
    """Names of metrics, ``all`` of them, and ids of systems -> classes, each once. A family is its preferred variant
    here, whether or not another one could be used already. Raises ValueError for an unknown name."""
    from t2av_bench import metrics, systems

    found: dict[type[Metric] | type[System], None] = {}
    for name in names:
        if name in systems.registry:
            found[systems.system_class(name)] = None
        elif folded(name) == "all" or name in metrics.registry:
            found |= dict.fromkeys(map(metrics.metric_class, metrics.registry.preferred(name)))
        else:
            ids = [*metrics.metric_ids(), *systems.system_ids()]
            known = dict.fromkeys(part for id in ids for part in (id.partition("/")[0], id))
            raise ValueError(f"unknown metric or system {name!r}{near(name, known)}")
    return list(found)
