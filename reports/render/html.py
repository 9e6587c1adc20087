"""A table as a ``<figure>`` of HTML that needs nothing else."""

from html import escape as escape_markup

from reports.render.layout import body_texts, headings, leading
from reports.tables.model import Table
from t2av_bench.utils.terminal_text import printable

STYLE = (
    ".t2av{font:15px/1.45 system-ui,sans-serif;overflow-x:auto;margin:1em 0}"
    ".t2av table{border-collapse:collapse;border-block:2px solid;font-variant-numeric:tabular-nums}"
    ".t2av th,.t2av td{padding:.3em .8em;text-align:right;white-space:nowrap;font-weight:inherit}"
    ".t2av thead th,.t2av b{font-weight:bold}"
    ".t2av .name{text-align:left}.t2av thead tr:last-child th{border-bottom:1px solid}"
    ".t2av .span{text-align:center;border-bottom:1px solid}"
    ".t2av .dashed>*{border-top:1px dashed}.t2av .section>*{border-top:1px solid;font-style:italic}"
    ".t2av caption{text-align:left;padding:.3em 0;font-weight:bold}"
    ".t2av figcaption{font-size:13px;opacity:.8;max-width:60em;margin-top:.6em}"
)


def escape(value: str) -> str:
    """Text as HTML shows it, on one line and without control characters."""
    return escape_markup(printable(value, one_line=True))


def html(table: Table) -> str:
    """A ``<figure>`` with the table and its notes, styled by itself; readable with light and dark backgrounds.

    Rows carry their origin as class (``published``, ``measured``); a cell carries as title why it, or some clips of it,
    has no value, and which other protocol it was measured by.
    """
    notes = "<br>\n".join(escape(note) for note in table.notes)
    caption = f"<caption>{escape(table.caption)}</caption>\n" if table.caption else ""
    return (
        f'<figure class="t2av"><style>{STYLE}</style>\n<table>\n{caption}<thead>{_head(table)}</thead>\n'
        f"<tbody>\n{_body(table)}\n</tbody>\n</table>\n<figcaption>{notes}</figcaption>\n</figure>\n"
    )


def _head(table: Table) -> str:
    words = 1 + len(table.text_headings)
    before = leading(table)
    rows = []
    for part in ("group", "kind"):
        if spans := table.spans(part):
            cells = "".join(
                f'<th scope="colgroup" colspan="{width}" class="span">{escape(text)}</th>' if text
                else f'<td colspan="{width}"></td>'
                for text, width in spans
            )  # fmt: skip
            rows.append(f'<tr><td colspan="{before}"></td>{cells}</tr>\n')
    labels = "".join(
        f'<th scope="col"{_class(index < words)}>{escape(value)}</th>' for index, value in enumerate(headings(table))
    )
    return "".join(rows) + f"<tr>{labels}</tr>"


def _body(table: Table) -> str:
    words = 1 + len(table.text_headings)
    before, fields = leading(table), table.fields()
    lines = []
    for index, line in enumerate(body_texts(table, escape, {"best": "<b>{}</b>", "second": "<u>{}</u>"})):
        row, rule = table.rows[index], table.break_before(index)
        if rule == "measured":
            lines.append(
                f'<tr class="section"><th scope="rowgroup" colspan="{len(line)}" class="name">'
                f"{escape(table.measured_heading)}</th></tr>"
            )
        kind = row.origin + (" dashed" if rule == "dashed" else "")
        cells = [f'<th scope="row" class="name">{line[0]}</th>']
        for position, value in enumerate(line[1:], start=1):
            reasons = []
            if position >= before:
                cells_here = [row.cells[i] for i in fields[position - before]]
                reasons = [cell.reason for cell in cells_here if cell.reason]
                reasons += [cell.other_protocol for cell in cells_here if cell.other_protocol]
                reasons += [
                    f"{count} × {reason}" for cell in cells_here if cell.text for reason, count in cell.failures.items()
                ]
            title = f' title="{escape("; ".join(dict.fromkeys(reasons)))}"' if reasons else ""
            cells.append(f"<td{_class(position < words)}{title}>{value}</td>")
        lines.append(f'<tr class="{kind}">{"".join(cells)}</tr>')
    return "\n".join(lines)


def _class(words: bool) -> str:
    return ' class="name"' if words else ""
