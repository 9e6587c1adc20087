"""Checkpoints in order: verdicts are the gate's own, drift is found, and what does not compare costs itself alone."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from run_factory import FID, OFFSET, SYNC_C, UTMOS, WER, frames, make_run
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.cli.main import app
from t2av_bench.comparison import checkpoints
from t2av_bench.scores import Score

CLIPS = 40
SYNC, MOS, ERRORS = ("sync/joonson", "sync_c"), ("utmos/strong-v1", "utmos"), ("wer/whisper-large-v3", "wer")


def command(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def sync(loss: float, seed: int) -> np.ndarray:
    """Sync-C of the same clips, each a little otherwise in every run, and worse by ``loss``."""
    return np.random.default_rng(0).normal(6, 1, CLIPS) - loss + 0.05 * np.random.default_rng(seed).normal(size=CLIPS)


def errors(seed: int) -> list[Score]:
    random = np.random.default_rng(seed)
    return [Score.ok(random.binomial(12, 0.1) / 12, 12.0) for _ in range(CLIPS)]


def checkpoint(folder: Path, number: int, loss: float = 0.0, **changes) -> Path:
    scores = {SYNC_C: sync(loss, number), UTMOS: sync(0.0, 50 + number), WER: errors(number), OFFSET: [0.0] * CLIPS}
    return make_run(folder / f"run{number}", scores, name=f"step {number}", **changes)


@pytest.fixture(scope="module")
def drifting(tmp_path_factory) -> list[Path]:
    """Five checkpoints, each 0.1 worse in Sync-C than the one before: less than half of the margin."""
    folder = tmp_path_factory.mktemp("drifting")
    return [checkpoint(folder, number, 0.1 * number) for number in range(5)]


@pytest.fixture(scope="module")
def drift(drifting) -> tb.History:
    return tb.history(drifting)


def words(history: tb.History, against: str, key=SYNC) -> list[str | None]:
    return [answer.word(key) if (answer := each.answer(against)) else "-" for each in history.checkpoints]


def test_verdicts_are_those_of_regress_to_the_last_digit(drifting, drift, tmp_path):
    for place in range(1, 5):
        for against, before in (("previous", place - 1), ("reference", 0)):
            done = command("regress", drifting[before], drifting[place], "--json", "-")
            told = json.loads(done.stdout)
            outcome = drift.checkpoints[place].answer(against).outcome
            assert (outcome.as_dict(), outcome.status) == (told, done.exit_code), (place, against)
    options = {"quantities": "sync_c,wer", "alpha": 0.01, "independent_clips": True, "margins": {"sync_c": 0.05}}
    for place in (1, 3):
        expected = tb.regress(drifting[place - 1], drifting[place], **options).as_dict()
        assert tb.history(drifting, **options).checkpoints[place].previous.outcome.as_dict() == expected


def test_small_steps_that_add_up_are_found_against_the_first_alone(drift):
    assert words(drift, "previous") == ["-", *["equivalent"] * 4]
    assert words(drift, "reference") == ["-", "equivalent", "equivalent", "worse", "worse"]
    assert drift.drifts() == {SYNC: (3, True)}
    found = list(drift.findings())
    assert found[:3] == [
        "No checkpoint was judged worse than the checkpoint before it.",
        "Worse than step 0: Sync-C at step 3, step 4.",
        "Small steps add up: Sync-C (from step 3): worse than step 0, and no step up to there was judged worse.",
    ]
    assert "α = 0.05 holds for each comparison of two checkpoints" in drift.notes[-1]
    assert drift.asked == 7 and "7 were made" in drift.notes[-1] and "up to 0.35 of them" in drift.notes[-1]


def test_a_loss_at_one_step_is_no_drift(tmp_path):
    runs = [checkpoint(tmp_path, number, loss) for number, loss in enumerate((0.0, 0.0, 0.5, 0.5))]
    history = tb.history(runs)
    assert words(history, "previous") == ["-", "equivalent", "worse", "equivalent"]
    assert words(history, "reference") == ["-", "equivalent", "worse", "worse"]
    assert history.drifts() == {} and "Worse than the checkpoint before it: Sync-C at step 2." in history.findings()


@pytest.fixture(params=["other protocol", "other items", "changed text", "missing metric"])
def odd(request, tmp_path) -> Path:
    """A checkpoint that does not compare with the others in Sync-C."""
    if request.param == "other protocol":
        return checkpoint(tmp_path, 7, 0.2, parameters={"version": 2})
    if request.param == "other items":
        return checkpoint(tmp_path, 7, 0.2, ids=[f"clip_{place:03d}" for place in range(5, CLIPS + 5)])
    if request.param == "changed text":
        return checkpoint(
            tmp_path, 7, 0.2, texts=["another"] + [f"text of clip_{place:03d}" for place in range(1, CLIPS)]
        )
    return make_run(tmp_path / "run7", {UTMOS: sync(0.0, 57), WER: errors(7)}, name="step 7")


def test_a_checkpoint_that_does_not_compare_costs_itself_alone(drifting, drift, odd):
    found = tb.history([*drifting[:2], odd, *drifting[2:]])
    without = [each for place, each in enumerate(found.checkpoints) if place != 2]
    for mine, expected in zip(without, drift.checkpoints, strict=True):
        for against in checkpoints.AGAINST:
            a, b = mine.answer(against), expected.answer(against)
            assert (a is None) == (b is None)
            if a and b:
                assert a.verdicts[SYNC] == b.verdicts[SYNC] and a.against[SYNC] == b.against[SYNC]
        assert mine.points[SYNC].value == expected.points[SYNC].value
    apart = found.checkpoints[2]
    assert apart.previous.word(SYNC) is None and apart.reference.word(SYNC) is None
    assert apart.previous.reasons[SYNC] and apart.reference.reasons[SYNC]
    point = apart.points[SYNC]
    assert point.other or (point.value is None and "--metrics sync/joonson" in point.reason)
    assert found.drifts() == {SYNC: (4, True)}
    row = found.to_frame().query("checkpoint == 'step 2' and quantity == 'sync_c'").iloc[0]
    assert (row.previous_verdict, row.previous_against) == ("equivalent", "step 1")
    cells = [line.split("|") for line in found.to_markdown().splitlines() if line.startswith("| step 2 ")]
    assert cells[0][6].strip() == "equivalent vs step 1", "the table says whom it skipped"


def test_a_missing_metric_costs_no_other_quantity(drifting, tmp_path):
    lacking = make_run(tmp_path / "lacking", {SYNC_C: sync(0.1, 1), UTMOS: sync(0.0, 51)}, name="lacking")
    found = tb.history([drifting[0], lacking, drifting[2]])
    assert found.checkpoints[1].previous.words == "no regression in 2 of 4"
    told = command("regress", drifting[0], lacking, "--waive", "wer", "--waive", "sync/joonson", "--json", "-")
    assert json.loads(told.stdout) == found.checkpoints[1].previous.outcome.as_dict()
    last = found.checkpoints[2].previous
    assert last.against == {
        SYNC: "lacking",
        MOS: "lacking",
        ERRORS: "step 0",
        ("sync/joonson", "sync_offset"): "step 0",
    }
    whole = tb.regress(drifting[0], drifting[2])
    assert last.verdicts[ERRORS] == next(each for each in whole.verdicts if each.quantity.name == "wer")


def test_a_loss_behind_a_step_that_nothing_compares_with_is_not_called_drift(tmp_path):
    """Before the first comparison with the baseline that fails, no step leads from the first checkpoint."""
    few = [Score.failed("no face")] * (CLIPS - 5)
    runs = [
        checkpoint(tmp_path, 0),
        make_run(tmp_path / "few", {SYNC_C: [*sync(0.0, 1)[:5], *few]}, name="few"),
        checkpoint(tmp_path, 2, 0.5),
    ]
    found = tb.history(runs, quantities="sync_c")
    assert words(found, "previous") == ["-", "not judged", "not judged"] and words(found, "reference")[2] == "worse"
    assert found.drifts() == {SYNC: (2, False)}
    assert any(each.startswith("Lost where a step could not be judged: Sync-C") for each in found.findings())
    assert found.checkpoints[1].previous.words == "regression, 35 clips lost"
    assert "5/40" in found.to_markdown() and "§ does not compare at sight" in found.to_markdown()


def test_lost_clips_are_a_regression_unless_they_are_allowed(drifting, tmp_path):
    scores = [Score.failed("no face"), *sync(0.1, 1)[1:]]
    lossy = make_run(tmp_path / "lossy", {SYNC_C: scores}, name="lossy")
    found = tb.history([drifting[0], lossy], quantities="sync_c")
    assert found.checkpoints[1].previous.words == "regression, 1 clip lost"
    assert found.checkpoints[1].points[SYNC].other == "over other clips than step 0's: 1 fewer, 0 more"
    tolerant = tb.history([drifting[0], lossy], quantities="sync_c", max_lost_clips=1)
    assert tolerant.checkpoints[1].previous.words == "no regression"


def test_the_order_of_the_runs_is_the_order_of_the_rows_and_nothing_else(drifting, drift):
    backwards = tb.history(drifting[::-1])
    assert [each.name for each in backwards.checkpoints] == [each.name for each in drift.checkpoints][::-1]
    for one, other in zip(backwards.checkpoints, drift.checkpoints[::-1], strict=True):
        assert {key: point.interval for key, point in one.points.items()} == {
            key: point.interval for key, point in other.points.items()
        }
    # A step that is walked the other way is as large, in the other direction.
    forth = drift.checkpoints[1].previous.verdicts[SYNC].difference
    back = backwards.checkpoints[4].previous.verdicts[SYNC].difference
    assert (back.value, back.p) == (pytest.approx(-forth.value), forth.p)


def test_a_baseline_is_the_reference_of_all(drifting, tmp_path):
    file = tmp_path / "main.json"
    assert command("baseline", "save", drifting[0], file).exit_code == 0
    found = tb.history(drifting[2:], baseline=file)
    assert found.reference.name == "step 0" and found.reference.path == file
    assert words(found, "previous") == ["-", "equivalent", "equivalent"]
    assert words(found, "reference") == ["equivalent", "worse", "worse"], "the first run is judged too"
    assert found.checkpoints[2].reference.verdicts == dict(
        ((each.metric, each.quantity.name), each) for each in tb.regress(file, drifting[4]).verdicts
    )
    told = command("history", *drifting[2:], "--baseline", file, "--quantities", "sync_c")
    assert told.exit_code == 0 and "vs step 0" in told.stdout and "step 0 (baseline)" in told.stdout
    assert found.drifts() == {SYNC: (1, True)}


def test_baseline_files_make_a_history_too(drifting, drift, tmp_path):
    files = []
    for number, run in enumerate(drifting):
        files.append(tmp_path / f"{number}.json")
        tb.open_run(run).save_baseline(files[-1])
    found = tb.history(files)
    columns = [name for name in checkpoints.HISTORY if not name.endswith("reason")]
    key = ["checkpoint", "quantity"]
    mine, expected = (each.to_frame()[columns].sort_values(key).reset_index(drop=True) for each in (found, drift))
    assert mine.equals(expected)


def test_values_and_intervals_are_those_of_the_table(drifting, drift):
    table = tb.table(drifting, intervals=True).to_frame(cells=True).set_index(["system", "quantity"])
    for row in drift.to_frame().itertuples():
        cell = table.loc[row.checkpoint, row.quantity]
        assert (row.value, row.low, row.high) == (cell.value, cell.low, cell.high)
        assert (row.scored, row.total, row.fingerprint) == (cell.scored, cell.total, cell.fingerprint)


def test_distances_between_sets_and_speakers_are_judged_as_the_gate_does(tmp_path):
    speakers = [f"person {place // 2}" for place in range(CLIPS)]
    runs = [
        make_run(tmp_path / f"{number}", {SYNC_C: sync(0.0, number), FID: [1.0] * CLIPS}, name=f"step {number}",
                 features=frames(0, CLIPS, 0.5 + number), speakers=speakers)
        for number in range(3)
    ]  # fmt: skip
    found = tb.history(runs)
    for place in (1, 2):
        gate = tb.regress(runs[place - 1], runs[place])
        assert found.checkpoints[place].previous.outcome == gate
        assert {each.quantity.name: each.word for each in gate.verdicts}["fid"] == "worse"
    assert "40 clips of 20 speakers, which are drawn and tested as a whole." in found.notes
    assert not any("speakers" in note for note in tb.history(runs, independent_clips=True).notes)


def test_the_command_prints_every_format_and_never_fails_on_what_it_finds(drifting, drift, tmp_path):
    done = command("history", *drifting, "--out", tmp_path / "page")
    assert done.exit_code == 0 and "worse" in done.stdout and str(tmp_path / "page" / "index.html") in done.stderr
    assert done.stdout == drift.to_markdown()
    document = json.loads(command("history", *drifting, "--format", "json").stdout)
    assert document == json.loads(drift.to_json()) and document["comparisons"] == 7
    assert [each["reference"]["status"] for each in document["checkpoints"][1:]] == [
        each.reference.outcome.status for each in drift.checkpoints[1:]
    ]
    rows = list(csv.DictReader(io.StringIO(command("history", *drifting, "--format", "csv").stdout)))
    assert len(rows) == 20 and list(rows[0]) == list(checkpoints.HISTORY)
    last = next(row for row in rows if row["checkpoint"] == "step 4" and row["quantity"] == "sync_c")
    assert (last["reference_verdict"], float(last["reference_margin"])) == ("worse", 0.25)
    assert "worse" in command("history", *drifting, "--format", "html").stdout
    assert r"\begin{tabular}" in command("history", *drifting, "--format", "latex").stdout


def test_the_terminal_shows_each_quantity_in_one_piece(drift):
    from reports.render.terminal import terminal

    shown = terminal(drift.table(), width=80, fit=True).splitlines()
    assert max(map(len, shown)) <= 80
    heads = [line.split() for line in shown if line.strip().startswith("Checkpoint")]
    assert len(heads) == 5, "the gate, and four quantities"


def test_one_checkpoint_is_shown_and_nothing_is_asked(drifting, tmp_path):
    found = tb.history(drifting[0])
    assert found.asked == 0 and list(found.findings()) == ["One checkpoint: there is no step to judge."]
    assert f"{np.mean(sync(0.0, 0)):.3f}" in repr(found) and found.to_page(tmp_path / "page").exists()
    twice = tb.history([drifting[0], drifting[4], drifting[0], drifting[4]], quantities="sync_c")
    assert words(twice, "previous") == ["-", "worse", "better", "worse"], "a run may stand there twice"
    assert words(twice, "reference") == ["-", "worse", "equivalent", "worse"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "absent does not exist"),
        (["RUN", "--quantities", "sync_x"], "unknown quantity or metric 'sync_x'"),
        (["RUN", "RUN", "--alpha", "0.9"], "alpha is 0.9"),
        (["RUN", "--margins", "absent.toml"], "absent.toml"),
        (["EXPERIMENT"], "is the folder of an experiment, not of one run: name one of its runs"),
        (["RUN", "--out", "FULL"], "holds files, but no report"),
    ],
)
def test_wrong_use_is_told(drifting, tmp_path, arguments, said):
    experiment = tmp_path / "experiment"
    (experiment / "runs").mkdir(parents=True)
    (experiment / "runs" / "one").symlink_to(drifting[0])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    places = {"RUN": drifting[0], "EXPERIMENT": experiment, "FULL": tmp_path / "full"}
    done = command("history", *(places.get(each, each) for each in arguments))
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_what_no_run_can_have_is_a_note(tmp_path):
    absent = [Score.not_applicable("weights are missing")] * CLIPS
    runs = [make_run(tmp_path / f"{n}", {SYNC_C: sync(0, n), UTMOS: absent}, name=f"{n}") for n in range(2)]
    found = tb.history(runs)
    assert list(found.quantities) == [SYNC] and any(
        note.startswith("Not shown, not applicable: utmos: weights are missing") for note in found.notes
    )
    with pytest.raises(ValueError, match="no run has a score"):
        tb.history(runs, quantities="utmos")


def test_columns_of_frames_are_always_there(drift):
    for frame, columns in ((drift.to_frame(), checkpoints.HISTORY), (drift.to_frame(steps=True), checkpoints.STEPS)):
        kinds = {"text": "object"}
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
            name: kinds.get(kind, kind) for name, kind in columns.items()
        }
    steps = drift.to_frame(steps=True)
    assert list(steps.reference_answer[1:]) == [each.reference.words for each in drift.checkpoints[1:]]
    assert list(steps.previous) == [None, "step 0", "step 1", "step 2", "step 3"]
