"""The gate: verdicts by their definition, coverage, refusals, files, reports and exit statuses."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import typer
from run_factory import D_ZERO, FID, INSIDE, OFFSET, SYNC_C, SYNC_D, UTMOS, WER, frames, make_run
from typer.testing import CliRunner

from t2av_bench.cli.regress import baseline_app, regress
from t2av_bench.comparison.comparable import NotComparable
from t2av_bench.comparison.gate import Gate, decide
from t2av_bench.comparison.gate import regress as judge
from t2av_bench.comparison.margins import DEFAULT_MARGINS, Margin, margins_of
from t2av_bench.comparison.verdicts import as_json, junit
from t2av_bench.results import read
from t2av_bench.results.baseline import BaselineError, load, save
from t2av_bench.results.run import open_run
from t2av_bench.scores import Score
from t2av_bench.statistics.intervals import Interval
from t2av_bench.statistics.paired import Difference
from t2av_bench.utils.config import ConfigError

app = typer.Typer()
app.command()(regress)
app.add_typer(baseline_app, name="baseline")
CLIPS = 60


def command(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def scores(seed: int = 0, clips: int = CLIPS) -> np.ndarray:
    return np.random.default_rng(seed).normal(6, 1, clips)


def two_runs(tmp_path: Path, change: float, spread: float = 0.05, **changes) -> tuple[Path, Path]:
    """A baseline, and a candidate whose Sync-C differs by ``change`` on the mean."""
    before = scores()
    after = before + change + spread * np.random.default_rng(1).standard_normal(CLIPS)
    return (
        make_run(tmp_path / "before", {SYNC_C: before}, name="before"),
        make_run(tmp_path / "after", {SYNC_C: after}, name="after", **changes),
    )


def gate(before: Path, after: Path, **options) -> Gate:
    return judge(read(before), read(after), draws=2000, **options)


def difference(value: float, low: float, high: float, clips: int = 100) -> Difference:
    return Difference(5.0, 5.0 + value, clips, 1.0, Interval(low, high), 0.5)


# Difference, interval, corrected p -> verdict at a margin of 0.1, for a quantity whose better direction is up.
CASES = [
    (0.0, -0.05, 0.05, 1.0, "equivalent"),
    (-0.05, -0.09, -0.01, 0.001, "equivalent"),  # a loss, proven, and proven too small to matter
    (-0.08, -0.12, -0.04, 0.001, "worse"),  # a loss, proven, perhaps a margin or more
    (-0.3, -0.4, -0.2, 0.001, "worse"),
    (0.3, 0.2, 0.4, 0.001, "better"),
    (-0.08, -0.16, 0.0, 0.051, "undecided"),
    (0.02, -0.3, 0.34, 0.9, "undecided"),
]


@pytest.mark.parametrize(("value", "low", "high", "p", "word"), CASES)
def test_verdicts_follow_interval_and_margin(value, low, high, p, word):
    assert decide(SYNC_C, difference(value, low, high), p, 0.1)[0] == word
    mirrored = difference(-value, -high, -low)
    assert decide(SYNC_D, mirrored, p, 0.1)[0] == word, "lower is better: everything mirrored"


def test_nothing_is_equivalent_without_a_margin_or_with_few_clips_except_the_same_files():
    tight = difference(0.0, -0.01, 0.01)
    word, needed, reason = decide(SYNC_C, tight, 1.0, None)
    assert (word, needed) == ("undecided", None) and "no margin" in reason
    few = difference(0.0, -0.01, 0.01, clips=19)
    assert decide(SYNC_C, few, 1.0, 0.1)[0] == "undecided"
    assert decide(SYNC_C, few, 1.0, 0.1, identical=True)[0] == "equivalent"
    assert decide(SYNC_C, difference(-0.3, -0.4, -0.2), 0.001, None)[0] == "worse"


def test_an_undecided_verdict_names_more_clips_than_there_are():
    for value, low, high in ((0.02, -0.3, 0.34), (-0.099, -0.2, 0.002), (-0.05, -0.2, 0.1)):
        word, needed, _ = decide(SYNC_C, difference(value, low, high), 0.5, 0.1)
        assert word == "undecided" and needed > 100
    # SD 1, margin 0.1: (1.96 + 2.05)² / 0.1² clips tell 0 from a loss of one margin.
    assert decide(SYNC_C, difference(0.0, -0.3, 0.3), 0.5, 0.1)[1] == pytest.approx(1612, abs=3)


def test_a_loss_fails_and_a_gain_and_no_change_pass(tmp_path):
    for change, word in ((-0.5, "worse"), (0.5, "better"), (0.0, "equivalent")):
        found = gate(*two_runs(tmp_path / word, change))
        assert [verdict.word for verdict in found.verdicts] == [word]
        assert found.regressed == (word == "worse")
        assert found.verdicts[0].gain == pytest.approx(change, abs=0.02)


def test_a_run_against_itself_is_equivalent_in_everything(tmp_path):
    scored = {SYNC_C: scores(clips=24), UTMOS: scores(1, 24), WER: [0.0] * 24, FID: [1.0] * 24, OFFSET: [0.0] * 24}
    run = make_run(tmp_path / "run", scored, features=frames(0, 24, 0.5))
    found = gate(run, run)
    assert {verdict.quantity.name: verdict.word for verdict in found.verdicts} == dict.fromkeys(
        ("sync_c", "sync_offset", "utmos", "wer", "fid"), "equivalent"
    )
    assert found.status == 0


def test_a_run_without_any_score_or_with_few_clips_judges_nothing(tmp_path):
    absent = [Score.not_applicable("weights are missing")] * CLIPS
    run = make_run(tmp_path / "none", {SYNC_C: absent, UTMOS: absent})
    found = gate(run, run)
    assert found.status == 2 and "Nothing was judged: the baseline has no value" in found.to_markdown()
    done = command("regress", run, run, "--undecided", "pass", "--junit", tmp_path / "j.xml")
    assert done.exit_code == 2 and "Nothing was judged" in done.stderr
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("errors") == "2"
    few = make_run(tmp_path / "few", {SYNC_C: scores(clips=19)})
    worse = make_run(tmp_path / "worse", {SYNC_C: scores(clips=19) - 3})
    for other in (few, worse):
        found = gate(few, other)
        assert found.status == 2 and "scored on both sides: 19 clips; the gate judges 20 or more" in found.to_markdown()
    beside = make_run(tmp_path / "beside", {SYNC_C: scores(), UTMOS: absent})
    assert gate(beside, beside).status == 0, "what the baseline never had is no open question"


def test_a_metric_that_the_candidate_lacks_is_refused_unless_waived(tmp_path):
    before = make_run(tmp_path / "a", {SYNC_C: scores(), UTMOS: scores(1), WER: [0.1] * CLIPS})
    after = make_run(tmp_path / "b", {SYNC_C: scores(), UTMOS: scores(1)})
    assert command("regress", before, after).exit_code == 2
    done = command("regress", before, after, "--waive", "wer/whisper-large-v3")
    assert done.exit_code == 0 and "Waived, for the candidate lacks them: wer" in done.stdout
    assert command("regress", before, after, "--waive", "wer", "--waive", "utmos").exit_code == 0
    worse = make_run(tmp_path / "c", {SYNC_C: scores(), UTMOS: scores(1) - 1})
    assert command("regress", before, worse, "--waive", "wer,utmos").exit_code == 1, "what is there is judged"
    only = make_run(tmp_path / "d", {WER: [0.1] * CLIPS})
    everything = command("regress", only, after, "--waive", "wer")
    assert everything.exit_code == 2 and "every quantity is waived" in everything.stderr
    unknown = command("regress", before, after, "--waive", "werr")
    assert unknown.exit_code == 2 and "did you mean wer" in unknown.stderr


def late(frames_late: int, share: float = 1.0, spread: float = 1.0) -> dict:
    """Scores of a system whose sound is late in some of its clips: the best distance knows nothing of it."""
    random = np.random.default_rng(8)
    offset = np.round(random.normal(0, 0.6 * spread, CLIPS))
    moved = offset - frames_late * (np.arange(CLIPS) < share * CLIPS)
    best = random.normal(8, 0.5, CLIPS)
    noise = np.random.default_rng([9, frames_late]).normal(0, 0.03, (2, CLIPS))
    return {
        SYNC_C: scores() + 0.02 * frames_late + noise[0], SYNC_D: best + noise[1],
        D_ZERO: best + 0.6 * np.minimum(np.abs(moved), 5) + noise[1],
        INSIDE: ((moved <= 1) & (moved >= -3)).astype(float), OFFSET: moved,
    }  # fmt: skip


def test_late_sound_that_confidence_and_distance_cannot_see_is_a_regression(tmp_path):
    base = make_run(tmp_path / "base", late(0), name="base")
    words = {}
    for frames_late in (3, 5, 10):
        found = gate(base, make_run(tmp_path / str(frames_late), late(frames_late), name="late"))
        words[frames_late] = {v.quantity.name: v.word for v in found.verdicts}
        assert found.status == 1
        assert words[frames_late]["sync_c"] in ("better", "equivalent") and words[frames_late]["sync_d"] == "equivalent"
        assert words[frames_late]["sync_d_zero"] == words[frames_late]["sync_offset"] == "worse"
        by_name = {v.quantity.name: v for v in found.verdicts}
        assert by_name["sync_offset"].difference.value == -frames_late
    assert words[5]["sync_in_tolerance"] == words[10]["sync_in_tolerance"] == "worse"
    back = gate(tmp_path / "5", base)
    assert back.status == 0 and {v.quantity.name: v.word for v in back.verdicts}["sync_offset"] == "better"


def test_an_offset_that_moves_to_the_other_side_of_0_is_open_and_seven_wild_clips_are_nothing(tmp_path):
    runs = [make_run(tmp_path / str(o), {OFFSET: [float(o)] * CLIPS}, name=str(o)) for o in (2, -2)]
    verdict = gate(*runs).verdicts[0]
    assert verdict.word == "undecided" and "as far from 0" in verdict.reason and gate(*runs).status == 3
    calm = make_run(tmp_path / "calm", {OFFSET: [0.0] * 200}, name="calm")
    wild = make_run(tmp_path / "wild", {OFFSET: [15.0] * 7 + [0.0] * 193}, name="wild")
    assert gate(calm, wild).status == 0


def test_speakers_are_judged_as_a_whole(tmp_path):
    """Two of ten speakers get worse: twelve clips that are no twelve witnesses."""
    speakers = [f"speaker {index // 6}" for index in range(CLIPS)]
    change = np.random.default_rng(1).normal(0, 0.05, CLIPS)
    change[:12] -= 2.5
    runs = [
        make_run(tmp_path / name, {SYNC_C: made}, name=name, speakers=speakers)
        for name, made in (("a", scores()), ("b", scores() + change))
    ]
    alone = gate(*runs, grouped=False).verdicts[0]
    together = gate(*runs).verdicts[0]
    assert alone.word == "worse" and together.word == "undecided"
    assert together.difference.units == 10 and "60 clips of 10 speakers" in gate(*runs).notes[0]
    assert command("regress", *runs).exit_code == 3
    assert command("regress", *runs, "--independent-clips").exit_code == 1
    save(open_run(runs[0]).recorded, tmp_path / "a.json")
    assert gate(tmp_path / "a.json", runs[1]).as_dict() == gate(*runs).as_dict(), "a file knows who speaks"


def test_every_verdict_says_what_these_clips_could_have_shown(tmp_path):
    found = gate(*two_runs(tmp_path, 0.0, spread=1.0))
    seen = found.verdicts[0].detectable
    # (1.96 + 0.84) SD / sqrt(n - 1.92)
    assert seen == pytest.approx(2.8016 * found.verdicts[0].difference.deviation / np.sqrt(CLIPS - 1.92), rel=1e-3)
    assert f"±{seen:.3f}" in found.to_markdown() and f"±{seen:.3f} could have been seen" in junit(found)
    assert json.loads(as_json(found))["quantities"][0]["detectable"] == seen


def test_runs_and_files_of_older_revisions_are_answered_with_the_command(tmp_path):
    from t2av_bench.metrics import create

    today = create("utmos/strong-v1").protocol.parameters
    old = make_run(tmp_path / "old", {UTMOS: scores()}, name="old", parameters={"sample_rate": 8000})
    new = make_run(tmp_path / "new", {UTMOS: scores()}, name="new", parameters=today)
    for runs in ((old, new), (new, old)):
        done = command("regress", *runs)
        assert done.exit_code == 2 and f"{old} is of another revision than this t2av-bench" in done.stderr
        assert f"score it again with 't2av-bench evaluate --generated made --out {old}'" in done.stderr
    save(open_run(old).recorded, tmp_path / "old.json")
    done = command("regress", tmp_path / "old.json", new)
    assert done.exit_code == 2 and f"'t2av-bench baseline save RUN {tmp_path / 'old.json'}'" in done.stderr
    text = (tmp_path / "old.json").read_text().replace('"version": 2', '"version": 1')
    (tmp_path / "old.json").write_text(text)
    done = command("regress", tmp_path / "old.json", new)
    assert done.exit_code == 2 and "has version 1" in done.stderr and "t2av-bench evaluate --generated" in done.stderr


def test_more_quantities_demand_stronger_evidence(tmp_path):
    random = np.random.default_rng(2)
    before = {quantity: random.normal(6, 1, CLIPS) for quantity in (SYNC_C, SYNC_D, UTMOS)}
    after = {quantity: values + random.normal(0, 1, CLIPS) for quantity, values in before.items()}
    after[SYNC_C] = before[SYNC_C] + random.normal(0, 1, CLIPS)
    after[SYNC_C] += -0.285 - (after[SYNC_C] - before[SYNC_C]).mean()  # p about 0.03
    one, two = make_run(tmp_path / "a", before, name="a"), make_run(tmp_path / "b", after, name="b")
    alone = {v.quantity.name: v for v in gate(one, two, quantities=["sync_c"]).verdicts}["sync_c"]
    among = {v.quantity.name: v for v in gate(one, two).verdicts}["sync_c"]
    assert 0.01 < alone.p < 0.05 and alone.word == "worse"
    assert among.p == pytest.approx(3 * alone.p, rel=1e-9) and among.word == "undecided"
    assert among.clips_to_decide > alone.difference.clips


def test_failing_on_a_clip_that_the_baseline_scored_is_a_regression(tmp_path):
    before = scores()
    after: list = [*before]
    after[7] = Score.failed("no face found in any of 10 frames")
    after[9] = Score.failed("no audio stream")
    runs = make_run(tmp_path / "a", {SYNC_C: before}, name="a"), make_run(tmp_path / "b", {SYNC_C: after}, name="b")
    found = gate(*runs)
    assert found.verdicts[0].word == "equivalent" and found.verdicts[0].difference.clips == CLIPS - 2
    assert found.status == 1
    assert found.lost == {"clip_007": "no face found in any of 10 frames", "clip_009": "no audio stream"}
    assert found.regressed and not gate(*runs, lost_allowed=2).regressed
    assert "clip\\_007: no face found" in found.to_markdown()
    assert not gate(runs[1], runs[0]).regressed, "the other way round two clips are gained"
    assert "scored 2 clips that the baseline failed on: clip_007, clip_009." in gate(runs[1], runs[0]).notes[0]


def test_a_candidate_that_fails_everywhere_is_a_regression_and_one_that_cannot_be_asked_is_refused(tmp_path):
    before = make_run(tmp_path / "a", {SYNC_C: scores()})
    failed = make_run(tmp_path / "b", {SYNC_C: [Score.failed("silent")] * CLIPS})
    assert gate(before, failed).regressed and gate(before, failed).verdicts[0].word == "not judged"
    absent = Score.not_applicable("weights are missing: t2av-bench weights fetch syncnet_v2")
    lacking = make_run(tmp_path / "c", {SYNC_C: [absent] * CLIPS})
    with pytest.raises(NotComparable, match="does not apply to any clip .*: weights are missing: t2av-bench weights"):
        gate(before, lacking)


def test_corpus_error_rates_are_judged_as_ratios(tmp_path):
    words = np.random.default_rng(3).integers(5, 40, CLIPS)
    wrong = np.random.default_rng(4).binomial(words, 0.1)
    worse = wrong + (words > 30)
    runs = [
        make_run(
            tmp_path / name,
            {WER: [Score.ok(e / w, float(w)) for e, w in zip(made, words, strict=True)]}, name=name,
        )
        for name, made in (("a", wrong), ("b", worse))
    ]  # fmt: skip
    found = gate(*runs).verdicts[0]
    assert found.difference.first == pytest.approx(wrong.sum() / words.sum())
    assert found.difference.value == pytest.approx((words > 30).sum() / words.sum())
    assert found.word == "worse"


@pytest.mark.parametrize("as_file", [False, True])
def test_distances_between_sets_are_judged_from_features_or_from_a_file(tmp_path, as_file):
    before = make_run(tmp_path / "a", {FID: [1.0] * 40}, features=frames(0, 40, 0.3), name="a")
    after = make_run(tmp_path / "b", {FID: [1.0] * 40}, features=frames(0, 40, 0.6), name="b")
    baseline = before
    if as_file:
        baseline = tmp_path / "baseline.json"
        assert save(open_run(before).recorded, baseline) == []
    found = gate(baseline, after).verdicts[0]
    assert found.word == "worse" and found.margin == pytest.approx(0.05 * found.difference.first)
    values = [open_run(run).recorded.quantities["fid/clean", "fid"].value for run in (before, after)]
    assert (found.difference.first, found.difference.second) == pytest.approx(values, rel=1e-5)
    assert gate(baseline, before).verdicts[0].word == "equivalent"


def test_lost_features_and_other_clips_are_reasons_and_not_silence(tmp_path):
    before = make_run(tmp_path / "a", {FID: [1.0] * 30}, features=frames(0, 30, 0.3), name="a")
    some = [*[1.0] * 29, Score.failed("too short")]
    after = make_run(tmp_path / "b", {FID: some}, features=frames(0, 30, 0.3), name="b")
    save(open_run(before).recorded, tmp_path / "a.json")
    verdict = gate(tmp_path / "a.json", after).verdicts[0]
    assert verdict.word == "not judged" and "give the baseline's run folder" in verdict.reason
    assert gate(before, after).verdicts[0].difference.clips == 29
    for path in (before / "features").rglob("*.safetensors"):
        path.unlink()
    assert "features of clip_000 are not in" in gate(before, after).verdicts[0].reason
    notes = save(open_run(before).recorded, tmp_path / "lost.json")
    assert "needs the baseline's run folder" in notes[0]
    assert "run folder" in gate(tmp_path / "lost.json", after).verdicts[0].reason


def test_a_file_says_exactly_what_its_run_says(tmp_path):
    random = np.random.default_rng(5)
    values = {SYNC_C: scores(), UTMOS: [*random.normal(3, 1, CLIPS - 1), Score.failed("silent")]}
    values[WER] = [Score.ok(random.uniform(), float(n)) for n in random.integers(1, 30, CLIPS)]
    before = make_run(tmp_path / "a", values, name="a")
    after = make_run(tmp_path / "b", {SYNC_C: scores(1), UTMOS: scores(2) / 2, WER: values[WER][::-1]}, name="b")
    save(open_run(before).recorded, tmp_path / "a.json")
    assert gate(tmp_path / "a.json", after).as_dict() == gate(before, after).as_dict()
    first = (tmp_path / "a.json").read_text()
    save(load(tmp_path / "a.json"), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == first
    assert len(first) < 20_000


def test_stale_baselines_are_refused_with_the_difference_named(tmp_path):
    before = make_run(tmp_path / "a", {SYNC_C: scores()}, name="a")
    save(open_run(before).recorded, tmp_path / "a.json")
    cases = {
        "protocol": ({"parameters": {"version": 2}}, r"another protocol: \w{12} in .*version 1 against 2"),
        "text": ({"texts": ["changed"] * CLIPS}, "60 items with another text .*clip_000, clip_001, clip_002 and 57"),
        "items": ({"ids": [f"x{i}" for i in range(CLIPS)]}, "60 items of .* not in .*clip_000"),
    }
    for name, (changes, message) in cases.items():
        after = make_run(tmp_path / name, {SYNC_C: scores()}, **changes)
        with pytest.raises(NotComparable, match=message):
            gate(tmp_path / "a.json", after)
        assert command("regress", tmp_path / "a.json", after).exit_code == 2
    other = make_run(tmp_path / "other", {UTMOS: scores()})
    with pytest.raises(NotComparable, match="was not scored by sync/joonson: evaluate it with --metrics"):
        gate(before, other)


def test_the_command_answers_by_exit_status_and_writes_all_reports(tmp_path):
    for change, status in ((0.0, 0), (-0.6, 1)):
        folder = tmp_path / str(status)
        before, after = two_runs(folder, change)
        assert command("baseline", "save", before, folder / "base.json").exit_code == 0
        done = command(
            "regress", folder / "base.json", after, "--junit", folder / "j.xml", "--markdown", folder / "m.md",
            "--json", folder / "g.json",
        )  # fmt: skip
        assert done.exit_code == status, done.output
        assert done.stdout == (folder / "m.md").read_text()
        document = json.loads((folder / "g.json").read_text())
        assert document["regressed"] == bool(status)
        assert document["quantities"][0]["difference"] == pytest.approx(change, abs=0.02)
        suite = ElementTree.parse(folder / "j.xml").getroot()
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", str(status), "0")
        printed = command("regress", folder / "base.json", after, "--json", "-")
        assert json.loads(printed.stdout) == document
    done = command("regress", tmp_path / "0" / "before", tmp_path / "absent")
    assert done.exit_code == 2 and "does not exist; expected a run folder" in done.stderr


def test_a_refusal_is_written_too(tmp_path):
    before, after = two_runs(tmp_path, 0.0, texts=["changed"] * CLIPS)
    done = command("regress", before, after, "--junit", tmp_path / "j.xml", "--json", tmp_path / "g.json")
    assert done.exit_code == 2 and done.stdout.startswith("### Not comparable")
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert suite.get("errors") == "1" and "another text" in suite.find(".//error").get("message")
    assert json.loads((tmp_path / "g.json").read_text())["comparable"] is False


def test_undecided_has_a_status_of_its_own_and_is_skipped_in_junit(tmp_path):
    before, after = two_runs(tmp_path, 0.0, spread=3.0)
    found = gate(before, after)
    assert found.verdicts[0].word == "undecided" and not found.regressed and found.status == 3
    assert "Undecided" in found.to_markdown().splitlines()[0]
    needed = found.verdicts[0].clips_to_decide
    assert f"about {needed:,} clips would decide" in found.to_markdown()
    suite = ElementTree.fromstring(junit(found))
    assert suite.get("skipped") == "1" and f"{needed:,} clips" in suite.find(".//skipped").get("message")
    assert command("regress", before, after).exit_code == 3
    assert command("regress", before, after, "--undecided", "pass").exit_code == 0
    assert command("regress", before, after, "--undecided", "fail").exit_code == 1
    older = command("regress", before, after, "--strict")
    assert older.exit_code == 1 and "--strict is deprecated" in older.stderr and "--undecided fail" in older.stderr
    assert ElementTree.fromstring(junit(gate(before, after, undecided="fail"))).get("failures") == "1"


def test_reports_survive_names_and_reasons_of_any_kind(tmp_path):
    ids = [f"a|b<{i}>_*&`" for i in range(CLIPS)]
    after: list = [*scores()]
    after[0] = Score.failed("bad \x00 byte | <tag> & \ud800".encode("utf-8", "replace").decode())
    runs = [
        make_run(tmp_path / "a", {SYNC_C: scores()}, ids=ids, name="x|y"),
        make_run(tmp_path / "b", {SYNC_C: after}, ids=ids, name="</testcase>"),
    ]
    found = gate(*runs)
    rows = [line for line in found.to_markdown().splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert ElementTree.fromstring(junit(found)).find(".//failure") is not None
    assert json.loads(as_json(found))["coverage"]["regressed"]


def test_margins_are_numbers_or_percentages_over_the_defaults(tmp_path):
    file = tmp_path / "margins.toml"
    file.write_text('sync_c = 0.5\nfid = "4.5 %"\ncsim = 0.01\n')
    found = margins_of(file, ["csim"])
    assert found["sync_c"] == Margin(0.5) and found["fid"] == Margin(0.045, relative=True)
    assert found["utmos"] == DEFAULT_MARGINS["utmos"] and found["fid"].absolute(20.0) == pytest.approx(0.9)
    for text, message in (
        ("sync_cc = 1", "unknown quantity or metric 'sync_cc'; did you mean sync_c"),
        ("sync_c = 0", "expected a number above 0"),
        ("sync_c = true", "expected a number above 0"),
        ('sync_c = "much"', "a percentage such as"),
        ("sync_c = nan", "expected a number above 0"),
        ("sync_c =", "cannot read the margins"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=re.escape(message)):
            margins_of(file)
    before, after = two_runs(tmp_path, -0.5)
    file.write_text("sync_c = 1.0")
    assert command("regress", before, after, "--margins", file).exit_code == 0
    assert margins_of({"sync_c": 0.2})["sync_c"] == Margin(0.2)


def test_every_quantity_that_can_be_better_or_worse_has_a_margin():
    """Without one a candidate can never be found equal, and the gate stays undecided for ever."""
    from t2av_bench.metrics import create, metric_ids

    quantities = [q for id in metric_ids() for q in create(id).quantities if q.direction != "none" or q.is_shift]
    assert not [quantity.name for quantity in quantities if quantity.name not in DEFAULT_MARGINS]


def test_margins_are_at_least_twice_what_another_encoder_setting_moves():
    document = json.loads((Path(__file__).parents[2] / "factories" / "gate_scores.json").read_text())
    for part in ("gridface", "real"):
        variants = document[part]["variants"]
        for name, base in variants["base"].items():
            for other in ("finer", "faster", "second"):
                pairs = [(x, y) for x, y in zip(base, variants[other][name], strict=True) if None not in (x, y)]
                moved = abs(np.mean([y - x for x, y in pairs]))
                assert DEFAULT_MARGINS[name].absolute(np.mean([x for x, _ in pairs])) >= 2 * moved, (part, name, other)


def test_the_documentation_states_the_defaults_and_a_margins_file_that_works(tmp_path):
    text = (Path(__file__).resolve().parents[3] / "docs" / "regression.md").read_text()
    stated = text.split("## Margins")[1].split("## What is refused")[0]
    rows = re.findall(r"^\| (`.*?) \| (\S+)", stated, re.MULTILINE)
    margins = {name: amount for names, amount in rows for name in re.findall(r"`([a-z]\w*)`", names)}
    # The variants of one quantity share a line, unless they have one of their own.
    plain = re.compile("_(exact|crop|blazeface|haar|pocketsphinx|gridface|mesh)$")
    for name, margin in DEFAULT_MARGINS.items():
        assert margins.get(name, margins.get(plain.sub("", name))) == str(margin), name
    assert margins.keys() <= DEFAULT_MARGINS.keys()
    (tmp_path / "margins.toml").write_text(re.search(r"```toml\n(.*?)```", stated, re.DOTALL)[1])
    assert margins_of(tmp_path / "margins.toml", ["csim"])["fid"] == Margin(0.05, relative=True)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    file = tmp_path / "base.json"
    save(open_run(make_run(tmp_path / "a", {SYNC_C: scores()})).recorded, file)
    sound = file.read_text()
    for text, message in (
        ("{", "cannot read the baseline"),
        ('{"a": 1}', "is no baseline file"),
        (sound.replace('"version": 2', '"version": 9'), "has version 9, this t2av-bench reads 2"),
        (sound.replace('{"version":1}', '{"version":3}'), "does not have the fingerprint"),
        (re.sub(r'"values":\[[^,]*,', '"values":[', sound), "59 values of sync_c for 60 items"),
        (re.sub(r'"values":\[[^,]*,', '"values":[null,', sound), "do not cover the clips"),
        (sound.replace('"direction":"higher"', '"direction":"sideways"'), "direction"),
    ):
        assert text != sound
        file.write_text(text)
        with pytest.raises(BaselineError, match=message):
            load(file)
    assert command("regress", file, tmp_path / "a").exit_code == 2


def test_an_unknown_quantity_is_answered_with_the_nearest(tmp_path):
    before, after = two_runs(tmp_path, 0.0)
    done = command("regress", before, after, "--quantities", "sync_cc")
    assert done.exit_code == 2 and "did you mean sync_c" in done.stderr
    assert command("regress", before, after, "--quantities", "sync").exit_code == 0
