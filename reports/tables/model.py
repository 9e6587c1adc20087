"""What a table is, apart from how it is made and how it looks.

``build.build`` and ``from_specification.build`` make tables, the renderers (``render``, ``latex``, ``html``,
``terminal``) print them. A table is columns, rows and notes; row r's cell c belongs to column c. Nothing is computed
while printing: text, marks and reasons stand in the cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from t2av_bench.scores import Quantity

Rank = Literal["best", "second"]
ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One quantity over the rows.

    key: unique within the table; the column's name in CSV (``sync_c``, ``zh_cer``).
    label: what a reader sees, with ‡ where a bundled stand-in made the numbers; ``heading`` adds the arrow.
    decimals, unit, scale: cells print value × scale with so many decimals; ``unit`` is that of the printed number.
    group, kind: headings above the label (a language; speech, video or lip sync); equal neighbours share one.
    joined: printed in one cell with the column before it, after a slash.
    quantity, metric: what was measured, by which metric id; None for columns that only published rows fill.
    """

    key: str
    label: str
    direction: Literal["higher", "lower", "none"]
    decimals: int = 3
    unit: str = ""
    scale: float = 1.0
    group: str = ""
    kind: str = ""
    joined: bool = False
    stand_in: bool = False
    quantity: Quantity | None = None
    metric: str | None = None

    @property
    def heading(self) -> str:
        return f"{self.label} {ARROWS[self.direction]}".strip()

    @property
    def named(self) -> str:
        """The column in a note: its label without signs, under its group."""
        return f"{self.group} {self.label.removesuffix('‡')}".strip()


@dataclass(slots=True)
class Cell:
    """One number, or the reason why there is none.

    text: the number as printed, without marks; published numbers keep their digits. Empty where there is none.
    value: the same in full precision and in the printed unit (× the column's scale).
    reason: why there is no value; ``note`` is the number of the footnote that says so.
    scored, total: clips that the value covers, and clips that there are; None for published rows.
    failures: why the other clips have none -> how many; inapplicable: the reasons that are nobody's failure.
    spread: standard deviation over the row's runs in the printed unit, where it has several; ``scored`` and ``total``
        then count the clips of all runs.
    interval: ends of the 95 % confidence interval in the printed unit, where intervals were asked for; always of an
        offset, whose median says little without ``within``, the share of the clips that are at most 1 frame from 0.
        no_interval: why there is none although it was asked for.
    rank: best and second best of the column; marks: footnote signs († another protocol than the first row's, ¶ another
        than the column's). other_protocol: what the signs say, in words; empty without one.
    metric, quantity, fingerprint: what is behind the value, by which protocol; None for published rows.
    """

    text: str = ""
    value: float | None = None
    reason: str | None = None
    scored: int | None = None
    total: int | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    inapplicable: frozenset[str] = frozenset()
    spread: float | None = None
    interval: tuple[float, float] | None = None
    no_interval: str = ""
    within: float | None = None
    rank: Rank | None = None
    marks: str = ""
    other_protocol: str = ""
    note: int | None = None
    metric: str | None = None
    quantity: str | None = None
    fingerprint: str | None = None

    @property
    def partial(self) -> bool:
        """Whether some of the row's clips are not covered."""
        return self.scored is not None and self.total is not None and self.scored < self.total

    @property
    def number(self) -> str:
        """The number, or a dash, with its footnote signs: what best and second best emphasise."""
        return (self.text or "–") + self.marks + (str(self.note).translate(_SUPERSCRIPTS) if self.note else "")

    def plus_minus(self, decimals: int = 3) -> str:
        """The spread over runs (``± 0.012``); empty where there is none."""
        return f"± {self.spread:.{decimals}f}" if self.spread is not None and self.text else ""

    def details(self, decimals: int = 3) -> str:
        """What follows the number and its spread: the interval, and coverage where it is not whole."""
        ends = ""
        if self.interval and self.text:
            ends = f" [{self.interval[0]:.{decimals}f}, {self.interval[1]:.{decimals}f}]"
        if self.within is not None and self.text:
            ends += f", {100 * self.within:.0f} % within ±1"
        return ends + (f" ({self.scored}/{self.total})" if self.partial else "")


@dataclass(slots=True)
class TableRow:
    """One system.

    clips: how many it has; None for published rows. texts: one a text heading of the table.
    origin: ``published`` rows were printed by others, ``measured`` ones were scored by this harness.
    family: rows of different families have a dashed line between them.
    coverage: clips by language (``200 zh + 198 en clips``) of measured rows of a specification, where they differ.
    runs: the run folders behind a measured row.
    origin_note: what to know of how its clips came about, empty where nothing; ``note`` is the footnote's number.
    """

    name: str
    clips: int | None
    cells: list[Cell]
    origin: Literal["measured", "published"] = "measured"
    family: str = ""
    texts: tuple[str, ...] = ()
    coverage: str = ""
    runs: tuple[Path, ...] = ()
    origin_note: str = ""
    note: int | None = None

    @property
    def sign(self) -> str:
        """The number of its footnote, as it stands behind the name; empty without one."""
        return str(self.note).translate(_SUPERSCRIPTS) if self.note else ""

    @property
    def label(self) -> str:
        """The name, with the clips by language where the table has no column for them."""
        return f"{self.name} ({self.coverage})" if self.coverage else self.name


@dataclass(slots=True)
class Table:
    """What a renderer prints. ``notes`` stand below it, one a line.

    title, caption: of a specification; empty for plain tables. row_heading, text_headings: of the first columns.
    measured_heading: over measured rows that stand under published ones.
    shows_clips: whether the number of clips is a column of its own.
    """

    columns: list[TableColumn]
    rows: list[TableRow]
    notes: list[str] = field(default_factory=list)
    title: str = ""
    caption: str = ""
    row_heading: str = "System"
    text_headings: tuple[str, ...] = ()
    shows_clips: bool = True
    measured_heading: str = "Measured here"

    @property
    def has_published_rows(self) -> bool:
        return any(row.origin == "published" for row in self.rows)

    def break_before(self, index: int) -> Literal["dashed", "measured"] | None:
        """What separates a row from the one above: a dashed line between families, or the start of measured rows."""
        row = self.rows[index]
        before = self.rows[index - 1] if index else None
        if row.origin == "measured" and self.has_published_rows and (before is None or before.origin != "measured"):
            return "measured"
        if before and row.origin == before.origin and row.family != before.family:
            return "dashed"
        return None

    def fields(self) -> list[list[int]]:
        """Columns by printed cell: positions of a column and of those joined to it."""
        found: list[list[int]] = []
        for index, column in enumerate(self.columns):
            if column.joined and found:
                found[-1].append(index)
            else:
                found.append([index])
        return found

    def spans(self, part: Literal["group", "kind"]) -> list[tuple[str, int]]:
        """A heading row over the printed cells: (text, number of cells), equal neighbours as one.

        A kind never reaches over the border of two groups. Empty where no column has such a heading.
        """
        heads = [self.columns[field[0]] for field in self.fields()]
        found: list[tuple[str, int]] = []
        last: tuple[str, ...] | None = None
        for column in heads:
            here = (column.group,) if part == "group" else (column.group, column.kind)
            if here == last:
                found[-1] = (found[-1][0], found[-1][1] + 1)
            else:
                found.append((here[-1], 1))
            last = here
        return found if any(text for text, _ in found) else []

    def note_reasons(self) -> None:
        """Number what is to be said of rows, then the reasons of cells without a value, and add a note for each.

        To be called once, when all is set.
        """
        numbers: dict[str, int] = {}
        for row in self.rows:
            if row.origin_note:
                row.note = numbers.setdefault(f"{row.name}: {row.origin_note}", len(numbers) + 1)
        for row in self.rows:
            for cell in row.cells:
                if cell.reason and not cell.text:
                    cell.note = numbers.setdefault(cell.reason, len(numbers) + 1)
        for reason, number in numbers.items():
            self.add_reason(number, reason)

    def add_reason(self, number: int, reason: str) -> None:
        """The note to which cells with this number refer."""
        self.notes.append(f"{str(number).translate(_SUPERSCRIPTS)} {' '.join(reason.split()).rstrip('.')}.")
