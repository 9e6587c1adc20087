"""What a person sees: tables that fit the window, with every number, and commands that can be copied."""

import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from rich.cells import cell_len
from run_factory import SYNC_C as C
from run_factory import SYNC_D as D
from run_factory import make_run
from table_factory import OFFSET, SYNC, UTMOS, WER, scored_run

from reports.render.terminal import of_markdown, terminal
from reports.tables import specification
from reports.tables.build import build
from reports.tables.make import of_runs
from reports.tables.model import Cell, Table, TableColumn, TableRow
from t2av_bench.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = [name for name in specification.names() if specification.load(name).rows]
NUMBER = re.compile(r"(?<![A-Za-z0-9.])\d+\.\d+(?![A-Za-z0-9.])")


def split(shown: str) -> tuple[list[str], list[str]]:
    """The lines of the tables, and those before and after them."""
    lines = shown.splitlines()
    rules = [index for index, line in enumerate(lines) if line.startswith(" ──")]
    return lines[rules[0] : rules[-1] + 1], lines[: rules[0]] + lines[rules[-1] + 1 :]


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_table_fits_the_window_and_loses_no_number(name, width):
    table = of_runs([], name)
    shown = terminal(table, width=width, fit=True)
    assert max(map(cell_len, shown.splitlines())) <= width
    whole, parts = (split(each)[0] for each in (terminal(table), shown))
    numbers = [cell.text for row in table.rows for cell in row.cells if cell.text]
    for lines in (whole, parts):
        found = NUMBER.findall("\n".join(lines))
        assert all(found.count(number) >= numbers.count(number) for number in numbers)


def test_blocks_end_between_languages_and_repeat_names_and_headings():
    table = of_runs([], "paper:1")
    chinese, english = "\n".join(split(terminal(table, width=80, fit=True))[0][1:-1]).split("\n\n")
    assert "Chinese" in chinese and "English" not in chinese and "English" in english and "CER" not in english
    for row in table.rows:
        assert row.name in chinese and row.name in english
    narrow = "\n".join(split(terminal(table, width=50, fit=True))[0]).split("\n\n")
    assert len(narrow) > 2 and all(("Chinese" in block) != ("English" in block) for block in narrow)


def test_a_column_that_fits_nowhere_is_shown_whole():
    table = build([scored_run(f"a name of some length {i}", {SYNC: [5.0 + i] * 4}, ["en"] * 4) for i in range(2)])
    shown = terminal(table, width=20, fit=True)
    assert "a name of some length 1" in shown and "6.00" in shown


def test_a_single_run_is_a_list_where_it_does_not_fit():
    values = {SYNC: [5.0] * 4, ("wer/x", WER): [0.25] * 4, ("utmos/x", UTMOS): [3.5] * 4, ("sync/x", OFFSET): [1.0] * 4}
    table = build([scored_run("ours", values, ["en"] * 4)])
    wide, narrow = (split(terminal(table, width=width, fit=True))[0] for width in (200, 40))
    assert any("5.00" in line and "3.500" in line for line in wide)
    found = dict(line.split("  ")[:1] + line.split()[-1:] for line in narrow[3:-1] if line.strip())
    assert {key.strip(): value for key, value in found.items()} == {
        "Clips": "4", "Sync-C ↑": "5.00", "WER ↓": "0.2", "UTMOS ↑": "3.500", "Offset": "1",
    }  # fmt: skip


COMMAND = "pip install 't2av-bench[speech]'"
FETCH = "t2av-bench weights fetch inception_nv --accept non-commercial"


@pytest.mark.parametrize("width", range(65, 120, 7))
def test_commands_stand_on_one_line_without_escapes(width):
    table = Table([], [], [f"{'word ' * words}is missing: {COMMAND}; {FETCH}." for words in range(1, 24)])
    for shown in (terminal(table, width=width, fit=True), of_markdown("\n\n".join(table.notes), width)):
        lines = shown.splitlines()
        assert sum(COMMAND in line for line in lines) == sum(FETCH in line for line in lines) == 23
        assert max(map(len, lines)) <= width


REPORT = """### It is *worse*

| | Quantity | First | This | Difference | Verdict |
|---|---|---:|---:|---:|---|
| x | Sync-C \\[a\\_b\\] `sync_c` | 5.0123 | 4.0123 | -1.0123 | worse; about 2,000 clips would decide, a long text |
| y | WER `wer` | 0.1234 | 0.2345 | +0.1111 | undecided |

**1 clip lost:**

- clip\\_004: no face
"""


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_report_in_markdown_is_rendered_and_fits(width):
    shown = re.sub(r"\x1b\[[0-9;]*m", "", of_markdown(REPORT, width))
    assert max(map(cell_len, shown.splitlines())) <= width
    assert not re.search(r"\\|\||\*|#|`", shown)
    for number in ("5.0123", "4.0123", "-1.0123", "0.1234", "0.2345", "+0.1111", "a_b", "clip_004"):
        assert shown.count(number) == (1 if number != "a_b" else shown.count("Sync-C"))


def on_terminal(*arguments: object, width: int = 80) -> str:
    """What a command prints where its output is a terminal."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # how Linux says that the other side is closed
            while part := os.read(ours, 65536):
                shown.append(part)

    reading = threading.Thread(target=read)
    reading.start()
    with pytest.MonkeyPatch.context() as patch, open(theirs, "w", encoding="utf-8") as terminal:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", terminal)
        app([*map(str, arguments)], standalone_mode=False)
    reading.join()
    os.close(ours)
    return b"".join(shown).decode().replace("\r\n", "\n")


def test_a_terminal_gets_tables_and_a_pipe_markdown(tmp_path):
    runs = [make_run(tmp_path / n, {C: [v] * 20, D: [9.0] * 20}, name=n) for n, v in {"one": 4.0, "two": 6.0}.items()]
    for arguments, bold in (("table",), "\x1b[1m6.000\x1b[0m"), (("compare",), "Sync-C ↑"), (("regress",), "Sync-C ↑"):
        shown = on_terminal(*arguments, *runs)
        assert bold in shown and not re.search(r"\\|\*\*|\|", shown), arguments
        assert max(cell_len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
    assert "**6.000**" in on_terminal("table", *runs, "--format", "md")
    piped = subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", "compare", *map(str, runs)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "| two | Sync-C ↑ |" in piped.stdout and "\x1b" not in piped.stdout


def test_a_column_without_rows_is_a_table_of_headings():
    assert "Sync-C" in terminal(Table([TableColumn("sync_c", "Sync-C", "higher")], []), fit=True)


LONG = [
    "Sync-C (GridFace)‡",
    "Sync-D (GridFace)‡",
    "Sync-D at 0 (GridFace)‡",
    "In tolerance (GridFace)‡",
    "WER (GridFace)‡",
]


@pytest.mark.parametrize(("width", "blocks"), [(100, 1), (80, 2)])
def test_headings_are_wrapped_so_that_five_columns_of_numbers_fit_and_no_name_is_cut(width, blocks):
    """What stands between two columns' edges, read downwards, is the whole heading, and so is a wrapped name."""
    columns = [TableColumn(f"c{index}", label, "higher") for index, label in enumerate(LONG)]
    name = "a system (/a/folder/with/a/long/name/that/tells/it/from/others)"
    rows = [TableRow(each, 2, [Cell("0.474", 0.474) for _ in LONG]) for each in ("short", name)]
    shown = terminal(Table(columns, rows), width=width, fit=True)
    assert max(map(cell_len, shown.splitlines())) <= width
    parts = shown.split("\n\n")
    assert len(parts) == blocks
    for part in parts:
        head, body = (each.splitlines()[1:] for each in part.split(" ──")[1:3])
        edges = [found.end() for found in re.finditer(r"\S+", body[0])]
        columns = zip(edges[1:], edges[2:], strict=False)
        found = [" ".join(" ".join(line[start:end] for line in head).split()) for start, end in columns]
        assert found and set(found) <= {f"{label} ↑" for label in LONG}
        assert "".join(line[: edges[1] - 1].strip() for line in body[1:]) == name.replace(" (", "(")


def test_no_line_of_a_note_begins_with_a_unit():
    table = build([scored_run("ours", {SYNC: [5.0]}, ["en"])])
    table.notes = ["word " * count + "needs 90 % of 2.40 s at 25 fps here" for count in range(20)]
    lines = terminal(table, width=40).splitlines()
    assert any("90 %" in line for line in lines)
    assert not [line for line in lines if line.lstrip().startswith(("%", "s ", "fps"))]


def test_an_arrow_never_stands_on_a_line_of_its_own():
    columns = [TableColumn(f"c{n}", label, "lower") for n, label in enumerate(["FD-frame‡", "WER‡"] * 6)]
    shown = terminal(Table(columns, [TableRow("one", 2, [Cell("0.5", 0.5) for _ in columns])] * 2), width=80, fit=True)
    assert shown.count("FD-frame‡ ↓") == 6 and shown.count("WER‡ ↓") == 6
