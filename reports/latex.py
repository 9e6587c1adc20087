"""A table for LaTeX. It needs the booktabs package and no other: dashed rules are drawn with ``\\cleaders``."""

from reports.layout import MEASURED_HERE, body_texts, headings, leading
from reports.model import Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "†": r"\textsuperscript{\dag}", "‡": r"\textsuperscript{\ddag}", "–": "--", "…": r"\dots{}", "±": r"$\pm$",
    "§": r"\S{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "∞": r"$\infty$", "→": r"$\rightarrow$", "α": r"$\alpha$", "μ": r"$\mu$", "σ": r"$\sigma$", "√": r"$\surd$",
} | {sign: rf"\textsuperscript{{{digit}}}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}  # fmt: skip

# \multispan leaves out the columns' templates and so their struts: the rule is as high as what is drawn.
_DASHED = (
    r"\noalign{{\vskip\aboverulesep}}\multispan{{{columns}}}\cleaders\hbox to 4pt"
    r"{{\hss\vrule width 2pt height \lightrulewidth depth 0pt\hss}}\hfill\cr\noalign{{\vskip\belowrulesep}}"
)
_LAST_OF_ARTICLE_FONTS = 0x024F  # Latin with accents; other scripts need a font that pdflatex does not load


def latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package with the notes below it; in a ``table*`` where it has a caption."""
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
    for index, line in enumerate(body_texts(table, escape, _emphasise)):
        rule = table.break_before(index)
        if rule == "dashed":
            lines.append(_DASHED.format(columns=count))
        elif rule == "measured":
            lines += [r"\midrule", rf"\multicolumn{{{count}}}{{l}}{{\textit{{{MEASURED_HERE}}}}} \\"]
        lines.append(" & ".join(line) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [escape(note) + r"\par" for note in table.notes]
    if table.caption:
        lines = _floating(table, lines, notes, count)
    elif notes:
        lines += [r"\par\smallskip", r"{\footnotesize", *notes, "}"]
    text = "\n".join(lines) + "\n"
    engine = ""
    if any(ord(character) > _LAST_OF_ARTICLE_FONTS for character in text):
        engine = "; some names need xelatex or lualatex and a font of their script"
    return f"% needs \\usepackage{{booktabs}}{engine}\n{text}"


def escape(value: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_SPECIAL.get(character, character) for character in value)


def _emphasise(shown: str, rank: str | None) -> str:
    return {"best": rf"\textbf{{{shown}}}", "second": rf"\underline{{{shown}}}"}.get(rank or "", shown)


def _floating(table: Table, lines: list[str], notes: list[str], count: int) -> list[str]:
    """Inside a float that spans a page of two columns; many columns are set closer."""
    size, separation = (r"\scriptsize", "2.5pt") if count > 9 else (r"\small", "5pt")
    if notes:
        notes = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"]
    return [
        r"\begin{table*}[t]", r"\centering", rf"\caption{{{escape(table.caption)}}}",
        rf"{size}\setlength{{\tabcolsep}}{{{separation}}}", *lines,
        *notes,
        r"\end{table*}",
    ]  # fmt: skip


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
