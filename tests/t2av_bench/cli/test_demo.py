"""``t2av-bench demo``: which rows it makes, what it tells of them, and, slowly, that tables and page agree."""

import json
import re
import sys

import pytest
from page_browser import Watched, chromium
from typer.testing import CliRunner

from reports.tables import specification
from reports.tables.model import Cell, Table, TableColumn, TableRow
from t2av_bench.cli.demo import FULL, chosen
from t2av_bench.cli.demo_page import ROWS, TITLES, introduction, reading
from t2av_bench.cli.main import app
from t2av_bench.cli.run_tables import TableResult
from t2av_bench.experiment.config import load
from t2av_bench.scores import Quantity


def test_it_makes_tables_1_and_2_of_clips_that_no_two_rows_share(tmp_path):
    rows = chosen(tmp_path, 4, ("1", "2")).rows
    assert {name for row in rows for name in row.tables} == {"embedded:1", "embedded:2"}
    kinds = [(row.system, row.task, row.split, json.dumps(row.options, default=str)) for row in rows]
    assert len(set(kinds)) == len(kinds) == 18 and all(row.items == 4 and row.seed == 0 for row in rows)
    real = next(row for row in rows if row.name == "real-en")
    assert real.tables == ("embedded:1", "embedded:2"), "the same four clips"
    assert not any("sim" in metric for row in rows for metric in row.metrics), "no column of these tables"


def test_every_row_is_one_of_the_full_experiment_with_the_metrics_of_its_tables(tmp_path):
    full = {row.name: row for row in load(FULL, {"out": tmp_path}).rows}
    found = chosen(tmp_path, 4, ("1", "2", "3", "4", "5")).rows
    for row in found:
        assert (row.system, row.task, row.split, row.options, row.label) == (
            full[row.name].system, full[row.name].task, full[row.name].split, full[row.name].options,
            full[row.name].label,
        )  # fmt: skip
    anchors = next(row for row in found if row.name == "real-en")
    assert {"embedded:1", "embedded:2", "embedded:4"} == set(anchors.tables) and "sim/resemblyzer" in anchors.metrics
    apart = {row.name: row for row in chosen(tmp_path, 100, ("1", "2")).rows}
    assert (apart["real-en"].items, apart["real-en-40"].items) == (100, 40), "other clips are another row"


def test_every_row_has_a_sentence_and_every_table_a_title(tmp_path):
    for number in "12345":
        name = f"embedded:{number}"
        rows = chosen(tmp_path, 4, (number,)).rows
        taken = {row.label.removesuffix(" (seed 0)") for row in rows}
        shown = [each.name for each in specification.load(name).specification.rows if taken & set(each.runs)]
        assert len(shown) == len(taken) and not [each for each in shown if each not in ROWS]
        assert TITLES[name].startswith(f"Table {number}: ")


@pytest.mark.parametrize(("typed", "said"), [("1,7", "no table '7'"), ("", "no table ''"), ("one", "no table 'one'")])
def test_tables_that_are_not_there_are_refused(tmp_path, typed, said):
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "out"), "--tables", typed])
    assert result.exit_code == 2 and said in result.output and "1,2,3,4,5" in result.output
    assert not (tmp_path / "out").exists()


def anchors(sync: dict[str, float]) -> Table:
    quantity = Quantity("sync_c_gridface", "Sync-C", "higher")
    column = TableColumn("en_sync_c_gridface", "Sync-C", "higher", group="English", quantity=quantity)
    return Table([column], [TableRow(name, 4, [Cell(f"{value:.2f}", value)]) for name, value in sync.items()])


def test_what_is_said_of_the_anchors_is_what_was_measured():
    good = anchors({"Real clips": 0.8, "Reconstruction": 0.7, "Stranger's audio": 0.2})
    text = introduction([good], 4)
    assert "must lose, and does: lip sync (Sync-C 0.20 against 0.80 of the real clips)" in text
    assert "(Sync-C 0.70)" in text and "| Reconstruction | the real clips through the codecs" in text
    bad = anchors({"Real clips": 0.3, "Stranger's audio": 0.6})
    said = reading([TableResult("embedded:1", bad)])
    assert "and here it does not" in said and "and does" not in said and "Reconstruction" not in said


@pytest.mark.slow
def test_tables_and_page_have_the_same_names_and_numbers(tmp_path):
    """The whole command on three clips."""
    import subprocess

    words = ["-m", "t2av_bench.cli.main", "demo", "--out", str(tmp_path / "out"), "--items", "3"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    printed = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    names = {name for name in printed if name not in ("System", "╌╌╌")}
    page = (tmp_path / "out" / "page" / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<th scope="row">([^<]+)<', page)) == {name.replace("'", "&#39;") for name in names}
    data = (tmp_path / "out" / "page" / "data" / "index.js").read_text(encoding="utf-8")
    index = json.loads(data[data.index("(") + 1 : data.rindex(")")])
    assert {each["name"] for each in index["systems"]} == names
    numbers = re.findall(r"\d+\.\d+", done.stdout.partition("Table 2")[2])
    assert numbers and all(f">{number}" in page for number in numbers[:10])
    assert done.stdout.count("Too few clips to rank") == 1 and "not judged" not in done.stdout
    assert "budget" not in done.stdout + page and "Traceback" not in done.stderr
    with chromium() as browser:
        for width in (1200, 360):
            tab = Watched(browser, viewport={"width": width, "height": 900})
            for file in ("index.html", "clips.html"):
                tab.page.goto((tmp_path / "out" / "page" / file).as_uri())
                tab.page.wait_for_selector("#scores table, .item .clip")
                assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.errors == []
            tab.context.close()
