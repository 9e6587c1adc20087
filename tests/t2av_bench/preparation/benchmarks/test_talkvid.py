"""TalkVid-Bench in a made tree with the defects that a clone of the real one can have."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from fake_looking import AGREED, DISPUTED, FOREIGN, FakeTools, pictures, speech, video
from scipy.io import wavfile

from t2av_bench.benchmarks.info import read_info
from t2av_bench.benchmarks.manifest import odd_keys, read_manifest
from t2av_bench.errors import ItemError
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.preparation.benchmarks.prepare import prepare
from t2av_bench.preparation.benchmarks.recipe import registry

SECONDS = 2.0


def record(name: str, link: str = "", file: str | None = None, **info: str) -> dict:
    labels = {"Person ID": "", "Gender": "Female", "Age Group": "60+", "Ethnicity": "Asian", "Language": "English",
              "Video Link": f"https://www.youtube.com/watch?v={(link or name):x<11.11}&t=6s"}  # fmt: skip
    return {"id": name, "video-path": file or f"/their/disk/{name}.mp4", "info": {**labels, **info}}


def sounding(path: Path, hertz: float = AGREED, sound: bool = True) -> Path:
    """The whole picture: twice as large as the authors' window."""
    heard = speech([(0.2, 1.8)], SECONDS, hertz) if sound else None
    return video(path, pictures(SECONDS, size=(240, 320), rate=30), heard, 30)


def cropped(path: Path) -> Path:
    return video(path, pictures(SECONDS, rate=30), None, 30)


LISTS = {
    "age": [record("both", **{"Age Group": "19-30"}), record("torn"), record("pointer"), record("gone")],
    "gender": [record("both", **{"Age Group": "19-30"}), record("unlike", Gender="Male"), record("dumb"),
               record("mute"), record("withdrawn", "W1thdrawn__")],
    "ethnicity": [record("unlike"), record("disputed"), record("disputed")],
    "language": [record("parisian", Language="French", file="C:\\data\\fr_01.mp4"),
                 record("other", Language="Vietnamese", **{"Person ID": "597"})],
}  # fmt: skip


def write_lists(root: Path, lists: dict[str, list[dict]] = LISTS) -> None:
    for dimension, records in lists.items():
        (root / dimension).mkdir(parents=True, exist_ok=True)
        (root / dimension / f"test_{dimension}.json").write_text("\ufeff" + json.dumps(records), encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    clone = tmp_path_factory.mktemp("clone")
    root = clone / "TalkVid-bench"
    write_lists(root)
    where = {"both": "age", "torn": "age", "unlike": "gender", "mute": "gender", "withdrawn": "gender",
             "disputed": "ethnicity", "other": "language", "dumb": "gender"}  # fmt: skip
    for name, dimension in where.items():
        cropped(root / dimension / "videos_crop_512x512" / f"{name}.mp4")
        if name != "dumb":
            hertz = DISPUTED if name == "disputed" else AGREED
            sounding(root / dimension / "videos_w_audios" / "group" / f"{name}.mp4", hertz, sound=name != "mute")
    torn = root / "age" / "videos_crop_512x512" / "torn.mp4"
    torn.write_bytes(torn.read_bytes()[:500])
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (root / "age" / "videos_crop_512x512" / "pointer.mp4").write_text(pointer)
    sounding(root / "age" / "videos_w_audios" / "pointer.mp4")
    cropped(root / "language" / "videos_crop_512x512" / "fr_01.mp4")
    video(root / "language" / "audios" / "fr_01.mp4", None, speech([(0.2, 1.8)], SECONDS, FOREIGN))
    cropped(root / "language" / "videos" / "fr_01.mp4")
    return clone


def make(tree: Path, out: Path, workers: int = 2, **options: str):
    withdrawn = out.parent / "withdrawn.txt"
    withdrawn.write_text("W1thdrawn__\n")
    recipe = registry.create("talkvid-bench", **options)
    return prepare(recipe, {"talkvid": tree}, out, workers=workers, withdrawn=withdrawn, tools=(FakeTools, ()))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def items(folder: Path) -> dict[str, dict]:
    return {row["id"]: row for row in map(json.loads, (folder / "test" / "items.jsonl").read_text().splitlines())}


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "talkvid-bench"
    return folder, make(tree, folder)


def test_every_clip_is_an_item_or_has_a_reason(whole):
    folder, made = whole
    told = {
        "torn": "truncated", "pointer": "git lfs pull", "gone": "not there", "unlike": "different things",
        "dumb": "neither in videos_w_audios nor in audios", "mute": "no audio stream", "withdrawn": "withdrawn",
    }  # fmt: skip
    reasons = dict(made.left_out)
    assert reasons.keys() == told.keys() and all(part in reasons[clip] for clip, part in told.items())
    assert items(folder).keys() == {"both", "disputed", "other", "parisian"}


def test_labels_of_the_authors_are_keys_of_the_items(whole):
    folder, _ = whole
    found = items(folder)
    assert found["both"]["tags"] == ["age", "gender"] and found["other"]["tags"] == ["language"]
    assert {key: found["both"][key] for key in ("age", "gender", "ethnicity", "spoken")} == {
        "age": "19-30", "gender": "Female", "ethnicity": "Asian", "spoken": "English"
    }  # fmt: skip
    assert (found["other"]["speaker"], found["both"]["speaker"]) == ("597", "bothxxxxxxx")
    entries = read_manifest(folder / "test" / "items.jsonl")
    assert not any(entry.reason for entry in entries) and odd_keys(entries) == []


def test_a_text_stands_where_two_recognisers_agree_and_no_item_is_lost_for_it(whole):
    folder, _ = whole
    found = items(folder)
    assert found["both"]["text"].startswith("North wind") and found["both"]["text_source"]["agreement"] == 1.0
    assert found["parisian"]["language"] == "fr" and found["parisian"]["text"]
    assert "text" not in found["disputed"] and found["disputed"]["language"] == "en"
    assert (
        "text" not in found["other"] and "language" not in found["other"] and found["other"]["spoken"] == "Vietnamese"
    )
    assert set(read_info(folder).rates) == {"en", "fr"}


@pytest.mark.parametrize(
    ("id", "heard"),
    [("both", "age/videos_w_audios/group/both.mp4"), ("parisian", "language/audios/fr_01.mp4")],
)
def test_the_window_of_the_authors_has_the_sound_of_another_file(whole, tree, id, heard):
    folder, _ = whole
    row = items(folder)[id]
    clip = Clip(folder / "test" / row["reference"])
    assert (clip.info.width, clip.info.height, clip.frame_count) == (160, 120, 50)
    _, sound = wavfile.read(folder / "test" / row["reference_audio"])
    source = to_int16(Clip(tree / "TalkVid-bench" / heard).audio(16_000))
    assert len(sound) == 32_000 and np.array_equal(sound[:31_000], source[:31_000])


def test_the_whole_picture_is_another_benchmark_of_the_same_clips(whole, tree, tmp_path):
    folder, _ = whole
    make(tree, tmp_path / "out", window="whole", text="none")
    found = items(tmp_path / "out")
    assert found.keys() == {*items(folder), "torn", "pointer"} and not any("text" in row for row in found.values())
    clip = Clip(tmp_path / "out" / "test" / found["both"]["reference"])
    assert (clip.info.width, clip.info.height) == (320, 240)
    silent = Clip(tmp_path / "out" / "test" / found["parisian"]["reference"])
    assert silent.info.width == 160, "without a file that has both, the silent whole picture"
    with pytest.raises(ItemError, match="window"):
        prepare(registry.create("talkvid-bench"), {"talkvid": tree}, tmp_path / "again", tools=(FakeTools, ()),
                follow=tmp_path / "out" / "talkvid-bench.list.json")  # fmt: skip
    with pytest.raises(ValueError, match="expected crop or whole"):
        registry.create("talkvid-bench", window="face")


def test_the_bytes_do_not_depend_on_order_or_workers(whole, tree, tmp_path):
    folder, _ = whole
    root = tree / "TalkVid-bench"
    try:
        write_lists(root, {key: random.Random(1).sample(each, len(each)) for key, each in LISTS.items()})
        make(tree, tmp_path / "out", workers=1)
    finally:
        write_lists(root)
    mine, theirs = contents(tmp_path / "out"), contents(folder)
    assert [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)] == []


def test_lists_that_are_none_are_refused(tmp_path):
    index = registry.create("talkvid-bench").index
    with pytest.raises(ItemError, match="has none of the lists"):
        list(index({"talkvid": tmp_path}))
    (tmp_path / "age").mkdir()
    for text, said in (("{}", "no list of records"), ('[{"info": {}}]', "record 1: expected an object with an id"),
                       ("[", "cannot read")):  # fmt: skip
        (tmp_path / "age" / "test_age.json").write_text(text)
        with pytest.raises(ItemError, match=said):
            list(index({"talkvid": tmp_path}))
