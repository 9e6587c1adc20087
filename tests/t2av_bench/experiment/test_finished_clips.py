"""Rows of clips that somebody else made take part in an experiment, and stay as they are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from experiment_factory import ROW, cli, scores, unheard, world, write  # noqa: F401
from media_factory import moving_pattern, write_clip
from scipy.io import wavfile

import t2av_bench as tb
from t2av_bench.experiment.config import load
from t2av_bench.experiment.run import run
from t2av_bench.results.store import Store

MINE = '[[rows]]\nname = "mine"\nclips = "theirs"\n'
NO_B = "no clip in theirs/ is named 'b'; the nearest name is "


def finish(folder: Path, seed: int, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        noise = np.random.default_rng([seed, index]).standard_normal(8000) * 1000
        wavfile.write(folder / f"{name}.wav", 16000, noise.astype(np.int16))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Two of the three items, a stray clip, and files such as an experiment removes from its own folders."""
    folder = tmp_path / "theirs"
    finish(folder, 1, "a", "c", "bb")
    (folder / ".a.json").write_text("{}")
    (folder / ".x.part").mkdir()
    (folder / ".x.part" / "half").write_text("half")
    return folder


def test_finished_clips_are_scored_where_they_lie_beside_the_others(tmp_path, theirs):
    before, file = snapshot(theirs), write(tmp_path, ROW + MINE)
    notes: list[str] = []
    result = run(load(file), unheard, notes.append)
    assert snapshot(theirs) == before and not (tmp_path / "out" / "clips" / "mine").exists()
    noise, mine = result.rows
    assert (mine.clips, mine.items, mine.kept, mine.made) == (theirs, 3, 2, 0)
    assert list(mine.not_made) == ["b"] and mine.not_made["b"].startswith(NO_B)
    assert "mine: 2 of 3 clips are there, 1 have failed" in notes
    assert any("1 file of" in note and "bb.wav" in note for note in mine.notices)
    found = scores(tmp_path / "out", "mine")
    assert found["b", "level"].reason == mine.not_made["b"] and len(scores(tmp_path / "out", "noise")) == len(found)
    samples = wavfile.read(theirs / "a.wav")[1] / 32768
    assert found["a", "level"].value == pytest.approx(np.mean(np.square(samples)), rel=1e-5)
    with Store(tmp_path / "out" / "runs" / "mine" / "results.db") as store:
        digests = {row["clip"]: row["digest"] for row in store.clips()}
    assert digests["a"] and digests["c"] and digests["b"] is None


def test_a_replaced_clip_is_noticed_and_scored_anew_alone(tmp_path, theirs):
    file = write(tmp_path, MINE)
    run(load(file), unheard, unheard)
    before = scores(tmp_path / "out", "mine")
    finish(theirs, 2, "a", "b")
    (theirs / "bb.wav").unlink()
    preview = cli(file, "--dry-run", "--json")
    (row,) = json.loads(preview.stdout)
    assert (row["system"], row["made"], row["to_make"], row["cannot_be_made"]) == (None, 3, 0, {})
    assert (row["measurements"], row["measured"]) == (6, 2)  # c alone is as it was
    result = run(load(file), unheard, unheard)
    after = scores(tmp_path / "out", "mine")
    assert not result.rows[0].not_made and after["c", "level"] == before["c", "level"]
    assert after["a", "level"].value not in (None, before["a", "level"].value) and after["b", "level"].value


def test_what_a_manifest_says_of_finished_clips_holds_for_them_alone(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    write_clip(folder / "take-1.mp4", moving_pattern(5))
    sound = tmp_path / "data" / "a voice.wav"
    wavfile.write(sound, 16000, np.full(4800, 8000, np.int16))
    (tmp_path / "data" / "items.jsonl").write_text(
        json.dumps({"id": "a", "text": "one", "language": "en", "reference": "real/a.wav", "generated": "take-1.mp4",
                    "audio": "a voice.wav"})
    )  # fmt: skip
    run(load(write(tmp_path, ROW + MINE)), unheard, unheard)
    assert scores(tmp_path / "out", "mine")["a", "length"].value == pytest.approx(0.3)
    assert scores(tmp_path / "out", "noise")["a", "length"].value not in (None, pytest.approx(0.3))


def test_each_seed_can_have_its_folder(tmp_path):
    for seed in (3, 4):
        finish(tmp_path / f"theirs-{seed}", seed, "a")
    rows = load(write(tmp_path, MINE.replace('"theirs"', '"theirs-{seed}"') + "seeds = [3, 4]\n")).rows
    assert [(row.name, row.clips) for row in rows] == [
        ("mine-seed-3", tmp_path / "theirs-3"), ("mine-seed-4", tmp_path / "theirs-4"),
    ]  # fmt: skip


def test_finished_clips_are_never_made_again(tmp_path, theirs):
    file = write(tmp_path, ROW + MINE)
    done = cli(file, "--regenerate", "mine", "--dry-run")
    assert done.exit_code == 2 and "--regenerate mine: its clips are the finished ones of" in done.stderr
    every = cli(file, "--regenerate", "all", "--dry-run")
    assert every.exit_code == 0 and "theirs/" in every.stdout and theirs.is_dir()


def test_a_lost_folder_costs_no_file(tmp_path, theirs):
    os.rename(theirs, tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="mine: not scored: 'clips': .*theirs is not a folder"):
        assert not tb.run(write(tmp_path, MINE))
