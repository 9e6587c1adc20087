"""What there is to measure with, to generate with, and to generate for."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from t2av_bench.api.frames import frame
from t2av_bench.utils.config import near

if TYPE_CHECKING:
    from pandas import DataFrame

    from t2av_bench.metrics.base import Metric
    from t2av_bench.systems.base import System

METRICS = {
    "id": "text", "title": "text", "quantities": "object", "licence": "text", "stand_in": "bool", "extra": "text",
    "missing_weights": "object", "missing_packages": "object", "paper": "text", "broken": "text",
}  # fmt: skip
SYSTEMS = {
    "id": "text", "title": "text", "tasks": "object", "licence": "text", "extra": "text", "missing_weights": "object",
    "missing_packages": "object", "paper": "text", "broken": "text",
}  # fmt: skip
BENCHMARKS = {"id": "text", "splits": "object", "broken": "text"}


def list_metrics() -> "DataFrame":
    """The metrics, one a row: id, title, quantities (a tuple of names), licence of its weights, stand_in (bundled, not
    comparable with published numbers), extra (of pip), missing_weights and missing_packages (tuples; both
    empty: ready), paper. broken: why a plug-in cannot be used, None for the others."""
    rows, broken = metrics()
    return frame([
        *({**row, "quantities": tuple(column["name"] for column in row["columns"]), "stand_in": row["embedded"],
           **_tuples(row)} for row in rows),
        *_broken(broken, METRICS, quantities=(), stand_in=False),
    ], METRICS)  # fmt: skip


def list_systems() -> "DataFrame":
    """The systems, one a row: id, title, tasks (task -> what it needs of an item), licence, extra, missing_weights,
    missing_packages, paper, broken: as of ``list_metrics``."""
    rows, broken = systems()
    return frame([
        *({**row, **_tuples(row)} for row in rows), *_broken(broken, SYSTEMS, tasks={}),
    ], SYSTEMS)  # fmt: skip


def list_benchmarks() -> "DataFrame":
    """The benchmarks, one a row: id, splits (split -> number of items), broken: as of ``list_metrics``."""
    from t2av_bench.benchmarks.registry import benchmark, benchmark_ids
    from t2av_bench.utils.plugins import PluginError

    rows: list[dict[str, Any]] = []
    for id in benchmark_ids():
        try:
            rows.append({"id": id, "splits": dict(benchmark(id).splits), "broken": None})
        except PluginError as error:
            rows.append({"id": id, "splits": {}, "broken": str(error)})
    return frame(rows, BENCHMARKS)


def metrics() -> tuple[list[dict[str, Any]], Mapping[str, str]]:
    """The metrics as ``list metrics --json`` prints them, and why broken plug-ins cannot be used, by id."""
    from t2av_bench.metrics import broken, metric_class, metric_ids

    unusable = broken()
    rows: list[dict[str, Any]] = []
    for id in metric_ids():
        if id in unusable:
            continue
        metric = metric_class(id)
        rows.append({
            "id": id, "title": metric.title,
            "columns": [
                {"name": quantity.name, "direction": quantity.direction, "unit": quantity.unit,
                 "interval": quantity.interval} for quantity in metric.quantities
            ],
            "licence": metric.licence, "embedded": metric.embedded, "extra": metric.extra, **_missing(metric),
            "paper": metric.paper,
        })  # fmt: skip
    return rows, unusable


def systems() -> tuple[list[dict[str, Any]], Mapping[str, str]]:
    """The systems, likewise."""
    from t2av_bench.systems import broken, system_class, system_ids

    unusable = broken()
    rows: list[dict[str, Any]] = []
    for id in system_ids():
        if id in unusable:
            continue
        system = system_class(id)
        rows.append({
            "id": id, "title": system.title, "tasks": {task: list(needs) for task, needs in system.needs.items()},
            "licence": system.licence, "extra": system.extra, **_missing(system), "paper": system.paper,
        })  # fmt: skip
    return rows, unusable


def users_of_weights(names: Iterable[str]) -> "list[type[Metric] | type[System]]":
    """Families and ids of metrics, ids of systems, ``all`` (every family) -> classes, each once. A family is its
    preferred variant here, whether or not another one could be used already. Raises ValueError for an unknown name."""
    from t2av_bench.metrics import metric_class, metric_ids
    from t2av_bench.systems import system_class, system_ids

    preferred: dict[str, str] = {}
    for id in metric_ids():
        preferred.setdefault(id.partition("/")[0], id)
    found: dict[type[Metric] | type[System], None] = {}
    for name in names:
        if name in system_ids():
            found[system_class(name)] = None
        elif name == "all" or name in preferred or name in metric_ids():
            for id in preferred.values() if name == "all" else [preferred.get(name, name)]:
                found[metric_class(id)] = None
        else:
            raise ValueError(
                f"unknown metric or system {name!r}{near(name, [*preferred, *metric_ids(), *system_ids()])}"
            )
    return list(found)


def _missing(user: "type[Metric] | type[System]") -> dict[str, list[str]]:
    from t2av_bench.weights.needs import missing

    weights, packages = missing(user)
    return {"missing_weights": [entry.id for entry in weights], "missing_packages": packages}


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"missing_weights": tuple(row["missing_weights"]), "missing_packages": tuple(row["missing_packages"]),
            "broken": None}  # fmt: skip


def _broken(found: Mapping[str, str], columns: Mapping[str, str], **otherwise: Any) -> list[dict[str, Any]]:
    otherwise |= {"missing_weights": (), "missing_packages": ()}
    return [{**dict.fromkeys(columns), **otherwise, "id": id, "broken": why} for id, why in found.items()]
