"""Folders as people have them, and lists from anybody: each costs itself alone, and nothing of the user's is lost."""

import json
import os
import unicodedata
from pathlib import Path

import pytest
from filelock import FileLock
from media_factory import noise, write_clip
from typer.testing import CliRunner

from t2av_bench.cli.main import app
from t2av_bench.errors import ItemError, NotApplicable
from t2av_bench.preparation.benchmarks.lists import read_list
from t2av_bench.preparation.benchmarks.looking import DETECTORS
from t2av_bench.preparation.benchmarks.recipe import file_called, folders_of, registry, safe
from t2av_bench.preparation.benchmarks.recipes.hallo3 import hallo3_clips
from t2av_bench.preparation.benchmarks.recipes.mochabench import MoChaBench

NAME = "libritts-test-clean"
GOOD = "1089_134686_000002_000000"


def prepare(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["data", "prepare", NAME, "--workers", "1", *map(str, arguments)])
    return done.exit_code, done.stderr


@pytest.fixture
def corpus(tmp_path) -> Path:
    place = tmp_path / "LibriTTS" / "test-clean" / "1089" / "134686"
    place.mkdir(parents=True)
    write_clip(place / f"{GOOD}.wav", audio=noise(0.3, 24_000), audio_rate=24_000, audio_codec="pcm_s16le")
    (place / f"{GOOD}.normalized.txt").write_text("Some words.", encoding="utf-8")
    return tmp_path / "LibriTTS"


def reasons(out: Path) -> dict[str, str | None]:
    rows = map(json.loads, (out / "prepare.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["clip"]: row.get("reason") for row in rows}


def test_leftovers_of_other_programs_have_a_reason_and_cost_no_other(corpus, tmp_path):
    place = corpus / "test-clean" / "1089" / "134686"
    (place / f"._{GOOD}.wav").write_bytes(b"\0\5\x16\7")  # as macOS unpacks archives
    (place / f"{GOOD} (1).wav").write_bytes(b"")
    (place / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    assert prepare("--source", corpus, "--out", tmp_path / "out")[0] == 0
    found = reasons(tmp_path / "out")
    assert len(found) == 4 and found.pop(GOOD) is None
    assert all(".normalized.txt is not there" in reason for reason in found.values())


def test_a_name_that_is_not_utf8_has_a_reason(corpus, tmp_path):
    folder = os.fsencode(corpus / "test-clean" / "1089" / "134686")
    Path(os.fsdecode(folder + b"/\xc4\xe3\xba\xc3.wav")).write_bytes(b"")
    assert prepare("--source", corpus, "--out", tmp_path / "out")[0] == 0
    (foreign,) = [reason for reason in reasons(tmp_path / "out").values() if reason]
    assert foreign == "its name is not UTF-8: rename the file"
    videos = tmp_path / "hallo3" / "videos"
    videos.mkdir(parents=True)
    (videos / "0001.mp4").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(videos) + b"/\xc4\xe3.mp4")).write_bytes(b"")
    assert [clip.reason for clip in hallo3_clips(tmp_path / "hallo3", "hallo3")] == [None, foreign]
    clips = registry.create("zh-200").index({"dh-facevid": videos})
    assert sorted(clip.reason or "" for clip in clips) == ["", foreign]


def test_names_of_other_scripts_stay_apart_and_do_not_depend_on_the_file_system():
    names = ["\u5f20\u4e09", "\u674e\u56db", "J\u00fcrgen", "J\u00f6rgen", "x" * 250, "x" * 251]
    assert len({safe(name) for name in names}) == len(names)
    assert safe("J\u00fcrgen") == safe(unicodedata.normalize("NFD", "J\u00fcrgen"))
    assert all(len(safe(name)) <= 120 and safe(name).isascii() for name in names)
    assert safe("a b-c_1.x") == "a_b-c_1.x"


def test_a_thumbnail_is_not_taken_for_its_video(tmp_path):
    for name in ("Radio1.info.json", "Radio1.jpg", "Radio1.m4a", "Radio1.mp4", "Radio1.webp", "Only.bin"):
        (tmp_path / name).write_bytes(b"")
    assert file_called("Radio1", tmp_path) == "Radio1.mp4" and file_called("Only", tmp_path) == "Only.bin"


@pytest.mark.parametrize("change", [
    {"split": "../../victim"}, {"split": "/VICTIM"}, {"split": ""}, {"id": "../../victim/clips/x"}, {"id": ".x"},
])  # fmt: skip
def test_a_list_names_no_place_outside_the_folder(corpus, tmp_path, change):
    (tmp_path / "victim" / "clips").mkdir(parents=True)
    (tmp_path / "victim" / "clips" / "mine.mp4").write_bytes(b"mine")
    item = {"id": "x", "split": "test", "piece": {"id": GOOD, "clip": GOOD}} | {
        key: value.replace("/VICTIM", str(tmp_path / "victim")) for key, value in change.items()
    }
    path = tmp_path / "bad.list.json"
    path.write_text(json.dumps({"schema": "t2av-bench.list/1", "name": NAME, "version": 1, "items": [item]}))
    status, told = prepare("--source", corpus, "--out", tmp_path / "out", "--list", path)
    assert status == 2 and "cannot read the list" in told
    assert [each.name for each in (tmp_path / "victim").rglob("*")] == ["clips", "mine.mp4"]


def test_a_list_may_have_a_byte_order_mark_and_no_item_twice(corpus, tmp_path):
    assert prepare("--source", corpus, "--out", tmp_path / "out")[0] == 0
    text = (tmp_path / "out" / f"{NAME}.list.json").read_text(encoding="utf-8")
    path = tmp_path / "marked.list.json"
    path.write_text(text, encoding="utf-8-sig")
    assert prepare("--source", corpus, "--out", tmp_path / "again", "--list", path)[0] == 0
    values = json.loads(text)
    path.write_text(json.dumps(values | {"items": values["items"] * 2}))
    with pytest.raises(ItemError, match=f"{GOOD}.* more than once"):
        read_list(path, NAME, 1, {})
    path.write_text(json.dumps(values | {"version": 9}))
    with pytest.raises(ItemError, match="is of version 9, here 1: it makes that benchmark alone"):
        read_list(path, NAME, 1, {})


def test_the_folder_and_the_data_do_not_lie_in_each_other(corpus, tmp_path):
    before = sorted(corpus.rglob("*"))
    for out in (corpus, corpus / "prepared"):
        status, _ = prepare("--source", corpus, "--out", out)
        assert status == 2 and sorted(corpus.rglob("*")) == before
    (tmp_path / "link").symlink_to(corpus)
    status, told = prepare("--source", corpus, "--out", tmp_path / "link" / "prepared")
    assert status == 2 and "lie in each other" in told
    out = tmp_path / "out"
    assert prepare("--source", corpus, "--out", out)[0] == 0
    corpus.rename(out / "test" / "clips" / "LibriTTS")
    status, told = prepare("--source", out / "test" / "clips" / "LibriTTS", "--out", out)
    assert status == 2 and "lie in each other" in told
    assert len(list((out / "test" / "clips" / "LibriTTS").rglob("*.wav"))) == 1


def test_one_command_at_a_time_works_in_a_folder(corpus, tmp_path):
    out = tmp_path / "out"
    assert prepare("--source", corpus, "--out", out)[0] == 0
    with FileLock(out / ".prepare" / "lock"):
        status, told = prepare("--source", corpus, "--out", out)
    assert status == 2 and "another process is working on" in told
    assert prepare("--source", corpus, "--out", out)[0] == 0


def test_what_somebody_laid_into_the_folder_stays(corpus, tmp_path):
    out = tmp_path / "out"
    assert prepare("--source", corpus, "--out", out)[0] == 0
    (out / "test" / "mine").mkdir()
    (out / "test" / "mine" / "result.mp4").write_bytes(b"mine")
    stale = out / "test" / "clips" / "earlier.wav"
    stale.write_bytes(b"of an item that is none any more")
    assert prepare("--source", corpus, "--out", out)[0] == 0
    assert (out / "test" / "mine" / "result.mp4").read_bytes() == b"mine" and not stale.exists()


def test_another_programs_benchmark_toml_is_left_alone(corpus, tmp_path):
    out = tmp_path / "out"
    (out / "test" / "clips").mkdir(parents=True)
    (out / "test" / "clips" / "unit.py").write_text("x")
    (out / "benchmark.toml").write_text("[cases]\nruns = 3\n")
    status, told = prepare("--source", corpus, "--out", out)
    assert status == 2 and "of something else, or of another version" in told
    assert (out / "benchmark.toml").read_text() == "[cases]\nruns = 3\n" and (
        out / "test" / "clips" / "unit.py"
    ).exists()


def test_a_short_line_of_a_table_is_named(tmp_path):
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "benchmark.csv").write_text("category,context_id,prompt\n1p_emotion,1_man\n")
    with pytest.raises(ItemError, match="line 2 has no prompt"):
        list(MoChaBench().index({"mochabench": tmp_path}))


def test_a_home_folder_behind_an_equals_sign_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "moc").mkdir()
    assert folders_of(registry.create("mochabench"), ["mochabench=~/moc"]) == {"mochabench": tmp_path / "moc"}


def test_blazeface_says_which_weights_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(NotApplicable, match="blazeface_full.*are missing"):
        DETECTORS["blazeface"]("cpu")


@pytest.mark.parametrize("text", ["[1, 2]", "3", "{", "null"])
def test_damaged_digests_are_said(tmp_path, text):
    (tmp_path / "benchmark.toml").write_text("")
    (tmp_path / "files.json").write_text(text)
    done = CliRunner().invoke(app, ["data", "verify", str(tmp_path)])
    assert done.exit_code == 2 and "no readable files.json" in done.stderr
