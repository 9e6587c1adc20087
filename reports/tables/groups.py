"""A table broken down by what the items state: what is said of its groups, and groups as columns."""

from collections.abc import Sequence
from dataclasses import replace

from reports.tables.model import Table, TableColumn
from t2av_bench.results.run import RunResult
from t2av_bench.results.subgroups import NOT_STATED, Subgroup, keys, several
from t2av_bench.utils.text import some

# Columns that CSV, JSON and data frames have already.
_TAKEN = {
    "system", "origin", "family", "clips", "note", "cells", "column", "value", "text", "low", "high", "sd",
    "scored", "total", "rank", "reason", "metric", "quantity", "fingerprint",
}  # fmt: skip


def heading(by: str) -> str:
    """The name of the groups' column: the key, unless tables have a column of that name."""
    return f"item_{by}" if by in _TAKEN else by


def notes(runs: Sequence[RunResult], by: str, columns: Sequence[TableColumn]) -> list[str]:
    """What a reader must know of the groups."""
    found = [f"Groups: the items' {by!r}, as the manifest states it; each group is a question of its own."]
    if several(runs, by):
        found.append("An item with several values is in the group of each.")
    silent = [run.name for run in runs if by not in keys([run])]
    if silent:
        found.append(
            f"No item of {some(silent)} states {by!r}: state it in the manifest and repeat the evaluation, which "
            "measures nothing again."
        )
    elif any(not row["item"].get(by) for run in runs for row in run.rows.values()):
        found.append(f"{NOT_STATED}: items without {by!r}.")
    sets = [column.named for column in columns if column.quantity is not None and column.quantity.aggregate == "set"]
    if sets:
        found.append(
            f"{', '.join(sets)}: a distance grows as clips get fewer (by about 1/n); compare systems within a group, "
            "not groups of different sizes."
        )
    return found


def side_by_side(table: Table, parts: Sequence[Subgroup]) -> None:
    """Turn a row for each group and system into a row for each system, and a column for each quantity and group.

    A column's label has the number of its clips, where the systems have equally many.
    """
    systems = len(table.rows) // len(parts)
    labels = []
    for part in parts:
        counts = {len(clips) for clips in part.clips}
        labels.append(f"{part.label} ({counts.pop()})" if len(counts) == 1 else part.label)
    columns = [
        replace(column, key=f"{column.key}[{part.label}]", label=label, group=column.label)
        for column in table.columns for part, label in zip(parts, labels, strict=True)
    ]  # fmt: skip
    rows = []
    for position, row in enumerate(table.rows[:systems]):
        mine = table.rows[position::systems]
        cells = [each.cells[index] for index in range(len(table.columns)) for each in mine]
        rows.append(replace(row, cells=cells, family="", texts=()))
    table.columns, table.rows, table.text_headings = columns, rows, ()
