"""Rows without any measurement say why, by footnotes that no other row or cell has."""

from reports.tables.absent import add_absent
from reports.tables.model import Cell, Table, TableColumn, TableRow


def table() -> Table:
    """A published row, and a measured one with a note of its own and a cell without a value."""
    made = Table(
        [TableColumn("fid", "FID", "lower"), TableColumn("fvd", "FVD", "lower")],
        [TableRow("A", None, [Cell("1.0", 1.0), Cell("2.0", 2.0)], "published", texts=("x",)),
         TableRow("B", 3, [Cell("3.0", 3.0), Cell(reason="no weights")], texts=("",), origin_note="made by b")],
        text_headings=("Year",),
    )  # fmt: skip
    made.note_reasons()
    return made


def test_a_row_of_its_own_says_why_with_a_number_of_its_own():
    shown = table()
    add_absent(shown, {"C": ("no items",), "D": ("no weights",), "E": ("no items",), "F": ("no items", "no clips")})
    assert [row.name for row in shown.rows] == ["A", "B", "C", "D", "E", "F"]
    assert [[cell.note for cell in row.cells] for row in shown.rows[2:]] == [[3, 3], [2, 2], [3, 3], [4, 4]]
    assert shown.notes == ["¹ B: made by b.", "² no weights.", "³ no items.", "⁴ no items; no clips."]
    assert all(row.origin == "measured" and row.texts == ("",) and row.clips == 0 for row in shown.rows[2:])
    assert shown.break_before(1) == "measured" and shown.break_before(2) is None


def test_numbers_begin_after_the_notes_of_rows():
    shown = Table([TableColumn("fid", "FID", "lower")], [TableRow("B", 3, [Cell("3.0", 3.0)], origin_note="made by b")])
    shown.note_reasons()
    add_absent(shown, {"C": ("no items",)})
    assert [row.note for row in shown.rows] == [1, None] and shown.rows[1].cells[0].note == 2


def test_a_system_that_was_measured_in_another_language_keeps_its_row_and_a_published_namesake_its_own():
    shown = table()
    add_absent(shown, {"B": ("no items.",), "A": ("no clips",)})
    assert [(row.name, row.origin) for row in shown.rows] == [("A", "published"), ("B", "measured"), ("A", "measured")]
    assert "B: no items." in shown.notes and shown.rows[0].cells[0].text == "1.0"
