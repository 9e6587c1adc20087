"""``t2av-bench list``: what there is to measure with, and what there is to generate with."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from t2av_bench.api import listing
from t2av_bench.utils.terminal_text import echo


def list_(
    what: Annotated[Literal["metrics", "systems"], typer.Argument(help="What to list.")] = "metrics",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List metrics (ids, columns, licence of their weights) or systems (ids, tasks and what these need).

    Benchmarks: 'data list'. Weights: 'weights list'. Systems of other people: 'systems show'.
    """
    if what == "metrics":
        _show(as_json, listing.metrics(), ("metric", "columns"), lambda row: " ".join(map(_column, row["columns"])))
    else:
        _show(as_json, listing.systems(), ("system", "tasks"), lambda row: " ".join(row["tasks"]))


def _column(column: dict[str, Any]) -> str:
    arrow = {"higher": "↑", "lower": "↓", "none": ""}[column["direction"]]
    return column["name"] + arrow + (f" ({', '.join(column['aliases'])})" if column["aliases"] else "")


def _show(
    as_json: bool, rows: list[dict[str, Any]], headings: tuple[str, str], own: Callable[[dict[str, Any]], str]
) -> None:
    if as_json:
        echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.table import Table

    from t2av_bench.cli.console import Console

    shown, broken = Table(box=None, pad_edge=False, header_style="bold"), []
    for heading in (*headings, "weights and packages", "licence"):
        shown.add_column(heading, overflow="fold")
    for row in rows:
        if row["broken"]:
            broken.append(row["broken"])
        else:
            missing = [*row["missing_weights"], *row["missing_packages"]]
            state = f"missing: {' '.join(missing)}" if missing else "ready"
            state += "" if row.get("by_default", True) else "; by its name alone, not by all"
            state += "; never run with weights" if row.get("never_run") else ""
            shown.add_row(row["id"], own(row), state, row["licence"])
    Console().print(shown)
    for why in broken:
        Console().print(f"broken: {why}", markup=False, highlight=False, soft_wrap=True)
