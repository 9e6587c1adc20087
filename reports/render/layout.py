"""What all renderers share: the texts of headings and rows, cell by printed cell."""

from collections.abc import Callable, Mapping

from reports.tables.model import Cell, Table, TableRow

Escape = Callable[[str], str]
Emphasis = Mapping[str, str]
"""Rank -> a format of the text that has it."""


def headings(table: Table) -> list[str]:
    """The lowest line of headings, one a printed cell."""
    clips = ["Clips"] if table.shows_clips else []
    labels = [table.columns[field[0]].heading for field in table.fields()]
    return [table.row_heading, *table.text_headings, *clips, *labels]


def leading(table: Table) -> int:
    """How many printed cells stand before the first column."""
    return 1 + len(table.text_headings) + table.shows_clips


def body_texts(table: Table, escape: Escape, emphasis: Emphasis, *, stacked: bool = False) -> list[list[str]]:
    """The rows as escaped, emphasised strings; what is joined stands in one cell with a slash between.

    stacked: rows with spreads have their numbers alone, for ``lines_below`` to add what belongs to them.
    """
    fields = table.fields()
    body = []
    for row in table.rows:
        clips = ["" if row.clips is None else str(row.clips)] if table.shows_clips else []
        name = (row.name if table.shows_clips else row.label) + row.sign
        line = [escape(value) for value in (name, *row.texts)] + clips
        short = stacked and _has_spreads(row)
        for field in fields:
            parts = []
            for index in field:
                cell, decimals = row.cells[index], table.columns[index].decimals
                more = "" if short else f" {cell.plus_minus(decimals)}".rstrip() + cell.details(decimals)
                parts.append(emphasis.get(cell.rank or "", "{}").format(escape(cell.number)) + escape(more))
            line.append(" / ".join(parts))
        body.append(line)
    return body


def lines_below(table: Table, row: TableRow, escape: Escape) -> list[list[str]]:
    """Spreads, and then what else follows a row's numbers, as lines of their own for narrow pages.

    Empty for rows without spreads, whose numbers ``body_texts`` never parts from what follows them.
    """
    if not _has_spreads(row):
        return []
    lines = []
    for text in (Cell.plus_minus, Cell.details):
        line = [""] * leading(table)
        for field in table.fields():
            parts = [text(row.cells[index], table.columns[index].decimals).strip() for index in field]
            line.append(escape(" / ".join(part or "–" for part in parts)) if any(parts) else "")
        if any(line):
            lines.append(line)
    return lines


def _has_spreads(row: TableRow) -> bool:
    return any(cell.spread is not None for cell in row.cells)
