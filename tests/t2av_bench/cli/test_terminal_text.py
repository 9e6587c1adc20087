"""What users bring in reaches neither a terminal nor a spreadsheet as a command."""

import csv
import io
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_factory import SYNC, run, scored_run
from typer.testing import CliRunner

from reports.render.formats import FORMATS, comma_separated
from reports.render.terminal import terminal
from reports.tables import from_specification, specification
from reports.tables.build import build
from t2av_bench.cli.console import Console, TextColumn
from t2av_bench.scores import Score
from t2av_bench.utils.terminal_text import echo, printable, spreadsheet_field

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202egnp.exe\u2066\x00\r\x85\ud800\u2028"


def dangerous(text: str) -> list[str]:
    """Characters of the categories that a terminal may obey, by Unicode's own table."""
    turned = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return [
        character for character in text
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t"
        or unicodedata.bidirectional(character) in turned
    ]  # fmt: skip


@given(st.text(st.characters()))
def test_whatever_is_printable_stays_and_the_rest_is_written_out(text):
    written = "".join(f"\\u{ord(each):04x}" if dangerous(each) else each for each in text)
    assert printable(text) == written and not dangerous(written)
    assert "\n" not in printable(text, one_line=True) and "\t" not in printable(text, one_line=True)


ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]))  # text()'s own, which it finds by trying them all


@given(st.dictionaries(ENCODABLE, ENCODABLE))
def test_a_json_document_stays_the_same_document(document):
    assert json.loads(printable(json.dumps(document, ensure_ascii=False))) == document


def test_scripts_that_run_from_right_to_left_or_join_are_left_alone():
    for text in ("שלום עולם", "مرحبا بالعالم", "می\u200cخواهم", "👩\u200d👩\u200d👧", "नमस्ते", "e\u0301"):
        assert printable(text) == text


@pytest.mark.parametrize("format", [*FORMATS, "terminal"])
@pytest.mark.parametrize("make", ["plain", "under published rows"])
def test_no_format_lets_a_name_or_a_reason_through(format, make):
    # The stored text is what it was: only what is shown differs.
    name, reason = f"name {HOSTILE}", f"reason {HOSTILE} of one"
    runs = [
        scored_run(name, {SYNC: [5.0, Score.failed(reason)] * 10}, ["en"] * 20),
        run("b", {SYNC: (Score.failed(reason), 0)}),
    ]
    if make == "plain":
        table = build(runs)
    else:
        table = from_specification.build(specification.load("paper:4"), runs[:1])
    shown = terminal(table) if format == "terminal" else FORMATS[format](table)
    assert dangerous(shown) == [] and "\t" not in shown and "gnp.exe" in shown
    lines = len(shown.splitlines())
    plain = [scored_run("name", {SYNC: [5.0, Score.failed("reason of one")] * 10}, ["en"] * 20),
             run("b", {SYNC: (Score.failed("reason of one"), 0)})]  # fmt: skip
    other = build(plain) if make == "plain" else from_specification.build(specification.load("paper:4"), plain[:1])
    if format != "terminal":  # where long notes are wrapped
        assert lines == len(FORMATS[format](other).splitlines()), "no name makes a line of its own"


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "=cmd|' /C calc'!A0",
    "＝1+1",
    "＠x",
    "-x",
    "+",
]
NUMBERS = ["-0.5", "+3", "1e-5", "-1.5E+10", "0", ".5", "12.", "-5"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_texts(text):
    table = build([run(text, {SYNC: (Score.failed(text), 0)}), run("b", {SYNC: (-0.5, 20)})])
    rows = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert rows[0]["system"].startswith("'") and rows[0]["sync_c_reason"].startswith("'")
    for field in next(csv.reader(io.StringIO(spreadsheet_field(text)))):
        assert field[:1] not in "=+-@\t\r" or not field
    assert rows[1]["sync_c"] == "-0.5" and float(rows[1]["sync_c"]) == -0.5, "numbers stay numbers"


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_no_formulas(text):
    assert spreadsheet_field(text) == text and spreadsheet_field(float(text)) == str(float(text))


def test_messages_and_progress(capsys):
    echo(f"a\n\tb {HOSTILE}")
    echo(f"error {HOSTILE}", err=True)
    target = io.StringIO()
    Console(file=target, width=200).print(f"note {HOSTILE}", markup=False)
    out, err = capsys.readouterr()
    for text in (out, err, target.getvalue()):
        assert dangerous(text) == [] and "gnp.exe" in text
    assert out.startswith("a\n\tb ")


def test_a_progress_bar_takes_any_id():
    from rich.progress import Progress

    target = io.StringIO()
    with Progress(TextColumn("{task.description}"), console=Console(file=target, force_terminal=True, width=80)) as bar:
        bar.add_task(f"[/] [bold]x {HOSTILE[:12]}")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", target.getvalue())  # what rich itself moves the cursor with
    assert "[/] [bold]x" in shown and not dangerous(shown.replace("\r", ""))


def test_every_command_prints_through_them():
    """A message that goes to typer or rich directly would let a name through."""
    files = [file for file in (ROOT / "t2av_bench" / "cli").glob("*.py") if file.name != "console.py"]
    assert len(files) > 10
    for file in files:
        text = file.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if "typer.echo(" in line]
        # Text styled by ourselves, and the made file's name, as bytes for the next program.
        lines = [line for line in lines if "styled" not in line and "os.fsencode(" not in line]
        assert lines == [], file.name
        assert not re.search(r"from rich\.console import .*Console|from rich\.progress import .*\bTextColumn", text), (
            file.name
        )
        assert "    TextColumn,\n" not in text, file.name
        assert not re.search(r"(?<![\w.])print\(", text), f"{file.name}: print()"


def test_errors_on_the_command_line_name_the_file_and_obey_nothing(tmp_path):
    from t2av_bench.cli.main import app

    folder = tmp_path / "run\x1b[31m\x9b2J"
    done = CliRunner().invoke(app, ["table", str(folder)])
    assert done.exit_code == 2 and "\\u001b[31m" in done.stderr and dangerous(done.stderr) == []
