"""A table by its specification: published rows as printed, and measured rows under them, never among them.

Published rows are marked by their printed digits, because nobody published the scores of the clips; measured rows by
the paired test. A measured cell takes the metric ids that the specification accepts, and no others; never numbers of
an embedded extractor in a table that has published rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reports.measured import Measured, RunResult, over_all_clips, over_language
from reports.model import Cell, Row, Table, TableColumn
from reports.protocols import protocol_marks
from reports.ranking import Contender, mark_by_digits
from reports.specification import ColumnSpecification, Loaded, PublishedRow, Specification
from reports.table import measured_cell, measured_notes
from t2av_bench.runs import Column


@dataclass(slots=True)
class _System:
    """One measured row: its name, and its run by language (None: of a table without languages)."""

    name: str
    runs: dict[str | None, RunResult] = field(default_factory=dict)


def build(
    loaded: Loaded, runs: Sequence[RunResult] = (), *, allow_mixed: bool = False, intervals: bool = False
) -> Table:
    """The table with its published rows and a row a system that was measured.

    Runs of one name whose clips are of different languages share a row. Raises MixedProtocols as ``table.build`` does.
    """
    specification = loaded.specification
    table = Table(
        _columns(specification), [], title=specification.title, caption=specification.caption or specification.title,
        row_heading=specification.row_heading,
        text_headings=tuple(column.label for column in specification.text_columns), shows_clips=False,
    )  # fmt: skip
    table.rows = [_published_row(loaded, row) for row in loaded.rows]
    _mark_published(specification, table)
    notes = []
    if table.rows:
        what = "Published rows: " if runs else ""
        notes.append(
            f"{what}{specification.source or loaded.name}. Best in bold and second best underlined by the printed "
            "digits: without scores by clip there is no test."
            + (" Ranked within each part." if specification.rank_within_families else "")
            + "".join(f" {name} is not ranked." for name in specification.reference_rows)
        )
    if runs:
        notes += _add_measured(loaded, table, runs, allow_mixed, intervals)
    table.notes = [*specification.footnotes, *notes, *table.notes]
    table.note_reasons()
    return table


def _columns(specification: Specification) -> list[TableColumn]:
    found: list[TableColumn] = []
    last = None
    for column, key, group, _ in specification.expanded():
        joined = (id(group), column.quantity) == last
        last = (id(group), column.quantity)
        found.append(
            TableColumn(
                key, column.label, column.direction, column.decimals, column.unit, column.scale, group.label,
                column.kind, joined,
            )
        )  # fmt: skip
    return found


def _published_row(loaded: Loaded, row: PublishedRow) -> Row:
    specification = loaded.specification
    cells = []
    for given, key, _, _ in specification.expanded():
        text = row.numbers.get(key)
        if text is None:
            reasons = [
                absent.reason for absent in specification.absent
                if absent.family == row.family and given.quantity in absent.quantities
            ]  # fmt: skip
            cells.append(Cell(reason=reasons[0] if reasons else "no number is published"))
        else:
            cells.append(Cell(text, float(text)))
    return Row(row.name, None, cells, "published", row.family, row.texts)


def _mark_published(specification: Specification, table: Table) -> None:
    ranked = [row for row in table.rows if row.name not in specification.reference_rows]
    families = dict.fromkeys(row.family for row in ranked) if specification.rank_within_families else [None]
    for family in families:
        rows = [row.cells for row in ranked if family is None or row.family == family]
        mark_by_digits(table.columns, rows)


def _add_measured(
    loaded: Loaded, table: Table, runs: Sequence[RunResult], allow_mixed: bool, intervals: bool
) -> list[str]:
    """Append the measured rows; returns their notes."""
    specification = loaded.specification
    by_language = any(group.languages for group in specification.groups)
    systems = _systems(runs, by_language)
    blank = ("",) * len(specification.text_columns)
    rows = [
        Row(
            system.name, sum(len(run.clips) for run in _distinct(system)), [], texts=blank,
            coverage=_coverage(system, by_language), runs=tuple(run.path for run in _distinct(system)),
        ) for system in systems
    ]  # fmt: skip
    if loaded.rows and len({row.coverage for row in rows}) == 1:
        table.measured_heading += f" ({rows[0].coverage})"
        for row in rows:
            row.coverage = ""
    table.rows += rows
    protocols: dict[str, None] = {}
    contenders: list[list[Contender | None]] = []
    for position, (given, _, _, language) in enumerate(specification.expanded()):
        metric = _metric(given, language, systems, bool(loaded.rows))
        found = [_measured(given, language, system, metric, bool(loaded.rows)) for system in systems]
        held = [measured.column if isinstance(measured, Measured) else None for measured in found]
        sources = [measured.run if isinstance(measured, Measured) else runs[0] for measured in found]
        marks = protocol_marks(metric or given.quantity, held, sources, allow_mixed, table.notes)
        column = table.columns[position] = _filled(table.columns[position], held, metric)
        contending: list[Contender | None] = []
        for row, measured, mark in zip(rows, found, marks, strict=True):
            cell = measured_cell(measured, column, mark, intervals=intervals)
            row.cells.append(cell)
            contending.append(Contender(cell, measured) if isinstance(measured, Measured) and not any(marks) else None)
            if cell.text:
                protocols[f"{cell.metric} ({cell.fingerprint})"] = None
        contenders.append(contending)
    origin = "Rows measured here were scored" if loaded.rows else "Scored"
    notes = [f"{origin} by {', '.join(protocols)}." if protocols else f"{origin} by no protocol that this table takes."]
    notes += measured_notes(table, contenders)
    for position in range(len(contenders)):
        items = {_asked(each.measured) for each in contenders[position] if each}
        if len(items) > 1:
            notes.append("The measured rows do not cover the same clips: differences between them are not paired.")
            break
    return notes


def _systems(runs: Sequence[RunResult], by_language: bool) -> list[_System]:
    """Rows from runs: in a table by language, runs of one name and of different languages make one row."""
    systems: list[_System] = []
    for run in runs:
        languages = list(run.languages()) if by_language else [None]
        home = next(
            (system for system in systems if by_language and system.name == run.name
             and not system.runs.keys() & set(languages)), None
        )  # fmt: skip
        if home is None:
            home = _System(run.name)
            systems.append(home)
        home.runs |= dict.fromkeys(languages, run)
    for name in {system.name for system in systems}:
        alike = [system for system in systems if system.name == name]
        if len(alike) > 1:
            for system in alike:
                system.name = f"{name} ({', '.join(str(run.path) for run in _distinct(system))})"
    return systems


def _distinct(system: _System) -> list[RunResult]:
    return list({id(run): run for run in system.runs.values()}.values())


def _coverage(system: _System, by_language: bool) -> str:
    counts: dict[str, int] = {}
    for run in _distinct(system):
        for language, clips in run.languages().items():
            counts[language] = counts.get(language, 0) + clips
    if not by_language:
        total = sum(counts.values())
        return f"{total} clip" + "s" * (total != 1)
    return " + ".join(f"{clips} {language or 'unnamed'}" for language, clips in counts.items()) + " clips"


def _asked(measured: Measured) -> tuple[object, ...]:
    items = measured.run.items
    return tuple(sorted((clip, tuple(items.get(clip, {}).values())) for clip in measured.clips))


def _accepted(given: ColumnSpecification, run: RunResult, published: bool) -> list[Column]:
    """The run's columns that may stand here, in the specification's order of preference."""
    found = [
        column for column in run.columns
        if column.quantity.name == given.quantity and given.accepts(column.metric)
        and not (published and column.embedded)
    ]  # fmt: skip

    def preference(column: Column) -> int:
        names = [column.metric, column.metric.split("/")[0]]
        return min((given.metrics.index(name) for name in names if name in given.metrics), default=0)

    return sorted(found, key=preference)


def _metric(
    given: ColumnSpecification, language: str | None, systems: Sequence[_System], published: bool
) -> str | None:
    """The metric id of a column: the first accepted one that some run has a value for, else that some run knows."""
    runs = [run for system in systems if (run := system.runs.get(language))]
    known = [column for run in runs for column in _accepted(given, run, published)]
    valued = [column for column in known if column.summary.score.value is not None]
    for columns in (valued, known):
        for name in given.metrics or [column.metric for column in columns]:
            for column in columns:
                if name in (column.metric, column.metric.split("/")[0]):
                    return column.metric
    return None


def _measured(
    given: ColumnSpecification, language: str | None, system: _System, metric: str | None, published: bool
) -> Measured | str:
    """What stands in a measured cell: the quantity over the column's clips, or why there is none."""
    run = system.runs.get(language)
    if run is None:
        if all("" in each.languages() for each in _distinct(system)):
            return "the run's items have no language: give 'language' in the manifest (--manifest items.jsonl)"
        there = ", ".join(name or "unnamed" for each in _distinct(system) for name in each.languages())
        return f"the run has no {language} clips (its clips: {there})"
    column = next((column for column in _accepted(given, run, published) if column.metric == metric), None)
    if column is None:
        return _why_not(given, run, metric, published)
    return over_all_clips(run, column) if language is None else over_language(run, column, language)


def _why_not(given: ColumnSpecification, run: RunResult, metric: str | None, published: bool) -> str:
    same = [column for column in run.columns if column.quantity.name == given.quantity]
    others = dict.fromkeys(column.metric for column in same)
    if metric and any(column.metric != metric for column in _accepted(given, run, published)):
        return f"{given.quantity} was measured by {', '.join(others)}, the other rows by {metric}"
    stand_ins = [
        column for column in run.columns
        if column.embedded and (column in same or column.quantity.name.startswith(f"{given.quantity}_"))
    ]  # fmt: skip
    if stand_ins and all(column in stand_ins for column in same):
        nearest = min(stand_ins, key=lambda column: len(column.quantity.name))
        by = f"{nearest.quantity.name} by {nearest.metric}"
        tail = ", which is not comparable with published numbers" if published else ""
        return f"{given.quantity} was measured by a bundled stand-in only ({by}){tail}"
    if same:
        return f"{given.quantity} was measured by {', '.join(others)}; this column takes {', '.join(given.metrics)}"
    wanted = f": evaluate with --metrics {metric or given.metrics[0]}" if metric or given.metrics else ""
    return f"{given.quantity} was not measured{wanted}"


def _filled(column: TableColumn, held: Sequence[Column | None], metric: str | None) -> TableColumn:
    """The column, knowing what was measured in it."""
    first = next((each for each in held if each), None)
    if first is None:
        return column
    label = column.label + ("‡" if first.embedded else "")
    return replace(column, label=label, embedded=first.embedded, quantity=first.quantity, metric=metric)
