"""The embedded benchmark's tables: their rows from runs, seeds as mean ± deviation, anchors, and what captions say."""

import csv
import io
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from table_factory import CORPUS_WER, FID, SYNC_C, UTMOS, run, scored_run
from typer.testing import CliRunner

from reports.render.formats import comma_separated, html, latex, markdown
from reports.render.terminal import terminal
from reports.tables import from_specification, specification
from reports.tables.measured import Measured, over_all_clips, pool
from reports.tables.protocols import MixedProtocols
from t2av_bench.cli.main import app
from t2av_bench.metrics import metric_class
from t2av_bench.scores import Quantity, Score
from t2av_bench.utils.config import ConfigError

TABLES = [f"embedded:{number}" for number in range(1, 6)]
ROOT = Path(__file__).resolve().parents[3]
WER = ("wer/gridface", Quantity("wer_gridface", "WER (GridFace)", "lower", aggregate="weighted"))
CER = ("cer/gridface", Quantity("cer_gridface", "CER (GridFace)", "lower", aggregate="weighted"))
SYNC = ("sync/gridface", Quantity("sync_c_gridface", "Sync-C (GridFace)", "higher"))
FRAME = ("fd_frame/gridface", Quantity("fd_frame_gridface", "FD frame (GridFace)", "lower", aggregate="set"))
MOS = ("dnsmos/p835", Quantity("dnsmos_ovrl", "DNSMOS OVRL", "higher"))
EMBEDDED = (WER, CER, SYNC, FRAME)


def english(name, wer, sync, *, count=20, more=None, failed=0):
    """A run with a little scatter over the clips, which no other run shares; ``failed`` clips have no Sync-C."""
    wave = np.random.default_rng([len(name), *name.encode()]).uniform(-0.01, 0.01, count)
    values = {
        WER: [Score.ok(wer + 0.1 * value, 6.0) for value in wave],
        SYNC: [Score.failed("no face") if i < failed else sync + value for i, value in enumerate(wave)],
    } | (more or {})
    return scored_run(name, values, ["en"] * count, stand_ins=EMBEDDED)


def built(name, runs, **options):
    return from_specification.build(specification.load(name), runs, **options)


def cells_of(table, name):
    row = next(row for row in table.rows if row.name == name)
    return {column.key: cell for column, cell in zip(table.columns, row.cells, strict=True)}


def note_with(table, part):
    return next(note for note in table.notes if part in note)


# --- the five tables --------------------------------------------------------------------------------------------------


def test_the_embedded_tables_come_with_the_program():
    assert set(TABLES) < set(specification.names())


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_quantities_of_the_metrics_that_they_name(name):
    """A quantity that is renamed, or whose direction changes, must not leave a table without numbers."""
    for column in specification.load(name).specification.columns:
        for id in column.metrics:
            known = {quantity.name: quantity for quantity in metric_class(id).quantities}
            assert column.quantity in known, (id, column.quantity)
            assert known[column.quantity].direction == column.direction, column.quantity


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_anchors_and_says_what_it_is(name):
    found = specification.load(name).specification
    anchors = {row.name for row in found.rows if row.reference}
    assert len(anchors) >= 2 and any("Stranger" in anchor for anchor in anchors)
    assert "a check of the pipeline" in found.caption.lower() and "not a" in found.caption
    columns = {column.quantity for column in found.columns}
    notes = " ".join(found.footnotes)
    assert ("closed grammar" in notes) == any(quantity.startswith(("wer_", "cer_")) for quantity in columns)
    assert ("is saturated" in notes) == any(quantity.startswith("sync_") for quantity in columns)


def test_the_floors_in_captions_are_those_that_were_measured():
    document = (ROOT / "docs" / "embedded_speech_metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| garbage: .*? \| ([\d.]+) \| ([\d.]+) \|$", document, re.MULTILINE)
    assert len(rows) >= 3
    wer, cer = (min(float(row[place]) for row in rows) for place in (0, 1))
    shown = {name: " ".join(specification.load(name).specification.footnotes) for name in TABLES}
    assert f"garbage scores {wer:.2f} (WER) and {cer:.2f} (CER) and more" in shown["embedded:1"]
    assert f"garbage scores {100 * wer:.0f} % and more" in shown["embedded:3"]
    assert f"garbage scores {wer:.2f} and more" in shown["embedded:4"]
    assert f"garbage scores {100 * wer:.0f} % and more" in shown["embedded:5"]


def test_without_runs_there_is_nothing_to_show(tmp_path):
    result = CliRunner().invoke(app, ["table", "embedded:1"])
    assert result.exit_code == 2 and "name run folders: table embedded:1 RUN" in result.output


def test_rows_stand_in_the_tables_order_whatever_the_runs_order():
    table = built("embedded:2", [english("mine", 0.1, 0.5), english("audio-driven", 0.1, 0.5), english("real", 0, 0.7)])
    assert [row.name for row in table.rows] == ["Real clips", "Audio-driven diffusion", "mine"]
    assert [table.break_before(index) for index in range(3)] == [None, "dashed", "dashed"]
    missing = note_with(table, "No run was given for")
    assert "Talker-T2AV, A2V" in missing and "Audio-driven" not in missing
    assert note_with(table, "Every row") == "Every row: 20 en clips."


@pytest.mark.parametrize("render", [markdown, latex, html, terminal])
def test_every_format_prints_what_is_in_the_table(render):
    runs = [english("real", 0.0, 0.7), *(english(f"talker-t2av-seed{n}", 0.1 * n, 0.6) for n in (1, 2))]
    text = render(built("embedded:1", runs))
    assert "Talker-T2AV" in text and "0.15" in text and ("0.071" in text or "0.07" in text)


def test_columns_of_a_language_that_no_run_has_are_left_out_and_the_note_says_so():
    table = built("embedded:1", [english("real", 0.0, 0.7), english("codec", 0.1, 0.6)])
    assert {column.group for column in table.columns} == {"English"} and table.columns[0].key == "en_wer_gridface"
    assert note_with(table, "No run has") == "No run has Chinese clips."
    published = built("paper:1", [scored_run("mine", {("sync/joonson", SYNC_C): [5.0] * 4}, ["en"] * 4)])
    assert {column.group for column in published.columns} == {"Chinese", "English"}, "others' numbers stay"


def test_both_languages_of_a_system_share_a_row():
    chinese = scored_run("talker-t2av", {CER: [0.25] * 4, FRAME: 12.5}, ["zh"] * 4, stand_ins=EMBEDDED)
    table = built("embedded:1", [english("talker-t2av", 0.1, 0.6, more={FRAME: 10.0}), chinese])
    cells = cells_of(table, "Talker-T2AV")
    assert (cells["zh_cer_gridface"].text, cells["zh_fd_frame_gridface"].text) == ("0.250", "12.50")
    assert cells["en_fd_frame_gridface"].text == "10.00" and cells["en_wer_gridface"].text.startswith("0.1")
    assert cells["zh_cer_gridface"].spread is None, "one run a language is no spread"


def test_embedded_columns_are_marked_as_stand_ins():
    table = built("embedded:2", [english("audio-driven", 0.1, 0.5)])
    assert "Sync-C‡ ↑" in [column.heading for column in table.columns] and note_with(table, "bundled stand-in")


def test_given_speech_is_not_scored_in_the_arrangements():
    table = built("embedded:4", [english("delay-1", 0.2, 0.5), english("delay-1-a2v", 0.2, 0.6)])
    assert cells_of(table, "Delay-1, A2V")["en_wer_gridface"].reason == "the speech is given, not generated"
    assert cells_of(table, "Delay-1")["en_wer_gridface"].text.startswith("0.2")


# --- ranking ----------------------------------------------------------------------------------------------------------


def test_anchors_are_shown_but_not_ranked():
    runs = [english("real", 0, 0.9), english("talker-a2v", 0.1, 0.7), english("audio-driven", 0.1, 0.5)]
    table = built("embedded:2", runs)
    ranks = [cells_of(table, row.name)["en_sync_c_gridface"].rank for row in table.rows]
    assert ranks == [None, "best", "second"]
    assert "Real clips" in note_with(table, "for comparison alone")


def test_parts_are_ranked_by_themselves():
    """The best of the lower task stays below the worst of the upper one, and is bold all the same."""
    runs = [english(name, 0.2, sync) for name, sync in
            (("add", 0.9), ("delay-1", 0.8), ("add-a2v", 0.5), ("delay-1-a2v", 0.6))]  # fmt: skip
    table = built("embedded:4", runs)
    ranks = {row.name: cells_of(table, row.name)["en_sync_c_gridface"].rank for row in table.rows}
    assert ranks == {"Add": "best", "Delay-1": "second", "Add, A2V": "second", "Delay-1, A2V": "best"}
    assert "Ranked within each part." in table.notes


# --- seeds ------------------------------------------------------------------------------------------------------------


def seeds(values, **options):
    names = ["talker-t2av", *(f"talker-t2av-seed{index}" for index in range(1, len(values)))]
    return [english(name, value, 0.6, **options) for name, value in zip(names, values, strict=True)]


def test_seeds_make_one_row_of_mean_and_deviation():
    runs = seeds([0.10, 0.13, 0.19])
    table = built("embedded:1", runs)
    assert [row.name for row in table.rows] == ["Talker-T2AV"]
    cell = cells_of(table, "Talker-T2AV")["en_wer_gridface"]
    values = [next(c.summary.score.value for c in each.columns if c.quantity is WER[1]) for each in runs]
    assert cell.value == pytest.approx(statistics.mean(values))
    assert cell.spread == pytest.approx(statistics.stdev(values))
    assert f"{cell.text} ± {cell.spread:.3f}" in markdown(table)
    assert "3 of Talker-T2AV" in note_with(table, "Mean ± standard deviation")
    row = next(csv.DictReader(io.StringIO(comma_separated(table))))
    assert float(row["en_wer_gridface_sd"]) == pytest.approx(cell.spread)


@pytest.mark.parametrize("name", ["talker-t2av", "talker-t2av-seed2", "talker-t2av-seed-2", "talker-t2av (seed 2)"])
def test_names_that_the_run_command_gives_find_their_row(name):
    assert [row.name for row in built("embedded:1", [english(name, 0.1, 0.6)]).rows] == ["Talker-T2AV"]


def test_each_clip_counts_once_in_a_rows_coverage_and_in_every_run_in_a_cells():
    table = built("embedded:1", seeds([0.1, 0.2], failed=1))
    cell = cells_of(table, "Talker-T2AV")["en_sync_c_gridface"]
    assert (cell.scored, cell.total, table.rows[0].clips) == (38, 40, 20)
    assert note_with(table, "Every row") == "Every row: 20 en clips."


def test_the_test_takes_each_clips_mean_over_the_seeds():
    """Two seeds whose errors sit on different clips: their mean per clip is what the paired test sees."""
    first = scored_run("a", {WER: [Score.ok(value, 6.0) for value in (0.0, 0.5, 1.0)]}, ["en"] * 3)
    second = scored_run("b", {WER: [Score.ok(value, 6.0) for value in (1.0, 0.0, 1.0)]}, ["en"] * 3)
    pooled = pool([over_all_clips(each, each.columns[0]) for each in (first, second)])
    assert isinstance(pooled, Measured) and len(pooled.parts) > 1
    sample = pooled.sample(pooled.scored)
    assert np.allclose(sample.numerators / sample.denominators, [0.5, 0.25, 1.0])
    assert sample.value == pytest.approx(pooled.summary.score.value)


def test_clips_that_a_seed_lacks_or_that_ask_for_something_else_are_not_compared():
    first = english("a", 0.1, 0.6)
    second = english("b", 0.1, 0.6, failed=2)
    second.rows[second.clips[5]]["item"]["text"] = "something else"
    parts = [over_all_clips(each, each.columns[1]) for each in (first, second)]
    pooled = pool(parts)
    assert isinstance(pooled, Measured)
    assert pooled.scored == [clip for index, clip in enumerate(first.clips) if index not in (0, 1, 5)]


def test_a_seed_without_the_quantity_leaves_the_row_without_a_number():
    lacking = scored_run("talker-t2av-seed1", {SYNC: [0.5] * 20}, ["en"] * 20, stand_ins=EMBEDDED)
    cell = cells_of(built("embedded:1", [*seeds([0.1]), lacking]), "Talker-T2AV")["en_wer_gridface"]
    assert cell.text == "" and cell.reason.startswith("1 of 2 runs: wer_gridface was not measured")
    failed = english("talker-t2av-seed1", 0.1, 0.6, failed=20)
    cell = cells_of(built("embedded:1", [*seeds([0.1]), failed]), "Talker-T2AV")["en_sync_c_gridface"]
    assert cell.text == "" and cell.reason == "1 of 2 runs: no face"


def test_the_same_run_twice_is_no_second_seed():
    with pytest.raises(ValueError, match=r"both runs of 'talker-t2av' with en clips.*leave one out"):
        built("embedded:1", [*seeds([0.1]), *seeds([0.2])])


def test_seeds_of_different_protocols_do_not_mix(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN + ROWS)
    runs = [run(name, {WER: (0.1, 20)}, parameters={"beam": name}) for name in ("ours", "ours-seed1")]
    with pytest.raises(MixedProtocols, match="beam"):
        built(str(file), runs)
    table = built(str(file), runs, allow_mixed=True)
    assert cells_of(table, "Ours")["wer_gridface"].marks == "†"


# --- specifications of one's own --------------------------------------------------------------------------------------

PLAIN = """
title = "Mine"
[[columns]]
quantity = "wer_gridface"
label = "WER"
direction = "lower"
"""
ROWS = """
[[rows]]
name = "Ours"
runs = ["ours", "ours-seed*"]
"""


def test_the_documented_rows_work(tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", (specification.BUILT_IN / "README.md").read_text(), re.DOTALL)
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN + next(block for block in blocks if "[[rows]]" in block))
    table = built(str(file), [english(name, 0.1, 0.6) for name in ("ours-seed1", "ours", "real")])
    assert [row.name for row in table.rows] == ["Real clips", "Ours"] and table.break_before(1) == "dashed"
    assert cells_of(table, "Ours")["wer_gridface"].spread is not None


def test_a_name_goes_before_a_pattern_and_stars_alone_are_special(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN + ROWS + '[[rows]]\nname = "Large"\nruns = ["ours-seed-large", "ours [x]"]\n')
    table = built(str(file), [english(name, 0.1, 0.6) for name in ("ours-seed-large", "ours [x]", "ours-seed1")])
    assert {row.name: len(row.runs) for row in table.rows} == {"Ours": 1, "Large": 2}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (ROWS + ROWS, "the name 'Ours' is given twice"),
        (ROWS + '[[rows]]\nname = "Theirs"\nruns = ["ours"]\n', "the run 'ours' is given twice"),
        (ROWS + 'family = "x"\n', r"'Ours' has the family 'x'; expected none, as the table has no families"),
        (ROWS + '[[families]]\nname = "x"\n', r"'Ours' has the family ''; expected one of \['x'\]"),
        ('[[families]]\nname = "x"\n', "neither published rows nor 'rows'"),
        (ROWS.replace('["ours", "ours-seed*"]', "[]"), "row 'Ours': 'runs': Tuple should have"),
        (ROWS + "references = true\n", r"row 'Ours': unknown key 'references'; did you mean reference"),
    ],
)
def test_rows_are_checked_strictly(tmp_path, more, message):
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN + more)
    with pytest.raises(ConfigError, match=message):
        specification.load(str(file))


def test_rows_also_name_what_stands_under_published_ones(tmp_path):
    (tmp_path / "rows.csv").write_text("system,u\nElse,4.10\n")
    file = tmp_path / "mine.toml"
    file.write_text(
        'title = "Mine"\npublished = "rows.csv"\n[[columns]]\nquantity = "utmos"\nlabel = "UTMOS"\n'
        'direction = "higher"\ndecimals = 2\npublished = "u"\n' + ROWS
    )
    runs = [
        run(name, {("utmos/strong-v1", UTMOS): (value, 20), ("wer/x", CORPUS_WER): (0.1, 20), ("fid/x", FID): (1.0, 20),
                   ("sync/x", SYNC_C): (1.0, 20)})
        for name, value in (("ours", 3.0), ("ours-seed1", 4.0))
    ]  # fmt: skip
    table = built(str(file), runs)
    assert [row.label for row in table.rows] == ["Else", "Ours"] and table.break_before(1) == "measured"
    assert cells_of(table, "Ours")["utmos"].text == "3.50"
