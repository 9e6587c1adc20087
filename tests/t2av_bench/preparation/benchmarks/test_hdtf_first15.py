"""HDTF's first 15 s in a made tree: where each clip begins, how long it is, and what is left out."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_looking import AGREED, FakeTools, speech, video
from media_factory import frame_number, moving_pattern, noise
from scipy.io import wavfile

from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.preparation.benchmarks.prepare import prepare
from t2av_bench.preparation.benchmarks.recipe import registry

TIMES = {
    "Radio1": "00:02-00:20 00:05-00:09", "Mute": "00:00-00:18", "Gone": "00:00-00:18", "Late": "00:19-00:40",
    "Back": "00:10-00:08", "Ends": "00:10-00:40",
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hdtf")
    (root / "HDTF_dataset").mkdir()
    for group in ("RD", "WDA", "WRA"):
        for name in ("video_url", "annotion_time", "crop_wh", "resolution"):
            (root / "HDTF_dataset" / f"{group}_{name}.txt").write_text("")
    lists = root / "HDTF_dataset"
    (lists / "RD_video_url.txt").write_text("".join(f"{name} https://x/{name}&t=6s\n" for name in (*TIMES, "Radio24")))
    (lists / "RD_annotion_time.txt").write_text("".join(f"{name}.mp4 {times}\n" for name, times in TIMES.items()))
    frames = moving_pattern(20 * 25, 96, 128)
    video(root / "videos" / "Radio1.mp4", frames, noise(20.0))
    video(root / "videos" / "Mute.mp4", frames, None)
    for name in ("Late", "Back", "Ends"):
        video(root / "videos" / f"{name}.mp4", frames[: 18 * 25], speech([(1.0, 17.0)], 18.0, AGREED))
    return root


def make(tree: Path, out: Path, workers: int = 2):
    return prepare(registry.create("hdtf-first15"), {"hdtf": tree}, out, workers=workers, tools=(FakeTools, ()))


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "hdtf-first15"
    return folder, make(tree, folder)


def items(folder: Path) -> dict[str, dict]:
    return {row["id"]: row for row in map(json.loads, (folder / "test" / "items.jsonl").read_text().splitlines())}


@pytest.mark.parametrize(("id", "first", "seconds"), [("RD_Radio1_0", 50, 15), ("RD_Radio1_1", 125, 4)])
def test_a_clip_is_shown_and_heard_from_its_beginning_for_15_s_at_most(whole, tree, id, first, seconds):
    folder, _ = whole
    row = items(folder)[id]
    clip = Clip(folder / "test" / row["reference"])
    assert clip.frame_count == 25 * seconds and (clip.info.width, clip.info.height) == (128, 96)
    shown = clip.frames_at([0, 25 * seconds - 1])
    assert [frame_number(frame) for frame in shown] == [first, first + 25 * seconds - 1]
    _, sound = wavfile.read(folder / "test" / row["reference_audio"])
    source = to_int16(Clip(tree / "videos" / "Radio1.mp4").audio(16_000))
    assert np.array_equal(sound, source[640 * first : 640 * (first + 25 * seconds)])
    assert row["speaker"] == row["video"] == "RD_Radio1" and row["language"] == "en"


def test_what_cannot_be_taken_has_a_reason(whole):
    folder, made = whole
    told = {
        "RD_Mute_0": "no audio stream", "RD_Gone_0": "not there", "RD_Late_0": "ends before",
        "RD_Radio24": "no times", "RD_Back_0": "end before they begin",
    }  # fmt: skip
    reasons = dict(made.left_out)
    assert {clip for clip, part in told.items() if part not in reasons.get(clip, "")} == set()
    assert "ends inside" in made.missing["RD_Ends_0"], "headers did not say so: the item is missing, not gone"
    assert items(folder).keys() == {"RD_Radio1_0", "RD_Radio1_1", "RD_Ends_0"}


def test_the_bytes_do_not_depend_on_order_or_workers(whole, tree, tmp_path, monkeypatch):
    folder, _ = whole
    kind = registry.class_of("hdtf-first15")
    index = kind.index
    monkeypatch.setattr(kind, "index", lambda self, folders: reversed([*index(self, folders)]))
    make(tree, tmp_path / "out", workers=1)
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / path.relative_to(folder)).read_bytes() == path.read_bytes(), path
