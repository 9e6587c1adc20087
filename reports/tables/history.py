"""A history as a table: checkpoints down; for each quantity its value, and the gate's verdict against two others."""

from reports.tables.model import ARROWS, Cell, Table, TableColumn, TableRow
from t2av_bench.comparison.checkpoints import AGAINST, Against, Answer, Checkpoint, History, Point
from t2av_bench.comparison.gate import Key
from t2av_bench.scores import Quantity


def build(history: History) -> Table:
    """The table of a history; what it found stands first among its notes. A baseline is its first row."""
    headings = [history.words(against) for against in AGAINST]
    table = Table([], [], list(history.findings()), row_heading="Checkpoint")
    checkpoints = [*([history.baseline] if history.baseline else []), *history.checkpoints]
    for each in checkpoints:
        apart = each is history.baseline
        name = f"{each.name} (baseline)" if apart else each.name
        table.rows.append(TableRow(name, each.items, [], family="baseline" if apart else "", runs=(each.path,)))
    _add(
        table, "gate", "Gate", headings, [[_gate(each.answer(against)) for against in AGAINST] for each in checkpoints]
    )
    labels = history.labels()
    for key, (quantity, stand_in) in history.quantities.items():
        group = f"{labels[key]}{'‡' if stand_in else ''} {ARROWS[quantity.direction]}".strip()
        cells = [
            [point_cell(each.points[key], quantity, key), *(_verdict(each, against, key) for against in AGAINST)]
            for each in checkpoints
        ]
        _add(table, "/".join(key), group, ["value", *headings], cells, quantity)
    table.notes += _explained(table) + list(history.notes)
    table.note_reasons()
    return table


def _add(
    table: Table, key: str, group: str, headings: list[str], cells: list[list[Cell]], quantity: Quantity | None = None
) -> None:  # fmt: skip
    decimals = quantity.decimals if quantity else 0
    for heading in headings:
        table.columns.append(TableColumn(f"{key} {heading}", heading, "none", decimals, group=group, kind=key))
    for row, mine in zip(table.rows, cells, strict=True):
        row.cells += mine


def point_cell(point: Point, quantity: Quantity, key: Key) -> Cell:
    """A value with its interval and coverage, marked where it does not compare at sight with the reference's."""
    if point.value is None:
        measured = point.fingerprint is not None
        return Cell(reason=point.reason, scored=point.scored if measured else None, total=point.total)
    marks = _MARKS[point.other_protocol] if point.other else ""
    return Cell(
        f"{point.value:.{quantity.decimals}f}", point.value, scored=point.scored, total=point.total,
        interval=(point.interval.low, point.interval.high) if point.interval else None,
        no_interval="" if point.interval else point.reason or "", marks=marks,
        other_protocol=point.other or "", metric=key[0], quantity=key[1], fingerprint=point.fingerprint,
    )  # fmt: skip


_MARKS = {True: "†", False: "§"}


def _gate(answer: Answer | None) -> Cell:
    if answer is None:
        return Cell()
    return Cell(answer.words or "", reason=answer.reason)


def _verdict(each: Checkpoint, against: Against, key: Key) -> Cell:
    answer = each.answer(against)
    if answer is None:
        return Cell()
    verdict = answer.verdicts.get(key)
    if verdict is None:
        return Cell(reason=answer.reasons[key])
    if verdict.word == "not judged":
        return Cell(reason=verdict.reason)
    apart = f" vs {answer.against[key]}" if key in answer.skipped else ""
    return Cell(verdict.word + (f", {len(verdict.lost)} lost" if verdict.lost else "") + apart)


def _explained(table: Table) -> list[str]:
    """The signs in the cells."""
    cells = [cell for row in table.rows for cell in row.cells]
    notes = []
    if any(cell.partial and cell.text for cell in cells):
        notes.append("(n/N): the value covers n of N clips; verdicts are of the clips that both scored.")
    if any(cell.interval for cell in cells):
        notes.append("[low, high]: 95 % bootstrap interval of the value; verdicts rest on the paired difference's own.")
    for mark in _MARKS.values():
        others = dict.fromkeys(cell.other_protocol for cell in cells if cell.marks == mark)
        if others:
            notes.append(f"{mark} does not compare at sight with the others of its column: {'; '.join(others)}.")
    if lacking := dict.fromkeys(cell.no_interval for cell in cells if cell.no_interval):
        notes.append(f"Without an interval: {'; '.join(lacking)}.")
    if stand_ins := dict.fromkeys(column.group for column in table.columns if "‡" in column.group):
        listed = ", ".join(group.split("‡")[0] for group in stand_ins)
        notes.append(f"‡ computed by a bundled stand-in, not comparable with published numbers: {listed}.")
    return notes
