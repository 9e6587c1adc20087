"""Tables and other reports for the terminal, by rich: what is wider than the window is printed in blocks of columns."""

import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import HORIZONTALS
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text

from reports.render.layout import body_texts, headings, leading
from reports.tables.model import Table
from t2av_bench.utils.terminal_text import printable

# Commands stay on one line, to be copied from there.
_COMMAND = re.compile(r"pip install \S+|t2av-bench(?: [\w./:,=<>\[\]-]+)+|--[a-z-]+ [\w./,-]+")
_MEASURE = re.compile(r"(?<=\d) (?=(?:%|s|fps)(?!\w))")  # a number and its unit
_KEPT_SPACE = "\ue000"
_WIDEST_TEXT = 40
_WIDEST_HEADING = 10  # about as wide as a number
_SHORTEST_NAME = 24


@dataclass(frozen=True, slots=True)
class _Grid:
    """What is printed: headings and lines, cell by cell. A line may be a text over all columns, or a dashed rule.

    lead: so many columns begin every block. keys: what each of the others belongs to, from the whole to the part;
    blocks rather end between two wholes. groups: headings above the others; each stands over its first column.
    names: characters that names are wrapped to, and headings over numbers to about these; 0: nothing is wrapped.
    """

    heads: Sequence[str | Text]
    lines: Sequence[Sequence[Text] | Text | Literal["dashed"]]
    justify: Sequence[str]
    lead: int
    keys: Sequence[tuple[object, ...]]
    styled: bool
    groups: Sequence[str] = ()
    names: int = 0

    def shown(self, columns: Sequence[int]) -> RichTable:
        chosen = [*range(self.lead), *columns]
        above = ""
        shown = RichTable(
            box=HORIZONTALS, pad_edge=False, collapse_padding=bool(self.names),
            header_style="bold" if self.styled else "",
        )  # fmt: skip
        heads = {index: self._head(index) for index in chosen}
        most = max(len(lines) for lines in heads.values())
        for index, lines in heads.items():
            widest = _WIDEST_TEXT if index >= self.lead else self.names
            wraps = bool(self.justify[index] == "left" and widest)
            head: str | Text = self.heads[index]
            if most > 1 or self.groups:
                group = self.groups[index - self.lead] if self.groups and index >= self.lead else ""
                first = [group if group != above else ""] if self.groups else []
                head = Text("\n".join([*first, *[""] * (most - len(lines)), *lines]))
                above = group
            shown.add_column(
                head, justify=self.justify[index], no_wrap=not wraps, overflow="fold",  # type: ignore[arg-type]
                max_width=widest if wraps else None,
            )  # fmt: skip
        for line in self.lines:
            if line == "dashed":
                shown.add_row(*[Rule(characters="╌", style="dim" if self.styled else "") for _ in chosen])
            elif isinstance(line, Text):
                shown.add_section()
                shown.add_row(line)
            else:
                shown.add_row(*[line[index] for index in chosen])  # type: ignore[index]
        return shown

    def _head(self, index: int) -> list[str]:
        """The lines of a heading."""
        head = str(self.heads[index])
        if not self.names or index < self.lead or self.justify[index] == "left":
            return [head]
        head = re.sub(r"^(\S+) (?=[↑↓]$)", rf"\1{_KEPT_SPACE}", head)  # an arrow alone would look like a heading
        cells = [line[index].cell_len for line in self.lines if not isinstance(line, Text | str)]
        width = max([_WIDEST_HEADING, *map(len, head.split()), *cells])
        return textwrap.wrap(head, width, break_on_hyphens=False)

    def blocks(self, fits: Callable[[Sequence[int]], bool]) -> list[list[int]]:
        """The columns after the leading ones, in blocks that fit; one that fits nowhere is a block of its own."""
        found: list[list[int]] = [[]]

        def place(columns: list[int], level: int) -> None:
            if fits(found[-1] + columns):
                found[-1] += columns
            elif len(columns) == 1 or (found[-1] and fits(columns)):
                found.append(list(columns))
            else:
                parts: dict[object, list[int]] = {}
                for column in columns:
                    key = (*self.keys[column - self.lead], column)
                    parts.setdefault(key[: level + 1], []).append(column)
                for part in parts.values():
                    place(part, level + 1)

        place(list(range(self.lead, len(self.heads))), 0)
        return [block for block in found if block] or [[]]


def terminal(table: Table, *, styled: bool = False, width: int | None = None, fit: bool = False) -> str:
    """The table with lines between its parts.

    styled: bold and underline by escape sequences; without, best is printed as ``*5.00*`` and second as ``_4.00_``.
    width: characters a line, to which notes are wrapped. fit: the table too, in blocks of columns, and a single row as
    a list; otherwise it is as wide as it is.
    """
    asked = width or 100
    console = _console(styled, asked)
    grid = _grid(table, styled, max(_SHORTEST_NAME, asked // 4) if fit else 0)
    if table.caption:
        console.print(Text(_line(table.caption), style="bold" if styled else ""))
    everything = range(grid.lead, len(grid.heads))
    if fit and len(table.rows) == 1 and not _fits(console, grid, everything):
        parts = [_listed(grid).shown((1, 2))]
    else:
        blocks = grid.blocks(lambda columns: _fits(console, grid, columns)) if fit else [everything]
        parts = [grid.shown(block) for block in blocks]
    for position, part in enumerate(parts):
        if position:
            console.print()
        console.width = max(asked, _width(console, part))  # one column may be wider than the window: it is never cut
        console.print(part)
    console.width = asked
    indent = "  " if fit else ""
    for note in table.notes:
        lines = Text(_unbroken(_line(note), asked)).wrap(console, asked - len(indent))
        console.file.write(f"\n{indent}".join(str(line) for line in lines) + "\n")
    return _printed(console)


def of_markdown(text: str, width: int) -> str:
    """A report in Markdown for a terminal, styled by escape sequences."""
    console = _console(True, width)
    console.print(_Markdown(printable(_unbroken(text, width)), hyperlinks=False))
    return _printed(console)


class _Blocks(TableElement):
    """A table of a Markdown document, in blocks that fit; its left columns stand in each."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.header is None or self.header.row is None or self.body is None:
            return
        cells = self.header.row.cells
        justify = ["left" if cell.justify == "default" else cell.justify for cell in cells]
        lead = max(1, next((index for index, each in enumerate(justify) if each != "left"), 1))
        lines = [[cell.content for cell in row.cells] for row in self.body.rows]
        keys: list[tuple[object, ...]] = [()] * (len(cells) - lead)
        grid = _Grid([cell.content for cell in cells], lines, justify, lead, keys, styled=True)
        for position, block in enumerate(grid.blocks(lambda columns: _fits(console, grid, columns))):
            if position:
                yield Text("")
            yield grid.shown(block)


class _Markdown(Markdown):
    elements = {**Markdown.elements, "table_open": _Blocks}


def _grid(table: Table, styled: bool, names: int = 0) -> _Grid:
    words, before = 1 + len(table.text_headings), leading(table)
    columns = [table.columns[field[0]] for field in table.fields()]
    groups = [_line(column.group) for column in columns]
    heads = [_line(heading) for heading in headings(table)]
    escapes = {"best": "\x1b[1m{}\x1b[0m", "second": "\x1b[4m{}\x1b[0m"}
    emphasis = escapes if styled else {"best": "*{}*", "second": "_{}_"}
    lines: list[Any] = []
    for index, line in enumerate(body_texts(table, _line, emphasis)):
        rule = table.break_before(index)
        if rule == "dashed":
            lines.append("dashed")
        elif rule == "measured":
            heading = _line(table.measured_heading).replace(" (", "\n(")  # a long line would widen the first column
            lines.append(Text(heading, style="italic" if styled else ""))
        lines.append([Text.from_ansi(value) for value in line])
    justify = ["left" if index < words else "right" for index in range(len(heads))]
    keys = [(column.group, column.kind or (column.metric or column.key).split("/")[0]) for column in columns]
    # rich has no headings over several columns: a group's name stands over its first one.
    return _Grid(heads, lines, justify, before, keys, styled, groups if any(groups) else (), names)


def _listed(grid: _Grid) -> _Grid:
    """A table of one row as a list of its columns: heading, number, and what follows the number."""
    (row,) = (line for line in grid.lines if not isinstance(line, Text | str))
    lines = []
    groups = [""] * (grid.lead - 1) + list(grid.groups or [""] * (len(grid.heads) - grid.lead))
    for group, head, cell in zip(groups, grid.heads[1:], row[1:], strict=True):
        end = (cell.plain + " ").index(" ")
        lines.append([Text(f"{group} {head}".strip()), cell[:end], cell[end + 1 :]])
    return _Grid([row[0], "", ""], lines, ["left", "right", "left"], 1, [], grid.styled)


def _console(styled: bool, width: int) -> Console:
    # Without a colour system rich leaves out bold and underline, too.
    return Console(
        file=io.StringIO(), force_terminal=styled, color_system="standard" if styled else None, highlight=False,
        markup=False, emoji=False, legacy_windows=False, width=width,
    )  # fmt: skip


def _printed(console: Console) -> str:
    target = console.file
    assert isinstance(target, io.StringIO)
    text = target.getvalue().replace(_KEPT_SPACE, " ")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _width(console: Console, shown: RichTable) -> int:
    return console.measure(shown, options=console.options.update(max_width=10_000)).maximum


def _fits(console: Console, grid: _Grid, columns: Sequence[int]) -> bool:
    return _width(console, grid.shown(columns)) <= console.width


def _unbroken(text: str, width: int) -> str:
    """With the spaces of measures, and of commands that fit a line, written as signs that no line ends at."""
    text = _MEASURE.sub(_KEPT_SPACE, text)
    return _COMMAND.sub(
        lambda found: found[0].replace(" ", _KEPT_SPACE) if len(found[0]) < width - 2 else found[0], text
    )


def _line(text: str) -> str:
    return printable(text, one_line=True)
