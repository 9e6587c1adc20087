"""Runs end to end with cheap metrics: reasons, resuming, killing, workers."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from evaluate_factory import FAKES, by_name, command, make_clips, plan, run
from scipy.io import wavfile

from t2av_bench.errors import ItemError
from t2av_bench.evaluation.config import EvaluateConfig, load, parse_options
from t2av_bench.evaluation.evaluate import RunError, evaluate
from t2av_bench.results.run import open_run
from t2av_bench.results.store import Store, StoreError
from t2av_bench.utils.config import ConfigError


def contents(out: Path) -> dict[str, list]:
    """Everything in the database except who measured when."""
    connection = sqlite3.connect(out / "results.db")
    tables = ("run", "clips", "protocols", "measurements", "scores", "set_scores")
    found = {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall() for name in tables[1:]}
    found["run"] = connection.execute("SELECT * FROM run ORDER BY 1").fetchall()
    connection.close()
    return found


@pytest.fixture(autouse=True)
def _plugged(fake_metrics):
    pass


def test_values_are_those_of_the_definition(tmp_path):
    run(plan(tmp_path, ["a", "b", "c"]), tmp_path / "run")
    found = by_name(tmp_path / "run")
    levels, spreads = [], {"made": [], "real": []}
    for side in spreads:
        for name in "abc":
            samples = wavfile.read(tmp_path / side / f"{name}.wav")[1] / 32768
            spreads[side].append(np.std(samples))
            if side == "made":
                levels.append(np.mean(samples**2))
    assert found["level"].score.value == pytest.approx(np.mean(levels), rel=1e-5)
    assert found["length"].score.value == pytest.approx(0.5)
    assert found["spread"].score.value == pytest.approx(
        abs(np.mean(spreads["made"]) - np.mean(spreads["real"])), rel=1e-4
    )
    assert (found["spread"].scored, found["spread"].total) == (3, 3)


TROUBLES = {
    "crash": "the measuring process died: SIGSEGV",
    "hang": "no result within 3 s (--timeout)",
    "raise": "unexpected ZeroDivisionError: three over nothing (fake_metrics.py:",
    "nan": "the metric gave nan, outside of (0.0, 1.0)",
    "huge": "the metric gave 7.0, outside of (0.0, 1.0)",
    "face": "no face found in any of 10 frames",
}


def test_one_bad_clip_costs_neither_the_others_nor_its_own_other_metrics(tmp_path):
    names = [*TROUBLES, "good"]
    asked = plan(tmp_path, names, timeout=3.0, workers=2)
    (tmp_path / "made" / "empty.wav").write_bytes(b"")
    run(asked, tmp_path / "run")
    done = open_run(tmp_path / "run")
    level, length = done.scores["fake/level", "level"], done.scores["fake/length", "length"]
    failed = {(failure["clip"], failure["metric"]) for failure in done.failures}
    for name, reason in TROUBLES.items():
        assert reason in level[name].reason
        assert length[name].value == pytest.approx(0.5)
    assert level["good"].value is not None
    assert "empty" in level["empty"].reason
    assert failed == {(name, "fake/level") for name in TROUBLES} | {("empty", metric) for metric in FAKES}
    summary = by_name(tmp_path / "run")["level"]
    assert (summary.scored, summary.total) == (1, 8)


def test_the_same_command_measures_nothing_twice_and_retries_failures(tmp_path, monkeypatch):
    asked = plan(tmp_path, ["a", "b", "raise"])
    assert len(run(asked, tmp_path / "run")) == 9
    before = contents(tmp_path / "run")
    again = run(asked, tmp_path / "run")
    assert [(progress.clip, progress.metric) for progress in again] == [("raise", "fake/level")]
    assert contents(tmp_path / "run") == before


def test_a_changed_file_a_changed_protocol_and_a_new_metric_are_measured_again(tmp_path, monkeypatch):
    asked = plan(tmp_path, ["a", "b"], metrics=("fake/level",))
    run(asked, tmp_path / "run")
    make_clips(tmp_path / "made", ["a"], seed=5)
    assert [(p.clip, p.metric) for p in run(asked, tmp_path / "run")] == [("a", "fake/level")]
    more = plan(tmp_path, ["a", "b"], metrics=("fake/level", "fake/length"))
    make_clips(tmp_path / "made", ["a"], seed=5)
    assert {(p.clip, p.metric) for p in run(more, tmp_path / "run")} == {("a", "fake/length"), ("b", "fake/length")}
    monkeypatch.setenv("FAKE_VERSION", "2")
    make_clips(tmp_path / "made", ["a"], seed=5)
    assert {(p.clip, p.metric) for p in run(more, tmp_path / "run")} == {("a", "fake/level"), ("b", "fake/level")}
    with Store(tmp_path / "run" / "results.db") as store:
        assert store.protocols()["fake/level"]["protocol"]["parameters"]["version"] == "2"
        assert len({row.fingerprint for row in store.scores() if row.metric == "fake/level"}) == 1


def test_workers_change_no_number_and_no_row(tmp_path):
    names = ["a", "b", "c", "d", "raise"]
    run(plan(tmp_path, names, workers=1), tmp_path / "one")
    run(plan(tmp_path, names, workers=3), tmp_path / "three")
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_a_clip_that_left_the_folder_leaves_the_run(tmp_path):
    asked = plan(tmp_path, ["a", "b"])
    run(asked, tmp_path / "run")
    (tmp_path / "made" / "b.wav").unlink()
    run(asked, tmp_path / "run")
    assert by_name(tmp_path / "run")["level"].total == 2, "its reference still asks for it"
    (tmp_path / "real" / "b.wav").unlink()
    run(asked, tmp_path / "run")
    assert by_name(tmp_path / "run")["level"].total == 1
    assert by_name(tmp_path / "run")["spread"].score.reason == "a spread needs at least 2 clips"


def test_another_folders_clips_do_not_mix_into_a_run(tmp_path):
    run(plan(tmp_path / "x", ["a"]), tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run with generated .*choose another --out"):
        run(plan(tmp_path / "y", ["a"]), tmp_path / "run")


def test_a_damaged_or_foreign_results_file_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.db").write_bytes(b"this is no database, but it is long enough to look at" * 100)
    with pytest.raises(StoreError, match="is not a results file"):
        run(plan(tmp_path, ["a"]), tmp_path / "run")
    with pytest.raises(StoreError, match="is not a run"):
        Store(tmp_path / "nowhere" / "results.db")


def test_lost_features_are_a_reason_not_a_number_of_the_clips_that_still_have_them(tmp_path):
    asked = plan(tmp_path, ["a", "b"])
    run(asked, tmp_path / "run")
    finished = by_name(tmp_path / "run")["spread"].score
    for path in (tmp_path / "run" / "features").rglob("*.safetensors"):
        path.unlink()
    run(asked, tmp_path / "run")
    assert by_name(tmp_path / "run")["spread"].score == finished, "of the same clips nothing is computed again"
    run(plan(tmp_path, ["a", "b", "c"]), tmp_path / "run")
    assert "features of 2 clips are gone" in by_name(tmp_path / "run")["spread"].score.reason


def test_a_reference_that_cannot_be_read_is_said_and_other_metrics_go_on(tmp_path):
    asked = plan(tmp_path, ["a", "b", "c"])
    (tmp_path / "real" / "b.wav").write_bytes(b"not audio at all")
    run(asked, tmp_path / "run")
    with Store(tmp_path / "run" / "results.db") as store:
        scores = {(row.clip, row.quantity): row.score for row in store.scores()}
    assert scores["b", "spread"].reason.startswith("the reference cannot be used:")
    assert scores["b", "level"].value is not None


def test_killed_at_random_and_repeated_it_ends_with_the_same_database(tmp_path, fake_metrics):
    names = [f"clip{index}" for index in range(6)] + ["face"]
    plan(tmp_path, names)
    environment = fake_metrics | {"FAKE_SECONDS": "0.05"}
    allowed = ("--workers", "2", "--max-failures", "1")
    subprocess.run(command(tmp_path, tmp_path / "calm", *allowed), env=environment, check=True, capture_output=True)
    moments = random.Random(7)
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(
            command(tmp_path, tmp_path / "disturbed", *allowed), env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(moments.uniform(0.4, 2.2))
        if process.poll() is None:
            # Sometimes the parent alone, sometimes all at once: workers must not outlive it, nor write anything.
            (os.kill if kills % 2 else os.killpg)(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills, "no kill hit: every run was over before its moment"
    subprocess.run(
        command(tmp_path, tmp_path / "disturbed", *allowed), env=environment, check=True, capture_output=True
    )
    calm, disturbed = contents(tmp_path / "calm"), contents(tmp_path / "disturbed")
    assert calm == disturbed


def test_two_processes_do_not_share_a_run_folder(tmp_path, fake_metrics):
    plan(tmp_path, ["a", "b", "c"])
    first = subprocess.Popen(
        command(tmp_path, tmp_path / "run"), env=fake_metrics | {"FAKE_SECONDS": "60"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (tmp_path / "run" / "results.db").exists():
            time.sleep(0.05)
        second = subprocess.run(command(tmp_path, tmp_path / "run"), env=fake_metrics, capture_output=True, text=True)
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 2 and "another process is working on" in second.stderr


def test_json_on_stdout_progress_on_stderr_and_exit_status(tmp_path, fake_metrics):
    plan(tmp_path, ["a", "raise"])
    strict = subprocess.run(
        command(tmp_path, tmp_path / "run", "--json"), env=fake_metrics, capture_output=True, text=True
    )
    assert strict.returncode == 1
    document = json.loads(strict.stdout)
    level = next(column for column in document["columns"] if column["quantity"] == "level")
    assert (level["scored"], level["total"]) == (1, 2)
    assert document["failures"][0]["clip"] == "raise"
    assert "ZeroDivisionError" in strict.stderr and "exit status 1" in strict.stderr
    lenient = subprocess.run(
        command(tmp_path, tmp_path / "run", "--max-failures", "1"), env=fake_metrics, capture_output=True, text=True
    )
    assert lenient.returncode == 0
    assert lenient.stdout.startswith("| System") and "(1/2)" in lenient.stdout
    config = (tmp_path / "run" / "evaluate.toml").read_text()
    (tmp_path / "again.toml").write_text(config)
    again = subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", "evaluate", "--config", str(tmp_path / "again.toml")],
        env=fake_metrics, capture_output=True, text=True,
    )  # fmt: skip
    assert again.returncode == 0 and again.stdout == lenient.stdout


def test_options_reach_the_metric_and_its_protocol(tmp_path, fake_metrics):
    asked = plan(tmp_path, ["a", "b"], metrics=("fake/level",))
    run(asked, tmp_path / "plain")
    options = {"fake/level": {"gain": 0.5}}
    run(plan(tmp_path, ["a", "b"], metrics=("fake/level",), options=options), tmp_path / "half")
    plain, half = (by_name(tmp_path / name)["level"].score.value for name in ("plain", "half"))
    assert half == pytest.approx(plain / 2)
    with Store(tmp_path / "plain" / "results.db") as one, Store(tmp_path / "half" / "results.db") as other:
        assert one.protocols()["fake/level"]["fingerprint"] != other.protocols()["fake/level"]["fingerprint"]
    with pytest.raises(ValueError, match="fake/level has no option 'gian'; did you mean gain"):
        run(asked.model_copy(update={"options": {"fake/level": {"gian": 1}}}), tmp_path / "wrong")
    with pytest.raises(ValueError, match="options for fake/length, which is not measured"):
        run(asked.model_copy(update={"options": {"fake/length": {"gain": 1}}}), tmp_path / "wrong")


def test_options_on_the_command_line_go_before_those_of_the_file_and_are_kept(tmp_path, fake_metrics):
    plan(tmp_path, ["a"])
    config = tmp_path / "config.toml"
    config.write_text('metrics = ["fake/level"]\n[options."fake/level"]\ngain = 0.25\n')
    more = ("--config", str(config), "--option", "fake/level.gain=0.5")
    asked = [part for part in command(tmp_path, tmp_path / "run", *more) if part != ",".join(FAKES)]
    asked.remove("--metrics")
    done = subprocess.run(asked, env=fake_metrics, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept = tomllib.loads((tmp_path / "run" / "evaluate.toml").read_text())
    assert kept["options"] == {"fake/level": {"gain": 0.5}} and kept["metrics"] == ["fake/level"]


def test_the_training_step_reaches_the_page(tmp_path, fake_metrics):
    from reports.page.content import gather
    from reports.page.figures import figures

    for step in (0, 500):
        asked = plan(tmp_path / str(step), ["a", "b", "c"], metrics=("fake/level",), step=step)
        run(asked, tmp_path / f"run{step}")
    content = gather([tmp_path / "run0", tmp_path / "run500"])
    assert [system.step for system in content.systems] == [0, 500]
    drawn = {shown.group: shown for shown in figures(content)}
    assert any("training step" in text for text in drawn["Training"].files.values())


BAD_CONFIGURATIONS = {
    "unknown key": ('metrisc = ["all"]', "unknown key 'metrisc'; did you mean metrics?"),
    "wrong type": ("workers = 'many'", "--workers: Input should be a valid integer"),
    "out of range": ("batch_size = 0", "--batch-size: Input should be greater than or equal to 1"),
    "no such device": ("device = 'tpu'", "--device: String should match"),
    "not TOML": ("= 3", "cannot read the configuration"),
    "nothing to score": ("", "--generated is missing"),
}


@pytest.mark.parametrize(("text", "expected"), BAD_CONFIGURATIONS.values(), ids=BAD_CONFIGURATIONS.keys())
def test_a_configuration_that_is_wrong_is_explained(tmp_path, text, expected):
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {"out": tmp_path / "run"})
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["gain=1", "fake/level", "fake/level.gain", ".gain=1"])
def test_an_option_that_is_not_one_is_explained(text):
    with pytest.raises(ConfigError, match="expected METRIC.OPTION=VALUE"):
        parse_options([text])


def test_a_plan_that_cannot_be_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match="unknown metric 'fake/levl'; did you mean fake/level"):
        run(plan(tmp_path, ["a"], metrics=("fake/levl",)), tmp_path / "run")
    with pytest.raises(ItemError, match="is not a folder"):
        evaluate(EvaluateConfig(generated=tmp_path / "absent", metrics=FAKES, out=tmp_path / "run"), print, print)
    assert not (tmp_path / "run").exists()
