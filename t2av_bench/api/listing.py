"""What there is to measure with, to generate with, and to generate for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from t2av_bench.api.frames import frame

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS = {
    "id": "text", "title": "text", "quantities": "object", "licence": "text", "stand_in": "bool", "extra": "text",
    "missing_weights": "object", "paper": "text", "broken": "text",
}  # fmt: skip
SYSTEMS = {
    "id": "text", "title": "text", "tasks": "object", "licence": "text", "extra": "text", "missing_weights": "object",
    "paper": "text", "broken": "text",
}  # fmt: skip
BENCHMARKS = {"id": "text", "splits": "object", "broken": "text"}


def list_metrics() -> "DataFrame":
    """The metrics, one a row: id, title, quantities (a tuple of names), licence of its weights, stand_in (bundled, not
    comparable with published numbers), extra (of pip), missing_weights (a tuple; empty: ready), paper. broken: why a
    plug-in cannot be used, None for the others."""
    rows, broken = metrics()
    return frame([
        *({**row, "quantities": tuple(column["name"] for column in row["columns"]), "stand_in": row["embedded"],
           "missing_weights": tuple(row["missing_weights"]), "broken": None} for row in rows),
        *_broken(broken, METRICS, quantities=(), stand_in=False, missing_weights=()),
    ], METRICS)  # fmt: skip


def list_systems() -> "DataFrame":
    """The systems, one a row: id, title, tasks (task -> what it needs of an item), licence, extra, missing_weights,
    paper, broken: as of ``list_metrics``."""
    rows, broken = systems()
    return frame([
        *({**row, "missing_weights": tuple(row["missing_weights"]), "broken": None} for row in rows),
        *_broken(broken, SYSTEMS, tasks={}, missing_weights=()),
    ], SYSTEMS)  # fmt: skip


def list_benchmarks() -> "DataFrame":
    """The benchmarks, one a row: id, splits (split -> number of items), broken: as of ``list_metrics``."""
    from t2av_bench.benchmarks.registry import benchmark, benchmark_ids
    from t2av_bench.utils.registry import PluginError

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
                 "interval": quantity.interval, "aliases": metric.also_called(quantity.name)}
                for quantity in metric.quantities
            ],
            "licence": metric.licence, "embedded": metric.stand_in, "extra": metric.extra,
            "missing_weights": _missing(metric.weights), "paper": metric.paper,
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
            "licence": system.licence, "extra": system.extra, "missing_weights": _missing(system.weights),
            "paper": system.paper,
        })  # fmt: skip
    return rows, unusable


def _missing(ids: Sequence[str]) -> list[str]:
    from t2av_bench.weights import is_present

    return [id for id in ids if not is_present(id)]


def _broken(found: Mapping[str, str], columns: Mapping[str, str], **otherwise: Any) -> list[dict[str, Any]]:
    return [{**dict.fromkeys(columns), **otherwise, "id": id, "broken": why} for id, why in found.items()]
