"""Specifications: the paper's tables to the digit, and what may stand under published rows."""

import csv
import io
import json
import re
from decimal import Decimal
from html import escape
from pathlib import Path

import pytest
from table_factory import CORPUS_CER, CORPUS_WER, FID, SYNC_C, SYNC_C_HAAR, UTMOS, run, scored_run
from typer.testing import CliRunner

from reports.render.formats import as_json, comma_separated, html, latex, markdown
from reports.render.terminal import terminal
from reports.tables import from_specification, specification
from reports.tables.make import of_runs
from reports.tables.protocols import MixedProtocols
from t2av_bench.cli.main import app
from t2av_bench.metrics import metric_class
from t2av_bench.scores import Quantity, Score
from t2av_bench.utils.config import ConfigError

TABLES = [name for name in specification.names() if specification.load(name).rows]
CER_QWEN = ("cer/qwen3-asr-1.7b", CORPUS_CER)
WER_QWEN = ("wer/qwen3-asr-1.7b", CORPUS_WER)
UTMOS_KEY = ("utmos/strong-v1", UTMOS)
HAAR = ("sync/exact-haar", SYNC_C_HAAR)


def printed_rows(name: str) -> list[dict[str, str]]:
    loaded = specification.load(name)
    with open(specification.PUBLISHED / loaded.specification.published, newline="") as handle:
        return list(csv.DictReader(handle))


def numbers(row: dict[str, str]) -> list[str]:
    return [value for value in row.values() if re.fullmatch(r"[\d.]+", value)]


def cells_of(table, name):
    row = next(row for row in table.rows if row.name == name)
    return {column.key: cell for column, cell in zip(table.columns, row.cells, strict=True)}


def test_there_are_five_published_tables_of_the_paper_and_a_leaderboard():
    assert TABLES == ["mochabench:monologue", *(f"paper:{number}" for number in range(1, 6))]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("render", [markdown, latex, html, comma_separated, terminal])
def test_published_tables_keep_every_digit_in_every_format(name, render):
    """Every row's numbers, in order of the columns, as a reader of the output would find them."""
    text = render(of_runs([], name, published=True))
    for line in printed_rows(name):
        loaded = specification.load(name).specification
        expected = sorted(numbers(line))
        who = line[loaded.name_column]
        shown = [part for part in re.split(r"\n|</tr>", text) if who in part and who not in loaded.caption]
        found = [
            sorted(re.findall(r"(?<![A-Za-z0-9.])\d+\.\d+(?![A-Za-z0-9.])", part.replace(who, ""))) for part in shown
        ]
        representation = re.findall(r"(?<![A-Za-z0-9.])\d+\.\d+(?![A-Za-z0-9.])", line.get("representation", ""))
        assert sorted(expected + representation) in found, (who, found)


@pytest.mark.parametrize("name", TABLES)
def test_marks_are_those_of_the_two_best_printed_numbers(name):
    table = of_runs([], name, published=True)
    given = specification.load(name).specification
    directions = {column.key: column.direction for column in table.columns}
    parts = {row.family for row in table.rows} if given.rank_within_families else {None}
    for part in parts:
        rows = [row for row in table.rows if row.name not in given.reference_rows and part in (None, row.family)]
        for index, column in enumerate(table.columns):
            values = sorted(
                {Decimal(row.cells[index].text) for row in rows if row.cells[index].text},
                reverse=directions[column.key] == "higher",
            )
            for row in rows:
                cell = row.cells[index]
                place = values.index(Decimal(cell.text)) if cell.text else None
                assert cell.rank == {0: "best", 1: "second"}.get(place), (row.name, column.key)


def test_some_marks_read_off_the_paper_by_eye():
    table = of_runs([], "paper:1", published=True)
    talker, rival = cells_of(table, "Talker-T2AV"), cells_of(table, "UniAVGen")
    assert [talker["zh_cer"].rank, rival["zh_cer"].rank] == ["best", "second"]  # 0.148 before 0.265
    assert [talker["en_utmos"].rank, rival["en_utmos"].rank] == ["second", "best"]  # 3.458 after 3.459
    assert [talker["zh_fid"].rank, rival["zh_fid"].rank] == ["second", "best"]  # 17.63 after 15.30
    truth = cells_of(of_runs([], "paper:5", published=True), "Ground Truth")
    assert {cell.rank for cell in truth.values()} == {None}


def test_families_are_parted_by_the_dashed_line():
    table = of_runs([], "paper:1", published=True)
    assert [table.break_before(index) for index in range(6)] == [None] * 4 + ["dashed", None]
    assert r"\cleaders" in latex(table) and "arydshln" not in latex(table) and "╌" in markdown(table)


def test_two_languages_share_a_cell_in_the_second_table():
    assert "| 29.71 / 32.24 |" in re.sub(" +", " ", markdown(of_runs([], "paper:2")))


def test_empty_published_cells_say_why():
    table = of_runs([], "paper:4")
    assert table.rows[-1].cells[0].reason == "the speech is given, not generated"
    assert "¹ the speech is given, not generated." in table.notes


def test_the_numbers_are_those_of_the_shared_transcription():
    shared = Path(__file__).resolve().parents[4] / "shared" / "design" / "published"
    if not shared.is_dir():
        pytest.skip(f"no transcription of the paper at {shared}")
    for file in shared.glob("*.csv"):
        assert (specification.PUBLISHED / file.name).read_text() == file.read_text(), file.name


def both_languages(name="ours", cer=0.2, wer=0.1):
    """12 zh and 8 en clips in one run; the recogniser's other language does not apply to a clip."""
    languages = ["zh-CN"] * 12 + ["en"] * 8
    other = Score.not_applicable("another language")
    return scored_run(
        name,
        {
            CER_QWEN: [cer] * 12 + [other] * 8, WER_QWEN: [other] * 12 + [wer] * 8,
            UTMOS_KEY: [2.0] * 12 + [3.0] * 7 + [Score.failed("silent")], ("fid/clean", FID): 12.25,
            HAAR: [1.0] * 20,
        },
        languages, stand_ins=[HAAR],
    )  # fmt: skip


def measured(runs, name="paper:1"):
    return from_specification.build(specification.load(name), runs)


def test_measured_rows_stand_under_published_ones_and_change_none_of_them():
    plain, table = of_runs([], "paper:1"), measured([both_languages()])
    assert [row.origin for row in table.rows] == ["published"] * 6 + ["measured"]
    assert [(c.text, c.rank) for row in table.rows[:6] for c in row.cells] == [
        (c.text, c.rank) for row in plain.rows for c in row.cells
    ]
    assert table.break_before(6) == "measured"
    assert table.measured_heading == "Measured here (12 zh + 8 en clips)" and table.rows[6].label == "ours"
    assert {cell.rank for cell in table.rows[6].cells} == {None}, "0.055 < 0.1: never ranked among published rows"
    for text in (markdown(table), latex(table), html(table), terminal(table).replace("here\n (", "here (")):
        assert text.index("Talker-T2AV") < text.index("Measured here (12 zh + 8 en clips)") < text.rindex("ours")


def test_columns_by_language_take_the_clips_of_their_language():
    cells = cells_of(measured([both_languages()]), "ours")
    assert (cells["zh_cer"].text, cells["en_wer"].text) == ("0.200", "0.100")
    assert (cells["zh_utmos"].text, cells["en_utmos"].text) == ("2.000", "3.000")
    assert (cells["zh_utmos"].scored, cells["zh_utmos"].total) == (12, 12)
    assert (cells["en_utmos"].scored, cells["en_utmos"].total) == (7, 8)


def test_a_distance_between_sets_of_mixed_languages_has_no_value_but_a_reason():
    cell = cells_of(measured([both_languages()]), "ours")["zh_fid"]
    assert cell.text == "" and cell.value is None
    assert "mixes zh and en clips" in cell.reason and "a run of their own, under the same --name" in cell.reason


def test_runs_of_one_name_and_different_languages_make_one_row():
    chinese = scored_run("ours", {("fid/clean", FID): 12.25, UTMOS_KEY: [2.0] * 6}, ["zh"] * 6)
    english = scored_run("ours", {("fid/clean", FID): 23.5, UTMOS_KEY: [3.0] * 5}, ["en"] * 5)
    table = measured([chinese, english])
    assert len(table.rows) == 7 and table.measured_heading == "Measured here (6 zh + 5 en clips)"
    cells = cells_of(table, "ours")
    assert (cells["zh_fid"].text, cells["en_fid"].text) == ("12.25", "23.50")
    assert (cells["zh_utmos"].text, cells["en_utmos"].text) == ("2.000", "3.000")
    again = measured([chinese, english, english])
    assert len(again.rows) == 8, "a second run of one language is a row of its own"
    assert [row.coverage for row in again.rows[6:]] == ["6 zh + 5 en clips", "5 en clips"]


def test_embedded_numbers_never_stand_in_a_published_column():
    cell = cells_of(measured([both_languages()]), "ours")["zh_sync_c"]
    assert cell.text == "" and "bundled stand-in only (sync_c_haar by sync/exact-haar)" in cell.reason
    same_name = scored_run("ours", {("sync/exact", SYNC_C): [5.0] * 4}, ["zh"] * 4, stand_ins=[("sync/exact", SYNC_C)])
    assert cells_of(measured([same_name]), "ours")["zh_sync_c"].text == ""


@pytest.mark.parametrize("id", ["wer/ours", "wer/whisper-base"])
def test_numbers_of_protocols_that_are_not_named_never_stand_in_a_published_column(id):
    other = scored_run("ours", {(id, CORPUS_WER): [0.01] * 4}, ["en"] * 4)
    cell = cells_of(measured([other]), "ours")["en_wer"]
    assert cell.text == ""
    assert cell.reason == f"wer was measured by {id}; this column takes wer/qwen3-asr-1.7b"
    assert (
        cells_of(measured([other]), "ours")["en_fvd"].reason
        == "fvd was not measured: evaluate with --metrics fvd/styleganv"
    )


def test_one_column_never_holds_two_protocols():
    one = scored_run("one", {("sync/joonson", SYNC_C): [5.0] * 4}, ["en"] * 4)
    other = scored_run("other", {("sync/exact", SYNC_C): [5.0] * 4}, ["en"] * 4)
    table = measured([one, other])
    assert cells_of(table, "one")["en_sync_c"].text == "5.000"
    reason = cells_of(table, "other")["en_sync_c"].reason
    assert reason == "sync_c was measured by sync/exact; this column takes sync/joonson", "of an older release"
    with pytest.raises(MixedProtocols, match="beam"):
        from_specification.build(specification.load("paper:3"), [
            run(n, {("wer/whisper-large-v3", CORPUS_WER): (0.1, 20)}, parameters={"beam": n}) for n in ("a", "b")
        ])  # fmt: skip


SYNC_C_EXACT = Quantity("sync_c_exact", "Sync-C (exact)", "higher")
FID_LEGACY = ("fid/legacy_pytorch", FID)
# What the paper's pipelines are followed by, the ids that are only tolerated, and a column of each.
OTHERS = [
    ("paper:1", "en_sync_c", ("sync/joonson", SYNC_C), ("sync/exact", SYNC_C_EXACT)),
    ("paper:1", "en_sync_c", ("sync/joonson", SYNC_C), ("sync/syncnet-python", SYNC_C)),
    ("paper:4", "en_wer", WER_QWEN, ("wer/whisper-large-v3", CORPUS_WER)),
    ("paper:1", "en_fid", FID_LEGACY, ("fid/clean", FID)),
    ("paper:3", "wer", ("wer/whisper-large-v3", CORPUS_WER), WER_QWEN),
    ("paper:5", "wer", ("wer/whisper-large-v3", CORPUS_WER), ("wer/whisper-large-v3-seed-tts", CORPUS_WER)),
]


def of(name, key, level):
    return scored_run(name, {key: level if key[1].aggregate == "set" else [level] * 8}, ["en"] * 8)


@pytest.mark.parametrize(("name", "column", "own", "other"), OTHERS)
def test_cells_of_another_protocol_are_marked_in_every_format(name, column, own, other):
    table = measured([of("follows", own, 0.5), of("differs", other, 0.25)], name)
    follows, differs = (cells_of(table, row)[column] for row in ("follows", "differs"))
    assert (follows.marks, differs.marks) == ("", "¶") and differs.text and follows.text
    assert follows.rank is None and differs.rank is None, "never ranked against each other"
    words = f"by {other[0]}" + (f" ({other[1].name})" if other[1].name != own[1].name else "")
    assert words in differs.other_protocol and f"follows {own[0]}" in differs.other_protocol
    assert sum(note.startswith("¶ other protocol: ") and other[0] in note for note in table.notes) == 1
    assert f"{differs.text}¶" in markdown(table) and "¶ other protocol" in markdown(table)
    assert f"{differs.text}¶" in terminal(table)
    assert rf"{differs.text}\textsuperscript{{\P}}" in latex(table) and r"\textsuperscript{\P} other protocol" in latex(
        table
    )
    page = html(table)
    assert f"{differs.text}¶" in page and f'title="{escape(differs.other_protocol)}"' in page
    rows = {row[next(iter(row))]: row for row in csv.DictReader(io.StringIO(comma_separated(table)))}
    assert (
        rows["differs"][f"{column}_protocol"] == differs.other_protocol and rows["follows"][f"{column}_protocol"] == ""
    )
    document = {row["system"]: row["cells"] for row in json.loads(as_json(table))["rows"]}
    assert document["differs"][column]["other_protocol"] == differs.other_protocol
    assert document["follows"][column]["other_protocol"] is None


@pytest.mark.parametrize(("name", "column", "own", "other"), OTHERS)
def test_a_cell_of_the_columns_own_protocol_has_no_mark(name, column, own, other):
    both = of("both", own, 0.5)
    other_run = of("both", other, 0.25)
    both.columns.extend(other_run.columns)
    both.scores.update(other_run.scores)
    table = measured([both], name)
    cell = cells_of(table, "both")[column]
    assert cell.metric == own[0] and cell.marks == "" and not any("¶" in note for note in table.notes)
    assert f"{column}_protocol" not in comma_separated(table)


def test_rows_of_one_other_protocol_are_ranked_among_themselves():
    key = ("sync/exact", SYNC_C_EXACT)
    table = measured([of("weak", key, 4.0), of("strong", key, 6.0)])
    assert [cells_of(table, name)["en_sync_c"].rank for name in ("weak", "strong")] == ["second", "best"]
    assert [cells_of(table, name)["en_sync_c"].marks for name in ("weak", "strong")] == ["¶", "¶"]


def test_every_column_of_the_paper_demands_one_protocol_and_every_sync_column_the_published_one():
    for name in (f"paper:{number}" for number in range(1, 6)):
        for column in specification.load(name).specification.columns:
            assert len(column.metrics) == 1, f"{name} {column.quantity}"
            if column.quantity.startswith("sync"):
                assert column.metrics == ("sync/joonson",)
                assert {other.metric for other in column.others} >= {"sync/exact", "sync/crop", "sync/syncnet-python"}


def test_what_no_metric_measures_is_not_asked_for(tmp_path):
    file = tmp_path / "my_table.toml"
    file.write_text(MINE.replace("sync_c_haar", "smiles", 1) + 'metrics = ["smiles/counted"]\n')
    table = from_specification.build(specification.load(str(file)), [both_languages()])
    reason = cells_of(table, "ours")["smiles"].reason
    assert reason == "smiles was not measured: smiles/counted is no metric of this release, nor of a plug-in here"


@pytest.mark.parametrize("name", TABLES)
def test_every_published_column_has_its_metric(name):
    for column in specification.load(name).specification.columns:
        others = [(other.metric, other.quantity or column.quantity) for other in column.others]
        for id, quantity in [*((id, column.quantity) for id in column.metrics), *others]:
            assert quantity in [each.name for each in metric_class(id).quantities], f"{id} in {name}"


def test_table_3_holds_the_metrics_of_dubbing():
    dd, emo_sim = Quantity("dd", "DD", "lower"), Quantity("emo_sim", "EMO-SIM", "higher")
    values = {("dd/instructdubber", dd): [0.5, 0.6], ("emo_sim/emotion2vec_base", emo_sim): [0.6, 0.7]}
    cells = cells_of(measured([scored_run("ours", values, ["en"] * 2)], "paper:3"), "ours")
    assert cells["dd"].text == "0.5500" and "¶" not in cells["dd"].text
    assert cells["emo_sim"].value == pytest.approx(65.0), "the published scale"


def test_units_are_converted_for_print():
    table = measured([scored_run("ours", {("wer/whisper-large-v3", CORPUS_WER): [0.1, 0.05]}, ["en"] * 2)], "paper:3")
    cell = cells_of(table, "ours")["wer"]
    assert (
        cell.text == "7.50" and cell.value == pytest.approx(7.5) and table.measured_heading == "Measured here (2 clips)"
    )


def test_items_without_language_are_told_so():
    cell = cells_of(measured([scored_run("ours", {UTMOS_KEY: [3.0] * 3}, [None] * 3)]), "ours")["zh_utmos"]
    assert "give 'language' in the manifest" in cell.reason
    english = cells_of(measured([scored_run("ours", {UTMOS_KEY: [3.0] * 3}, ["en"] * 3)]), "ours")["zh_utmos"]
    assert english.reason == "the run has no zh clips (its clips: en)"


def test_measured_rows_are_ranked_among_themselves():
    runs = [both_languages("weak", 0.4, 0.3), both_languages("strong", 0.2, 0.3)]
    table = measured(runs)
    assert [cells_of(table, n)["zh_cer"].rank for n in ("weak", "strong")] == ["second", "best"]
    assert [cells_of(table, n)["en_wer"].rank for n in ("weak", "strong")] == [None, None]
    assert cells_of(table, "Talker-T2AV")["zh_cer"].rank == "best", "published marks stay"


MINE = """
title = "My table"
[[columns]]
quantity = "utmos"
label = "UTMOS"
direction = "higher"
decimals = 1
[[columns]]
quantity = "sync_c_haar"
label = "Sync-C"
direction = "higher"
"""


def test_a_specification_of_ones_own(tmp_path):
    file = tmp_path / "my_table.toml"
    file.write_text(MINE)
    table = from_specification.build(specification.load(str(file)), [both_languages()])
    cells = cells_of(table, "ours")
    assert cells["utmos"].text == "2.4" and cells["sync_c_haar"].text == "1.000"
    assert [column.heading for column in table.columns] == ["UTMOS ↑", "Sync-C‡ ↑"] and any(
        note.startswith("‡") for note in table.notes
    )
    assert "Measured here" not in markdown(table), "nothing published to set it off from"
    rows = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert float(rows[0]["utmos"]) == pytest.approx((12 * 2 + 7 * 3) / 19) and rows[0]["clips"] == "20"


def test_the_documented_example_works(tmp_path):
    text = (specification.BUILT_IN / "README.md").read_text()
    (tmp_path / "my_table.toml").write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    runs = [scored_run("ours", {("wer/whisper-large-v3", CORPUS_WER): [0.1, 0.05]}, ["en"] * 2)]
    table = from_specification.build(specification.load(str(tmp_path / "my_table.toml")), runs)
    assert cells_of(table, "ours")["en_wer"].text == "7.5"
    reason = cells_of(table, "ours")["en_sync_c"].reason
    assert reason == "sync_c was not measured: evaluate with --metrics sync/joonson"


def test_published_rows_of_ones_own(tmp_path):
    (tmp_path / "rows.csv").write_text("system,u,s\nElse,4.10,\n")
    text = MINE.replace('title = "My table"', 'title = "My table"\npublished = "rows.csv"')
    text = text.replace('label = "UTMOS"', 'label = "UTMOS"\npublished = "u"')
    (tmp_path / "t.toml").write_text(text.replace('label = "Sync-C"', 'label = "Sync-C"\npublished = "s"'))
    table = from_specification.build(specification.load(str(tmp_path / "t.toml")), [both_languages()])
    assert cells_of(table, "Else")["utmos"].text == "4.10"
    assert cells_of(table, "Else")["sync_c_haar"].reason == "no number is published"
    assert cells_of(table, "ours")["sync_c_haar"].text == "", "a stand-in's numbers, beside published ones"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("decimals = 1", "decimal = 1"), r"column 1: unknown key 'decimal'; did you mean decimals\?"),
        (("title =", "titel ="), r"'title' is missing; unknown key 'titel'; did you mean title\?"),
        (('direction = "higher"\ndecimals', 'direction = "up"\ndecimals'), r"column 1: 'direction': Input should be"),
        (("decimals = 1", "decimals = 99"), r"column 1: 'decimals': Input"),
        (("decimals = 1", "scale = 0"), r"column 1: 'scale': Input"),
        (('quantity = "sync_c_haar"', 'quantity = "utmos"'), "utmos stands twice"),
        (("[[columns]]", '[[groups]]\nlanguages = ["zh"]\n[[groups]]\nlabel = "x"\n[[columns]]'), "every group names"),
        (("[[columns]]", '[[groups]]\nlanguages = ["Chinese"]\n[[columns]]'), "'Chinese' is no language code"),
        (("decimals = 1", 'languages = ["zh"]'), "no group has"),
        (("decimals = 1", 'published = "u"'), "names no CSV file"),
        (("[[columns]]", 'published = "none.csv"\n[[columns]]'), "published is missing"),
        (("decimals = 1", 'others = [{ metric = "utmos/ours" }]'), "name the protocol that they differ from"),
        (
            ("decimals = 1", 'metrics = ["a"]\nothers = [{ metrik = "b" }]'),
            "column 1: other 1: unknown key 'metrik'; did you mean metric",
        ),
        (("[[columns]]", "[[columns"), "cannot read the table specification"),
    ],
)
def test_specifications_are_checked_strictly(tmp_path, change, message):
    file = tmp_path / "my.toml"
    file.write_text(MINE.replace(*change, 1))
    with pytest.raises(ConfigError, match=message):
        specification.load(str(file))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("system,u\nElse,4.1\n", "has no column 's'"),
        ("system,u,s,extra\nElse,4.1,1,2\n", "does not say where to show extra"),
        ("system,u,s\nElse,4.1\n", "line 2: expected 3 fields"),
        ("system,u,s\nElse,4.1,n/a\n", "line 2, sync_c_haar: 'n/a' is no number"),
        ("system,u,s\nElse,4.1,inf\n", "'inf' is no number"),
    ],
)
def test_published_rows_are_checked_strictly(tmp_path, lines, message):
    (tmp_path / "rows.csv").write_text(lines)
    text = MINE.replace('title = "My table"', 'title = "My table"\npublished = "rows.csv"')
    text = text.replace('label = "UTMOS"', 'label = "UTMOS"\npublished = "u"')
    (tmp_path / "t.toml").write_text(text.replace('label = "Sync-C"', 'label = "Sync-C"\npublished = "s"'))
    with pytest.raises(ConfigError, match=message):
        specification.load(str(tmp_path / "t.toml"))


def invoke(*arguments):
    return CliRunner().invoke(app, ["table", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paper:9"], "no table is called 'paper:9'; did you mean paper:"),
        (["papre:1"], "did you mean paper:1"),
        (["paper1"], "paper1 is no run folder, and no table is called 'paper1'; did you mean paper:1"),
        (["paper:1", "nowhere"], "nowhere is not a run"),
        (["nowhere"], "nowhere is not a run"),
        (["paper:1", "paper:2"], "one at a time"),
        (["nowhere.toml"], "cannot read the table specification nowhere.toml"),
        (["paper:1", "RUN", "--published"], "leave it out to put runs under them"),
        (["RUN", "--published"], "name a table first: mochabench:monologue, paper:1"),
        (["paper:1", "--columns", "fid"], "--columns is for plain tables"),
    ],
)
def test_errors_say_what_to_type_next(tmp_path, arguments, message):
    from run_factory import SYNC_C as C
    from run_factory import make_run

    if "RUN" in arguments:
        arguments = [make_run(tmp_path / "RUN", {C: [4.0] * 2}) if each == "RUN" else each for each in arguments]
    done = invoke(*arguments)
    assert done.exit_code == 2 and message in done.stderr, done.stderr


def test_the_command_line(tmp_path):
    from run_factory import SYNC_C as C
    from run_factory import SYNC_D as D
    from run_factory import make_run

    paths = [make_run(tmp_path / n, {C: [v] * 20, D: [9.0] * 20}, name=n) for n, v in {"a": 4.0, "b": 6.0}.items()]
    plain = invoke(*paths)
    assert plain.exit_code == 0 and "| a " in plain.stdout and "**6.000**" in plain.stdout
    chosen = invoke(*paths, "--columns", "sync_d,sync_c")
    assert chosen.stdout.index("Sync-D") < chosen.stdout.index("Sync-C")
    assert "Sync-C" not in invoke(*paths, "--columns", "sync_d").stdout
    wrong = invoke(*paths, "--columns", "sync_x")
    assert wrong.exit_code == 2 and "unknown quantity or metric 'sync_x'; did you mean sync" in wrong.stderr
    under = invoke("paper:1", *paths, "--format", "terminal")
    assert under.stdout.index("UniAVGen") < under.stdout.index("(20 en clips)")
    assert r"4.000</u> \[4.000, 4.000\]" in invoke(*paths, "--intervals").stdout
    assert invoke("paper:1", "--published").stdout == invoke("paper:1").stdout
