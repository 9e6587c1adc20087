"""A table for LaTeX. It needs the booktabs package and no other: dashed rules are drawn with ``\\cleaders``."""

import re
from collections.abc import Sequence
from dataclasses import replace

from reports.render.layout import body_texts, headings, leading, lines_below
from reports.tables.model import Table
from t2av_bench.utils.terminal_text import printable

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "†": r"\textsuperscript{\dag}", "‡": r"\textsuperscript{\ddag}", "–": r"\textendash{}", "…": r"\dots{}",
    "¶": r"\textsuperscript{\P}",
    "±": r"$\pm$", "§": r"\S{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "∞": r"$\infty$", "→": r"$\rightarrow$", "α": r"$\alpha$", "μ": r"$\mu$", "σ": r"$\sigma$", "√": r"$\surd$",
} | {sign: rf"\textsuperscript{{{digit}}}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}  # fmt: skip

# \multispan leaves out the columns' templates and so their struts: the rule is as high as what is drawn.
_DASHED = (
    r"\noalign{{\vskip\aboverulesep}}\multispan{{{columns}}}\cleaders\hbox to 4pt"
    r"{{\hss\vrule width 2pt height \lightrulewidth depth 0pt\hss}}\hfill\cr\noalign{{\vskip\belowrulesep}}"
)
_LAST_OF_ARTICLE_FONTS = 0x024F  # Latin with accents; other scripts need a font that pdflatex does not load

# Size, usual width of a character (headings are wider than digits) and space beside a column, in points.
_SIZES = (
    (r"\small", 5.6, 5.0), (r"\footnotesize", 5.2, 3.5), (r"\scriptsize", 4.9, 2.5), (r"\scriptsize", 4.9, 1.5),
    (r"\tiny", 4.2, 1.5),
)  # fmt: skip
_NORMAL = ("", 6.2, 6.0)
_BLOCKS = _SIZES[1]
_LINE = 482.0  # 17 cm
_EMPHASIS = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}


def latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package with the notes below it; in a ``table*`` where it has a caption.

    Spreads stand under their numbers, for behind them a table of two languages would not fit a page. What has no
    caption and is wider than a line is set in small letters, and in blocks of columns below each other where needed.
    """
    notes = [escape(note) + r"\par" for note in table.notes]
    if table.caption:
        lines = _floating(table, _tabular(table), notes)
    else:
        small = not _fits(table, _NORMAL)
        lines = [rf"{{{_letters(_BLOCKS)}"] if small else []
        for position, block in enumerate(_blocks(table) if small else [table]):
            lines += ([r"\par\medskip"] if position else []) + _tabular(block)
        lines += [r"\par}"] if small else []
        if notes:
            lines += [r"\par\smallskip", r"{\footnotesize\setlength{\parindent}{0pt}", *notes, "}"]
    text = "\n".join(lines) + "\n"
    engine = ""
    if any(ord(character) > _LAST_OF_ARTICLE_FONTS for character in text):
        engine = "; some names need xelatex or lualatex and a font of their script"
    return f"% needs \\usepackage{{booktabs}}{engine}\n{text}"


def _tabular(table: Table) -> list[str]:
    count = len(headings(table))
    before = leading(table)
    words = 1 + len(table.text_headings)
    lines = [
        r"\begin{tabular}{" + "l" * words + "r" * (count - words) + "}",
        r"\toprule",
        *_spanning(table, before),
        " & ".join(map(escape, headings(table))) + r" \\",
        r"\midrule",
    ]
    for index, line in enumerate(body_texts(table, escape, _EMPHASIS, stacked=True)):
        rule = table.break_before(index)
        if rule == "dashed":
            lines.append(_DASHED.format(columns=count))
        elif rule == "measured":
            lines += [r"\midrule", rf"\multicolumn{{{count}}}{{l}}{{\textit{{{escape(table.measured_heading)}}}}} \\"]
        lines.append(" & ".join(line) + r" \\")
        for below in lines_below(table, table.rows[index], escape):
            lines[-1] += "[-0.1ex]"
            lines.append(" & ".join(rf"{{\tiny {text}}}" if text else "" for text in below) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _blocks(table: Table) -> list[Table]:
    """The table in parts that fit a line, each with the names before it; rather parted between groups of columns."""
    fields = table.fields()
    groups, place = [], 0
    for _, width in table.spans("group") or [("", 1)] * len(fields):
        groups.append([index for field in fields[place : place + width] for index in field])
        place += width
    found: list[list[int]] = [[]]
    for group in groups:
        whole = found[-1] + group
        if _fits(_part(table, whole), _BLOCKS):
            found[-1] = whole
        elif _fits(_part(table, group), _BLOCKS):
            found.append(group)
        else:
            found.append([])
            for index in group:
                if found[-1] and not _fits(_part(table, [*found[-1], index]), _BLOCKS):
                    found.append([])
                found[-1].append(index)
    return [_part(table, columns) for columns in found if columns] or [table]


def _part(table: Table, columns: Sequence[int]) -> Table:
    rows = [replace(row, cells=[row.cells[index] for index in columns]) for row in table.rows]
    return replace(table, columns=[table.columns[index] for index in columns], rows=rows)


def escape(value: str) -> str:
    """Text as LaTeX prints it."""
    text = "".join(_SPECIAL.get(character, character) for character in printable(value, one_line=True))
    return re.sub("-(?=-)", "-{}", text)  # two hyphens (an option's) would become a dash


def _floating(table: Table, lines: list[str], notes: list[str]) -> list[str]:
    """Inside a float that spans a page of two columns, in letters that let it fit there."""
    if notes:
        notes = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"]
    return [
        r"\begin{table*}[t]", r"\centering", rf"\caption{{{escape(table.caption)}}}", r"\par\smallskip",
        _size(table), *lines,
        *notes,
        r"\end{table*}",
    ]  # fmt: skip


def _size(table: Table) -> str:
    """The largest letters with which the table is likely to fit a line; the smallest where none does."""
    return _letters(next((size for size in _SIZES if _fits(table, size)), _SIZES[-1]))


def _letters(size: tuple[str, float, float]) -> str:
    return rf"{size[0]}\setlength{{\tabcolsep}}{{{size[2]}pt}}"


def _fits(table: Table, size: tuple[str, float, float]) -> bool:
    """Whether the table is likely to fit a line."""
    _, width, space = size
    body = body_texts(table, str, {}, stacked=True)
    body += [line for row in table.rows for line in lines_below(table, row, str)]
    columns = list(zip(headings(table), *body, strict=True))
    return sum(max(map(len, column)) for column in columns) * width + 2 * space * len(columns) <= _LINE


def _spanning(table: Table, before: int) -> list[str]:
    """Heading rows of groups and kinds, with rules under those that have a text."""
    lines = []
    for part in ("group", "kind"):
        spans = table.spans(part)
        if not spans:
            continue
        cells, rules, place = [""] * before, [], before + 1
        for text, width in spans:
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(text)}}}")
            if text:
                rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
            place += width
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    return lines
