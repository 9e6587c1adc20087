"""``run`` end to end with cheap systems and metrics: made once, continued after a kill, failures with their reasons."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy.io import wavfile
from typer.testing import CliRunner

from t2av_bench import systems
from t2av_bench.benchmark_config import load
from t2av_bench.benchmark_run import preview, run
from t2av_bench.cli_run import run as command
from t2av_bench.runs import RunError
from t2av_bench.store import Store

SYSTEMS = {"fake-noise": "Noise", "fake-choir": "Choir", "fake-absent": "Absent", "fake-boaster": "Boaster"}


class Silent:
    """A display that keeps what it was told."""

    def __init__(self):
        self.notes, self.phases = [], []

    def note(self, text):
        self.notes.append(text)

    def begin(self, what, total, unit, done=0):
        self.phases.append((what, total))

    def advance(self, done, text, failed=False):
        pass


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch, fake_metrics):
    """Fake systems and metrics as installed plug-ins, here and in child processes; three items with references."""
    site = tmp_path / "site"
    described = site / "fake_systems-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-systems\nVersion: 1.0\n")
    lines = [f"{id} = fake_systems:{name}" for id, name in SYSTEMS.items()]
    (described / "entry_points.txt").write_text("\n".join(["[t2av_bench.systems]", *lines]) + "\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ["PYTHONPATH"]]))
    monkeypatch.setenv("FAKE_SYSTEMS_LOG", str(tmp_path / "log"))
    monkeypatch.syspath_prepend(str(site))
    systems._registry.cache_clear()
    items(tmp_path, {"a": "one", "b": "two", "c": "three"})
    yield
    systems._registry.cache_clear()


def items(tmp_path: Path, texts: dict[str, str], extra: tuple[str, ...] = ()) -> None:
    folder = tmp_path / "data"
    (folder / "real").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, (id, text) in enumerate(texts.items()):
        sound = np.random.default_rng(index).standard_normal(8000) * 1000
        wavfile.write(folder / "real" / f"{id}.wav", 16000, sound.astype(np.int16))
        rows.append(json.dumps({"id": id, "text": text, "language": "en", "reference": f"real/{id}.wav"}))
    (folder / "items.jsonl").write_text("\n".join([*rows, *extra]) + "\n")


ROW = '[[rows]]\nname = "noise"\nsystem = "fake-noise"\n'


def write(tmp_path: Path, rows: str = ROW, head: str = "") -> Path:
    file = tmp_path / "run.toml"
    file.write_text(
        f'out = "out"\nbenchmark = "data/items.jsonl"\nmetrics = ["fake/level", "fake/length"]\nworkers = 1\n'
        f"{head}\n{rows}"
    )
    return file


def carry_out(tmp_path: Path, rows: str = ROW, head: str = "", **given):
    return run(load(write(tmp_path, rows, head), given), Silent())


def log(tmp_path: Path) -> list[str]:
    """What systems were asked since the last look."""
    path = tmp_path / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def sounds(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


def scores(out: Path, name: str) -> dict[tuple[str, str], object]:
    with Store(out / "runs" / name / "results.db") as store:
        return {(row.clip, row.quantity): row.score for row in store.scores()}


def test_clips_are_made_scored_and_shown_and_nothing_is_done_twice(tmp_path):
    (row,) = carry_out(tmp_path).rows
    assert log(tmp_path) == ["fake-noise a 1", "fake-noise b 1", "fake-noise c 1"]
    assert (row.items, row.kept, row.made, row.not_made, row.failed) == (3, 0, 3, {}, [])
    found = scores(tmp_path / "out", "noise")
    for id in "abc":
        samples = wavfile.read(tmp_path / "out" / "clips" / "noise" / f"{id}.wav")[1]
        assert found[id, "level"].value == pytest.approx(np.mean(np.square(samples, dtype=np.float64)), rel=0.05)
    tables = {path.name for path in (tmp_path / "out" / "tables").iterdir()}
    assert tables == {"all.md", "all.tex", "all.csv", "all.html"}
    before = sounds(tmp_path / "out" / "clips" / "noise")
    again = carry_out(tmp_path).rows[0]
    assert log(tmp_path) == [] and (again.kept, again.made) == (3, 0)
    assert sounds(tmp_path / "out" / "clips" / "noise") == before


def test_what_a_row_was_scored_by_can_be_repeated_by_hand(tmp_path):
    carry_out(tmp_path)
    run_folder = tmp_path / "out" / "runs" / "noise"
    done = subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli", "evaluate", "--config", str(run_folder / "evaluate.toml")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (tmp_path / "out" / "tables" / "all.md").read_text().strip()


def test_a_damaged_clip_a_lost_record_and_a_changed_input_are_made_again(tmp_path):
    carry_out(tmp_path)
    clips = tmp_path / "out" / "clips" / "noise"
    before = sounds(clips)
    log(tmp_path)
    data = (clips / "a.mp4").read_bytes()
    (clips / "a.mp4").write_bytes(data[: len(data) // 2])
    (clips / "b.json").write_text("{")
    sound = np.random.default_rng(9).standard_normal(8000) * 1000
    wavfile.write(tmp_path / "data" / "real" / "c.wav", 16000, sound.astype(np.int16))
    row = carry_out(tmp_path).rows[0]
    # c's reference is b's stranger too.
    assert log(tmp_path) == ["fake-noise a 1", "fake-noise b 1", "fake-noise c 1"] and row.made == 3
    assert sounds(clips) == before and (clips / "a.mp4").read_bytes() == data


def test_changed_options_text_or_checkpoint_make_clips_again_and_their_old_scores_go(tmp_path):
    carry_out(tmp_path)
    quiet = scores(tmp_path / "out", "noise")["a", "level"].value
    log(tmp_path)
    loud = carry_out(tmp_path, ROW + "options = { level = 0.2 }\n").rows[0]
    assert len(log(tmp_path)) == 3 and loud.made == 3
    assert scores(tmp_path / "out", "noise")["a", "level"].value == pytest.approx(4 * quiet, rel=0.1)
    (tmp_path / "mine.txt").write_text("0.05")
    rows = ROW + 'options = { checkpoint = "mine.txt" }\n'
    carry_out(tmp_path, rows)
    assert len(log(tmp_path)) == 3
    assert scores(tmp_path / "out", "noise")["a", "level"].value == pytest.approx(quiet / 4, rel=0.1)
    (tmp_path / "mine.txt").write_text("0.06")
    carry_out(tmp_path, rows)
    assert len(log(tmp_path)) == 3
    items(tmp_path, {"a": "one", "b": "two again", "c": "three"})
    carry_out(tmp_path, rows)
    assert log(tmp_path) == ["fake-noise b 1"]


TROUBLES = {
    "crash": "the generating process died: SIGSEGV",
    "hang": "no sign of life within 2 s",
    "raise": "unexpected ZeroDivisionError: three over nothing (fake_systems.py:",
    "refuse": "the word 'refuse' is unknown",
}


@pytest.mark.parametrize("system", ["fake-noise", "fake-choir"])
def test_one_bad_item_costs_itself_alone_and_says_why(tmp_path, system):
    broken = ('{"id": "half', '{"id": "../up", "text": "x", "language": "en", "reference": "real/a.wav"}',
              '{"id": "mute", "reference": "real/a.wav"}', '{"id": "lone", "text": "x", "language": "en"}')  # fmt: skip
    items(tmp_path, {**{name: name for name in TROUBLES}, "good": "fine", "fine": "good"}, broken)
    row = carry_out(tmp_path, ROW.replace("fake-noise", system), "timeout = 2.0").rows[0]
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
    absent, noise = carry_out(tmp_path, rows).rows
    assert set(absent.not_made.values()) == {
        "fake-absent cannot be loaded: absent weights: t2av-bench weights fetch absent"
    }
    assert len(absent.not_made) == 3 and noise.made == 3 and not noise.not_made


def test_a_system_that_wrote_nothing_is_not_believed(tmp_path):
    row = carry_out(tmp_path, ROW.replace("fake-noise", "fake-boaster")).rows[0]
    assert row.not_made["a"] == "the system reports a clip, but wrote no a.mp4"


def test_workers_batches_order_and_subsets_change_no_clip(tmp_path):
    texts = {f"item{index}": f"text {index}" for index in range(5)}
    items(tmp_path, texts)
    rows = ROW.replace("fake-noise", "fake-choir") + ROW.replace('"noise"', '"other"')
    carry_out(tmp_path, rows, "generation_batch_size = 2")
    assert [line for line in log(tmp_path) if "choir" in line] == [
        f"fake-choir item{index} {together}" for index, together in enumerate((2, 2, 2, 2, 1))
    ]
    first = sounds(tmp_path / "out" / "clips" / "noise")
    assert len(set(first.values())) == 5 and sounds(tmp_path / "out" / "clips" / "other") == first
    items(tmp_path, dict(reversed(texts.items())))
    carry_out(tmp_path, rows, "generation_batch_size = 5", workers=2, out=tmp_path / "again")
    assert sounds(tmp_path / "again" / "clips" / "noise") == first
    log(tmp_path)
    carry_out(tmp_path, ROW, out=tmp_path / "part", items=2)
    part = sounds(tmp_path / "part" / "clips" / "noise")
    assert part == {name: first[name] for name in ("item4", "item3")}
    carry_out(tmp_path, ROW, out=tmp_path / "part")
    # item3's stranger was item4 while there were two items, and is item2 now.
    assert log(tmp_path)[2:] == [f"fake-noise item{index} 1" for index in (3, 2, 1, 0)]
    assert sounds(tmp_path / "part" / "clips" / "noise") == first


def test_seeds_make_runs_of_their_own(tmp_path):
    result = carry_out(tmp_path, ROW + "seeds = [0, 7]\n")
    assert [row.row.name for row in result.rows] == ["noise-seed-0", "noise-seed-7"]
    one, other = (sounds(tmp_path / "out" / "clips" / row.row.name) for row in result.rows)
    assert all(one[id] != other[id] for id in "abc")
    seeds = {json.loads((row.clips / "a.json").read_text())["seed"] for row in result.rows}
    carry_out(tmp_path, head="seed = 1")
    third = json.loads((tmp_path / "out" / "clips" / "noise" / "a.json").read_text())["seed"]
    assert len(seeds | {third}) == 3


def test_what_a_task_gives_the_system(tmp_path):
    row = carry_out(tmp_path, ROW + 'task = "a2v"\n').rows[0]
    inputs = json.loads((row.clips / "a.json").read_text())["inputs"]
    real = tmp_path / "data" / "real"
    assert {name: Path(value).name for name, value in inputs.items()} == {
        "identity": "a.wav", "voice": "None", "driving_audio": "a.wav", "reference": "a.wav", "stranger": "b.wav",
    }  # fmt: skip
    assert Path(inputs["reference"]).samefile(real / "a.wav")
    tts = carry_out(tmp_path, ROW + 'task = "tts"\n', out=tmp_path / "speech").rows[0]
    assert tts.made == 3 and not (tts.clips / "a.mp4").exists() and not tts.failed


def test_killed_and_repeated_it_makes_every_clip_once_and_ends_alike(tmp_path, monkeypatch):
    items(tmp_path, {f"item{index}": f"text {index}" for index in range(6)})
    file = write(tmp_path)
    typed = [sys.executable, "-c", "import typer; from t2av_bench.cli_run import run; typer.run(run)", str(file)]
    slow = os.environ | {"FAKE_SYSTEMS_SECONDS": "0.4"}
    process = subprocess.Popen(typed, env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clips = tmp_path / "out" / "clips" / "noise"

    def sealed() -> set[str]:
        return {path.stem for path in clips.glob("*.json") if "fingerprint" in path.read_text()}

    until = time.monotonic() + 60
    while len(sealed()) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    with pytest.raises(RunError, match="another process is working on"):
        carry_out(tmp_path)
    os.kill(process.pid, signal.SIGKILL)  # the parent alone: its worker must not go on
    process.wait()
    time.sleep(0.3)
    there = sealed()
    time.sleep(0.6)
    assert sealed() == there and 2 <= len(there) < 6
    log(tmp_path)
    row = carry_out(tmp_path).rows[0]
    assert (row.kept, row.made) == (len(there), 6 - len(there))
    assert {line.split()[1] for line in log(tmp_path)} == {f"item{index}" for index in range(6)} - there
    carry_out(tmp_path, out=tmp_path / "calm")
    assert sounds(clips) == sounds(tmp_path / "calm" / "clips" / "noise")
    assert scores(tmp_path / "out", "noise") == scores(tmp_path / "calm", "noise")


def test_interrupted_it_says_that_nothing_is_lost(tmp_path):
    items(tmp_path, {f"item{index}": f"text {index}" for index in range(4)})
    typed = [sys.executable, "-c", "import typer; from t2av_bench.cli_run import run; typer.run(run)",
             str(write(tmp_path))]  # fmt: skip
    slow = os.environ | {"FAKE_SYSTEMS_SECONDS": "0.5"}
    process = subprocess.Popen(typed, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list((tmp_path / "out").glob("clips/noise/*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "the same command continues" in said and "Traceback" not in said
    row = carry_out(tmp_path).rows[0]
    assert row.kept >= 1 and row.kept + row.made == 4


def cli(*arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


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
    assert done.stdout.startswith("| System") and "| Second" in done.stdout and "(1/2)" in done.stdout
    assert "noise: 0 of 2 clips are there" in done.stderr and "making: 4/4 clips, 2 failed" in done.stderr
    lenient = cli(file, "--max-failures", 2, "--json", "--only", "second")
    assert lenient.exit_code == 0, lenient.output
    document = json.loads(lenient.stdout)
    assert [row["name"] for row in document["rows"]] == ["second"]
    assert document["rows"][0]["not_made"] == {"b": "the word 'refuse' is unknown"}
    assert document["rows"][0]["columns"][0]["total"] == 2


def test_each_table_has_its_own_rows(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'title = "Mine"\n[[columns]]\nquantity = "level"\nlabel = "Level"\ndirection = "higher"\n'
    )
    rows = ROW + 'tables = ["mine.toml"]\n' + '[[rows]]\nname = "second"\nsystem = "fake-noise"\n'
    result = carry_out(tmp_path, rows)
    assert [table.name.rpartition("/")[2] for table in result.tables] == ["mine.toml", "all"]
    assert [[row.name for row in table.table.rows] for table in result.tables] == [["noise"], ["second"]]
    assert (tmp_path / "out" / "tables" / "mine.csv").is_file()
