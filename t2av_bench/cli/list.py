"""``t2av-bench list``: what there is to measure with, and what there is to generate with."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from t2av_bench.api import listing
from t2av_bench.utils.terminal_text import echo


class Listed(StrEnum):
    """What ``list`` can show."""

    METRICS = "metrics"
    SYSTEMS = "systems"


def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")] = Listed.METRICS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List metrics (ids, columns, licence of their weights) or systems (ids, tasks and what these need).

    Benchmarks: 'data list'. Weights: 'weights list'.
    """
    metrics(as_json) if what is Listed.METRICS else systems(as_json)


def metrics(as_json: bool) -> None:
    """Print the metrics: ids, columns with direction and other names, licence, and missing weights."""
    rows, unusable = listing.metrics()
    _show(as_json, rows, unusable, ("metric", "columns", "weights", "licence"), [
        (row["id"], " ".join(map(_column, row["columns"])), _state(row), row["licence"]) for row in rows
    ])  # fmt: skip


def _column(column: dict[str, Any]) -> str:
    arrow = {"higher": "↑", "lower": "↓", "none": ""}[column["direction"]]
    return column["name"] + arrow + (f" ({', '.join(column['aliases'])})" if column["aliases"] else "")


def systems(as_json: bool) -> None:
    """Print the systems: ids, what each needs for each task, licence, and which weights are missing here."""
    rows, unusable = listing.systems()
    _show(as_json, rows, unusable, ("system", "tasks", "weights", "licence"), [
        (row["id"], " ".join(row["tasks"]), _state(row), row["licence"]) for row in rows
    ])  # fmt: skip


def _state(row: dict[str, Any]) -> str:
    return "missing: " + " ".join(row["missing_weights"]) if row["missing_weights"] else "ready"


def _show(
    as_json: bool, rows: list[dict[str, Any]], broken: Mapping[str, str], headings: Sequence[str],
    lines: list[tuple[str, ...]],
) -> None:  # fmt: skip
    """Broken plug-ins come last; in JSON ``broken`` says why, and is null for the others."""
    if as_json:
        found = [{**row, "broken": None} for row in rows] + [{"id": id, "broken": why} for id, why in broken.items()]
        echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    from rich.table import Table

    from t2av_bench.cli.console import Console

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for line in lines:
        shown.add_row(*line)
    Console().print(shown)
    for why in broken.values():
        Console().print(f"broken: {why}", markup=False, highlight=False, soft_wrap=True)
