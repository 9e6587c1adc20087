"""Comparing runs item by item: pairing, order, intervals, and what is left out and why."""

import json
import re

import numpy as np
import pytest
import typer
from run_factory import FID, SYNC_C, SYNC_D, UTMOS, WER, frames, make_run
from typer.testing import CliRunner

from t2av_bench.cli.compare import compare
from t2av_bench.comparison.comparable import NotComparable
from t2av_bench.comparison.contrast import contrast, forest
from t2av_bench.results import read
from t2av_bench.scores import Score
from t2av_bench.statistics.permutation import holm

app = typer.Typer()
app.command()(compare)
CLIPS = 30


def command(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def runs(tmp_path):
    """A first system, one that is worse on three clips, and one that is better everywhere but fails on a clip."""
    random = np.random.default_rng(0)
    first = {SYNC_C: random.normal(6, 1, CLIPS), SYNC_D: random.normal(9, 1, CLIPS)}
    worse = {SYNC_C: first[SYNC_C].copy(), SYNC_D: first[SYNC_D].copy()}
    worse[SYNC_C][[4, 8, 2]] -= [1.0, 3.0, 2.0]
    worse[SYNC_D][5] += 4.0
    better = {SYNC_C: [*(first[SYNC_C] + 0.5 + 0.1 * random.standard_normal(CLIPS))], SYNC_D: first[SYNC_D] - 0.5}
    better[SYNC_C][3] = Score.failed("no face found")
    return [
        make_run(tmp_path / name, values, name=name)
        for name, values in (("first", first), ("worse", worse), ("better", better))
    ]


def test_items_are_listed_worst_loss_first_in_either_direction(runs):
    found = contrast([read(run) for run in runs], draws=1000)
    by_name = {(each.system, each.quantity.name): each for each in found.contrasts}
    sync_c = by_name["worse", "sync_c"]
    assert [item.item for item in sync_c.items[:3]] == ["clip_008", "clip_002", "clip_004"]
    assert [item.loss for item in sync_c.items[:4]] == pytest.approx([3.0, 2.0, 1.0, 0.0])
    assert sync_c.difference.value == pytest.approx(-6.0 / CLIPS)
    sync_d = by_name["worse", "sync_d"]
    assert sync_d.items[0].item == "clip_005" and sync_d.items[0].loss == pytest.approx(4.0)
    assert by_name["better", "sync_d"].gain == pytest.approx(0.5)
    assert by_name["better", "sync_c"].lost == {"clip_003": "no face found"}
    assert by_name["better", "sync_c"].difference.clips == CLIPS - 1
    assert [each.p for each in found.contrasts] == pytest.approx(holm([e.difference.p for e in found.contrasts]))


def test_the_summary_names_systems_losses_and_failures(runs):
    shown = contrast([read(run) for run in runs], draws=1000).to_markdown(worst=2)
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4 and len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "clip\\_003: no score now (no face found)" in shown
    worst = shown.split("worse, Sync-C: worst items")[1].split("**")[1]
    assert worst.index("clip\\_008") < worst.index("clip\\_002") and "clip\\_004" not in worst
    assert "+0.500" in shown or "+0.5" in shown


def test_a_forest_row_points_right_where_the_system_is_better(runs):
    rows = forest(contrast([read(run) for run in runs], draws=1000))
    assert [row.quantity for row in rows] == ["sync_c", "sync_c", "sync_d", "sync_d"], "grouped by quantity"
    for row in rows:
        assert row.low < row.value < row.high or row.low == row.value == row.high
        if row.system == "better" and row.quantity == "sync_c":
            assert row.effect_low > 0 and row.effect == pytest.approx(0.5 / 0.1, rel=0.4)
        if row.system == "worse":
            assert row.effect < 0 and row.effect_low < row.effect < row.effect_high
        if row.system == "better" and row.quantity == "sync_d":
            assert row.effect is None or row.effect > 1e6, "all clips differ alike"


def test_what_cannot_be_paired_is_left_out_by_name(tmp_path):
    values = np.random.default_rng(1).normal(6, 1, CLIPS)
    texts = [f"text {index}" for index in range(CLIPS)]
    changed = [*texts[:-2], "another", "text"]
    one = make_run(tmp_path / "a", {SYNC_C: values, UTMOS: values}, texts=texts, name="a")
    two = make_run(tmp_path / "b", {SYNC_C: values - 1, WER: values}, texts=changed, name="b")
    found = contrast([read(one), read(two)], draws=500)
    assert [each.difference.clips for each in found.contrasts] == [CLIPS - 2]
    notes = "\n".join(found.notes)
    assert "2 items left out, for other text: clip_028, clip_029" in notes
    assert "utmos (utmos/strong-v1) was measured in a but not in b" in notes
    assert "wer (wer/whisper-large-v3) was measured in b but not in a" in notes
    three = make_run(tmp_path / "c", {SYNC_C: values}, texts=texts, parameters={"version": 2})
    with pytest.raises(NotComparable, match="another protocol: .*version 1 against 2"):
        contrast([read(one), read(three)])


def test_systems_of_one_name_are_told_apart_by_their_folders(tmp_path):
    values = np.random.default_rng(1).normal(6, 1, CLIPS)
    made = [make_run(tmp_path / part, {SYNC_C: values}, name="same") for part in "ab"]
    found = contrast([read(run) for run in made], draws=500)
    assert found.first == f"same ({made[0]})" and found.systems == (f"same ({made[1]})",)


def test_distances_between_sets_are_contrasted_from_features(tmp_path):
    made = [
        make_run(tmp_path / name, {FID: [1.0] * 40}, features=frames(0, 40, noise), name=name)
        for name, noise in (("a", 0.3), ("b", 0.6))
    ]
    (found,) = contrast([read(run) for run in made]).contrasts
    assert found.gain < 0 and found.p < 0.05 and found.items == ()
    assert found.difference.interval.low > 0


def test_the_command_prints_markdown_or_json(runs):
    done = command(*runs)
    assert done.exit_code == 0 and done.stdout.startswith("Against first")
    document = json.loads(command(*runs, "--json", "--quantities", "sync_c").stdout)
    assert {each["quantity"] for each in document["contrasts"]} == {"sync_c"}
    assert len(document["forest"]) == 2 and len(document["contrasts"][0]["items"]) == CLIPS
    assert command(runs[0]).exit_code == 2
    wrong = command(*runs, "--quantities", "sync_e")
    assert wrong.exit_code == 2 and "did you mean sync" in wrong.stderr
    missing = command(runs[0], runs[0].parent / "absent")
    assert missing.exit_code == 2 and "does not exist" in missing.stderr
