"""Rows of a table for systems that nothing was measured of."""

from collections.abc import Mapping

from reports.tables.model import Cell, Table, TableRow


def add_absent(table: Table, absent: Mapping[str, tuple[str, ...]]) -> None:
    """Show what could not be measured at all. absent: system -> reasons.

    A system that has a row, of its clips in another language, gets a note; the others a row of their own, last, whose
    cells say why. For tables whose reasons are numbered.
    """
    measured = {row.name for row in table.rows if row.origin == "measured"}
    numbers = {cell.reason: cell.note for row in table.rows for cell in row.cells if cell.reason and cell.note}
    last = max([0, *numbers.values(), *(row.note for row in table.rows if row.note)])
    for name, reasons in absent.items():
        if name in measured:
            table.notes += [f"{name}: {reason.rstrip('.')}." for reason in reasons]
            continue
        text = "; ".join(reasons)
        if text not in numbers:
            numbers[text] = last = last + 1
            table.add_reason(last, text)
        cells = [Cell(reason=text, note=numbers[text]) for _ in table.columns]
        texts = ("",) * len(table.text_headings)
        table.rows.append(TableRow(name, 0, cells, texts=texts))
