"""Tables as their template prints them: every cell with its text, sort value, link and explanation."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from reports.page.content import Content
from reports.plots.style import says_real
from reports.render.layout import leading
from reports.tables.model import Cell, Table, TableColumn, TableRow

CLIPS = "clips.html"
_MOST_COLUMNS = 8  # beside the names, on 1,200 pixels
# The page's cells are short; what other formats print in brackets is in their explanation.
_INTERVALS = "95 % bootstrap intervals over the clips: hover over a cell, or move to it with the keyboard."


def table_view(table: Table, content: Content) -> dict[str, Any]:
    """A table of the content's runs, with published rows among them or not; cells of measured rows link to clips."""
    return {
        "title": table.title,
        "caption": table.caption if table.caption != table.title else "",
        "row_heading": table.row_heading,
        "text_headings": table.text_headings,
        "shows_clips": table.shows_clips,
        "measured_heading": table.measured_heading,
        "leading": leading(table),
        "columns": [
            {"heading": _unbroken(f"{column.group} {column.heading}".strip()), "direction": column.direction}
            for column in table.columns
        ],
        "blocks": _blocks(table.columns),
        "rows": [_row(table, index, row, content) for index, row in enumerate(table.rows)],
        "notes": [_INTERVALS if note.startswith("[low, high]") else note for note in table.notes],
    }  # fmt: skip


def _blocks(columns: Sequence[TableColumn]) -> list[list[int]]:
    """Places of the columns that stand in one table: so many as a window has room for, of one kind where that fits."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for place, column in enumerate(columns):
        family = column.kind or (column.metric or column.key).split("/")[0]
        kinds.setdefault((column.group, family), []).append(place)
    found: list[list[int]] = [[]]
    for places in kinds.values():
        if found[-1] and len(found[-1]) + len(places) > _MOST_COLUMNS:
            found.append([])
        for place in places:
            if len(found[-1]) == _MOST_COLUMNS:
                found.append([])
            found[-1].append(place)
    return found


def _unbroken(heading: str) -> str:
    """A heading that may break between words, but neither in ``Sync-C`` nor before its arrow."""
    return heading.replace("-", "\u2011").replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")


def _row(table: Table, index: int, row: TableRow, content: Content) -> dict[str, Any]:
    systems = [position for position, system in enumerate(content.systems) if system.run.path in row.runs]
    system = systems[0] if len(systems) == 1 else None
    return {
        "name": row.label,
        "note": row.note,
        "texts": row.texts,
        "clips": row.clips,
        "published": row.origin == "published",
        "border": table.break_before(index),
        "real": any(content.systems[position].real for position in systems) and not says_real(row.name),
        "cells": [
            _cell(row, system, column, cell, content) for column, cell in zip(table.columns, row.cells, strict=True)
        ],
    }  # fmt: skip


def _cell(row: TableRow, system: int | None, column: TableColumn, cell: Cell, content: Content) -> dict[str, Any]:
    partial = cell.scored is not None and cell.total is not None and cell.scored < cell.total
    return {
        "text": (cell.text or "–") + (f" ± {cell.spread:.{column.decimals}f}" if cell.spread is not None else ""),
        "value": cell.value,
        "rank": cell.rank,
        "marks": cell.marks,
        "note": cell.note,
        "coverage": f"{cell.scored}/{cell.total}" if partial else "",
        "href": _link(system, column, cell, content) if row.origin == "measured" else None,
        "tip": "\n".join(_explanation(row, column, cell)),
    }


def _link(system: int | None, column: TableColumn, cell: Cell, content: Content) -> str:
    """The clips behind a cell, worst first; those without a score where the cell has none."""
    asked = {"system": str(system)} if system is not None else {}
    name = cell.quantity or (column.quantity.name if column.quantity else None)
    for known in content.table.columns:
        if known.quantity and (known.metric, known.quantity.name) == (cell.metric, name):
            if known.quantity.aggregate != "set":
                asked |= {"by": known.key, "order": "worst"} if cell.text else {"by": known.key, "show": "failed"}
            break
    return f"{CLIPS}#{urlencode(asked)}"


def _explanation(row: TableRow, column: TableColumn, cell: Cell) -> Iterator[str]:
    unit = f" {column.unit}" if column.unit else ""
    name = ", ".join([row.name, *filter(None, row.texts)])
    label = f"{column.group} {column.label}".strip()
    yield f"{name}: {label} {cell.text}{unit}" if cell.text else f"{name}: no {label}"
    if row.origin == "published":
        yield "published, not measured here"
    if cell.reason:
        yield cell.reason
    if cell.other_protocol:
        yield cell.other_protocol
    if cell.spread is not None:
        yield f"± {cell.spread:.{column.decimals}f}: standard deviation over the row's runs"
    if cell.interval:
        low, high = (f"{end:.{column.decimals}f}" for end in cell.interval)
        yield f"95 % interval {low} to {high}, bootstrap over clips"
    elif cell.text and row.origin == "measured" and (column.direction != "none" or cell.within is not None):
        yield f"no interval: {cell.no_interval or 'no scores by clip'}"
    if cell.within is not None:
        yield f"{100 * cell.within:.0f} % of the clips are at most one frame from 0"
    if cell.total is not None:
        yield f"covers {cell.scored} of {cell.total} clips"
    if cell.fingerprint:
        yield f"protocol {cell.metric} {cell.fingerprint}"
