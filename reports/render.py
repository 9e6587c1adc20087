"""A table as Markdown, LaTeX, CSV or HTML."""

import csv
import io
import re
from collections.abc import Callable

from reports.table import Cell, Table
from t2av_bench.scores import Quantity

_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "†": r"\textsuperscript{\dag}", "‡": r"\textsuperscript{\ddag}", "–": "--", "…": r"\dots{}", "±": r"$\pm$",
    "²": r"\textsuperscript{2}", "§": r"\S{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


def number(cell: Cell, quantity: Quantity) -> str:
    """The cell's text without emphasis: value, marks, and coverage where it is not whole; a dash for no value."""
    summary = cell.summary
    if summary is None:
        return "–"
    coverage = f" ({summary.scored}/{summary.total})" if summary.scored < summary.total else ""
    value = "–" if summary.score.value is None else f"{summary.score.value:.{quantity.decimals}f}"
    return value + cell.marks + coverage


def markdown(table: Table) -> str:
    """GitHub's Markdown, with columns padded so that the source reads as a table too."""

    def text(value: str) -> str:
        return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", value)

    def emphasise(shown: str, rank: str | None) -> str:
        return {"best": f"**{shown}**", "second": f"<u>{shown}</u>"}.get(rank or "", shown)

    lines = _grid(table, text, emphasise)
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    padded = [
        "| " + " | ".join(
            value.ljust(width) if index == 0 else value.rjust(width)
            for index, (value, width) in enumerate(zip(line, widths, strict=True))
        ) + " |"
        for line in lines
    ]  # fmt: skip
    rule = "|" + "|".join(
        "-" * (width + 2) if index == 0 else "-" * (width + 1) + ":" for index, width in enumerate(widths)
    ) + "|"  # fmt: skip
    notes = [f"{text(note)}  " for note in table.notes]
    return "\n".join([padded[0], rule, *padded[1:], *([""] if notes else []), *notes]) + "\n"


def latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package, with the notes below it."""

    def text(value: str) -> str:
        return "".join(_LATEX_SPECIAL.get(character, character) for character in value)

    def emphasise(shown: str, rank: str | None) -> str:
        return {"best": rf"\textbf{{{shown}}}", "second": rf"\underline{{{shown}}}"}.get(rank or "", shown)

    header, *body = _grid(table, text, emphasise)
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *(" & ".join(line) + r" \\" for line in body),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if table.notes:
        lines += [r"\par\smallskip", r"{\footnotesize", *(text(note) + r"\par" for note in table.notes), "}"]
    return "\n".join(lines) + "\n"


def html(table: Table) -> str:
    """A ``<figure>`` with the table and its notes, styled by itself; readable with light and dark backgrounds."""
    from html import escape

    def emphasise(shown: str, rank: str | None) -> str:
        return {"best": f"<b>{shown}</b>", "second": f"<u>{shown}</u>"}.get(rank or "", shown)

    header, *body = _grid(table, escape, emphasise)
    style = (
        ".t2av{font:15px/1.45 system-ui,sans-serif;overflow-x:auto;margin:1em 0}"
        ".t2av table{border-collapse:collapse;border-block:2px solid;font-variant-numeric:tabular-nums}"
        ".t2av th,.t2av td{padding:.3em .8em;text-align:right;white-space:nowrap}"
        ".t2av :is(th,td):first-child{text-align:left}.t2av thead th{border-bottom:1px solid}"
        ".t2av figcaption{font-size:13px;opacity:.8;max-width:60em;margin-top:.6em}"
    )
    head = "".join(f'<th scope="col">{value}</th>' for value in header)
    rows = "\n".join(
        f'<tr><th scope="row">{line[0]}</th>' + "".join(f"<td>{value}</td>" for value in line[1:]) + "</tr>"
        for line in body
    )
    notes = "<br>\n".join(escape(note) for note in table.notes)
    return (
        f'<figure class="t2av"><style>{style}</style>\n<table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n<figcaption>{notes}</figcaption>\n</figure>\n"
    )


def comma_separated(table: Table) -> str:
    """CSV for programs: full precision, an empty field where there is no value, and the coverage of every column."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    names = [label.split(" ")[0] if table.labels.count(label) > 1 else quantity.name
             for label, quantity in zip(table.labels, table.quantities, strict=True)]  # fmt: skip
    writer.writerow(["system", "clips", *(f"{name}{part}" for name in names for part in ("", "_scored"))])
    for row in table.rows:
        fields: list[object] = [row.name, row.clips]
        for cell in row.cells:
            value = cell.summary.score.value if cell.summary else None
            fields += ["" if value is None else repr(value), cell.summary.scored if cell.summary else 0]
        writer.writerow(fields)
    return target.getvalue()


def _grid(table: Table, text: Callable[[str], str], emphasise: Callable[[str, str | None], str]) -> list[list[str]]:
    """Header and body as escaped, emphasised strings."""
    header = ["System", "Clips", *table.labels]
    body = [
        [text(row.name), str(row.clips)]
        + [
            emphasise(text(number(cell, quantity)), cell.rank)
            for cell, quantity in zip(row.cells, table.quantities, strict=True)
        ]
        for row in table.rows
    ]
    return [[text(value) for value in header], *body]


FORMATS: dict[str, Callable[[Table], str]] = {
    "md": markdown, "latex": latex, "csv": comma_separated, "html": html,
}  # fmt: skip
