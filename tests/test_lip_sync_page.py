"""The page on lip sync: its tables and figures are those of the committed numbers, which say what they are said to."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scripts import script_module

pytest.importorskip("matplotlib")

from t2av_bench.metrics.sync_mesh import LEAST_SPEECH, SyncMesh
from t2av_bench.utils.text import filled

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script():
    return script_module("bench/lip_sync_page.py")


@pytest.fixture(scope="module")
def numbers(script):
    return json.loads(script.NUMBERS.read_text())


def words(drawn: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)<", drawn)


def test_tables_and_figures_are_made_of_the_committed_numbers(script, numbers):
    page, looks = script.PAGE.read_text(encoding="utf-8"), list(script.looks())
    assert filled(page, script.tables(numbers, looks)) == page, "stale: python bench/lip_sync_page.py"
    figures = {script.CURVES: script.curves(numbers["damage"]), script.SPEECH: script.speech(numbers["speech"])}
    for file, drawn in figures.items():
        # Another matplotlib draws other bytes, with the same words and marks.
        assert words(file.read_text()) == words(drawn) and file.read_text().count("<use") == drawn.count("<use")
    assert script.QUANTITIES == tuple(quantity.name for quantity in SyncMesh.quantities)


def test_the_page_states_the_rule_of_the_metric(script, numbers):
    assert f"less than {LEAST_SPEECH:g} s of speech" in script.PAGE.read_text(encoding="utf-8")
    auc = {row["seconds"]: row["auc"] for row in numbers["speech"]}
    assert auc[LEAST_SPEECH] > 0.85 > auc[LEAST_SPEECH / 2], "with half of it nothing can be told"


def test_changes_are_of_the_clips_that_are_judged_in_both(script):
    def scores(*values):
        return {quantity: dict(zip("abc", values, strict=False)) for quantity in script.QUANTITIES}

    damage = {"desync": {"none": scores(0.3, 0.4, 0.5), "80": scores(0.2, 0.1)}}
    table = script.tables({"damage": {"few": {"clips": 4, "damage": damage}}, "clips": {}, "speech": []}, [])["damage"]
    control, late = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:])
    assert control[:5] == ["few", "none", "–", "3/4", "0.400"]
    # -0.1 and -0.3: their mean, and their standard deviation over the root of two.
    assert late[:5] == ["few", "`desync`", "80 ms", "2/4", f"-0.200 ± {np.std([0.1, 0.3], ddof=1) / np.sqrt(2):.3f}"]
    assert late[-1] == "-0", "of offsets the median, in whole milliseconds"


def test_the_last_look_at_a_set_counts_and_single_clips_are_told_by_kind(script):
    clips = [
        [path, 0.3, 0.05, 1.0, offset, c, 8.0, 0]
        for path, offset, c in (("a/1_woman_sing.mp4", 30, 5.0), ("a/2_man_facing_left.mp4", -130, 3.0),
                                ("a/3_man.mp4", 55, 7.0), ("a/4_man.mp4", 65, 6.0))
    ]  # fmt: skip
    look = {"what": "mochabench test", "listed": 50, "scored": 4, "persons": 3, "mean_c": 0.25, "mean_c_stranger": 0.0,
            "auc": [0.9, 0.8, 1.0], "spearman_c": [0.7, None, None]}  # fmt: skip
    tables = script.tables({"damage": {}, "clips": {}, "speech": []}, [{**look, "scored": 1}, {**look, "clips": clips}])
    assert "| 4 of 50; 3 |" in tables["results"] and "0.90 [0.80, 1.00]" in tables["results"]
    assert "| 0.70 |" in tables["results"] and "lip_sync_published.svg" in tables["results"]
    rows = {
        cells[1].strip(): cells[-2].strip() for cells in (row.split("|") for row in tables["kinds"].splitlines()[2:])
    }
    assert rows == {"sings, or plays the guitar": "1 of 1", "turned to one side": "0 of 1", "the others": "1 of 2"}
    assert script.scatter(script._test_clips([{**look, "clips": clips}])).startswith("<?xml")
    assert "no scores of single clips" in script.tables({"damage": {}, "clips": {}, "speech": []}, [look])["kinds"]
