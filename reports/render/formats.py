"""A table as Markdown, LaTeX, CSV or HTML."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reports.render.html import html
from reports.render.latex import latex
from reports.render.layout import body_texts, headings
from reports.tables.model import Cell, Table, TableRow
from t2av_bench.utils.files import json_text
from t2av_bench.utils.terminal_text import printable, spreadsheet_field


def markdown(table: Table) -> str:
    """GitHub's Markdown, with columns padded so that the source reads as a table too.

    Markdown has one line of headings and no rules: a column's heading begins with its group's, families are parted by
    a row of dashes, and a row says where measured ones begin.
    """

    def text(value: str) -> str:
        return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", printable(value, one_line=True))

    heads = [table.columns[field[0]] for field in table.fields()]
    lead = headings(table)[: -len(heads)] if heads else headings(table)
    lines = [[text(value) for value in (*lead, *(f"{column.group} {column.heading}".strip() for column in heads))]]
    for index, line in enumerate(body_texts(table, text, {"best": "**{}**", "second": "<u>{}</u>"})):
        part = table.break_before(index)
        if part == "dashed":
            lines.append(["╌╌╌"] * len(line))
        elif part == "measured":
            lines.append([f"*{text(table.measured_heading)}*", *[""] * (len(line) - 1)])
        lines.append(line)
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    words = 1 + len(table.text_headings)
    padded = [
        "| " + " | ".join(
            value.ljust(width) if index < words else value.rjust(width)
            for index, (value, width) in enumerate(zip(line, widths, strict=True))
        ) + " |"
        for line in lines
    ]  # fmt: skip
    rule = "|" + "|".join(
        "-" * (width + 2) if index < words else "-" * (width + 1) + ":" for index, width in enumerate(widths)
    ) + "|"  # fmt: skip
    caption = [f"**{text(table.caption)}**", ""] if table.caption else []
    notes = [f"{text(note)}  " for note in table.notes]
    return "\n".join([*caption, padded[0], rule, *padded[1:], *([""] if notes else []), *notes]) + "\n"


def comma_separated(table: Table) -> str:
    """CSV for programs: a number in full precision or as published, its coverage, and why it is absent.

    A text that a spreadsheet would take for a formula has an apostrophe before it. Names are the columns' keys.
    Published rows keep their digits as printed and have no coverage. A column ``KEY_protocol`` says which cells were
    measured by another protocol than their column's; a column ``note`` what to know of how a row's clips came about.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")

    def write(fields: Iterable[object]) -> None:
        writer.writerow([spreadsheet_field(field) for field in fields])

    published = table.has_published_rows
    words = table.text_headings if published or any(any(row.texts) for row in table.rows) else ()
    details = [*(["origin", "family"] if published else []), *words]
    noted = ["note"] if any(row.origin_note for row in table.rows) else []
    ends = ["_low", "_high"] if any(cell.interval for row in table.rows for cell in row.cells) else []
    spreads = ["_sd"] if any(cell.spread is not None for row in table.rows for cell in row.cells) else []
    other = [any(row.cells[index].other_protocol for row in table.rows) for index in range(len(table.columns))]
    heads = []
    for column, marked in zip(table.columns, other, strict=True):
        parts = ["", "_scored", "_reason", *(["_protocol"] if marked else []), *spreads, *ends]
        heads += [f"{column.key}{part}" for part in parts]
    write(["system", *details, "clips", *noted, *heads])
    for row in table.rows:
        about = [*([row.origin, row.family] if published else []), *(row.texts if words else ())]
        fields: list[object] = [row.name, *about, "" if row.clips is None else row.clips]
        fields += [row.origin_note] if noted else []
        for cell, marked in zip(row.cells, other, strict=True):
            value = "" if cell.value is None else cell.text if row.origin == "published" else repr(cell.value)
            scored = "" if row.origin == "published" else cell.scored or 0
            low_high = [f"{end:.6g}" for end in cell.interval or ()] or [""] * len(ends)
            spread = ["" if cell.spread is None else repr(cell.spread)] if spreads else []
            protocol = [cell.other_protocol] if marked else []
            reason = "" if cell.text else cell.reason or ""
            fields += [value, scored, reason, *protocol, *spread, *(low_high if ends else [])]
        write(fields)
    return target.getvalue()


def rows_as_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """CSV of a report's rows: numbers in full precision, a field empty where there is nothing."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row[name] is None else spreadsheet_field(row[name]) for name in columns])
    return target.getvalue()


def as_json(table: Table) -> str:
    """JSON for programs: columns, rows with a cell for each, notes. Values are in the printed unit."""

    def family(row: TableRow) -> dict[str, str | None]:
        return {"family": row.family or None} if table.has_published_rows else {}

    columns = [
        {"key": column.key, "label": column.label, "group": column.group, "direction": column.direction,
         "unit": column.unit, "metric": column.metric, "quantity": column.quantity.name if column.quantity else None}
        for column in table.columns
    ]  # fmt: skip
    rows = [
        {"system": row.name, "origin": row.origin, **family(row),
         **dict(zip(table.text_headings, row.texts, strict=False)),
         "clips": row.clips, "note": row.origin_note or None,
         "cells": {column.key: cell_document(cell) for column, cell in zip(table.columns, row.cells, strict=True)}}
        for row in table.rows
    ]  # fmt: skip
    document = {"title": table.title, "columns": columns, "rows": rows, "notes": table.notes}
    return json_text(document, indent=1) + "\n"


def cell_document(cell: Cell) -> dict[str, Any]:
    """A cell's number, its interval or why there is none, its coverage and rank, and what is behind it."""
    low, high = cell.interval or (None, None)
    return {
        "value": cell.value, "text": cell.text or None, "low": low, "high": high,
        "no_interval": cell.no_interval or None, "sd": cell.spread, "scored": cell.scored, "total": cell.total,
        "within_one": cell.within, "rank": cell.rank, "other_protocol": cell.other_protocol or None,
        "reason": None if cell.text else cell.reason, "failures": dict(cell.failures),
        "metric": cell.metric, "quantity": cell.quantity, "fingerprint": cell.fingerprint,
    }  # fmt: skip


FORMATS: dict[str, Callable[[Table], str]] = {
    "md": markdown, "latex": latex, "csv": comma_separated, "html": html,
}  # fmt: skip

__all__ = ["FORMATS", "as_json", "comma_separated", "html", "latex", "markdown"]
