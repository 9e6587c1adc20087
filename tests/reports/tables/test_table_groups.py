"""Tables by a key of the items: each group's numbers are those of the same clips alone."""

import csv
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from run_factory import D_ZERO, FID, SYNC_C, UTMOS, WER, frames, make_run, names
from scipy import stats

import t2av_bench as tb
from reports.render.formats import FORMATS
from reports.render.terminal import terminal
from t2av_bench.metrics.distances import frechet_distance
from t2av_bench.results.store import Store
from t2av_bench.scores import Score, Status
from t2av_bench.statistics.intervals import expanded_level

CATEGORIES = ["dialogue"] * 31 + ["song"] * 24 + ["crowd"] + [None] * 4
COUNT = len(CATEGORIES)


def stated(folder, **labels):
    """Add keys to the items of a run, as a manifest would have stated them; None: not at all."""
    with Store(folder / "results.db", create=True) as store:
        rows = [
            (row["clip"], row["item"] | {key: values[i] for key, values in labels.items() if values[i] is not None})
            for i, row in enumerate(store.clips())
        ]
        store.put_clips((clip, item, f"{clip}.mp4", None, None) for clip, item in rows)
    return folder


def scores(seed: int, shift: float = 0.0):
    random = np.random.default_rng(seed)
    values = random.gamma(4, 1.5, COUNT) + shift
    return [Score.failed("no face") if i in (3, 40, 41) else Score.ok(value) for i, value in enumerate(values)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("groups")
    made = []
    for seed, name in enumerate(("ours", "theirs")):
        random = np.random.default_rng(seed + 10)
        words = random.integers(3, 20, COUNT)
        errors = [
            Score(Status.OK, float(value), weight=float(n))
            for value, n in zip(random.random(COUNT), words, strict=True)
        ]
        folder = make_run(
            root / name,
            {SYNC_C: scores(0, seed), WER: errors, FID: [1.0] * COUNT},
            name=name, features=frames(3, COUNT, 0.2 + seed),
        )  # fmt: skip
        made.append(stated(folder, category=CATEGORIES))
    return made


def cells(table):
    frame = table.to_frame(cells=True)
    return frame.set_index([*(name for name in ("system", "category") if name in frame), "column"])


def test_means_counts_and_coverage_are_those_of_pandas(runs):
    table = tb.table(runs, by="category", intervals=False)
    shown = cells(table)
    for name, folder in zip(("ours", "theirs"), runs, strict=True):
        by_clip = tb.open_run(folder).scores
        by_clip["category"] = by_clip["clip"].map(dict(zip(names(COUNT), CATEGORIES, strict=True))).fillna("not stated")
        plain = by_clip[by_clip["quantity"] == "sync_c"].groupby("category").value.agg(["mean", "count", "size"])
        assert set(plain.index) == {"dialogue", "song", "crowd", "not stated"}
        for category, expected in plain.iterrows():
            cell = shown.loc[name, category, "sync_c"]
            assert cell.value == pytest.approx(expected["mean"])
            assert (cell.scored, cell.total) == (expected["count"], expected["size"])
        rates = by_clip[by_clip["quantity"] == "wer"].assign(errors=lambda frame: frame.value * frame.weight)
        sums = rates.groupby("category")[["errors", "weight"]].sum()
        for category, value in (sums.errors / sums.weight).items():
            assert shown.loc[name, category, "wer"].value == pytest.approx(value), "of words, not of clips"
    assert list(dict.fromkeys(row.texts[0] for row in table.rows)) == ["all", "dialogue", "song", "crowd", "not stated"]
    assert [row.clips for row in table.rows] == [60, 60, 31, 31, 24, 24, 1, 1, 4, 4]


def test_all_is_the_table_without_groups(runs):
    whole, broken = cells(tb.table(runs, intervals=True)), cells(tb.table(runs, by="category"))
    for (system, column), cell in whole.iterrows():
        same = broken.loc[system, "all", column]
        assert (same.value, same.low, same.high, same.scored) == (cell.value, cell.low, cell.high, cell.scored)


def test_intervals_are_scipys_of_the_group_alone(runs):
    shown = cells(tb.table(runs[0], by="category", columns="sync_c"))
    values = tb.open_run(runs[0]).scores.query("quantity == 'sync_c'").set_index("clip").value
    chosen = values[[id for id, category in zip(names(COUNT), CATEGORIES, strict=True) if category == "dialogue"]]
    chosen = chosen.dropna().to_numpy()
    expected = stats.bootstrap(
        (chosen,), np.mean, n_resamples=20_000, method="BCa", confidence_level=expanded_level(0.95, len(chosen)),
        rng=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    cell = shown.loc["ours", "dialogue", "sync_c"]
    assert (cell.low, cell.high) == pytest.approx(tuple(expected), abs=0.05 * (expected.high - expected.low))


def test_a_group_of_one_item_has_no_interval_and_says_so(runs):
    table = tb.table(runs, by="category", columns="sync_c")
    single = [row.cells[0] for row in table.rows if row.texts == ("crowd",)]
    assert all(cell.text and cell.interval is None for cell in single)
    assert all(cell.no_interval == "1 clip; an interval needs at least 20 clips" for cell in single)
    assert "Without an interval: 1 clip, 4 clips; an interval needs at least 20 clips." in table.notes


def test_a_distance_between_sets_is_made_of_the_groups_features(runs):
    shown = cells(tb.table(runs, by="category", columns="fid"))
    features = frames(3, COUNT, 0.2)
    for category in ("dialogue", "song"):
        mine = [each for each, other in zip(features, CATEGORIES, strict=True) if other == category]
        sides = [
            np.concatenate([each[side] for each in mine]).astype(np.float32) for side in ("generated", "reference")
        ]
        assert shown.loc["ours", category, "fid"].value == pytest.approx(frechet_distance(*sides), rel=1e-5)
        assert shown.loc["ours", category, "fid"].low < shown.loc["ours", category, "fid"].value
    assert "needs at least 2" in shown.loc["ours", "crowd", "fid"].reason


def test_without_features_a_distance_has_a_reason_and_the_others_their_numbers(runs, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(runs[0], moved)
    again = cells(tb.table(moved, by="category"))
    assert (
        again.loc["ours", "song", "fid"].value == cells(tb.table(runs, by="category")).loc["ours", "song", "fid"].value
    )
    shutil.rmtree(moved / "features")
    lost = cells(tb.table(moved, by="category"))
    assert "the features of clip_0" in lost.loc["ours", "song", "fid"].reason
    assert lost.loc["ours", "all", "fid"].value == again.loc["ours", "all", "fid"].value, "that is kept with the run"
    assert lost.loc["ours", "song", "sync_c"].value == again.loc["ours", "song", "sync_c"].value


def test_systems_are_ranked_within_a_group_as_if_it_were_all_there_is(tmp_path):
    made, half = {}, [i for i, name in enumerate(CATEGORIES) if name == "song"]
    random = np.random.default_rng(0)
    better = np.array([1.0 if name == "song" else -1.0 for name in CATEGORIES])
    for name, values in {"a": random.normal(5, 1, COUNT), "b": None}.items():
        made[name] = values if values is not None else made["a"] + better
    whole = [
        stated(make_run(tmp_path / name, {SYNC_C: list(values)}, name=name), category=CATEGORIES)
        for name, values in made.items()
    ]
    alone = [
        make_run(
            tmp_path / f"{name} alone", {SYNC_C: list(values[half])}, ids=[names(COUNT)[i] for i in half], name=name
        )
        for name, values in made.items()
    ]
    shown, apart = cells(tb.table(whole, by="category")), cells(tb.table(alone))
    ranks = [shown.loc[name, "song", "sync_c"]["rank"] for name in made]
    assert ranks == [apart.loc[name, "sync_c"]["rank"] for name in made] == ["second", "best"]
    assert [shown.loc[name, "dialogue", "sync_c"]["rank"] for name in made] == ["best", "second"]


def test_an_item_with_several_values_is_in_each_group(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs[0], folder)
    tags = [["a", "b"] if i % 3 == 0 else "b" if i % 3 == 1 else [] for i in range(COUNT)]
    table = tb.table(stated(folder, tags=tags, many=[i % 2 == 0 for i in range(COUNT)]), by="tags", intervals=False)
    assert {row.texts[0]: row.clips for row in table.rows} == {"all": 60, "a": 20, "b": 40, "not stated": 20}
    assert "An item with several values is in the group of each." in table.notes
    truth = tb.table(folder, by="many", intervals=False)
    assert {row.texts[0]: row.clips for row in truth.rows} == {"all": 60, "true": 30, "false": 30}


def test_a_value_that_is_called_like_the_rest_stands_in_quotes(tmp_path):
    labels = ["all", "not stated", None, "all"]
    run = stated(make_run(tmp_path / "run", {UTMOS: [1.0, 2.0, 3.0, 5.0]}), category=labels)
    found = {row.texts[0]: row.cells[0].value for row in tb.table(run, by="category").rows}
    assert found == {"all": 2.75, "'all'": 3.0, "'not stated'": 2.0, "not stated": 3.0}


def test_an_unknown_key_is_refused_and_those_that_there_are_are_named(runs, tmp_path):
    with pytest.raises(ValueError, match=r"no item of ours, theirs states 'gender'; they state category, language\."):
        tb.table(runs, by="gender")
    for key in ("id", "text"):
        with pytest.raises(ValueError, match="they state category, language"):
            tb.table(runs, by=key)
    with pytest.raises(ValueError, match="--by is for plain tables"):
        tb.table(runs, "paper:1", by="category")
    with pytest.raises(ValueError, match="name a key, such as --by category"):
        tb.table(runs, across=True)


def test_an_older_run_whose_items_say_nothing_stands_beside_and_is_named(runs, tmp_path):
    old = make_run(tmp_path / "old", {SYNC_C: scores(0), D_ZERO: scores(1)}, name="old")
    table = tb.table([runs[0], old], by="category", columns="sync_c")
    shown = {(row.name, row.texts[0]): row for row in table.rows}
    assert shown["old", "not stated"].clips == COUNT
    assert (shown["old", "song"].clips, shown["old", "song"].cells[0].reason) == (
        0, "the run has no clips of this group"
    )  # fmt: skip
    assert any(note.startswith("No item of old states 'category'") for note in table.notes)


def test_across_has_the_same_cells_side_by_side(runs):
    rows, columns = tb.table(runs, by="category"), tb.table(runs, by="category", across=True)
    assert [row.name for row in columns.rows] == ["ours", "theirs"] and len(columns.columns) == 3 * 5
    below, beside = cells(rows), cells(columns)
    for (system, category, column), cell in below.iterrows():
        other = beside.loc[system, f"{column}[{category}]"]
        pd.testing.assert_series_equal(other, cell, check_names=False)
    assert [column.label for column in columns.columns][:5] == [
        "all (60)", "dialogue (31)", "song (24)", "crowd (1)", "not stated (4)"
    ]  # fmt: skip
    assert columns.spans("group") == [("Sync-C", 5), ("WER", 5), ("FID", 5)]


@pytest.mark.parametrize("across", [False, True])
def test_every_format_has_every_group_and_number(runs, across):
    table = tb.table(runs, by="category", across=across)
    texts = [cell.text for row in table.rows for cell in row.cells if cell.text]
    for shown in (*(format(table) for format in FORMATS.values() if format is not FORMATS["csv"]), terminal(table)):
        assert all(text in shown for text in texts)
        assert all(category in shown for category in ("dialogue", "song", "crowd", "not stated"))
    document = json.loads(table.to_json())
    assert [cell["text"] or "" for row in document["rows"] for cell in row["cells"].values()] == [
        cell.text for row in table.rows for cell in row.cells
    ]
    if not across:
        read = list(csv.DictReader(io.StringIO(table.to_csv())))
        assert [line["category"] for line in read] == [row.texts[0] for row in table.rows]
        assert [float(line["sync_c"]) for line in read] == [row.cells[0].value for row in table.rows]


def test_the_command_prints_it(runs):
    def run(*given):
        code = "from t2av_bench.cli.main import main; main()"
        return subprocess.run([sys.executable, "-c", code, "table", *map(str, given)], capture_output=True, text=True)

    done = run(*runs, "--by", "category", "--format", "json", "--no-intervals")
    assert done.returncode == 0, done.stderr
    assert (
        json.loads(done.stdout)["rows"] == json.loads(tb.table(runs, by="category", intervals=False).to_json())["rows"]
    )
    wrong = run(*runs, "--by", "categry")
    assert wrong.returncode == 2 and "they state category, language" in wrong.stderr


@pytest.mark.parametrize("key", ["system", "clips", "note", "reason"])
def test_a_key_named_as_a_column_that_tables_have_hides_neither(tmp_path, key):
    folder = stated(
        make_run(tmp_path / "run", {SYNC_C: [Score.ok(1.0), Score.ok(2.0)]}, name="ours"), **{key: ["p", "q"]}
    )
    table = tb.table([folder], by=key, intervals=False)
    (line, *_) = csv.DictReader(io.StringIO(table.to_csv()))
    for row in (
        line,
        json.loads(table.to_json())["rows"][0],
        table.to_frame().iloc[0],
        table.to_frame(cells=True).iloc[0],
    ):
        assert row["system"] == "ours" and row[f"item_{key}"] == "all"
    assert list(table.to_frame()["clips"]) == [2, 1, 1]
