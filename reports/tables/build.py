"""A table of runs: systems down, quantities across.

Two numbers share a column only where their protocols have one fingerprint; otherwise the table is refused, or, with
``allow_mixed``, the cells that differ are marked. Every cell says how many of how many clips it covers, and a cell
without a value says why.
"""

from collections.abc import Collection, Iterable, Sequence

from reports.tables import groups
from reports.tables.budgets import budget_notes
from reports.tables.measured import Measured, over_clips
from reports.tables.model import Cell, Table, TableColumn, TableRow
from reports.tables.origins import origin_note
from reports.tables.protocols import protocol_marks
from reports.tables.ranking import TOO_FEW, Contender, mark_by_test, missing_too_many
from t2av_bench.errors import Unscorable
from t2av_bench.evaluation.reasons import alike
from t2av_bench.metrics import registry
from t2av_bench.metrics.base import Floor
from t2av_bench.metrics.distances import AT_THIS_NUMBER
from t2av_bench.results.budget import Budget
from t2av_bench.results.columns import Column
from t2av_bench.results.run import RunResult, system_names
from t2av_bench.results.subgroups import Subgroup, subgroups
from t2av_bench.scores import Status, with_variant
from t2av_bench.statistics.samples import NEEDS_CLIPS, Sample
from t2av_bench.utils.text import counted

MOST_REASONS = 4
Found = dict[tuple[str, str], list[Measured | str]]


def build(
    runs: Sequence[RunResult],
    *,
    allow_mixed: bool = False,
    columns: Sequence[str] | None = None,
    intervals: bool = False,
    by: str | None = None,
    across: bool = False,
    budget: Budget | None = None,
    names: Sequence[str] | None = None,
) -> Table:
    """The table of some runs, one row each.

    names: what the rows are called; as their systems where None.
    columns: quantities to show, in this order, by any name of a quantity or a metric; all where None.
    intervals: compute a 95 % bootstrap interval for every cell.
    by: a key of the items: a row for each run and group of them, ranked within the group (see ``results.subgroups``);
    across: instead a column for each quantity and group.
    budget: of errors, for a note of what is not resolved; the packaged one where None.
    Raises MixedProtocols where a column would mix fingerprints and that is not allowed, and ValueError for an unknown
    column or key.
    """
    parts = [Subgroup("", tuple(tuple(run.clips) for run in runs))] if by is None else subgroups(runs, by)
    places = [(part, run, clips) for part in parts for run, clips in zip(runs, part.clips, strict=True)]
    table = Table([], [], row_heading="System", text_headings=() if by is None else (groups.heading(by),))
    about = [(name, origin_note([run])) for name, run in zip(names or system_names(runs), runs, strict=True)]
    for (part, run, clips), (name, note) in zip(places, about * len(parts), strict=True):
        family, texts = (part.label if len(runs) > 1 else "", (part.label,)) if by is not None else ("", ())
        table.rows.append(
            TableRow(name, len(clips), [], family=family, texts=texts, runs=(run.path,), origin_note=note)
        )
    contenders: list[list[Contender | None]] = []
    inapplicable: dict[str, list[str]] = {}
    mixed: list[str] = []
    shown: list[list[Measured | str]] = []
    found = _measured(places, _chosen(dict.fromkeys(_key(each) for run in runs for each in run.columns), columns))
    families = [quantity for _, quantity in found]
    labels = [
        next(each.column.quantity.label for each in cells if isinstance(each, Measured)) for cells in found.values()
    ]
    for (metric, name), cells in found.items():
        present = [each.column for each in cells if isinstance(each, Measured)]
        if all(column.summary.score.status is Status.NOT_APPLICABLE for column in present):
            reason = str(present[0].summary.score.reason)
            inapplicable.setdefault(reason, []).append(name if families.count(name) == 1 else f"{metric} {name}")
            continue
        quantity = present[0].quantity
        label = with_variant(quantity.label, metric, labels, " ")
        marks = protocol_marks(cells, allow_mixed, table.notes)
        if any(marks):
            mixed.append(label)
        stand_in = present[0].stand_in
        heading = TableColumn(
            with_variant(name, metric, families), label + ("‡" if stand_in else ""), quantity.direction,
            quantity.decimals, quantity.unit, stand_in=stand_in, quantity=quantity, metric=metric,
        )  # fmt: skip
        table.columns.append(heading)
        ranked = [not any(marks)] * len(places)
        contenders.append(add_cells(table.rows, heading, cells, marks, intervals, ranked=ranked))
        shown.append(cells)
    table.notes += floor_notes(table.columns, shown) + budget_notes(table.columns, shown, budget)
    table.notes += measured_notes(table, contenders, [str(parts.index(part)) for part, _, _ in places], "group")
    if mixed:
        table.notes.append(f"Not ranked, for their protocols differ: {', '.join(mixed)}.")
    if any(len({asked(run, clips) for run, clips in zip(runs, part.clips, strict=True)}) > 1 for part in parts):
        table.notes.append("The rows do not cover the same clips: differences between them are not paired.")
    for reason, names in inapplicable.items():
        table.notes.append(f"Not shown, not applicable: {', '.join(names)}: {reason}.")
    if by is not None:
        table.title = f"By {by}"
        table.notes += groups.notes(runs, by, table.columns)
        if across:
            groups.side_by_side(table, parts)
    table.note_reasons()
    return table


def _measured(places: Sequence[tuple[Subgroup, RunResult, Sequence[str]]], wanted: Iterable[tuple[str, str]]) -> Found:
    """Each quantity in each place: over a run's clips of a group, or why there is none."""
    found: Found = {}
    for metric, name in wanted:
        cells: list[Measured | str] = []
        for _, run, clips in places:
            column = next((each for each in run.columns if _key(each) == (metric, name)), None)
            if column is None:
                cells.append(f"{name} was not measured in this run: evaluate it with --metrics {metric}")
            elif not clips and run.clips:
                cells.append("the run has no clips of this group")
            else:
                cells.append(over_clips(run, column, clips))
        found[metric, name] = cells
    return found


def measured_cell(
    found: Measured | str, column: TableColumn, mark: str = "", ends: tuple[float, float] | str | None = None
) -> Cell:
    """A measured quantity, or the reason why there is none, as a cell of a column. ends: as of ``interval_ends``."""
    if isinstance(found, str):
        return Cell(reason=found)
    summary = found.summary
    cell = Cell(
        scored=summary.scored, total=summary.total, failures=dict(summary.reasons.most_common()),
        inapplicable=summary.inapplicable,
        metric=found.column.metric, quantity=found.column.quantity.name, fingerprint=found.column.fingerprint,
    )  # fmt: skip
    if summary.score.value is None:
        cell.reason = summary.score.reason
        return cell
    cell.value = summary.score.value * column.scale
    cell.text = f"{cell.value:.{column.decimals}f}"
    cell.marks = mark
    cell.other_protocol = "another protocol than the first row's" if mark else ""
    cell.spread = None if found.spread is None else found.spread * column.scale
    cell.within = summary.within_one
    if ends is not None:
        cell.interval, cell.no_interval = (None, ends) if isinstance(ends, str) else (ends, "")
    return cell


def add_cells(
    rows: Sequence[TableRow], column: TableColumn, measured: Sequence[Measured | str], marks: Sequence[str],
    intervals: bool, *, ranked: Sequence[bool],
) -> list[Contender | None]:  # fmt: skip
    """Append a column's cells to the rows; returns those that may be marked (None: not ranked)."""
    contending: list[Contender | None] = []
    ends = interval_ends(measured, column, intervals)
    for row, each, mark, contends, end in zip(rows, measured, marks, ranked, ends, strict=True):
        cell = measured_cell(each, column, mark, end)
        row.cells.append(cell)
        contending.append(Contender(cell, each) if contends and isinstance(each, Measured) else None)
    return contending


def measured_notes(
    table: Table, contenders: Sequence[Sequence[Contender | None]], parts: Sequence[str] | None = None,
    called: str = "part",
) -> list[str]:  # fmt: skip
    """Mark the measured rows, and say in notes how they were marked and what they cover.

    parts: a name for every row; rows of different names are not ranked against each other. called: what parts are.
    """
    names = list(dict.fromkeys(parts or ()))
    if len(names) > 1:
        split = [[each if part == name else None for each, part in zip(rows, parts or (), strict=True)]
                 for name in names for rows in contenders]  # fmt: skip
        notes = mark_by_test([*table.columns] * len(names), split)
    else:
        notes = mark_by_test(table.columns, contenders)
    too_few = any(note.startswith(TOO_FEW) for note in notes)
    if notes and len(names) > 1 and not too_few:
        notes.append(f"Ranked within each {called}.")
    if notes and missing_too_many(contenders):
        notes.append("Not ranked: rows that lack more than 2 % of their clips.")
    cells = [cell for row in table.rows for cell in row.cells]
    if partial := [cell for cell in cells if cell.partial and cell.text]:
        notes.append(_coverage_note(partial))
    if any(cell.interval for cell in cells):
        drawn = {text: one.measured.run.groups for each in contenders for one in each
                 if one and (text := _drawn(one.measured))}  # fmt: skip
        over = next(iter(drawn), "the clips")
        if len(drawn) > 1 and len(names) > 1:
            over = " and ".join(dict.fromkeys(f"the clips, {each.unit} as a whole" for each in drawn.values() if each))
        notes.append(f"[low, high]: 95 % bootstrap interval over {over}.")
    if not too_few and _set_differences(table, contenders):
        notes.append(AT_THIS_NUMBER[0].upper() + AT_THIS_NUMBER[1:] + ".")
    if any(cell.within is not None for cell in cells):
        notes.append("An offset is the median over the clips; % within ±1: clips at most one frame from 0.")
    if lacking := _without_interval(cells, too_few and called != "group"):  # a group has its own number of clips
        more = "; …" if len(lacking) > MOST_REASONS else ""
        notes.append(f"Without an interval: {'; '.join(lacking[:MOST_REASONS])}{more}.")
    if stand_ins := [column.label.removesuffix("‡") for column in table.columns if column.stand_in]:
        listed = ", ".join(dict.fromkeys(stand_ins))
        notes.append(f"‡ computed by a bundled stand-in, not comparable with published numbers: {listed}.")
    return notes


def _without_interval(cells: Iterable[Cell], too_few: bool = False) -> list[str]:
    """Why cells have no interval, each reason once: ``1 clip, 7 clips; an interval needs at least 20 clips``.

    too_few: another note says of how many clips there are none.
    """
    found: dict[str, dict[str, None]] = {}
    for reason in dict.fromkeys(cell.no_interval for cell in cells if cell.no_interval):
        has, _, need = reason.rpartition("; ")
        if too_few and need == NEEDS_CLIPS:
            continue
        found.setdefault(need, {})[has] = None
    return [f"{', '.join(has)}; {need}" if all(has) else need for need, has in found.items()]


def _coverage_note(partial: Sequence[Cell]) -> str:
    """What is said of cells that do not cover all clips: why they failed, and how many a quantity does not apply to."""
    counts: dict[str, int] = {}
    for reason, count in ((reason, count) for cell in partial for reason, count in cell.failures.items()):
        counts[reason] = max(count, counts.get(reason, 0))
    inapplicable = frozenset[str]().union(*(cell.inapplicable for cell in partial))
    failed = [_told(each) for each in alike(reason for reason in counts if reason not in inapplicable)]
    others = [f"{counted(count)}: {reason.rstrip('.')}" for reason, count in counts.items() if reason in inapplicable]
    parts = ["(n/N): the value covers n of N clips"]
    for what, reasons in (("the others failed: ", failed), ("not applicable to ", others)):
        if reasons:
            parts.append(what + "; ".join(reasons[:MOST_REASONS]) + ("; …" if len(reasons) > MOST_REASONS else ""))
    return "; ".join(parts) + "."


def _told(reasons: Sequence[str]) -> str:
    """Reasons that differ in names and numbers alone, by the first of them."""
    return reasons[0].rstrip(".") + (" (others alike)" if len(reasons) > 1 else "")


def _set_differences(table: Table, contenders: Sequence[Sequence[Contender | None]]) -> bool:
    """Whether a distance between sets has an interval or was tested."""
    for index, (column, row) in enumerate(zip(table.columns, contenders, strict=True)):
        if column.quantity is not None and column.quantity.aggregate == "set":
            tested = sum(each is not None and each.cell.value is not None for each in row) > 1
            if tested or any(line.cells[index].interval for line in table.rows):
                return True
    return False


def floor_notes(columns: Sequence[TableColumn], measured: Sequence[Sequence[Measured | str]]) -> list[str]:
    """What real clips score against as many real clips: one note for the table, of the columns whose clips it fits.

    A floor belongs to its number of clips and to their language; where a column's runs have others, nothing is said.
    """
    found: dict[tuple[str, int, int], list[str]] = {}
    for column, cells in zip(columns, measured, strict=True):
        floors = {_floor(single) for each in cells if isinstance(each, Measured) for single in each.singles}
        floor = floors.pop() if len(floors) == 1 else None
        if floor is not None:
            mean, deviation = (f"{value * column.scale:.{column.decimals}f}" for value in (floor.mean, floor.deviation))
            found.setdefault((floor.what, floor.draws, floor.clips), []).append(f"{column.named} {mean} ± {deviation}")
    return [
        f"Of {what}: {'; '.join(values)} (mean and standard deviation of {draws} draws of {clips} clips a side)."
        for (what, draws, clips), values in found.items()
    ]


def _floor(single: Measured) -> Floor | None:
    known = single.run.floors.get(single.column.metric, ())
    if not known:
        return None
    clips = single.scored
    languages = {single.run.language(clip) for clip in clips}
    return next((floor for floor in known if floor.clips == len(clips) and languages == {floor.language}), None)


def _drawn(measured: Measured) -> str | None:
    """What a bootstrap draws where that is not the clips."""
    groups = measured.run.groups
    if groups is None:
        return None
    mine = {groups.groups.get(clip, clip) for clip in measured.clips}
    return f"{len(measured.clips)} clips of {len(mine)} {groups.unit}" if len(mine) > 1 else None


def interval_ends(
    measured: Sequence[Measured | str], column: TableColumn, wanted: bool
) -> list[tuple[float, float] | str | None]:
    """Of every cell of a column the ends of its interval, why there are none (too few clips), or None: not asked for.

    Cells of one protocol and the same clips share what is drawn of them.
    """
    found: list[tuple[float, float] | str | None] = [None] * len(measured)
    samples: dict[tuple[str, str], dict[int, Sample]] = {}
    for place, each in enumerate(measured):
        if isinstance(each, str) or each.summary.score.value is None:
            continue
        quantity = each.column.quantity
        if (wanted and column.direction != "none") or quantity.is_shift:
            try:
                sample = each.sample(each.scored)
            except Unscorable as error:
                found[place] = str(error)
            else:
                samples.setdefault((quantity.name, each.column.fingerprint), {})[place] = sample
    if samples:
        from t2av_bench.statistics.intervals import intervals

        for context, mine in samples.items():
            for place, ends in zip(mine, intervals(list(mine.values()), *context), strict=True):
                found[place] = (
                    str(ends) if isinstance(ends, Unscorable) else (ends.low * column.scale, ends.high * column.scale)
                )
    return found


def asked(run: RunResult, clips: Sequence[str]) -> tuple[object, ...]:
    """What some clips of a run asked for; equal in two runs where their differences are paired."""
    return tuple((clip, run.items.get(clip)) for clip in sorted(clips))


def _key(column: Column) -> tuple[str, str]:
    return column.metric, column.quantity.name


def _chosen(known: Collection[tuple[str, str]], asked: Sequence[str] | None) -> Collection[tuple[str, str]]:
    """The columns that were asked for, in the order asked; all where none was."""
    return known if asked is None else registry.select(asked, known, quantity_first=True)
