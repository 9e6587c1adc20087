"""A table for the terminal, by rich."""

import io

from reports.render.layout import body_texts, headings, leading
from reports.tables.model import Table
from t2av_bench.utils.terminal_text import printable


def terminal(table: Table, *, styled: bool = False, width: int | None = None) -> str:
    """The table with lines between its parts.

    styled: bold and underline by escape sequences; without, best is printed as ``*5.00*`` and second as ``_4.00_``.
    width: characters a line; notes are wrapped to it, the table is never cut.
    """
    from rich.box import HORIZONTALS
    from rich.console import Console
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=HORIZONTALS, pad_edge=False, show_edge=True, header_style="bold" if styled else "")
    words, before = 1 + len(table.text_headings), leading(table)
    # rich has no headings over several columns: a group's name stands over its first one.
    groups = [""] * before + [name for text, cells in table.spans("group") for name in (text, *[""] * (cells - 1))]
    for index, heading in enumerate(headings(table)):
        levels = [groups[index], heading] if any(groups) else [heading]
        shown.add_column(
            Text("\n".join(_line(level) for level in levels)), justify="left" if index < words else "right",
            no_wrap=True, vertical="bottom",
        )  # fmt: skip

    def emphasise(text: str, rank: str | None) -> str:
        if styled:
            return {"best": f"\x1b[1m{text}\x1b[0m", "second": f"\x1b[4m{text}\x1b[0m"}.get(rank or "", text)
        return {"best": f"*{text}*", "second": f"_{text}_"}.get(rank or "", text)

    for index, line in enumerate(body_texts(table, _line, emphasise)):
        rule = table.break_before(index)
        if rule == "dashed":
            shown.add_row(*[Rule(characters="╌", style="dim" if styled else "") for _ in line])
        elif rule == "measured":
            shown.add_section()
            heading = _line(table.measured_heading).replace(" (", "\n(")  # a long line would widen the first column
            shown.add_row(Text(heading, style="italic" if styled else ""))
        shown.add_row(*[Text.from_ansi(value) for value in line])
    target = io.StringIO()
    # Without a colour system rich leaves out bold and underline, too.
    console = Console(
        file=target, force_terminal=styled, color_system="standard" if styled else None, highlight=False,
        markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    asked = width or 100
    console.width = max(asked, console.measure(shown, options=console.options.update(max_width=10_000)).maximum)
    if table.caption:
        console.print(Text(_line(table.caption), style="bold" if styled else ""), width=asked)
    console.print(shown)
    for note in table.notes:
        console.print(Padding(Text(_line(note)), (0, 0)), width=asked)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"


def _line(text: str) -> str:
    return printable(text, one_line=True)
