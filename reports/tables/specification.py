"""Table specifications: what a paper's table is made of, as strictly checked TOML.

``specifications/paper-N.toml`` are the tables ``paper:N``; any other file of the same form serves as well. Published
rows come from a CSV file: beside a user's specification, or in ``published/`` for the tables that come with us.
"""

import csv
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from t2av_bench.utils.config import ConfigError, load_toml, near

_HERE = Path(__file__).resolve().parents[1]
BUILT_IN = _HERE / "specifications"
PUBLISHED = _HERE / "published"
_LANGUAGE = r"^[a-z]{2,3}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Family(_Strict):
    """Rows that belong together; a dashed line separates them from the next family. name: as in the CSV file."""

    name: str
    label: str = ""


class RowSpecification(_Strict):
    """A measured row. runs: names of the runs that it takes (``evaluate --name``); ``*`` stands for any text.

    Runs of different names are one system from several training seeds: the row shows their mean and standard
    deviation. family: as in ``families``. reference: shown for comparison, not ranked.
    """

    name: str = Field(min_length=1)
    runs: tuple[str, ...] = Field(min_length=1)
    family: str = ""
    reference: bool = False


class TextColumn(_Strict):
    """A column of words beside the name (a representation, a year). published: column of the CSV file."""

    published: str
    label: str


class Absent(_Strict):
    """Why a family's cells of some quantities are empty in the published table."""

    family: str
    quantities: tuple[str, ...] = Field(min_length=1)
    reason: str = Field(min_length=1)


class Group(_Strict):
    """Columns under one heading. languages: of the clips that count; several share a cell, with a slash between."""

    label: str = ""
    languages: tuple[str, ...] = ()


class OtherProtocol(_Strict):
    """An id or family that measures the like of a column by another protocol. quantity: its own name for it."""

    metric: str = Field(min_length=1)
    quantity: str = ""


class ColumnSpecification(_Strict):
    """One quantity, once in each group.

    quantity: name as in ``list metrics``. metrics: accepted ids or families, the first one measured is taken; empty:
    any. others: taken where a run has none of these, and marked as another protocol. kind: second heading.
    languages: of the groups in which the column stands (empty: all).
    unit, scale: the printed number is value × scale (100 for a fraction printed as percent).
    published: column of the CSV file; ``{language}`` stands for the group's language.
    """

    quantity: str = Field(min_length=1)
    label: str = Field(min_length=1)
    kind: str = ""
    metrics: tuple[str, ...] = ()
    others: tuple[OtherProtocol, ...] = ()
    languages: tuple[str, ...] = ()
    direction: Literal["higher", "lower", "none"]
    decimals: int = Field(default=3, ge=0, le=8)
    unit: str = ""
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    published: str | None = None

    def preference(self, metric: str, quantity: str) -> tuple[bool, int] | None:
        """(is of another protocol, place in its list) of what a metric measured; None where it may not stand here."""
        names = (metric, metric.split("/")[0])
        if quantity == self.quantity:
            if not self.metrics:
                return False, 0
            if found := [place for place, name in enumerate(self.metrics) if name in names]:
                return False, found[0]
        for place, other in enumerate(self.others):
            if other.metric in names and quantity == (other.quantity or self.quantity):
                return True, place
        return None


class Specification(_Strict):
    """A whole table. published: CSV file of published rows, with ``name_column`` and, where rows have families,
    ``family_column``. reference_rows: published rows that are shown but not ranked. rows: order and names of the
    measured rows; runs of other names follow them. footnotes: below the table. clips: how many are behind each
    published number, by its source or by the list that it names."""

    title: str = Field(min_length=1)
    caption: str = ""
    source: str = ""
    published: str | None = None
    clips: int | None = Field(default=None, ge=1)
    row_heading: str = "System"
    name_column: str = "system"
    family_column: str | None = None
    families: tuple[Family, ...] = ()
    rank_within_families: bool = False
    reference_rows: tuple[str, ...] = ()
    rows: tuple[RowSpecification, ...] = ()
    text_columns: tuple[TextColumn, ...] = ()
    groups: tuple[Group, ...] = (Group(),)
    columns: tuple[ColumnSpecification, ...] = Field(min_length=1)
    absent: tuple[Absent, ...] = ()
    footnotes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        languages = [language for group in self.groups for language in group.languages]
        for language in languages:
            if not re.match(_LANGUAGE, language):
                raise ValueError(f"groups: {language!r} is no language code; expected one such as 'zh' or 'en'")
        if any(group.languages for group in self.groups) and not all(group.languages for group in self.groups):
            raise ValueError("groups: either every group names its languages, or none does")
        if not self.groups or (not languages and len(self.groups) > 1) or len(set(languages)) != len(languages):
            raise ValueError("groups: expected one group without languages, or groups of different languages")
        for column in self.columns:
            if unknown := set(column.languages) - set(languages):
                raise ValueError(f"columns.{column.quantity}.languages: no group has {sorted(unknown)}")
            if self.published and column.published is None:
                raise ValueError(f"columns.{column.quantity}.published is missing: name its column of {self.published}")
            if column.others and not column.metrics:
                raise ValueError(
                    f"columns.{column.quantity}.others: name the protocol that they differ from in 'metrics'"
                )
            if column.published and not self.published:
                raise ValueError(f"columns.{column.quantity}.published is given, but the table names no CSV file")
        keys = [key for _, key, _, _ in self.expanded()]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"columns: {', '.join(twice)} stands twice in one group")
        if self.published and bool(self.families) != bool(self.family_column):
            raise ValueError("families and family_column: expected both or neither")
        names = {family.name for family in self.families}
        self._check_rows(names)
        for absent in self.absent:
            if absent.family not in names:
                raise ValueError(f"absent: {absent.family!r} is no family; expected one of {sorted(names)}")
            if unknown := set(absent.quantities) - {column.quantity for column in self.columns}:
                raise ValueError(f"absent.quantities: {sorted(unknown)} are no columns of this table")
        if not self.published and (self.reference_rows or self.text_columns or self.family_column):
            raise ValueError("published is missing: reference_rows, text_columns and family_column describe its rows")
        if self.families and not (self.published or self.rows):
            raise ValueError("families: there are neither published rows nor 'rows' that they could part")
        return self

    def _check_rows(self, families: set[str]) -> None:
        for what, given in (
            ("name", [row.name for row in self.rows]), ("run", [run for row in self.rows for run in row.runs])
        ):  # fmt: skip
            if twice := sorted({each for each in given if given.count(each) > 1}):
                raise ValueError(f"rows: the {what} {twice[0]!r} is given twice")
        for row in self.rows:
            if row.family not in families | ({""} if not families or self.published else set()):
                expected = f"one of {sorted(families)}" if families else "none, as the table has no families"
                raise ValueError(f"rows: {row.name!r} has the family {row.family!r}; expected {expected}")

    def expanded(self) -> list[tuple[ColumnSpecification, str, Group, str | None]]:
        """Columns in printed order: (column, key, group, language or None)."""
        found: list[tuple[ColumnSpecification, str, Group, str | None]] = []
        for group in self.groups:
            for column in self.columns:
                for language in group.languages or (None,):
                    if not column.languages or language in column.languages:
                        prefix = f"{language}_" if language else ""
                        found.append((column, prefix + column.quantity, group, language))
        return found


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of the CSV file. numbers: column key -> the number as printed, for those that are printed at all."""

    name: str
    family: str
    texts: tuple[str, ...]
    numbers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A specification, the name it was asked for by, and its published rows."""

    name: str
    specification: Specification
    rows: tuple[PublishedRow, ...] = field(default=())


def names() -> list[str]:
    """The tables that come with us, as typed on the command line."""
    return [path.stem.replace("-", ":") for path in sorted(BUILT_IN.glob("*.toml"))]


def load(name: str) -> Loaded:
    """A table by name (``paper:1``) or by the path of a TOML file. Raises ConfigError."""
    if name.endswith(".toml"):
        return _read(Path(name), Path(name).parent, name)
    if name not in names():
        raise ConfigError(unknown(name))
    return _read(BUILT_IN / f"{name.replace(':', '-')}.toml", PUBLISHED, name)


def unknown(name: str) -> str:
    """What to say to a name that is no table."""
    return f"no table is called {name!r}{near(name, names())} A file of your own ends in .toml"


def _read(file: Path, folder: Path, name: str) -> Loaded:
    specification = load_toml(file, Specification, what="table specification")
    rows = _published(specification, folder / specification.published) if specification.published else ()
    return Loaded(name, specification, tuple(rows))


def _published(specification: Specification, file: Path) -> list[PublishedRow]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            lines = list(reader)
            header = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the published rows {file}: {error}") from error
    sources = {
        key: column.published.replace("{language}", language or "")
        for column, key, _, language in specification.expanded() if column.published
    }  # fmt: skip
    wanted = [specification.name_column, *(column.published for column in specification.text_columns)]
    wanted += [specification.family_column] if specification.family_column else []
    wanted += sources.values()
    if absent := [name for name in wanted if name not in header]:
        raise ConfigError(f"{file} has no column {absent[0]!r}{near(absent[0], header)}")
    if unused := [name for name in header if name not in wanted]:
        raise ConfigError(f"{file}: the specification does not say where to show {', '.join(unused)}")
    families = {family.name for family in specification.families}
    rows = []
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            raise ConfigError(f"{file} line {number}: expected {len(header)} fields")
        family = line[specification.family_column] if specification.family_column else ""
        if families and family not in families:
            raise ConfigError(f"{file} line {number}: {family!r} is no family of the specification")
        numbers = {key: line[source].strip() for key, source in sources.items() if line[source].strip()}
        for key, text in numbers.items():
            _check_number(text, f"{file} line {number}, {key}")
        texts = tuple(line[column.published] for column in specification.text_columns)
        rows.append(PublishedRow(line[specification.name_column], family, texts, numbers))
    missing = set(specification.reference_rows) - {row.name for row in rows}
    if missing:
        raise ConfigError(f"reference_rows: {file} has no row {sorted(missing)[0]!r}")
    order = [family.name for family in specification.families]
    return sorted(rows, key=lambda row: order.index(row.family)) if order else rows


def _check_number(text: str, where: str) -> None:
    try:
        finite = Decimal(text).is_finite()
    except InvalidOperation:
        finite = False
    if not finite:
        raise ConfigError(f"{where}: {text!r} is no number; leave the field empty where none is printed")
