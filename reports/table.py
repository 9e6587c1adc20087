"""A table of runs: systems down, quantities across.

Two numbers share a column only where their protocols have one fingerprint; otherwise the table is refused, or, with
``allow_mixed``, the cells that differ are marked. Every cell says how many of how many clips it covers.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2av_bench.aggregate import Summary
from t2av_bench.runs import RESULTS, Column, columns
from t2av_bench.scores import Quantity, Status
from t2av_bench.store import Store

ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
# A system that fails on more of its clips is not ranked: a mean over the easy clips must not win (metrics.md §11).
MOST_MISSING_WHEN_RANKED = 0.02


class MixedProtocols(ValueError):
    """Runs whose numbers are not comparable; the message names what differs."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run as a table reads it: its system's name, columns, clip ids and protocol documents by fingerprint."""

    name: str
    path: Path
    columns: list[Column]
    clips: list[str]
    protocols: dict[str, dict[str, Any]]


@dataclass(slots=True)
class Cell:
    """One number of a table. ``marks``: footnote signs. ``rank``: best and second best of the column."""

    summary: Summary | None
    rank: Literal["best", "second"] | None = None
    marks: str = ""


@dataclass(slots=True)
class Row:
    """One system: its name, how many clips it has, and a cell a column."""

    name: str
    clips: int
    cells: list[Cell]


@dataclass(slots=True)
class Table:
    """What a renderer prints. ``notes`` stand below it, one a line."""

    quantities: list[Quantity]
    labels: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def read_run(path: Path) -> RunResult:
    """Read a run folder. Raises StoreError where it is none."""
    with Store(path / RESULTS) as store:
        claim = store.setting("claim")
        protocols = {entry["fingerprint"]: entry["protocol"] for entry in store.protocols().values()}
        clips = [row["clip"] for row in store.clips()]
        return RunResult(claim["name"] if claim else path.name, path, columns(store), clips, protocols)


def build(runs: Sequence[RunResult], *, allow_mixed: bool = False) -> Table:
    """The table of some runs. Raises MixedProtocols where a column would mix fingerprints and that is not allowed."""
    found: dict[tuple[str, str], list[Column | None]] = {}
    for position, run in enumerate(runs):
        for column in run.columns:
            cells = found.setdefault((column.metric, column.quantity.name), [None] * len(runs))
            cells[position] = column
    notes: list[str] = []
    table = Table([], [], [Row(run.name, len(run.clips), []) for run in runs], notes)
    inapplicable: dict[str, list[str]] = {}
    mixed, embedded = [], []
    families = [quantity for _, quantity in found]
    for (metric, name), cells in found.items():
        present = [column for column in cells if column]
        if all(column.summary.score.status is Status.NOT_APPLICABLE for column in present):
            reason = str(present[0].summary.score.reason)
            inapplicable.setdefault(reason, []).append(name if families.count(name) == 1 else f"{metric} {name}")
            continue
        quantity = present[0].quantity
        label = quantity.label if families.count(name) == 1 else f"{quantity.label} [{metric.split('/')[1]}]"
        marks = _protocol_marks(metric, cells, runs, allow_mixed, notes)
        if any(marks):
            mixed.append(label)
        if present[0].embedded:
            embedded.append(label)
            label += "‡"
        table.quantities.append(quantity)
        table.labels.append(f"{label} {ARROWS[quantity.direction]}".strip())
        made = [Cell(column.summary if column else None, marks=mark) for column, mark in zip(cells, marks, strict=True)]
        if not any(marks):
            _rank(quantity, made)
        for row, cell in zip(table.rows, made, strict=True):
            row.cells.append(cell)
    if any(cell.summary and cell.summary.scored < cell.summary.total for row in table.rows for cell in row.cells):
        notes.append("(n/N): the value covers n of N clips; the others failed, see the reasons.")
    if embedded:
        notes.append(f"‡ computed by a bundled stand-in, not comparable with published numbers: {', '.join(embedded)}.")
    if len({tuple(sorted(run.clips)) for run in runs}) > 1:
        notes.append("The rows do not cover the same clips: differences between them are not paired.")
    for reason, names in inapplicable.items():
        notes.append(f"Not shown, not applicable: {', '.join(names)}: {reason}.")
    return table


def _protocol_marks(
    metric: str, cells: list[Column | None], runs: Sequence[RunResult], allow_mixed: bool, notes: list[str]
) -> list[str]:
    """A mark for every cell whose protocol differs from the first one's. A cell without a value mixes with any."""
    cells = [column if column and column.summary.score.value is not None else None for column in cells]
    fingerprints = list(dict.fromkeys(column.fingerprint for column in cells if column))
    if len(fingerprints) <= 1:
        return [""] * len(cells)
    documents = {fingerprint: document for run in runs for fingerprint, document in run.protocols.items()}
    first = fingerprints[0]
    differences = {
        fingerprint: _difference(documents[first], documents[fingerprint]) for fingerprint in fingerprints[1:]
    }
    if not allow_mixed:
        holder = {column.fingerprint: run for column, run in zip(cells, runs, strict=True) if column}
        other = fingerprints[1]
        raise MixedProtocols(
            f"{metric} was measured by different protocols: {first} in {holder[first].path}, {other} in "
            f"{holder[other].path} ({differences[other]}); measure both alike, or mark the cells with --allow-mixed"
        )
    signs = {first: ""} | {fingerprint: "†" * (1 + index) for index, fingerprint in enumerate(fingerprints[1:])}
    for fingerprint, difference in differences.items():
        note = f"{signs[fingerprint]} {metric} by another protocol than the first row's ({difference}): not comparable."
        if note not in notes:
            notes.append(note)
    return [signs[column.fingerprint] if column else "" for column in cells]


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What differs between two protocol documents, in words."""
    found = []
    for part in ("parameters", "weights", "libraries"):
        for key in sorted(one[part].keys() | other[part].keys()):
            left, right = one[part].get(key, "none"), other[part].get(key, "none")
            if left != right:
                found.append(f"{key} {_short(left)} against {_short(right)}")
    return "; ".join(found) or "another id"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 24 else text[:12] + "…"


def _rank(quantity: Quantity, cells: list[Cell]) -> None:
    """Mark best and second best by the printed digits; what prints alike shares its mark."""
    if quantity.direction == "none" or sum(cell.summary is not None for cell in cells) < 2:
        return
    printed = {}
    for index, cell in enumerate(cells):
        summary = cell.summary
        if summary is None or summary.score.value is None:
            continue
        if quantity.aggregate != "set" and summary.scored < (1 - MOST_MISSING_WHEN_RANKED) * summary.total:
            continue
        printed[index] = round(summary.score.value, quantity.decimals)
    ordered = sorted(set(printed.values()), reverse=quantity.direction == "higher")
    names: tuple[Literal["best", "second"], ...] = ("best", "second")
    for value, rank in zip(ordered[:2], names, strict=False):
        for index, candidate in printed.items():
            if candidate == value:
                cells[index].rank = rank
