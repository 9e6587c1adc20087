"""The panel of MoChaBench in a made tree of its layout, with made-up votes, through the command."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from media_factory import noise, write_clip
from typer.testing import CliRunner

from t2av_bench.agreement.votes import read_votes
from t2av_bench.benchmarks.info import heads
from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.cli.main import app
from t2av_bench.preparation.benchmarks.recipes import mocha_panel
from t2av_bench.preparation.benchmarks.recipes.mocha_panel import MoChaPanel

SYSTEMS = {"MoCha": "MoCha", "Hallo3": "hallo3", "Aniportrait": "aniportrait-square", "SadTalker": "SadTalker"}
ASPECTS = ("2. Facial Expression Naturalness", "3. Action Naturalness", "4. Text Alignment", "5. Visual Quality")


def score(item: int, system: int, aspect: int, side: int) -> int:
    return 1 + (item + 2 * system + aspect + side) % 4


def pictures(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 200, (6, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """Two items of the four systems; the package's list of digests is that of these clips."""
    folder = tmp_path / "MoChaBench" / "eval-viescore"
    digests = {}
    for at, name in enumerate(SYSTEMS.values()):
        (folder / "example_results" / name).mkdir(parents=True)
        for item in (1, 2):
            clip = write_clip(folder / "example_results" / name / f"{item:02d}.mp4",
                              pictures(10 * at + item), noise(0.2))  # fmt: skip
            digests[f"{name}/{item:02d}.mp4"] = hashlib.sha256(clip.read_bytes()).hexdigest()
    (folder / "example_results" / "text_prompt.csv").write_text('"A man,  who\nspeaks."\n"A woman."', encoding="utf-8")
    heading = [(system, aspect, side) for system in SYSTEMS for aspect in ASPECTS
               for side in ("Human Major Vote", "GPT4o")]  # fmt: skip
    with (folder / "viescore-alignment.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for at, first in enumerate(("Model", "Aspect", "Example idx")):
            writer.writerow([first, *(each[at] for each in heading)])
        for item in (1, 2):
            writer.writerow([item, *(score(item, system, aspect, side) for system in range(4) for aspect in range(4)
                                     for side in range(2))])  # fmt: skip
    known = tmp_path / "known.json"
    monkeypatch.setattr(mocha_panel, "_KNOWN", known)
    known.write_text(json.dumps({"clips": digests, "votes": ""}))
    mocha_panel._known.cache_clear()
    text = mocha_panel.votes_text(folder / "viescore-alignment.csv")
    known.write_text(json.dumps({"clips": digests, "votes": hashlib.sha256(text.encode()).hexdigest()}))
    mocha_panel._known.cache_clear()
    yield tmp_path / "MoChaBench"
    mocha_panel._known.cache_clear()


def prepare(clone: Path, out: Path) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["data", "prepare", "mocha-panel-80", "--source", str(clone), "--out", str(out), "--workers", "1"]
    )
    return done.exit_code, done.stderr


def test_a_split_is_a_system_whose_clips_are_judged_and_no_reference(clone, tmp_path):
    out = tmp_path / "out"
    status, told = prepare(clone, out)
    assert status == 0 and "mocha: 2 items, 20 are expected" in told
    for system, folder in SYSTEMS.items():
        split = system.lower()
        entries = read_manifest(out / split / "items.jsonl")
        assert [entry.item.id for entry in entries] == [f"{split}/01", f"{split}/02"]
        for number, entry in zip(("01", "02"), entries, strict=True):
            made = out / split / entry.item.generated
            original = clone / "eval-viescore" / "example_results" / folder / f"{number}.mp4"
            assert made.read_bytes() == original.read_bytes() and entry.reason is None
            assert entry.item.reference is None and entry.item.video == f"panel-{number}"
        assert entries[0].item.scene == "A man, who speaks."


def test_votes_are_those_of_the_published_table(clone, tmp_path):
    assert prepare(clone, tmp_path / "out")[0] == 0
    votes = read_votes(tmp_path / "out" / "published" / "votes.csv")
    assert votes.items == ("01", "02") and votes.systems == tuple(SYSTEMS) and len(votes.clips) == 8
    assert list(votes.aspects) == ["facial expression", "action", "text alignment", "visual quality"]
    for at, aspect in enumerate(votes.aspects.values()):
        for side, ratings in enumerate((aspect.ratings, aspect.judges["gpt-4o"])):
            expected = [[score(item, system, at, side) for system in range(4)] for item in (1, 2)]
            np.testing.assert_array_equal(ratings, expected)


def test_panel_reads_runs_of_the_prepared_clips(clone, tmp_path):
    out = tmp_path / "out"
    assert prepare(clone, out)[0] == 0
    runs = []
    for split in ("mocha", "hallo3"):
        runs.append(str(tmp_path / f"run-{split}"))
        done = CliRunner().invoke(app, [
            "evaluate", "--generated", str(out / split), "--manifest", str(out / split / "items.jsonl"),
            "--metrics", "flicker", "--out", runs[-1],
        ])  # fmt: skip
        assert done.exit_code == 0, done.stderr
    done = CliRunner().invoke(app, ["panel", *runs, "--votes", str(out / "published" / "votes.csv"), "--json"])
    assert done.exit_code == 0, done.stderr
    found = [each for each in json.loads(done.stdout)["judged"] if each["quantity"] == "flicker"]
    assert len(found) == 4
    for each in found:
        assert (each["clips"], each["clips_total"]) == (4, 8), each["missing"]
        assert each["missing"] == {"no run has the clip": 4} and set(each["against"]) == {"gpt-4o", "the system's name"}


def test_another_clip_than_people_saw_is_missing_and_other_votes_are_refused(clone, tmp_path):
    results = clone / "eval-viescore" / "example_results"
    (results / "hallo3" / "02.mp4").write_bytes((results / "hallo3" / "01.mp4").read_bytes())
    (results / "SadTalker" / "01.mp4").unlink()
    assert prepare(clone, tmp_path / "out")[0] == 1, "missing items are told by the exit status"
    rows = {split: [json.loads(line) for line in (tmp_path / "out" / split / "items.jsonl").read_text().splitlines()]
            for split in ("hallo3", "sadtalker")}  # fmt: skip
    assert "not the clip that people saw" in rows["hallo3"][1]["missing"]
    assert "not there" in rows["sadtalker"][0]["missing"] and "missing" not in rows["sadtalker"][1]
    table = clone / "eval-viescore" / "viescore-alignment.csv"
    table.write_text(table.read_text().replace("\n1,", "\n3,", 1))
    status, told = prepare(clone, tmp_path / "other")
    assert status == 2 and "is not the table of votes" in told
    lines = table.read_text().replace("\n3,", "\n1,", 1).splitlines()
    number, first, *rest = lines[3].split(",")
    lines[3] = ",".join([number, str(5 - int(first)), *rest])
    table.write_text("\n".join(lines))
    status, told = prepare(clone, tmp_path / "other")
    assert status == 2 and "holds other votes" in told


def test_the_package_knows_eighty_clips(monkeypatch):
    mocha_panel._known.cache_clear()
    known = mocha_panel._known()
    assert set(known["clips"]) == {f"{name}/{at:02d}.mp4" for name in SYSTEMS.values() for at in range(1, 21)}
    assert len(set(known["clips"].values())) == 80 and len(known["votes"]) == 64
    assert sum(heads()[MoChaPanel.id].splits.values()) == 80 and set(heads()[MoChaPanel.id].splits) == {
        system.lower() for system in SYSTEMS
    }  # fmt: skip
