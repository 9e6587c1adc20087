"""``run`` end to end with cheap systems and metrics: made once, continued after a kill, failures with their reasons."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from experiment_factory import (  # noqa: F401
    ROW,
    carry_out,
    cli,
    items,
    log,
    only_made,
    scores,
    sounds,
    unheard,
    world,
    write,
)
from scipy.io import wavfile
from typer.testing import CliRunner

from t2av_bench.cli.main import app
from t2av_bench.cli.run_tables import make_tables
from t2av_bench.evaluation.evaluate import RunError
from t2av_bench.experiment.config import load
from t2av_bench.experiment.run import preview
from t2av_bench.generation import records as benchmark_clips


def test_clips_are_made_scored_and_shown_and_nothing_is_done_twice(tmp_path):
    (row,) = carry_out(tmp_path).rows
    assert log(tmp_path) == ["fake-noise a 1", "fake-noise b 1", "fake-noise c 1"]
    assert (row.items, row.kept, row.made, row.not_made, row.failed) == (3, 0, 3, {}, [])
    found = scores(tmp_path / "out", "noise")
    for id in "abc":
        samples = wavfile.read(tmp_path / "out" / "clips" / "noise" / f"{id}.wav")[1]
        assert found[id, "level"].value == pytest.approx(np.mean(np.square(samples, dtype=np.float64)), rel=0.05)
    tables = {path.name for path in (tmp_path / "out" / "tables").iterdir()}
    assert tables == {"all.md", "all.tex", "all.csv", "all.html", "tables.json"}
    before = sounds(tmp_path / "out" / "clips" / "noise")
    again = carry_out(tmp_path).rows[0]
    assert log(tmp_path) == [] and (again.kept, again.made) == (3, 0)
    assert sounds(tmp_path / "out" / "clips" / "noise") == before


def test_what_a_row_was_scored_by_can_be_repeated_by_hand(tmp_path):
    carry_out(tmp_path)
    run_folder = tmp_path / "out" / "runs" / "noise"
    done = subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", "evaluate", "--config", str(run_folder / "evaluate.toml")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (tmp_path / "out" / "tables" / "all.md").read_text().strip()


def test_a_damaged_clip_a_lost_record_and_a_changed_input_are_made_again(tmp_path):
    only_made(tmp_path)
    clips = tmp_path / "out" / "clips" / "noise"
    before = sounds(clips)
    log(tmp_path)
    data = (clips / "a.mp4").read_bytes()
    (clips / "a.mp4").write_bytes(data[: len(data) // 2])
    (clips / "b.json").write_text("{")
    sound = np.random.default_rng(9).standard_normal(8000) * 1000
    wavfile.write(tmp_path / "data" / "real" / "c.wav", 16000, sound.astype(np.int16))
    (row,) = only_made(tmp_path)
    # c's reference is b's stranger too.
    assert log(tmp_path) == ["fake-noise a 1", "fake-noise b 1", "fake-noise c 1"] and len(row.made) == 3
    assert sounds(clips) == before and (clips / "a.mp4").read_bytes() == data


def test_changed_options_text_or_checkpoint_make_clips_again_and_their_old_scores_go(tmp_path):
    carry_out(tmp_path)
    quiet = scores(tmp_path / "out", "noise")["a", "level"].value
    log(tmp_path)
    loud = carry_out(tmp_path, ROW + "options = { level = 0.2 }\n").rows[0]
    assert len(log(tmp_path)) == 3 and loud.made == 3
    assert scores(tmp_path / "out", "noise")["a", "level"].value == pytest.approx(4 * quiet, rel=0.1)
    rows = ROW + 'options = { checkpoint = "mine.txt" }\n'
    for content in ("0.05", "0.06"):
        (tmp_path / "mine.txt").write_text(content)
        only_made(tmp_path, rows)
        assert len(log(tmp_path)) == 3
    items(tmp_path, {"a": "one", "b": "two again", "c": "three"})
    only_made(tmp_path, rows)
    assert log(tmp_path) == ["fake-noise b 1"]


def test_a_clip_of_a_model_that_was_replaced_among_the_bundled_is_made_again(tmp_path, monkeypatch):
    from t2av_bench import weights

    only_made(tmp_path)
    record = tmp_path / "out" / "clips" / "noise" / "b.json"
    # As a cascade's record holds those of its stages.
    document = json.loads(record.read_text()) | {"stages": {"tts": {"weights": {"tiny": "old digest"}}}}
    record.write_text(json.dumps(document))
    today = {"tiny": "old digest"}

    monkeypatch.setattr(weights, "digest", today.get)
    benchmark_clips._digest_of_today.cache_clear()
    assert preview(load(write(tmp_path)))[0].to_make == 0
    today["tiny"] = "new digest"
    benchmark_clips._digest_of_today.cache_clear()
    assert preview(load(write(tmp_path)))[0].to_make == 1
    benchmark_clips._digest_of_today.cache_clear()


TROUBLES = {
    "crash": "the generating process died: SIGSEGV",
    "hang": "no sign of life within 4 s",
    "raise": "unexpected ZeroDivisionError: three over nothing (fake_systems.py:",
    "refuse": "the word 'refuse' is unknown",
}


def test_one_bad_item_costs_itself_alone_and_says_why(tmp_path):
    broken = ('{"id": "half', '{"id": "../up", "text": "x", "language": "en", "reference": "real/a.wav"}',
              '{"id": "mute", "reference": "real/a.wav"}', '{"id": "lone", "text": "x", "language": "en"}')  # fmt: skip
    items(tmp_path, {**{name: name for name in TROUBLES}, "good": "fine", "fine": "good"}, broken)
    row = carry_out(tmp_path, ROW.replace("fake-noise", "fake-choir"), "timeout = 4.0").rows[0]
    expected = TROUBLES | {
        "items.jsonl line 7": "is not JSON", "../up": "cannot name a file", "mute": "has no 'text'",
        "lone": "needs the identity for task t2av, and the item has neither 'identity_image' nor 'reference'",
    }  # fmt: skip
    assert row.not_made.keys() == expected.keys()
    for id, reason in expected.items():
        assert reason in row.not_made[id], id
    lines = (tmp_path / "out" / "clips" / "noise" / "failures.jsonl").read_text().splitlines()
    assert {line["id"]: line["reason"] for line in map(json.loads, lines)} == row.not_made
    found = scores(tmp_path / "out", "noise")
    assert found["good", "level"].value is not None and found["fine", "level"].value is not None
    assert sum(quantity == "level" for _, quantity in found) == 10, "what failed stays in the denominator"
    assert sum(score.value is None for (_, quantity), score in found.items() if quantity == "level") == 8
    assert not list((tmp_path / "out").rglob("*.part")) and not (tmp_path / "out" / "up.mp4").exists()


def test_a_clip_that_can_no_longer_be_made_is_not_scored_by_its_old_file(tmp_path):
    carry_out(tmp_path)
    items(tmp_path, {"a": "refuse", "b": "two", "c": "three"}, ('{"id": "d", "text": "x", "language": "en"}',))
    (tmp_path / "out" / "clips" / "noise" / "d.mp4").write_bytes(b"an older clip")
    row = carry_out(tmp_path).rows[0]
    assert row.not_made.keys() == {"a", "d"}
    assert not (tmp_path / "out" / "clips" / "noise" / "a.mp4").exists()
    found = scores(tmp_path / "out", "noise")
    assert found["a", "level"].value is None and found["d", "level"].value is None


def test_a_system_without_weights_fails_with_the_command_and_the_other_rows_go_on(tmp_path):
    rows = '[[rows]]\nname = "absent"\nsystem = "fake-absent"\n' + ROW
    absent, noise = only_made(tmp_path, rows)
    assert absent.failures == dict.fromkeys(
        "abc", "fake-absent cannot be loaded: absent weights: t2av-bench weights fetch absent"
    )
    assert noise.made == ["a", "b", "c"] and not noise.failures


def test_a_system_that_wrote_nothing_is_not_believed(tmp_path):
    (row,) = only_made(tmp_path, ROW.replace("fake-noise", "fake-boaster"))
    assert row.failures["a"] == "the system reports a clip, but wrote no a.mp4"
    assert not (row.folder / "a.json").exists()


def test_workers_batches_order_and_subsets_change_no_clip(tmp_path):
    texts = {f"item{index}": f"text {index}" for index in range(5)}
    items(tmp_path, texts)
    rows = ROW.replace("fake-noise", "fake-choir") + ROW.replace('"noise"', '"other"')
    choir, other = only_made(tmp_path, rows, "generation_batch_size = 2")
    assert [line for line in log(tmp_path) if "choir" in line] == [
        f"fake-choir item{index} {together}" for index, together in enumerate((2, 2, 2, 2, 1))
    ]
    first = sounds(choir.folder)
    assert len(set(first.values())) == 5 and sounds(other.folder) == first
    items(tmp_path, dict(reversed(texts.items())))
    (row,) = only_made(tmp_path, ROW, workers=2, out=tmp_path / "part", items=2)
    assert sounds(row.folder) == {name: first[name] for name in ("item4", "item3")}
    log(tmp_path)
    (row,) = only_made(tmp_path, ROW, workers=2, out=tmp_path / "part")
    # item3's stranger was item4 while there were two items, and is item2 now: this system needs none.
    assert sorted(log(tmp_path)) == [f"fake-noise item{index} 1" for index in (0, 1, 2)]
    assert sounds(row.folder) == first
    manifest = tmp_path / "data" / "items.jsonl"
    manifest.write_text("".join(sorted(manifest.read_text().splitlines(keepends=True))))
    only_made(tmp_path, ROW, "generation_batch_size = 3", workers=1, out=tmp_path / "part")
    assert log(tmp_path) == [], "another order, batch size and number of workers"


def test_seeds_make_runs_of_their_own(tmp_path):
    for name in ("0", "7"):
        (tmp_path / f"model{name}.txt").write_text(f"0.{name}1")
    rows = ROW + 'seeds = [0, 7]\nitems = 1\noptions = { checkpoint = "model{seed}.txt" }\n'
    plans = only_made(tmp_path, rows)
    assert [plan.row.name for plan in plans] == ["noise-seed-0", "noise-seed-7"]
    levels = [np.std(wavfile.read(plan.folder / "a.wav")[1]) for plan in plans]
    assert levels == pytest.approx([0.01, 0.71], rel=0.1), "each run has its own checkpoint"
    seeds = {json.loads((plan.folder / "a.json").read_text())["seed"] for plan in plans}
    (plan,) = only_made(tmp_path, ROW + "items = 1\n", "seed = 1")
    assert len(seeds | {json.loads((plan.folder / "a.json").read_text())["seed"]}) == 3


def test_what_a_task_gives_the_system(tmp_path):
    rows = ROW + 'task = "a2v"\n' + ROW.replace('"noise"', '"speech"') + 'task = "tts"\n'
    a2v, tts = carry_out(tmp_path, rows).rows
    inputs = json.loads((a2v.clips / "a.json").read_text())["inputs"]
    assert {name: Path(value).name for name, value in inputs.items()} == {
        "identity": "a.wav", "voice": "None", "driving_audio": "a.wav", "reference": "a.wav", "stranger": "b.wav",
    }  # fmt: skip
    assert Path(inputs["reference"]).samefile(tmp_path / "data" / "real" / "a.wav")
    assert tts.made == 3 and not (tts.clips / "a.mp4").exists() and not tts.failed


def sealed(clips: Path) -> set[str]:
    return {path.stem for path in clips.glob("item*.json") if "fingerprint" in path.read_text()}


def wait_for(clips: Path, count: int) -> None:
    until = time.monotonic() + 120
    while len(sealed(clips)) < count:
        assert time.monotonic() < until, f"no {count} clips in {clips} within two minutes"
        time.sleep(0.05)


def test_killed_and_repeated_it_makes_every_clip_once_and_ends_alike(tmp_path, monkeypatch):
    items(tmp_path, {f"item{index}": f"text {index}" for index in range(6)})
    file = write(tmp_path)
    typed = [sys.executable, "-c", "import typer; from t2av_bench.cli.run import run; typer.run(run)", str(file)]
    slow = os.environ | {"FAKE_SYSTEMS_SECONDS": "0.4"}
    process = subprocess.Popen(typed, env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clips = tmp_path / "out" / "clips" / "noise"

    wait_for(clips, 2)
    with pytest.raises(RunError, match="another process is working on"):
        carry_out(tmp_path)
    os.kill(process.pid, signal.SIGKILL)  # the parent alone: its worker must not go on
    process.wait()
    time.sleep(0.3)
    there = sealed(clips)
    time.sleep(0.6)
    assert sealed(clips) == there and 2 <= len(there) < 6
    log(tmp_path)
    row = carry_out(tmp_path).rows[0]
    assert (row.kept, row.made) == (len(there), 6 - len(there))
    assert {line.split()[1] for line in log(tmp_path)} == {f"item{index}" for index in range(6)} - there
    (calm,) = only_made(tmp_path, out=tmp_path / "calm")
    assert sounds(clips) == sounds(calm.folder) and not list(clips.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_that_nothing_is_lost(tmp_path, number):
    items(tmp_path, {f"item{index}": f"text {index}" for index in range(4)})
    typed = [sys.executable, "-m", "t2av_bench.cli.main", "run", str(write(tmp_path))]
    slow = os.environ | {"FAKE_SYSTEMS_SECONDS": "0.5"}
    process = subprocess.Popen(
        typed, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever runs the tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    wait_for(tmp_path / "out" / "clips" / "noise", 1)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "Traceback" not in said
    assert said.count("what is finished is kept, and the same command continues") == 1
    (tmp_path / "out" / "clips" / "noise" / ".item9.half.json").write_text("{")  # as a killed writer leaves it
    (row,) = preview(load(write(tmp_path)))
    assert not row.failures and row.made >= 1 and row.made + row.to_make == 4
    (plan,) = only_made(tmp_path)
    assert len(plan.made) == 4 and not list(plan.folder.glob(".*"))


def test_a_dry_run_tells_and_does_nothing(tmp_path):
    file = write(tmp_path)
    before = {path for path in tmp_path.rglob("*")}
    shown = cli(file, "--dry-run", "--json")
    assert shown.exit_code == 0, shown.output
    (row,) = json.loads(shown.stdout)
    assert (row["items"], row["made"], row["to_make"], row["measurements"], row["measured"]) == (3, 0, 3, 6, 0)
    assert {path for path in tmp_path.rglob("*")} == before
    carry_out(tmp_path)
    (tmp_path / "out" / "clips" / "noise" / "b.wav").unlink()
    (told,) = preview(load(file))
    assert (told.made, told.to_make, told.measurements, told.measured) == (2, 1, 6, 4)
    assert "to make" in cli(file, "--dry-run").stdout


def test_the_command_prints_tables_and_its_exit_status_counts_failures(tmp_path):
    items(tmp_path, {"a": "one", "b": "refuse"})
    rows = ROW + '[[rows]]\nname = "second"\nlabel = "Second"\nsystem = "fake-noise"\n'
    file = write(tmp_path, rows)
    done = cli(file)
    assert done.exit_code == 1 and "2 clips failed, --max-failures allows 0" in done.stderr
    assert "  b: the word 'refuse' is unknown  [fake/length, fake/level]" in done.stderr
    assert done.stdout.startswith("| System") and "| Second" in done.stdout and "(1/2)" in done.stdout
    assert "noise: 0 of 2 clips are there" in done.stderr and "making: 4/4 clips, 2 failed" in done.stderr
    lenient = cli(file, "--max-failures", 2, "--json", "--only", "second")
    assert lenient.exit_code == 0, lenient.output
    document = json.loads(lenient.stdout)
    assert [row["name"] for row in document["rows"]] == ["second"]
    assert document["rows"][0]["not_made"] == {"b": "the word 'refuse' is unknown"}
    assert document["rows"][0]["columns"][0]["total"] == 2


def test_a_metric_that_scored_no_clip_of_any_row_is_not_well(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    file = write(tmp_path, ROW + 'metrics = ["fake/level", "sync/exact"]\nitems = 1\n')
    done = cli(file)
    assert done.exit_code == 1 and "sync/exact: no clip of any row was scored: exit status 1" in done.stderr
    assert cli(file, "--allow-missing").exit_code == 0
    assert json.loads(cli(file, "--json").stdout)["missing"] == ["sync/exact"]


def test_each_table_has_its_own_rows(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'title = "Mine"\n[[columns]]\nquantity = "level"\nlabel = "Level"\ndirection = "higher"\n'
    )
    rows = ROW + 'tables = ["mine.toml"]\n' + '[[rows]]\nname = "second"\nsystem = "fake-noise"\n'
    carry_out(tmp_path, rows)
    tables = make_tables(load(tmp_path / "run.toml"), tmp_path / "out", unheard)
    assert [table.name.rpartition("/")[2] for table in tables] == ["mine.toml", "all"]
    assert [[row.name for row in table.table.rows] for table in tables] == [["noise"], ["second"]]
    assert (tmp_path / "out" / "tables" / "mine.csv").is_file()
    shown = CliRunner().invoke(app, ["table", str(tmp_path / "out")])
    assert shown.exit_code == 0 and shown.stdout.index("## Mine") < shown.stdout.index("## all")
    for name in ("mine", "all"):
        assert (tmp_path / "out" / "tables" / f"{name}.md").read_text() in shown.stdout
    (tmp_path / "out" / "tables" / "tables.json").unlink()  # of a version that noted nothing
    shown = CliRunner().invoke(app, ["table", str(tmp_path / "out"), "--columns", "level"])
    assert shown.exit_code == 0 and "| noise" in shown.stdout and "| second" in shown.stdout


def test_tables_by_a_key_of_the_items(tmp_path):
    path = tmp_path / "data" / "items.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row, mood in zip(rows, ("calm", "loud", None), strict=True):
        row |= {"mood": mood} if mood else {}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    head = '[[tables]]\nby = "mood"\n[[tables]]\nby = "mood"\ncolumns = ["level"]\nacross = true\nintervals = false\n'
    carry_out(tmp_path, ROW + 'tables = [{by = "mood"}, {by = "mood", columns = "level", across = true}]\n')
    as_rows = (tmp_path / "out" / "tables" / "tables.json").read_text()
    carry_out(tmp_path, head=head)
    assert (tmp_path / "out" / "tables" / "tables.json").read_text() == as_rows.replace(
        '"across": true,\n  "intervals": true', '"across": true,\n  "intervals": false'
    )
    shown = CliRunner().invoke(app, ["table", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    for stem in ("by-mood", "by-mood-level"):
        assert (tmp_path / "out" / "tables" / f"{stem}.md").read_text() in shown.stdout
    with (tmp_path / "out" / "tables" / "by-mood.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [(row["mood"], row["clips"]) for row in read] == [
        ("all", "3"), ("calm", "1"), ("loud", "1"), ("not stated", "1")
    ]  # fmt: skip
    assert "level[calm]" in (tmp_path / "out" / "tables" / "by-mood-level.csv").read_text().splitlines()[0]
    by_hand = CliRunner().invoke(app, ["table", str(tmp_path / "out"), "--by", "mood", "--format", "csv"])
    assert by_hand.stdout == (tmp_path / "out" / "tables" / "by-mood.csv").read_text()


def test_a_key_that_no_item_states_is_refused_before_anything_is_made(tmp_path):
    file = write(tmp_path, head='[[tables]]\nby = "moods"\n')
    done = cli(file)
    assert done.exit_code == 2 and "states 'moods'; they state language" in done.stderr
    assert not (tmp_path / "out").exists()


def test_where_lines_cannot_be_used_the_refusal_of_a_key_says_so(tmp_path):
    path = tmp_path / "data" / "items.jsonl"
    path.write_text('{"id": "a", "text": "one", "mood": "calm", "reference": "/absolute.mp4"}\n')
    done = cli(write(tmp_path, head='[[tables]]\nby = "mood"\n'))
    assert done.exit_code == 2 and "'reference' is an absolute path" in " ".join(done.stderr.split())


def test_an_experiments_folder_has_its_rows_in_the_order_of_its_file_in_every_table(tmp_path):
    second = ROW.replace('"noise"', '"early"', 1)
    carry_out(tmp_path, ROW + second)
    (tmp_path / "mine.toml").write_text(
        'title = "Mine"\n[[columns]]\nquantity = "level"\nlabel = "Level"\ndirection = "higher"\n'
    )
    out = str(tmp_path / "out")
    for given in ([out], [out, "--by", "language"], [str(tmp_path / "mine.toml"), out]):
        shown = CliRunner().invoke(app, ["table", *given, "--format", "csv"])
        assert shown.exit_code == 0, shown.output
        assert [line.split(",")[0] for line in shown.stdout.splitlines()[1:3]] == ["noise", "early"]
