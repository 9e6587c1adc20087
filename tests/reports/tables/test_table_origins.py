"""Footnotes of rows: what to know of how their clips came about, in every format, and no label for two versions."""

import csv
import io

import pytest
from table_factory import SYNC, WER, run

from reports.render.formats import comma_separated, html, latex, markdown
from reports.render.terminal import terminal
from reports.tables import from_specification, specification
from reports.tables.build import build
from t2av_bench.results.origins import Origin, as_document, from_document

OLD, NEW = (
    Origin("ovi", (("spec", digit * 64), ("shim", "c" * 64)), "ovi 12345678", ("language",), ("voice",), "",
           "never run with weights") for digit in "ab"
)  # fmt: skip
SPECIFICATION = """
title = "T"
[[rows]]
name = "Ovi"
runs = ["ovi*"]
[[rows]]
name = "Ours"
runs = ["ours"]
[[columns]]
quantity = "sync_c"
label = "Sync-C"
direction = "higher"
decimals = 2
"""


def made(name, origin, values=None, clips=None):
    found = run(name, values or {SYNC: (5.0, 20)})
    found.settings = {"origins": as_document(dict.fromkeys(clips or found.clips, (origin,)))} if origin else {}
    return found


@pytest.fixture
def loaded(tmp_path):
    file = tmp_path / "t.toml"
    file.write_text(SPECIFICATION)
    return specification.load(str(file))


def test_origins_survive_being_written():
    origins = {"a": (OLD,), "b": (NEW, OLD), "c": (OLD,)}
    read = from_document(as_document(origins))
    assert {clip: set(each) for clip, each in read.items()} == {clip: set(each) for clip, each in origins.items()}
    assert len(as_document(origins)) == 2, "each is written once"


@pytest.mark.parametrize(("render", "named"), [
    (markdown, "| Ovi¹ "), (terminal, "Ovi¹ "), (latex, r"Ovi\textsuperscript{1} &"), (html, ">Ovi¹</th>"),
])  # fmt: skip
def test_every_format_has_the_sign_and_the_note(render, named):
    text = render(build([made("ours", None), made("Ovi", OLD)]))
    assert named in text
    told = " ".join(text.replace(r"\textsuperscript{1}", "¹").split())
    assert f"¹ Ovi: made by {OLD.version}; prompted by t2av-bench (template ovi 12345678); " in told
    assert "never run with weights by anybody; language only in words of the prompt; reference voice ignored." in told


def test_csv_has_the_note_in_a_column_where_a_row_has_one():
    ours, ovi = csv.DictReader(io.StringIO(comma_separated(build([made("ours", None), made("Ovi", OLD)]))))
    assert ours["note"] == "" and ovi["note"].startswith("made by ovi ")
    assert "note" not in comma_separated(build([made("ours", None)])).splitlines()[0]


def test_rows_are_numbered_before_reasons_and_both_in_one_order():
    table = build([made("Ovi", OLD, {SYNC: (5.0, 20), ("wer/x", WER): (1.0, 20)}), made("ours", None)])
    assert [(row.note, [cell.note for cell in row.cells]) for row in table.rows] == [
        (1, [None, None]),
        (None, [None, 2]),
    ]
    assert [note[0] for note in table.notes[-2:]] == ["¹", "²"]


def test_a_note_of_some_clips_says_of_how_many():
    one = made("Ovi", OLD, clips=["clip 00", "clip 01"])
    assert build([one]).rows[0].origin_note.startswith(f"made by {OLD.version} (2 of 20 clips); ")


def test_runs_of_one_version_are_seeds_of_one_row(loaded):
    (row,) = from_specification.build(loaded, [made("ovi-1", OLD), made("ovi-2", OLD)]).rows
    assert row.name == "Ovi" and row.cells[0].spread == 0.0 and row.origin_note.count("made by") == 1


def test_two_versions_of_a_system_never_share_a_label(loaded):
    table = from_specification.build(loaded, [made("ovi-1", OLD), made("ovi-2", NEW), made("ovi-3", NEW)])
    assert [row.name for row in table.rows] == [f"Ovi ({OLD.version})", f"Ovi ({NEW.version})"]
    assert OLD.version != NEW.version and [len(row.runs) for row in table.rows] == [1, 2]
    absent = [note for note in table.notes if note.startswith("No run was given")]
    assert absent == ["No run was given for Ours."]
