"""Chem in a made tree: two views of the same clips, two settings, lists that name more than is there."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fake_looking import RATE, FakeTools, pictures, speech, video
from scipy.io import wavfile

from t2av_bench.benchmarks.info import read_info
from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.errors import ItemError
from t2av_bench.generation.lengths import with_length
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.preparation.benchmarks.prepare import prepare
from t2av_bench.preparation.benchmarks.recipes.chem import Chem, video_of
from t2av_bench.statistics.samples import grouping
from t2av_bench.systems.base import Request

TEST = ("aaaa-000", "aaaa-001", "aaaa-002", "bbbb-000", "-cc--007", "bbbb-001", "bbbb-002", "bbbb-003", "bbbb-004")
TRAIN = ("aaaa-010", "dddd-000")
SILENT = "bbbb-000"
"""Its sound is in a file beside it, half a second longer than the pictures."""


def utterance(folder: Path, name: str, seconds: float = 1.0, text: str | None = None, **options) -> None:
    rate = options.get("rate", 25)
    said = speech([(0.1, seconds - 0.1)], seconds, 300 + 40 * (sum(name.encode()) % 20))
    video(folder / f"{name}.mp4", pictures(seconds, rate=rate), said if options.get("sound", True) else None, rate)
    (folder / f"{name}.lab").write_text(f"\ufeff{text or f'Let us look at  {name}.'}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("chem")
    clips, dubbing, lip2wav = root / "clips", root / "InstructDubber", root / "Lip2Wav"
    for name in ("aaaa-000", "-cc--007", *TRAIN, "eeee-000"):
        utterance(clips / video_of(name), name)
    utterance(clips / "aaaa", "aaaa-001", seconds=2.0, rate=Fraction(30000, 1001))
    utterance(clips / "again", "aaaa-000", seconds=3.0)
    utterance(clips, SILENT, seconds=1.2, sound=False)
    wavfile.write(
        clips / f"{SILENT}.wav", 24_000, to_int16(np.repeat(speech([(0.2, 1.6)], 1.7), 2)[: 24_000 * 17 // 10])
    )
    utterance(clips, "bbbb-002", sound=False)
    utterance(clips, "bbbb-003")
    (clips / "bbbb-003.lab").write_text(" \n")
    utterance(clips, "bbbb-004")
    (clips / "bbbb-004.lab").unlink()
    utterance(clips, "aaaa-002")
    (clips / "aaaa-002.mp4").write_bytes(b"no video")
    (clips / "notes.txt").write_text("x")
    for file, names in (("train", TRAIN), ("val", TEST)):
        path = dubbing / "Data" / f"StyleTTS_Chem_{file}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "\ufeff" + "".join(f"{video_of(name)}/00/{name}.wav|lˈʊk {name} |0\n" for name in names), encoding="utf-8"
        )
    (dubbing / "dataset" / "Chem").mkdir(parents=True)
    rows = [
        {"path": f"aaaa/00/{name}.wav", "phoneme_idx": [0, 65, 0], "duration_gt": [12.0, 3.0, 4.0]} for name in TEST[:1]
    ]
    (dubbing / "dataset" / "Chem" / "Chem_duration_gt_val.json").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    for split, videos in (("train", ("aaaa", "dddd")), ("val", ("eeee", "gggg")), ("test", ("-cc-", "bbbb"))):
        path = lip2wav / "Dataset" / "chem" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(videos) + "\n")
    return {"clips": clips, "dubbing": dubbing, "lip2wav": lip2wav}


def make(tree: dict[str, Path], out: Path, recipe: Chem | None = None, **options):
    recipe, notices = recipe or Chem(), []
    made = prepare(recipe, {name: tree[name] for name in recipe.sources}, out, tools=(FakeTools, ()), workers=2,
                   notice=notices.append, **options)  # fmt: skip
    return made, notices


def items(folder: Path, split: str = "test") -> dict[str, dict]:
    return {row["id"]: row for row in map(json.loads, (folder / split / "items.jsonl").read_text().splitlines())}


def published(folder: Path) -> dict[str, dict]:
    return {item["id"]: item for item in json.loads((folder / "chem.list.json").read_text())["items"]}


@pytest.fixture(scope="module")
def first(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("first") / "chem"
    return folder, *make(tree, folder)


def test_every_name_of_the_list_is_an_item_or_missing_for_a_reason(first):
    folder, made, notices = first
    found = items(folder)
    assert set(found) == set(TEST) and made.splits == {"test": len(TEST)}
    assert "test: 9 items, 196 are expected" in notices, "the 196 names are checked"
    reasons = {id: row["missing"] for id, row in found.items() if "missing" in row}
    assert set(reasons) == {"aaaa-002", "bbbb-001", "bbbb-002", "bbbb-003", "bbbb-004"} == set(made.missing)
    told = {"bbbb-001": "its clip is not there", "bbbb-002": "no audio stream, and no bbbb-002.wav",
            "bbbb-003": "its .lab is empty", "bbbb-004": "its .lab is not there"}  # fmt: skip
    assert {id: part for id, part in told.items() if part not in reasons[id]} == {}


def test_items_say_what_the_lists_and_labels_say(first):
    folder, _, _ = first
    found = items(folder)
    row = found["aaaa-000"]
    assert row["text"] == "Let us look at aaaa-000." and row["phonemes"] == "lˈʊk aaaa-000" and row["language"] == "en"
    assert (row["phoneme_numbers"], row["phoneme_frames"]) == ([0, 65, 0], [12, 3, 4])
    assert "phoneme_frames" not in found["-cc--007"]
    assert row["tags"] == ["video-in-train"] and "tags" not in found["-cc--007"], "aaaa has a training utterance"
    assert row["voice_relation"] == "the ground truth itself" and "reference_voice" not in row
    assert found["-cc--007"]["video"] == "-cc-"
    entries = read_manifest(folder / "test" / "items.jsonl")
    there = {entry.item.id: entry.item.model_dump() for entry in entries if not entry.reason and entry.item.text}
    groups = grouping(there)
    assert groups.unit == "source videos" and len(set(groups.groups.values())) == 3, "one speaker is no group"


def test_the_length_that_systems_are_told_is_that_of_the_pictures(first, tree):
    folder, _, _ = first
    for name, frames in (("aaaa-000", 25), ("aaaa-001", 50), (SILENT, 30)):
        row = items(folder)[name]
        rate, heard = wavfile.read(folder / "test" / row["reference_audio"])
        assert rate == RATE and len(heard) == frames * 640
        request = Request(
            id=name, out=folder / "x.mp4", task="v2a", text="x", language="en", seed=0,
            driving_video=folder / "test" / row["reference"],
        )  # fmt: skip
        assert with_length(request).target_seconds == frames / 25
    _, heard = wavfile.read(folder / "test" / items(folder)[SILENT]["reference_audio"])
    source = Clip(tree["clips"] / f"{SILENT}.mp4", sound_path=tree["clips"] / f"{SILENT}.wav").audio(RATE)
    assert np.array_equal(heard, to_int16(source[: len(heard)])) and np.abs(heard).max() > 5000
    assert Clip(folder / "test" / items(folder)["aaaa-000"]["reference"]).frame_count == 25, (
        "clips/aaaa before clips/again"
    )


def test_setting_2_takes_the_voice_of_another_video_the_same_for_any_order_and_workers(
    first, tree, tmp_path, monkeypatch
):
    made, _ = make(tree, tmp_path / "a", Chem(setting="2"))
    found = items(tmp_path / "a")
    there = {id: row for id, row in found.items() if "missing" not in row}
    assert set(there) == {"aaaa-000", "aaaa-001", "-cc--007", SILENT}
    pairs = {id: item["voice"]["clip"] for id, item in published(tmp_path / "a").items() if "voice" in item}
    assert set(pairs) == set(there)
    assert all(video_of(id) != video_of(voice) and voice in there for id, voice in pairs.items())
    for id, row in there.items():
        assert row["voice_relation"] == "same speaker, another recording"
        assert row["reference_voice_text"] == found[pairs[id]]["text"]
        mine = wavfile.read(tmp_path / "a" / "test" / row["reference_voice"])[1]
        theirs = wavfile.read(tmp_path / "a" / "test" / found[pairs[id]]["reference_audio"])[1]
        assert np.array_equal(mine[: len(theirs)], theirs[: len(mine)])

    index = Chem.index
    monkeypatch.setattr(Chem, "index", lambda self, folders: list(index(self, folders))[::-1])
    recipe = Chem(setting="2")
    prepare(recipe, {name: tree[name] for name in recipe.sources}, tmp_path / "b", tools=(FakeTools, ()), workers=1)
    for name in ("chem.list.json", "test/items.jsonl", "prepare.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_training_utterances_are_a_split_that_lends_no_voice(tree, tmp_path):
    made, _ = make(tree, tmp_path / "out", Chem(setting="2", train="yes"))
    assert made.splits == {"test": len(TEST), "train": len(TRAIN)}
    pairs = {id: item["voice"]["clip"] for id, item in published(tmp_path / "out").items() if "voice" in item}
    assert {id: voice for id, voice in pairs.items() if (id in TRAIN) != (voice in TRAIN)} == {}
    assert pairs["aaaa-010"] == "dddd-000"


def test_lip2wav_splits_the_same_clips_by_video(tree, tmp_path):
    recipe = Chem(view="lip2wav")
    made, notices = make(tree, tmp_path / "out", recipe)
    assert set(recipe.sources) == {"clips", "lip2wav"}
    assert set(items(tmp_path / "out", "val")) == {"eeee-000"}
    assert set(items(tmp_path / "out", "test")) == {"-cc--007", SILENT}, (
        "what cannot be made is left out: no list names it"
    )
    assert dict(made.left_out)["gggg"] == "no utterance of this video is there"
    assert not any(id in TRAIN for id in items(tmp_path / "out", "test"))
    info = read_info(tmp_path / "out")
    assert info.splits == {"test": 2, "val": 1} and info.prepared.options == {"setting": "1", "view": "lip2wav"}


def test_a_withdrawn_utterance_is_no_missing_item(tree, tmp_path):
    (tmp_path / "gone.txt").write_text("bbbb\n")
    make(tree, tmp_path / "out", withdrawn=tmp_path / "gone.txt")
    assert set(items(tmp_path / "out")) == {name for name in TEST if not name.startswith("bbbb")}


def test_a_folder_of_another_setting_is_not_overwritten(first, tree):
    folder, _, _ = first
    before = (folder / "benchmark.toml").read_bytes()
    with pytest.raises(ItemError, match="'setting': '1'.*'setting': '2'.*another folder"):
        make(tree, folder, Chem(setting="2"))
    assert (folder / "benchmark.toml").read_bytes() == before


@pytest.mark.parametrize(
    "text, said",
    [
        ("a/00/a-000.wav|x\n", "line 1: expected ID/00/ID-NNN.wav"),
        ("a/00/a.wav|x|0\n", "line 1: expected ID/00/ID-NNN.wav"),
        ("a/00/a-000.wav|x|0\n\nb/a-000.wav|x|0\n", "line 3: a-000 is already on line 1"),
    ],
)  # fmt: skip
def test_lists_that_are_none_are_refused(tree, tmp_path, text, said):
    for name, content in (("train", "z/00/z-000.wav|x|0\n"), ("val", text)):
        path = tmp_path / "Data" / f"StyleTTS_Chem_{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    with pytest.raises(ItemError, match=said):
        Chem().index({"clips": tree["clips"], "dubbing": tmp_path})


def test_wrong_options_and_damaged_durations_are_said(tree, tmp_path):
    with pytest.raises(ValueError, match="setting is 1 or 2, got '3'"):
        Chem(setting="3")
    with pytest.raises(ItemError, match="holds no file named ID-NNN"):
        Chem().index({"clips": tmp_path, "dubbing": tree["dubbing"]})
    lists = tmp_path / "lists"
    for path in (tree["dubbing"] / "Data").iterdir():
        (lists / "Data").mkdir(parents=True, exist_ok=True)
        (lists / "Data" / path.name).write_bytes(path.read_bytes())
    damaged = lists / "dataset" / "Chem" / "Chem_duration_gt_val.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text(json.dumps({"path": "a/00/a-000.wav", "phoneme_idx": [0, 1], "duration_gt": [3]}) + "\n")
    with pytest.raises(ItemError, match="line 1: .*2 symbols have 1 durations"):
        Chem().index({"clips": tree["clips"], "dubbing": lists})
