"""Tables: what may share a column, who is ranked, and that each format can be read back."""

import csv
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from table_factory import CLIPS, FID, OFFSET, SYNC, SYNC_C, WER, run, scored_run

from reports.render.formats import FORMATS, comma_separated, html, latex, markdown
from reports.tables.build import build
from reports.tables.protocols import MixedProtocols
from t2av_bench.experiment.config import load
from t2av_bench.gridface.validation import publish
from t2av_bench.gridface.validation.floors import drawn
from t2av_bench.metrics import create, metric_class
from t2av_bench.metrics.base import Floor
from t2av_bench.results.run import open_run
from t2av_bench.scores import Score


def ranks(table) -> list[str | None]:
    return [row.cells[0].rank for row in table.rows]


def test_best_and_second_follow_the_direction():
    assert ranks(build([run(str(v), {SYNC: (v, 20)}) for v in (3.0, 5.0, 4.0)])) == [None, "best", "second"]
    lower = ("wer/whisper", WER)
    assert ranks(build([run(str(v), {lower: (v, 20)}) for v in (3.0, 5.0, 4.0)])) == ["best", None, "second"]
    undirected = ("sync/exact", OFFSET)
    assert ranks(build([run(str(v), {undirected: (v, 20)}) for v in (3.0, 5.0)])) == [None, None]


def test_what_prints_alike_shares_its_mark():
    assert ranks(build([run(str(v), {SYNC: (v, 20)}) for v in (5.001, 5.0, 4.0, 3.0)])) == [
        "best",
        "best",
        "second",
        None,
    ]


def test_a_system_that_fails_on_many_clips_is_shown_but_not_ranked():
    table = build([run("half", {SYNC: (9.0, 10)}), run("whole", {SYNC: (5.0, 20)}), run("other", {SYNC: (4.0, 20)})])
    assert ranks(table) == [None, "best", "second"]
    assert "9.00 (10/20)" in markdown(table)
    assert any("covers n of N" in note for note in table.notes)


def test_one_row_alone_is_neither_best_nor_second():
    assert ranks(build([run("alone", {SYNC: (5.0, 20)})])) == [None]


def test_different_protocols_are_refused_and_the_difference_is_named():
    one = run("one", {SYNC: (5.0, 20)}, parameters={"min_track": 100})
    other = run("other", {SYNC: (6.0, 20)}, parameters={"min_track": 50})
    with pytest.raises(MixedProtocols, match=r"sync/joonson .*min_track 100 against 50.*--allow-mixed"):
        build([one, other])
    table = build([one, other], allow_mixed=True)
    assert [row.cells[0].marks for row in table.rows] == ["", "†"]
    assert ranks(table) == [None, None], "numbers that cannot be compared are not ranked"
    assert any(note.startswith("† sync/joonson") and "min_track 100 against 50" in note for note in table.notes)


def test_a_run_without_a_value_stands_beside_any_protocol():
    missing = run("missing", {SYNC: (Score.not_applicable("weights are missing"), 0)}, parameters={"min_track": 50})
    table = build([run("one", {SYNC: (5.0, 20)}, parameters={"min_track": 100}), missing])
    assert [row.cells[0].marks for row in table.rows] == ["", ""]


def test_variants_of_one_metric_are_two_columns_with_their_variant_named():
    table = build([run("s", {SYNC: (5.0, 20), ("sync/crop", SYNC_C): (6.0, 20)})])
    assert [column.heading for column in table.columns] == ["Sync-C [joonson] ↑", "Sync-C [crop] ↑"]


def test_recognisers_are_told_apart_by_their_labels():
    found = {(id, metric_class(id).quantities[0]): (0.1, 20) for id in ("wer/whisper-large-v3", "wer/whisper-base")}
    table = build([run("ours", found)])
    assert [column.heading for column in table.columns] == ["WER (Whisper large-v3) ↓", "WER (Whisper base) ↓"]


def test_a_column_that_applies_to_no_row_becomes_a_note_with_the_command():
    missing = Score.not_applicable("weights are missing: t2av-bench weights fetch syncnet_v2")
    table = build([run("s", {SYNC: (missing, 0), ("wer/whisper", WER): (5.0, 20)})])
    assert [column.heading for column in table.columns] == ["WER ↓"]
    assert any("sync_c" in note and "t2av-bench weights fetch syncnet_v2" in note for note in table.notes)


def test_embedded_columns_carry_their_sign_and_note():
    table = build([run("s", {SYNC: (5.0, 20)}, stand_in=True)])
    assert [column.heading for column in table.columns] == ["Sync-C‡ ↑"]
    assert any("not comparable with published numbers" in note for note in table.notes)


def test_rows_over_different_clips_are_noted():
    table = build([run("one", {SYNC: (5.0, 20)}), run("two", {SYNC: (5.0, 20)}, clips=CLIPS[1:])])
    assert any("do not cover the same clips" in note for note in table.notes)


def nasty_table():
    values = {SYNC: (5.125, 20), ("wer/whisper", WER): (Score.failed("50% of <clips> & more | _silent_"), 0)}
    return build([run("a_b & <c> | 100% $x^2$ {y} ~ \\z #1", values), run("плохо 你好", {SYNC: (4.0, 19)})])


def test_markdown_keeps_its_shape_whatever_the_names():
    header, rule, *body = markdown(nasty_table()).split("\n\n")[0].splitlines()
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in (header, rule, *body)]
    assert len(set(cells)) == 1
    assert "**5.12**" not in body[1] and "5.12" in body[0]


def test_csv_reads_back_in_full_precision_with_empty_fields_for_missing_values():
    table = build([run("s", {SYNC: (1 / 3, 20)}), run("t", {SYNC: (Score.failed("no face"), 0)})])
    rows = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert float(rows[0]["sync_c"]) == 1 / 3 and rows[0]["sync_c_scored"] == "20"
    assert rows[1]["sync_c"] == "" and rows[1]["sync_c_scored"] == "0"


def test_html_is_well_formed_and_escaped():
    class Checker(HTMLParser):
        open: list[str] = []
        cells = 0

        def handle_starttag(self, tag, attributes):
            if tag != "br":
                self.open.append(tag)
            self.cells += tag in ("td", "th")

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    checker = Checker()
    checker.feed(html(nasty_table()))
    assert checker.open == [] and checker.cells == 3 * 4
    assert "<clips>" not in html(nasty_table()) and "<c>" not in html(nasty_table())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX on this machine: pdflatex compiles the table")
def test_latex_compiles(tmp_path):
    document = tmp_path / "table.tex"
    plain = build([run("a_b & <c> | 100% $x^2$ {y} ~ \\z #1", {SYNC: (5.125, 20)}), run("b", {SYNC: (4.0, 19)})])
    document.write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + latex(plain) + "\\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", document.name],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:]


def test_latex_escapes_and_balances():
    text = latex(nasty_table())
    assert r"a\_b \& \textless{}c\textgreater{} \textbar{} 100\% \$x\textasciicircum{}2\$ \{y\}" in text
    assert all(line.count(" & ") == 3 for line in text.splitlines() if line.endswith(r"\\"))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_names_every_system(format):
    table = build([run("first", {SYNC: (5.0, 20)}), run("second", {SYNC: (4.0, 20)})])
    shown = FORMATS[format](table)
    assert "first" in shown and "second" in shown and shown.endswith("\n")


# --- what distances between sets are worth ----------------------------------------------------------------------------

FLOOR = Floor(40, "en", "real clips", 3.4, 0.3, 200)


def of_real(name, *, clips=40, language="en", metric="fd_frame/gridface", value=2.5, floors=(FLOOR,)):
    made = scored_run(name, {(metric, FID): value}, [language] * clips, stand_ins=[(metric, FID)])
    described = made.described[metric] | {"description": {"floors": [dataclasses.asdict(floor) for floor in floors]}}
    return dataclasses.replace(made, described={metric: described})


def test_a_floor_is_printed_once_where_number_and_language_are_the_tables():
    notes = build([of_real("a"), of_real("b", value=2.9)]).notes
    assert [note for note in notes if "3.40" in note] == [
        "Of real clips: FID 3.40 ± 0.30 (mean and standard deviation of 200 draws of 40 clips a side)."
    ]


@pytest.mark.parametrize(
    "run",
    [
        of_real("fewer", clips=39), of_real("more", clips=80), of_real("other language", language="zh"),
        of_real("unnamed", language=None), of_real("no floor known", floors=()),
    ],
    ids=lambda run: run.name,
)  # fmt: skip
def test_no_floor_is_printed_for_other_numbers_or_clips(run):
    assert not any("3.40" in note for note in build([run]).notes)
    assert not any("3.40" in note for note in build([of_real("fits"), run]).notes)


def test_differences_of_set_distances_are_said_to_hold_for_this_number_of_clips():
    sets, plain = [of_real("a"), of_real("b")], [run("s", {SYNC: (5.0, 20)}), run("t", {SYNC: (4.0, 20)})]
    assert any("this number of clips alone" in note for note in build(sets).notes)
    assert not any("this number of clips alone" in note for note in build(plain, intervals=True).notes)


def test_the_embedded_floors_are_what_a_new_draw_gives():
    """Clips of one distribution: their floor is the Fréchet distance's bias, about 1/n."""
    random = np.random.default_rng(0)
    means = []
    for persons, whole in ((20, False), (20, True), (80, False)):
        mean, deviation = drawn(random.standard_normal((persons, 5, 4, 3)), 50, seed=1, whole=whole)
        means.append(mean)
        # d dimensions, n samples of both sides: 2d/n for the means, and to second order d(d+1)/2n for the covariances.
        samples = persons * 4 * (2.5 if whole else 1)
        assert mean == pytest.approx((2 * 3 + 3 * 4 / 2) / samples, rel=0.25) and 0 < deviation < mean
    assert means[0] > 3 * means[2]


def test_the_floors_in_the_box_have_the_published_tables_numbers_of_clips():
    rows = load(Path(publish.__file__).parents[1] / "experiment.toml").rows
    asked = {row.items for row in rows if {"fd_frame", "fd_clip"} & set(row.metrics)}
    for id in ("fd_frame/gridface", "fd_clip/gridface"):
        floors = create(id).floors
        assert {(floor.language, floor.clips) for floor in floors} == {(of, n) for of in ("en", "zh") for n in asked}
        assert all(floor.draws >= 100 for floor in floors)
        assert all(0 < floor.deviation < floor.mean for floor in floors)


def test_an_offset_shows_its_median_interval_and_the_share_near_0_and_few_clips_no_interval(tmp_path):
    from run_factory import OFFSET as SHIFT
    from run_factory import SYNC_C as CONFIDENCE
    from run_factory import make_run

    from reports.page.tables import _explanation

    values = [-14.0, 0.0, -2.0, -11.0, 0.0, 1.0, -4.0, -1.0]
    few = open_run(make_run(tmp_path / "few", {SHIFT: values, CONFIDENCE: [5.0] * 8}))
    table = build([few], intervals=True)
    cells = {column.key: (column, cell) for column, cell in zip(table.columns, table.rows[0].cells, strict=True)}
    column, cell = cells["sync_offset"]
    assert (cell.text, cell.interval, cell.within) == ("-1.5", None, 0.5)
    assert cell.details(1) == ", 50 % within ±1" and cells["sync_c"][1].interval is None
    assert "Without an interval: 8 clips; an interval needs at least 20 clips." in table.notes
    lines = list(_explanation(table.rows[0], column, cell))
    assert "no interval: 8 clips; an interval needs at least 20 clips" in lines
    many = open_run(make_run(tmp_path / "many", {SHIFT: sorted(values * 3)}))
    table = build([many])
    cell = table.rows[0].cells[0]
    # 24 values: the 7th and the 18th are the sign test's bounds.
    assert cell.interval == (sorted(values * 3)[6], sorted(values * 3)[17])
    assert "50 % of the clips are at most one frame from 0" in list(_explanation(table.rows[0], table.columns[0], cell))


def test_reasons_that_differ_in_numbers_alone_are_said_once():
    fails = [Score.failed(f"covers {share} % of the reference") for share in (81, 85)] + [Score.failed("no face")]
    table = build([scored_run("a", {SYNC: [1.0, *fails]}, ["en"] * 4)])
    (note,) = [note for note in table.notes if note.startswith("(n/N)")]
    assert note.count("of the reference") == 1 and "(others alike)" in note and "no face" in note
    assert "no face (others alike)" not in note


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX on this machine: pdflatex compiles the table")
def test_a_wide_plain_table_stays_within_the_line(tmp_path):
    quantities = [dataclasses.replace(SYNC_C, name=f"q{index}", label=f"Quantity {index}") for index in range(14)]
    values = {(f"m{index}/x", quantity): (5.0 + index, 20) for index, quantity in enumerate(quantities)}
    table = build([run("ours", values), run("a baseline with a long name", values)], intervals=True)
    text = latex(table)
    for column in table.columns:
        assert text.count(column.label + " ") == 1, "each column once"
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage[a4paper,margin=2cm]{geometry}\\usepackage{booktabs}\\begin{document}\n"
        "\\noindent " + text + "\\end{document}\n", encoding="utf-8",
    )  # fmt: skip
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True,
        text=True, encoding="latin-1",
    )  # fmt: skip
    assert done.returncode == 0 and "Overfull \\hbox" not in done.stdout, done.stdout[-2000:]
