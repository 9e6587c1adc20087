"""HDTF and Hallo3 in a made tree with the defects that the real ones have, through all stages."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fake_looking import AGREED, DISPUTED, FOREIGN, FakeTools, pictures, speech, video
from scipy.io import wavfile

from t2av_bench.benchmarks.info import read_info
from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.benchmarks.prepared import verify
from t2av_bench.errors import ItemError
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.preparation.benchmarks.cutting import CutRule
from t2av_bench.preparation.benchmarks.prepare import prepare
from t2av_bench.preparation.benchmarks.recipe import Shares, registry
from t2av_bench.preparation.benchmarks.recipes.hdtf import hdtf_clips, speaker_of

TALK = ((0.3, 3.6), (4.0, 8.0), (8.5, 9.5), (14.8, 18.2))
"""Pauses are 0.12 s of a piece at both ends: frames 4 to 93, 97 to 240 and 367 to 458 of a clip."""
SECONDS = 19.0
SHARES = Shares({"hdtf short": 3, "hdtf long": 1, "hallo3 short": 1, "hallo3 long": 1},
                lengths=(("short", 4.8), ("long", 10.01)))  # fmt: skip


def talking(
    path: Path, lead: float = 0.0, hertz: float = AGREED, rate: Fraction | int = 25, sound: bool = True, frames=None
):
    """A clip that shows a face for ``lead`` seconds in silence before TALK begins."""
    seconds = lead + SECONDS
    said = [(begin + lead, end + lead) for begin, end in TALK]
    shown = pictures(seconds, rate=rate) if frames is None else frames
    video(path, shown, speech(said, seconds, hertz) if sound else None, rate)


def lists(folder: Path, group: str, urls: str, times: str, windows: str = "", heights: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("video_url", urls), ("annotion_time", times), ("crop_wh", windows), ("resolution", heights)):
        (folder / f"{group}_{name}.txt").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sources")
    hdtf, hallo3 = root / "hdtf", root / "hallo3"
    # Radio1's window is in pixels of pictures twice as high as the file's; the face is at 40 to 90, 30 to 80.
    lists(hdtf / "HDTF_dataset", "RD", "Radio1 https://x/1\nRadio2 https://x/2&t=6s\nRadio24 https://x/24\n",
          "Radio1.mp4 00:02-00:21\nRadio2.mp4 00:01-00:20\n", "Radio1_0.mp4 60 140 40 140\n",
          "Radio1.mp4 240\nRadio2.mp4 120\n")  # fmt: skip
    lists(hdtf / "HDTF_dataset", "WDA", "\ufeffAdamSmith0 https://x/a\nAdamSmith1 https://x/b\nMute https://x/c\n",
          "AdamSmith0.mp4 00:00-00:19\nAdamSmith1.mp4 00:00-00:19 \nMute.mp4 00:00-00:19\n")  # fmt: skip
    names = ("Disputed", "Foreign", "Gone", "Silent", "Trained", "Two", "Withdrawn")
    lists(hdtf / "HDTF_dataset", "WRA", "".join(f"{name} https://x/{name}\n" for name in names),
          "".join(f"{name}.mp4 00:00-00:19\n" for name in names))  # fmt: skip
    videos = hdtf / "videos"
    talking(videos / "Radio1.mp4", lead=2.0)
    talking(videos / "Radio2.mp4", lead=1.0, rate=Fraction(30000, 1001))
    talking(videos / "AdamSmith0.mp4")
    for name in ("AdamSmith1", "Trained", "Withdrawn"):
        shutil.copy(videos / "AdamSmith0.mp4", videos / f"{name}.mp4")
    talking(videos / "Mute.mp4", sound=False)
    talking(videos / "Disputed.mp4", hertz=DISPUTED)
    talking(videos / "Foreign.mp4", hertz=FOREIGN)
    talking(videos / "Two.mp4", frames=pictures(SECONDS, side=40, faces=2))
    video(videos / "Silent.mp4", pictures(SECONDS), speech((), SECONDS))
    (hallo3 / "videos").mkdir(parents=True)
    shutil.copy(videos / "AdamSmith0.mp4", hallo3 / "videos" / "0001.mp4")
    colours = [(200 * (number % 2), 60, 120) for number in range(8)]
    talking(hallo3 / "videos" / "0002.mp4", frames=np.concatenate([pictures(2.4, colour=each) for each in colours]))
    talking(hallo3 / "videos" / "0003.mp4", frames=pictures(SECONDS, face=False))
    (hallo3 / "caption").mkdir()
    (hallo3 / "caption" / "0001.txt").write_text("\ufeffA person  talks.\n", encoding="utf-8")
    (root / "train.csv").write_text("sample_id,video_path\nx1,clips/Trained.mp4\nx2,clips/other.mp4\n")
    (root / "withdrawn.txt").write_text("WRA_Withdrawn_0\n")
    return {"hdtf": hdtf, "hallo3": hallo3, "root": root}


@pytest.fixture
def recipe(monkeypatch):
    kind = registry.class_of("en-200")
    monkeypatch.setattr(kind, "cut", CutRule(least_face=20, size=128))
    monkeypatch.setattr(kind, "shares", {"test": SHARES})
    return kind()


def make(recipe, tree, out, **options):
    notices = []
    made = prepare(
        recipe, {"hdtf": tree["hdtf"], "hallo3": tree["hallo3"]}, out, exclude=[tree["root"] / "train.csv"],
        withdrawn=tree["root"] / "withdrawn.txt", tools=(FakeTools, ()), notice=notices.append,
        **{"workers": 2, **options},
    )  # fmt: skip
    return made, notices


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def items(folder: Path) -> dict[str, dict]:
    return {row["id"]: row for row in map(json.loads, (folder / "test" / "items.jsonl").read_text().splitlines())}


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        kind = registry.class_of("en-200")
        patch.setattr(kind, "cut", CutRule(least_face=20, size=128))
        patch.setattr(kind, "shares", {"test": SHARES})
        folder = tmp_path_factory.mktemp("made") / "en-200"
        return folder, *make(kind(), tree, folder)


def test_every_clip_has_its_items_or_the_reason_why_it_has_none(whole):
    folder, made, notices = whole
    rows = [json.loads(line) for line in (folder / "prepare.jsonl").read_text().splitlines()]
    reasons = {row["clip"]: row.get("reason") for row in rows}
    assert {clip for clip, reason in reasons.items() if reason is None} >= {"RD_Radio1_0", "RD_Radio2_0", "hallo3_0001"}
    told = {
        "RD_Radio24": "the lists give no times", "WDA_Mute_0": "no audio stream", "WRA_Disputed_0": "agree in less",
        "WRA_Foreign_0": "'fr', expected 'en'", "WRA_Gone_0": "not there", "WRA_Silent_0": "no speech",
        "WRA_Trained_0": "trained on", "WRA_Two_0": "more than one face", "WRA_Withdrawn_0": "withdrawn",
        "hallo3_0002": "no shot lasts 3 s", "hallo3_0003": "no face is seen",
    }  # fmt: skip
    assert {clip: part for clip, part in told.items() if part not in (reasons[clip] or "")} == {}
    assert dict(made.left_out) == {clip: reason for clip, reason in reasons.items() if reason is not None}
    assert any("1 of 4 excluded ids name a clip, 3 none" in text for text in notices)
    assert "test: 5 items, 200 are expected" in notices


def test_items_are_pieces_between_pauses_with_one_voice_of_their_speaker(whole):
    folder, made, _ = whole
    found = items(folder)
    assert {id.rpartition("-")[2] for id in found} <= {"000004", "000097", "000367"}, "frames of TALK's pauses"
    assert made.splits == {"test": len(found)} and not made.missing
    speakers = [row["speaker"] for row in found.values()]
    assert len(found) == 5 and sorted(set(speakers)) == ["AdamSmith", "RD_Radio1", "RD_Radio2", "hallo3_0001"]
    for id, row in found.items():
        assert row["text"].startswith("North wind") and row["text_source"]["agreement"] == 1.0
        assert "same speaker" in row["voice_relation"] and row["reference_voice_text"]
        assert row["speaker"] == speaker_of("WDA", "AdamSmith0") or not id.startswith("WDA")
    assert next(row["scene"] for id, row in found.items() if id.startswith("hallo3")) == "A person talks."
    entries = read_manifest(folder / "test" / "items.jsonl")
    assert not any(entry.reason for entry in entries)


def test_pictures_and_sound_are_those_of_the_source_at_that_time(whole, tree):
    """Radio1 begins 2 s into its file. The sound is compared with the file's, decoded as any clip is."""
    folder, _, _ = whole
    (id,) = [id for id in items(folder) if id.startswith("RD_Radio1_0")]
    first = int(id.rpartition("-")[2])
    length = {4: 89, 97: 143, 367: 91}[first]
    clip = Clip(folder / "test" / items(folder)[id]["reference"])
    assert clip.frame_count == length and clip.info.frame_rate == 25
    rate, sound = wavfile.read(folder / "test" / items(folder)[id]["reference_audio"])
    source = Clip(tree["hdtf"] / "videos" / "Radio1.mp4").audio(16_000)
    start = (50 + first) * 640
    assert rate == 16_000 and np.array_equal(sound, to_int16(source[start : start + length * 640]))
    # The window of the list, halved: 30 to 100 across, 20 to 90 down, so the face begins at 10/70 of the square.
    frame = clip.frames_at([0])[0]
    bright = np.argwhere(frame.min(axis=2) > 180)
    assert frame.shape == (128, 128, 3)
    assert np.abs(bright.min(axis=0) - np.array([10, 10]) * 128 / 70).max() < 4


def test_a_rate_of_2997_is_brought_to_the_grid_without_drift(whole, tree):
    folder, _, _ = whole
    (id,) = [id for id in items(folder) if id.startswith("RD_Radio2_0")]
    _, sound = wavfile.read(folder / "test" / items(folder)[id]["reference_audio"])
    loud = np.flatnonzero(np.abs(sound) > 2000)
    assert abs(loud[0] / 16_000 - 0.12) < 0.03, "speech begins where its pause ends"


def test_the_bytes_do_not_depend_on_order_or_workers(whole, tree, recipe, tmp_path, monkeypatch):
    folder, _, _ = whole
    index = type(recipe).index
    monkeypatch.setattr(type(recipe), "index", lambda self, folders: reversed([*index(self, folders)]))
    make(recipe, tree, tmp_path / "out", workers=1)
    mine, theirs = contents(tmp_path / "out"), contents(folder)
    assert [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)] == []
    assert verify(folder) == []


def test_an_interrupted_preparation_continues(whole, tree, recipe, tmp_path):
    folder, _, _ = whole

    class Stop(Exception):
        pass

    def stop(step):
        if step.phase == "text" and step.done == 3:
            raise Stop

    with pytest.raises(Stop):
        make(recipe, tree, tmp_path / "out", on_step=stop)
    began = {}
    make(recipe, tree, tmp_path / "out", on_step=lambda step: began.setdefault(step.phase, (step.done, step.total)))
    assert began["faces"][0] == began["faces"][1] and began["probe"][0] == began["probe"][1]
    assert 3 <= began["text"][0] < began["text"][1]
    assert contents(tmp_path / "out")["test/items.jsonl"] == (folder / "test" / "items.jsonl").read_bytes()


def test_a_published_list_makes_the_same_items_and_misses_none_silently(whole, tree, recipe, tmp_path):
    folder, _, _ = whole
    published = folder / "en-200.list.json"
    assert "North" not in published.read_text() and "sha256" in published.read_text(), "no words in it"
    made, _ = make(recipe, tree, tmp_path / "again", follow=published)
    assert not made.missing and not made.differing
    assert items(tmp_path / "again") == items(folder)
    assert (tmp_path / "again" / published.name).read_bytes() == published.read_bytes()

    fewer = tmp_path / "hallo3"
    (fewer / "videos").mkdir(parents=True)
    video(fewer / "videos" / "0009.mp4", pictures(1.0), speech((), 1.0))
    made, _ = make(recipe, {**tree, "hallo3": fewer}, tmp_path / "fewer", follow=published)
    (gone,) = made.missing
    assert gone.startswith("hallo3_0001") and items(tmp_path / "fewer")[gone]["missing"] == made.missing[gone]
    assert len(items(tmp_path / "fewer")) == len(items(folder))


def test_the_folder_says_what_it_is_and_was_made_by(whole):
    folder, _, _ = whole
    info = read_info(folder)
    assert info.splits == {"test": 5} and info.prepared.recognisers == ("qwen3-asr-1.7b", "whisper-large-v3")
    assert info.rates["en"] > 0 and not info.licence.redistribute
    assert "must not be handed on" in (folder / "LICENCE.md").read_text()


def test_lists_that_are_none_are_refused(tree, tmp_path):
    with pytest.raises(ItemError, match="no folder HDTF_dataset"):
        list(hdtf_clips(tmp_path, "hdtf"))
    lists(tmp_path / "HDTF_dataset", "RD", "Radio1 x\n", "Radio1.mp4 20-95\n")
    with pytest.raises(ItemError, match="line 1: expected NAME.mp4 MM:SS-MM:SS"):
        list(hdtf_clips(tmp_path, "hdtf"))
    assert speaker_of("WDA", "AdamSmith12") == "AdamSmith" and speaker_of("RD", "Radio12") == "RD_Radio12"
