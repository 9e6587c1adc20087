"""``t2av-bench list``: what there is to measure with, and what there is to generate with."""

import json
from collections.abc import Sequence
from typing import Any


def metrics(as_json: bool) -> None:
    """Print the metrics: ids, columns with their direction, licence, and which weights are missing here."""
    from t2av_bench.metrics import metric_class, metric_ids

    rows: list[dict[str, Any]] = []
    for id in metric_ids():
        metric = metric_class(id)
        rows.append(
            {
                "id": id,
                "title": metric.title,
                "columns": [
                    {"name": quantity.name, "direction": quantity.direction, "unit": quantity.unit,
                     "interval": quantity.interval} for quantity in metric.quantities
                ],
                "licence": metric.licence,
                "embedded": metric.embedded,
                "extra": metric.extra,
                "missing_weights": _missing(metric.weights),
                "paper": metric.paper,
            }
        )  # fmt: skip
    arrows = {"higher": "↑", "lower": "↓", "none": ""}
    _show(as_json, rows, ("metric", "columns", "weights", "licence"), [
        (row["id"], " ".join(column["name"] + arrows[column["direction"]] for column in row["columns"]), _state(row),
         row["licence"]) for row in rows
    ])  # fmt: skip


def systems(as_json: bool) -> None:
    """Print the systems: ids, what each needs for each task, licence, and which weights are missing here."""
    import typer

    from t2av_bench.systems import clashes, system_class, system_ids

    rows: list[dict[str, Any]] = []
    for id in system_ids():
        try:
            system = system_class(id)
            missing = _missing(system.weights)
        except ValueError as error:  # a broken plug-in, or one whose weights are in no table
            nothing = dict.fromkeys(("title", "licence", "extra", "paper"))
            rows.append({"id": id, **nothing, "tasks": {}, "missing_weights": [], "broken": str(error)})
            continue
        rows.append(
            {
                "id": id,
                "title": system.title,
                "tasks": {task: list(needs) for task, needs in system.needs.items()},
                "licence": system.licence,
                "extra": system.extra,
                "missing_weights": missing,
                "paper": system.paper,
                "broken": None,
            }
        )
    _show(as_json, rows, ("system", "tasks", "weights", "licence"), [
        (row["id"], " ".join(row["tasks"]) or "broken", "" if row["broken"] else _state(row), row["licence"] or "")
        for row in rows
    ])  # fmt: skip
    for reason in [row["broken"] for row in rows if row["broken"]] + list(clashes().values()):
        typer.echo(f"t2av-bench: {reason}", err=True)


def _missing(ids: Sequence[str]) -> list[str]:
    from t2av_bench.weights import is_present

    return [id for id in ids if not is_present(id)]


def _state(row: dict[str, Any]) -> str:
    return "missing: " + " ".join(row["missing_weights"]) if row["missing_weights"] else "ready"


def _show(as_json: bool, rows: list[dict[str, Any]], headings: Sequence[str], lines: list[tuple[str, ...]]) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for line in lines:
        shown.add_row(*line)
    Console().print(shown)
