"""A table by its specification: published rows as printed, and measured rows under them, never among them.

Published rows are marked by their printed digits, because nobody published the scores of the clips; measured rows by
the paired test. A measured cell takes the metric ids that the specification accepts, and no others; what was measured
by an id that it only tolerates is marked as another protocol. Numbers of an embedded extractor never stand in a table
that has published rows. Several runs in one row are training seeds of one system.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from reports.tables.budgets import budget_notes
from reports.tables.build import add_cells, asked, floor_notes, measured_notes
from reports.tables.measured import Measured, over_all_clips, over_language, pool
from reports.tables.model import Cell, Table, TableColumn, TableRow
from reports.tables.origins import origin_note
from reports.tables.protocols import protocol_marks
from reports.tables.ranking import Contender, mark_by_digits
from reports.tables.rows import TableSystem, absent_rows, systems
from reports.tables.specification import ColumnSpecification, Loaded, PublishedRow, Specification
from t2av_bench.metrics import metric_ids
from t2av_bench.results.budget import Budget
from t2av_bench.results.columns import Column
from t2av_bench.results.run import RunResult

OTHER = "¶"
"""Sign of a cell whose protocol the column only tolerates."""


def build(
    loaded: Loaded, runs: Sequence[RunResult] = (), *, allow_mixed: bool = False, intervals: bool = False,
    budget: Budget | None = None,
) -> Table:  # fmt: skip
    """The table with its published rows and a row a system that was measured (see ``rows.systems``).

    Columns of languages that no run has are left out, where there are no published rows for them.

    Raises MixedProtocols as ``build.build`` does, and ValueError for runs that cannot share a row.
    """
    loaded, silent = _in_languages_of(loaded, runs)
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
        notes += _add_measured(loaded, table, runs, allow_mixed, intervals, budget)
        notes += [f"No run has {name} clips." for name in silent]
    table.notes = [*specification.footnotes, *notes, *table.notes]
    table.note_reasons()
    return table


def _in_languages_of(loaded: Loaded, runs: Sequence[RunResult]) -> tuple[Loaded, list[str]]:
    """The table of the runs' languages, and the names of the others."""
    specification = loaded.specification
    spoken = {language for run in runs for language in run.languages()}
    kept = tuple(group for group in specification.groups if not spoken.isdisjoint(group.languages))
    if loaded.rows or not kept:
        return loaded, []
    silent = [group.label or ", ".join(group.languages) for group in specification.groups if group not in kept]
    return replace(loaded, specification=specification.model_copy(update={"groups": kept})), silent


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


def _published_row(loaded: Loaded, row: PublishedRow) -> TableRow:
    specification = loaded.specification
    cells = []
    for given, key, _, _ in specification.expanded():
        text = row.numbers.get(key)
        if text is None:
            reason = _absent(specification, row.family, given.quantity)
            cells.append(Cell(reason=reason or "no number is published"))
        else:
            cells.append(Cell(text, float(text)))
    return TableRow(row.name, None, cells, "published", row.family, row.texts)


def _absent(specification: Specification, family: str, quantity: str) -> str | None:
    """Why rows of a family have no such quantity; None where they may."""
    return next(
        (each.reason for each in specification.absent if each.family == family and quantity in each.quantities), None
    )


def _mark_published(specification: Specification, table: Table) -> None:
    ranked = [row for row in table.rows if row.name not in specification.reference_rows]
    families = dict.fromkeys(row.family for row in ranked) if specification.rank_within_families else [None]
    for family in families:
        rows = [row.cells for row in ranked if family is None or row.family == family]
        mark_by_digits(table.columns, rows)


def _add_measured(
    loaded: Loaded, table: Table, runs: Sequence[RunResult], allow_mixed: bool, intervals: bool, budget: Budget | None
) -> list[str]:
    """Append the measured rows; returns their notes."""
    specification = loaded.specification
    found = systems(specification, runs)
    table.rows += _measured_rows(loaded, table, found)
    rows = table.rows[-len(found) :]
    protocols: dict[str, None] = {}
    shown: list[list[Measured | str]] = []
    contenders: list[list[Contender | None]] = []
    for position, (given, _, _, language) in enumerate(specification.expanded()):
        metric = _metric(given, language, found, bool(loaded.rows))
        cells = [_measured(specification, given, language, system, metric) for system in found]
        held = [measured.column if isinstance(measured, Measured) else None for measured in cells]
        column = table.columns[position] = _filled(table.columns[position], held, metric)
        marks = protocol_marks(cells, allow_mixed, table.notes)
        others = [_other_protocol(given, each, metric, table.notes) if each else "" for each in held]
        # Numbers of two protocols are not ranked against each other; a column of one other protocol is in itself.
        one_protocol = len({each.metric for each in held if each and each.summary.score.value is not None}) == 1
        ranked = [
            not any(marks) and not system.reference and (one_protocol or not other)
            for system, other in zip(found, others, strict=True)
        ]
        contenders.append(add_cells(rows, column, cells, marks, intervals, ranked=ranked))
        shown.append(cells)
        for cell, other in zip((row.cells[-1] for row in rows), others, strict=True):
            if cell.text:
                protocols[f"{cell.metric} ({cell.fingerprint})"] = None
                if other:
                    cell.marks, cell.other_protocol = cell.marks + OTHER, other
    origin = "Rows measured here were scored" if loaded.rows else "Scored"
    notes = [f"{origin} by {', '.join(protocols)}." if protocols else f"{origin} by no protocol that this table takes."]
    parts = [system.family for system in found] if specification.rank_within_families else None
    notes += measured_notes(table, contenders, parts)
    notes += _row_notes(specification, table, found) + floor_notes(table.columns, shown)
    notes += budget_notes(table.columns, shown, budget)
    if any(len({asked(each.measured.run, each.measured.clips) for each in row if each}) > 1 for row in contenders):
        notes.append("The measured rows do not cover the same clips: differences between them are not paired.")
    return notes


def _measured_rows(loaded: Loaded, table: Table, found: Sequence[TableSystem]) -> list[TableRow]:
    """Measured rows without cells. What they cover is said once where it is the same for all."""
    by_language = any(group.languages for group in loaded.specification.groups)
    blank = ("",) * len(loaded.specification.text_columns)
    rows = [
        TableRow(
            system.name, sum(system.clips().values()), [], family=system.family, texts=blank,
            coverage=_coverage(system, by_language), runs=tuple(run.path for run in system.distinct),
            origin_note=origin_note(system.distinct),
        ) for system in found
    ]  # fmt: skip
    if len({row.coverage for row in rows}) == 1 and (loaded.rows or loaded.specification.rows):
        if loaded.rows:
            table.measured_heading += f" ({rows[0].coverage})"
        else:
            table.notes.append(f"Every row: {rows[0].coverage}.")
        for row in rows:
            row.coverage = ""
    return rows


def _row_notes(specification: Specification, table: Table, found: Sequence[TableSystem]) -> list[str]:
    """What is to be said of the rows: seeds, anchors, and rows without runs."""
    notes = []
    by_count: dict[int, list[str]] = {}
    for system in found:
        if system.seeds > 1:
            by_count.setdefault(system.seeds, []).append(system.name)
    if by_count:
        shown = "; ".join(f"{count} of {', '.join(names)}" for count, names in by_count.items())
        notes.append(
            f"Mean ± standard deviation over runs from different seeds ({shown}); tests take each clip's mean over "
            "the runs, so they are about these runs."
        )
    if references := [system.name for system in found if system.reference]:
        notes.append(f"Not ranked, for comparison alone: {', '.join(references)}.")
    if absent := absent_rows(specification, found):
        notes.append(f"No run was given for {', '.join(absent)}.")
    return notes


def _other_protocol(given: ColumnSpecification, held: Column, metric: str | None, notes: list[str]) -> str:
    """Which other protocol a cell was measured by, in words and as a note; empty for the column's own."""
    place = given.preference(held.metric, held.quantity.name)
    if place is None or not place[0] or held.summary.score.value is None:
        return ""
    name = "" if held.quantity.name == given.quantity else f" ({held.quantity.name})"
    text = f"other protocol: {given.label} by {held.metric}{name}, where this column follows {given.metrics[0]}"
    note = f"{OTHER} {text}: not comparable with other rows of the column."
    if note not in notes:
        notes.append(note)
    return text


def _coverage(system: TableSystem, by_language: bool) -> str:
    counts = system.clips()
    if not by_language:
        total = sum(counts.values())
        return f"{total} clip" + "s" * (total != 1)
    return " + ".join(f"{clips} {language or 'unnamed'}" for language, clips in counts.items()) + " clips"


def _accepted(given: ColumnSpecification, run: RunResult, published: bool) -> list[tuple[Column, bool]]:
    """The run's columns that may stand here, and whether they are marked, in the specification's order: its own
    protocols first."""
    found = [
        (place, column) for column in run.columns
        if (place := given.preference(column.metric, column.quantity.name)) and not (published and column.stand_in)
    ]  # fmt: skip
    return [(column, place[0]) for place, column in sorted(found, key=itemgetter(0))]


def _metric(
    given: ColumnSpecification, language: str | None, found: Sequence[TableSystem], published: bool
) -> str | None:
    """The metric id of a column: the first of its own that some run has a value for, else that some run knows."""
    runs = [run for system in found for run in system.runs.get(language, ())]
    known = [column for run in runs for column, marked in _accepted(given, run, published) if not marked]
    valued = [column for column in known if column.summary.score.value is not None]
    for columns in (valued, known):
        for name in given.metrics or [column.metric for column in columns]:
            for column in columns:
                if name in (column.metric, column.metric.split("/")[0]):
                    return column.metric
    return None


def _measured(
    specification: Specification,
    given: ColumnSpecification,
    language: str | None,
    system: TableSystem,
    metric: str | None,
) -> Measured | str:
    """What stands in a measured cell: the quantity over the column's clips, or why there is none."""
    if reason := _absent(specification, system.family, given.quantity):
        return reason
    runs = system.runs.get(language)
    if not runs:
        if all("" in each.languages() for each in system.distinct):
            return "the run's items have no language: give 'language' in the manifest (--manifest items.jsonl)"
        there = ", ".join(dict.fromkeys(name or "unnamed" for each in system.distinct for name in each.languages()))
        return f"the run has no {language} clips (its clips: {there})"
    published = bool(specification.published)
    chosen = _chosen(given, runs, metric, published)
    return pool([
        _why_not(given, run, metric, published) if column is None
        else over_all_clips(run, column) if language is None else over_language(run, column, language)
        for run, column in zip(runs, chosen, strict=True)
    ])  # fmt: skip


def _chosen(
    given: ColumnSpecification, runs: Sequence[RunResult], metric: str | None, published: bool
) -> list[Column | None]:
    """A column of each run of a row, all by one id: the column's id, else the first marked one that all runs have."""
    accepted = [_accepted(given, run, published) for run in runs]
    own = [next((each for each, marked in mine if each.metric == metric and not marked), None) for mine in accepted]
    options = [own]
    for key in [(column.metric, column.quantity.name) for column, marked in accepted[0] if marked]:
        options.append([next((each for each, _ in mine if (each.metric, each.quantity.name) == key), None)
                        for mine in accepted])  # fmt: skip
    valued = (each for each in options if all(column and column.summary.score.value is not None for column in each))
    present = (each for each in options if all(each))
    return next(valued, None) or next(present, None) or own


def _why_not(given: ColumnSpecification, run: RunResult, metric: str | None, published: bool) -> str:
    same = [column for column in run.columns if column.quantity.name == given.quantity]
    others = dict.fromkeys(column.metric for column in same)
    accepted = _accepted(given, run, published)
    if metric and any(column.metric != metric and not marked for column, marked in accepted):
        return f"{given.quantity} was measured by {', '.join(others)}, the other rows by {metric}"
    stand_ins = [
        column for column in run.columns
        if column.stand_in and (column in same or column.quantity.name.startswith(f"{given.quantity}_"))
    ]  # fmt: skip
    if stand_ins and all(column in stand_ins for column in same):
        nearest = min(stand_ins, key=lambda column: len(column.quantity.name))
        by = f"{nearest.quantity.name} by {nearest.metric}"
        tail = ", which is not comparable with published numbers" if published else ""
        return f"{given.quantity} was measured by a bundled stand-in only ({by}){tail}"
    if same:
        return f"{given.quantity} was measured by {', '.join(others)}; this column takes {', '.join(given.metrics)}"
    wanted = metric or (given.metrics[0] if given.metrics else None)
    if wanted and "/" in wanted and wanted not in metric_ids():
        return f"{given.quantity} was not measured: {wanted} is no metric of this release, nor of a plug-in here"
    return f"{given.quantity} was not measured" + (f": evaluate with --metrics {wanted}" if wanted else "")


def _filled(column: TableColumn, held: Sequence[Column | None], metric: str | None) -> TableColumn:
    """The column, knowing what was measured in it."""
    first = next((each for each in held if each), None)
    if first is None:
        return column
    label = column.label + ("‡" if first.stand_in else "")
    return replace(column, label=label, stand_in=first.stand_in, quantity=first.quantity, metric=metric)
