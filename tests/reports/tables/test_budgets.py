"""What tables say of an error budget, and which gaps of published tables exceed it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from run_factory import SYNC_C, UTMOS, make_run
from typer.testing import CliRunner

import t2av_bench as tb
from reports.tables.build import build
from reports.tables.gaps import PAPER, published
from t2av_bench.cli.main import app
from t2av_bench.results.budget import Budget, Entry, Sampling, Source, method_of
from t2av_bench.scores import Protocol


def entry(metric: str, quantity: str, *, within=1.0, between=0.0, shared=0.1, groups=40) -> Entry:
    return Entry(
        metric=metric, quantity=quantity, method=method_of(Protocol(metric, {"version": 1})), decimals=3,
        scored=40, total=40, sampling=Sampling(between=between, within=within, scored=40, total=40, groups=groups),
        sources=(Source(source="encoding", shared=shared, own=0.0, scored=40),),
    )  # fmt: skip


SYNC = entry("sync/joonson", "sync_c")
MINE = Budget(entries=(SYNC, entry("utmos/strong-v1", "utmos", within=0.5, shared=0.0)))


def runs(tmp_path, **changes):
    values = np.random.default_rng(0).normal(6, 1, 50)
    made = {SYNC_C: values, UTMOS: values / 2}
    return [make_run(tmp_path / name, made, name=name, **changes) for name in ("one", "two")]


def note_of(table) -> str:
    (note,) = (note for note in table.notes if "not resolved" in note)
    return note


def test_a_table_says_what_is_not_resolved_at_its_number_of_clips(tmp_path):
    note = note_of(tb.table(runs(tmp_path), budget=MINE))
    # The scatter of fifty clips, and what is shared by all of them: 1.96 √2 √(1/50 + 0.1²).
    assert math.sqrt(2 * (1 / 50 + 0.01)) * 1.96 == pytest.approx(0.4801, abs=1e-4)
    assert note == (
        "Differences below these are not resolved at n = 50 (in brackets: of systems on the same clips, before what a "
        "paired test says), by the error budget: Sync-C 0.481 (0.278); UTMOS 0.196 (0.000)."
    )


def test_the_packaged_budget_says_nothing_of_gridface_and_elsewhere_of_which_clips_it_is(tmp_path, monkeypatch):
    """It was measured on real clips; who names one of their own knows what it is of."""
    values = np.random.default_rng(0).normal(6, 1, 50)
    (real,) = [tb.open_run(make_run(tmp_path / "real", {SYNC_C: values})).result]
    monkeypatch.setattr("reports.tables.budgets.budget_of", lambda budget: budget or MINE)
    assert "by the error budget of real clips (docs/error_budget.md): Sync-C" in note_of(build([real]))
    drawn = replace(real, described={**real.described, "wer/gridface": real.described["sync/joonson"]})
    assert not any("not resolved" in note for note in build([drawn]).notes)
    assert "by the error budget: Sync-C" in note_of(build([drawn], budget=MINE))


def test_the_group_with_fewest_clips_decides(tmp_path):
    made = runs(tmp_path, speakers=["few" if index < 10 else "many" for index in range(50)])
    note = note_of(tb.table(made, by="speaker", budget=MINE))
    assert "not resolved at n = 10, the fewest of a row (in brackets" in note
    assert "Sync-C 0.920 (0.278)" in note, "1.96 √2 √(1/10 + 0.1²)"


def test_groups_of_the_tables_own_clips_count(tmp_path):
    budget = Budget(entries=(entry("sync/joonson", "sync_c", within=0, between=1, shared=0, groups=40),))
    made = runs(tmp_path, speakers=[f"s{index % 5}" for index in range(50)])
    assert "Sync-C 1.240 (" in note_of(tb.table(made, budget=budget)), "five speakers: 1.96 √(2 / 5)"


def test_without_sampling_the_same_clips_are_told_of_alone_and_the_reverse(tmp_path):
    bare = SYNC.model_copy(update={"sampling": None, "unsampled": "one clip: a scatter needs at least two"})
    assert "Sync-C – (0.278)." in note_of(tb.table(runs(tmp_path), budget=Budget(entries=(bare,))))
    (one, *_) = (each for each in published(Budget(entries=(bare,)), ["paper:1"]).columns if each.metric)
    assert one.best.resolved is None and one.reason == "the budget has no scatter of clips: " + bare.unsampled
    lost = SYNC.model_copy(update={"sources": (Source(source="encoding", reason="no weights"),)})
    assert "Sync-C 0.392 (–)." in note_of(
        tb.table([tmp_path / "one", tmp_path / "two"], budget=Budget(entries=(lost,)))
    )


def test_a_protocol_that_was_not_measured_has_no_note(tmp_path):
    made = runs(tmp_path, parameters={"version": 2})
    assert not any("not resolved" in note for note in tb.table(made, budget=MINE).notes)


def test_the_note_stands_under_a_papers_table_and_by_the_command(tmp_path):
    made = runs(tmp_path)
    MINE.save(tmp_path / "b.json")
    assert "English Sync-C 0.481" in note_of(tb.table(made, "paper:1", budget=tmp_path / "b.json"))
    words = ["table", *map(str, made), "--budget", str(tmp_path / "b.json"), "--format", "md"]
    assert "Sync-C 0.481 (0.278)" in CliRunner().invoke(app, words).stdout


def test_clips_that_were_all_alike_tell_of_no_difference(tmp_path):
    still = entry("sync/joonson", "sync_c", within=0, shared=0)
    notes = tb.table(runs(tmp_path), budget=Budget(entries=(still,))).notes
    assert not any("not resolved" in note for note in notes)


def gaps_of(found, table, column):
    (one,) = (each for each in found.columns if (each.table, each.column) == (table, column))
    return one


def test_published_gaps_are_held_against_the_errors():
    found = published(Budget(entries=(entry("sync/joonson", "sync_c", within=4.0),)))
    assert {each.table for each in found.columns} == set(PAPER)
    english = gaps_of(found, "paper:1", "en_sync_c")
    # 6.330 of Talker-T2AV and 4.671 of LTX-2 come first; six rows make 15 pairs.
    assert (english.best.first, english.best.second, english.clips) == ("Talker-T2AV", "LTX-2", 200)
    least = 1.959964 * math.sqrt(2 * (16 / 200 + 0.01) + 2 * 0.001**2 / 12)
    assert english.best.gap == pytest.approx(1.659) and english.best.resolution == pytest.approx(least)
    rows = [2.982, 4.166, 4.671, 1.092, 2.555, 6.330]
    gaps = [abs(a - b) for index, a in enumerate(rows) for b in rows[:index]]
    # From this scatter of the clips on, their choice alone makes such a gap in one of twenty unpaired comparisons.
    apart = np.random.default_rng(3).normal(0, english.best.clips_deviation, (2, 4000, 200)).mean(-1)
    assert (np.abs(apart[0] - apart[1]) > 1.659).mean() == pytest.approx(0.05, abs=0.01)
    assert len(english.pairs) == 15 and english.resolved == sum(each > least for each in gaps) == 13


def test_the_packaged_budget_holds_the_published_spread_against_the_paper():
    """200 clips whose C scatters by 1.70: unpaired, less than 0.334 is not resolved."""
    english = gaps_of(published(tb.open_budget(), ["paper:1", "paper:4"]), "paper:1", "en_sync_c")
    assert english.best.resolution == pytest.approx(1.959964 * 1.7043 * math.sqrt(2 / 200), abs=2e-4)
    assert english.best.resolved and english.metric == "sync/joonson" and not english.other_protocol
    assert set(english.left_out) >= {"encoding", "crop"}


def test_lower_is_better_where_the_column_says_so():
    budget = Budget(entries=(entry("sync/joonson", "sync_d"),))
    assert gaps_of(published(budget), "paper:1", "en_sync_d").best.first == "Talker-T2AV"


def test_the_unit_of_the_table_and_its_rounding_count():
    """Table 3 prints percent of a fraction, with two decimals."""
    budget = Budget(entries=(entry("wer/whisper-large-v3", "wer", within=0.14, shared=0.0),))
    speech = gaps_of(published(budget, ["paper:5"]), "paper:5", "wer")
    assert speech.clips == 4837
    rounding = 1.959964 * math.sqrt(2 * 0.01**2 / 12)
    assert speech.best.resolution == pytest.approx(math.hypot(1.959964 * 14 * math.sqrt(2 / 4837), rounding), rel=1e-6)
    assert "Ground Truth" not in {name for pair in speech.pairs for name in (pair.first, pair.second)}


def test_what_cannot_be_judged_has_its_reason():
    found = published(MINE, ["paper:1"])
    fid = gaps_of(found, "paper:1", "zh_fid")
    assert (
        fid.best.resolved is None
        and fid.best.clips_deviation is None
        and fid.reason == "the budget has no fid/legacy_pytorch"
    )
    text = found.to_markdown()
    assert "Not judged, for the budget has no fid/legacy_pytorch: paper:1 Chinese FID, paper:1 English FID." in text
    assert "| `paper:1` | English Sync-C | 200 |" in text and "not resolved" in found.to_markdown(pairs=True)
    with pytest.raises(ValueError, match="embedded:1 has no published rows"):
        published(MINE, ["embedded:1"])


def test_another_protocol_serves_where_the_column_tolerates_it_and_is_marked():
    found = published(Budget(entries=(entry("sync/exact", "sync_c_exact"),)), ["paper:1"])
    other = gaps_of(found, "paper:1", "en_sync_c")
    assert other.other_protocol and other.best.resolved
    assert "English Sync-C¶" in found.to_markdown() and "errors of sync/exact, another protocol" in found.to_markdown()


def test_the_command_prints_lines_pairs_and_json(tmp_path):
    MINE.save(tmp_path / "b.json")
    lines = CliRunner().invoke(app, ["gaps", str(tmp_path / "b.json"), "--tables", "paper:1"])
    assert lines.exit_code == 0 and "Talker-T2AV – LTX-2: 1.659, resolved" in lines.stdout
    document = json.loads(CliRunner().invoke(app, ["gaps", str(tmp_path / "b.json"), "--json"]).stdout)
    frame = tb.gaps(tmp_path / "b.json").to_frame()
    assert len(frame) == sum(len(each["pairs"]) for each in document["columns"])
    assert CliRunner().invoke(app, ["gaps", str(tmp_path / "none.json")]).exit_code == 2
