"""Marks of measured rows: earned by a paired test, shared by what cannot be told apart, rare under the null."""

import numpy as np
import pytest
from table_factory import CORPUS_WER, FID, SYNC, SYNC_C, UTMOS, scored_run

from reports.tables.build import build
from reports.tables.model import Cell, TableColumn
from reports.tables.ranking import mark_by_digits, significantly_different
from t2av_bench.results.run import RunResult, open_run
from t2av_bench.scores import Score

ENGLISH = ["en"] * 40


def ranks(table, column=0):
    return [row.cells[column].rank for row in table.rows]


def noisy(mean: float, seed: int, clips: int = 40, sd: float = 1.0) -> list[float]:
    return np.random.default_rng(seed).normal(mean, sd, clips).tolist()


def test_a_difference_within_the_noise_is_not_marked_and_the_note_says_so():
    table = build([scored_run(str(i), {SYNC: noisy(5, i)}, ENGLISH) for i in range(3)])
    values = [row.cells[0].value for row in table.rows]
    assert len(set(values)) == 3 and ranks(table) == [None] * 3
    assert any(note.startswith("Nothing is bold") for note in table.notes)


def test_what_cannot_be_told_apart_shares_a_mark():
    base = np.array(noisy(5, 1))
    small = noisy(0, 2, sd=0.3)
    systems = {"a": base + 2, "b": base + 2 + small - np.mean(small) - 0.02, "c": base, "d": base - 2}
    table = build([scored_run(name, {SYNC: values.tolist()}, ENGLISH) for name, values in systems.items()])
    assert ranks(table) == ["best", "best", "second", None]


def test_beside_what_cannot_be_told_apart_stands_what_could_have_been():
    """By simulation: a true difference of the size that the note names is marked in about 80 % of tables."""
    sd, clips = 0.3, 100
    base = np.array(noisy(5, 1, clips))

    def two(difference, seed):
        other = base + difference + np.array(noisy(0, seed, clips, sd))
        languages = ["en"] * clips
        return build(
            [scored_run("a", {SYNC: base.tolist()}, languages), scored_run("b", {SYNC: other.tolist()}, languages)]
        )

    (note,) = [note for note in two(0.0, 2).notes if "would have been found with 80 % probability" in note]
    seen = float(note.split()[-1].rstrip("."))
    assert seen == pytest.approx((1.96 + 0.84) * sd / clips**0.5, rel=0.2)
    found = sum("best" in ranks(two(seen, seed)) for seed in range(100, 160))
    assert 0.65 <= found / 60 <= 0.95
    assert not any("would have been found" in note for note in two(1.0, 2).notes)


def test_pairing_sees_what_separate_means_hide():
    """Clips differ by ±5 and systems by 0.2: only clip by clip is the difference plain."""
    hard = np.array(noisy(6, 3, sd=5.0))
    shift = 0.2 + np.array(noisy(0, 4, sd=0.05))
    runs = [scored_run("a", {SYNC: hard.tolist()}, ENGLISH), scored_run("b", {SYNC: (hard + shift).tolist()}, ENGLISH)]
    assert ranks(build(runs)) == ["second", "best"]
    shuffled = np.random.default_rng(0).permutation(hard + shift).tolist()
    assert ranks(build([runs[0], scored_run("b", {SYNC: shuffled}, ENGLISH)])) == [None, None]


def test_clips_that_ask_for_other_things_are_not_paired():
    one = scored_run("a", {SYNC: noisy(5, 1)}, ENGLISH)
    other = scored_run("b", {SYNC: noisy(9, 1)}, ENGLISH)
    assert ranks(build([one, other])) == ["second", "best"]
    changed = scored_run("b", {SYNC: noisy(9, 1)}, ENGLISH, texts="changed")
    table = build([one, changed])
    assert ranks(table) == [None, None]
    assert any("share no scored clip" in note for note in table.notes)
    assert any("do not cover the same clips" in note for note in table.notes)


def test_few_clips_can_never_suffice_and_the_note_gives_the_number_that_could():
    """4 clips have 16 sign patterns: no two-sided p-value below 1/8. 2^(1-n) <= 0.05 first holds at n = 6."""
    runs = [scored_run(str(i), {SYNC: [i + 1.0] * 4}, ["en"] * 4) for i in range(2)]
    table = build(runs)
    assert (
        ranks(table) == [None, None]
        and ("Too few clips to rank: 4 clips. A paired test needs 6 clips to tell rows apart, an interval 20 clips.")
        in table.notes
    )
    runs = [scored_run(str(i), {SYNC: [i + 1.0] * 6}, ["en"] * 6) for i in range(2)]
    assert ranks(build(runs)) == ["second", "best"]


def test_too_few_clips_are_said_once_and_cost_nothing(tmp_path, monkeypatch):
    """Neither a reason for every missing interval, nor what is only true of tests; no pseudo-value is computed."""
    import run_factory as factory

    made = [
        factory.make_run(
            tmp_path / name,
            {factory.SYNC_C: [5.0 + n] * 4, factory.FID: [1.0] * 4},
            name=name,
            features=factory.frames(n, 4, 0.5),
        )  # fmt: skip
        for n, name in enumerate(("one", "two"))
    ]
    monkeypatch.setattr(RunResult, "pseudo_values", None)
    table = build([open_run(folder) for folder in made], intervals=False)
    assert [column.key for column in table.columns] == ["sync_c", "fid"]
    assert table.notes == [
        "Too few clips to rank: 4 clips. A paired test needs 6 clips to tell rows apart, an interval 20 clips."
    ]


def test_marks_do_not_depend_on_which_columns_are_printed():
    """Six clips reach p = 1/32: enough for one comparison, whatever stands beside it; not for three of one column."""
    runs = [
        scored_run(str(i), {SYNC: [i + 1.0] * 6, ("utmos/strong-v1", UTMOS): [2, 1, 2, 1, 2, 1 + i]}, ["en"] * 6)
        for i in range(2)
    ]
    whole = build(runs)
    for position, name in enumerate(column.key for column in whole.columns):
        assert ranks(build(runs, columns=[name])) == ranks(whole, position)
    assert ranks(whole) == ["second", "best"] and any("each column's 1 comparison" in note for note in whole.notes)
    three = [scored_run(str(i), {SYNC: [i + 1.0] * 6}, ["en"] * 6) for i in range(3)]
    assert ranks(build(three)) == [None] * 3


def test_clips_of_one_speaker_are_one_witness():
    """Twenty clips of four speakers have 16 sign patterns."""
    few, many = ([f"s{index % count}" for index in range(20)] for count in (4, 10))
    runs = [scored_run(str(i), {SYNC: [i + 1.0] * 20}, ["en"] * 20) for i in range(2)]
    assert ranks(build(runs)) == ["second", "best"]
    runs = [scored_run(str(i), {SYNC: [i + 1.0] * 20}, ["en"] * 20, speakers=few) for i in range(2)]
    table = build(runs, intervals=True)
    assert ranks(table) == [None, None]
    assert (
        "Too few clips to rank: 20 clips of 4 speakers. A paired test needs 6 speakers to tell rows apart."
    ) in table.notes
    assert "Without an interval: 20 clips of 4 speakers; an interval needs at least 5 speakers." in table.notes
    random = np.random.default_rng(0)
    values = {SYNC: (random.normal(5, 1, 10)[np.arange(20) % 10] + random.normal(0, 0.1, 20)).tolist()}
    wide, narrow = (build([scored_run("a", values, ["en"] * 20, speakers=by)], intervals=True) for by in (many, None))
    ends = [table.rows[0].cells[0].interval for table in (wide, narrow)]
    assert ends[0][1] - ends[0][0] > 1.2 * (ends[1][1] - ends[1][0])
    assert any("over 20 clips of 10 speakers" in note for note in wide.notes)


def test_significantly_different_follows_holm_with_untested_pairs_as_undecided():
    """Holm 1979 at 5 % over 4 tests: 0.01 <= 0.05/4, 0.0166 <= 0.05/3, 0.03 > 0.05/2 stops."""
    p = {(0, 0, 1): 0.03, (0, 0, 2): 0.01, (1, 0, 1): 0.0166}
    assert significantly_different(p, 4) == {(0, 0, 2), (1, 0, 1)}
    assert significantly_different(p, 3) == {(0, 0, 2), (1, 0, 1), (0, 0, 1)}
    assert significantly_different(p, 6) == set()
    assert significantly_different({}, 6) == set()


def test_identical_systems_are_seldom_marked():
    """Four systems of one distribution, three columns: at most one column in twenty has any mark."""
    random = np.random.default_rng(0)
    marked = 0
    keys = [SYNC, ("utmos/strong-v1", UTMOS), ("sync/crop", SYNC_C)]
    for _ in range(75):
        clips = random.normal(5, 2, 15)
        runs = [
            scored_run(str(i), {key: (clips + random.normal(0, 1, 15)).clip(0).tolist() for key in keys}, ["en"] * 15)
            for i in range(4)
        ]
        table = build(runs)
        marked += sum(any(row.cells[column].rank for row in table.rows) for column in range(3))
    assert marked <= 20, "P(more than 20 of 225 at 5 %) is 0.5 %"


def test_corpus_rates_are_tested_with_their_weights():
    """One clip holds nearly all words: the corpus rate rests on it, and no test can rest on one clip."""

    def wer(first, others):
        return [Score.ok(first, 1000.0)] + [Score.ok(others, 1.0)] * 19

    runs = [
        scored_run(n, {("wer/whisper", CORPUS_WER): wer(*v)}, ["en"] * 20)
        for n, v in {"a": (0.1, 0.5), "b": (0.3, 0.4)}.items()
    ]
    table = build(runs)
    assert table.rows[0].cells[0].value < table.rows[1].cells[0].value and ranks(table) == [None, None]


def test_a_distance_between_sets_without_features_is_shown_unmarked_with_the_reason(tmp_path):
    from run_factory import FID as FID_QUANTITY
    from run_factory import frames, make_run

    from t2av_bench.results.run import open_run

    paths = [
        make_run(tmp_path / str(i), {FID_QUANTITY: [1.0] * 30}, features=frames(3, 30, 0.1 * (i + 1))) for i in range(2)
    ]
    told = []
    for _ in range(2):
        table = build([open_run(path, told.append) for path in paths])
        assert ranks(table) == ["best", "second"]
    assert told == ["system: what each clip adds to fid, computed once"] * 2, "the second table finds them kept"
    for feature in (paths[1] / "features").rglob("*.safetensors"):
        feature.unlink()
    table = build([open_run(path) for path in paths])
    assert ranks(table) == [None, None] and table.rows[1].cells[0].value is not None
    assert any("FID was not tested for all rows: the features of" in note for note in table.notes)
    assert FID.name == FID_QUANTITY.name


def test_the_order_of_the_runs_changes_no_mark():
    systems = [scored_run(str(i), {SYNC: noisy(5 + 0.25 * i, i)}, ENGLISH) for i in range(6)]

    def marks(order):
        return {row.name: row.cells[0].rank for row in build([systems[i] for i in order]).rows}

    assert marks(range(6)) == marks([3, 0, 5, 1, 4, 2])


@pytest.mark.parametrize(
    ("direction", "expected"), [("higher", [None, "best", "best", "second"]), ("lower", ["best", None, None, "second"])]
)
def test_printed_digits_compare_as_numbers(direction, expected):
    cells = [[Cell(text)] for text in ("9.5", "10.50", "10.5", "10.49")]
    mark_by_digits([TableColumn("x", "X", direction)], cells)
    assert [row[0].rank for row in cells] == expected
