"""What all renderers share: the texts of headings and rows, cell by printed cell."""

from collections.abc import Callable

from reports.model import Table

Escape = Callable[[str], str]
Emphasise = Callable[[str, str | None], str]


def headings(table: Table) -> list[str]:
    """The lowest line of headings, one a printed cell."""
    clips = ["Clips"] if table.shows_clips else []
    labels = [table.columns[field[0]].heading for field in table.fields()]
    return [table.row_heading, *table.text_headings, *clips, *labels]


def leading(table: Table) -> int:
    """How many printed cells stand before the first column."""
    return 1 + len(table.text_headings) + table.shows_clips


def body_texts(table: Table, escape: Escape, emphasise: Emphasise) -> list[list[str]]:
    """The rows as escaped, emphasised strings; what is joined stands in one cell with a slash between."""
    fields = table.fields()
    body = []
    for row in table.rows:
        clips = ["" if row.clips is None else str(row.clips)] if table.shows_clips else []
        line = [escape(value) for value in (row.name if table.shows_clips else row.label, *row.texts)] + clips
        for field in fields:
            parts = []
            for index in field:
                cell = row.cells[index]
                details = cell.details(table.columns[index].decimals)
                parts.append(emphasise(escape(cell.number), cell.rank) + escape(details))
            line.append(" / ".join(parts))
        body.append(line)
    return body
