"""GridFace on disk: the same bytes however it is built, whole items or none, and digests that mean something."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")
pytest.importorskip("torch", reason="pictures are drawn by torch")

from t2av_bench.cli.data import data_app
from t2av_bench.gridface.data import build, corpus, digests
from t2av_bench.gridface.data.build import BuildError
from t2av_bench.gridface.data.digests import State

SPLITS = ("test-en", "test-zh")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first items of two splits, made by two processes."""
    folder = tmp_path_factory.mktemp("gridface")
    build.build(folder, SPLITS, digests.SUBSET, workers=2)
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """What one test may break: two items, without the others."""
    folder = tmp_path / "copy"
    for utterance in corpus.utterances("test-en", 2):
        for path in (built / "test-en").glob(f"**/{utterance.id}.*"):
            target = folder / path.relative_to(built)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made_by(folder: Path, *arguments, **options) -> list[str]:
    """Ids of the items that this build had to make."""
    ids: list[str] = []
    build.build(folder, *arguments, on_progress=lambda done, total, id: ids.append(id), **options)
    return [id for id in ids if id]


def test_one_process_makes_the_bytes_that_two_made(built, tmp_path):
    build.build(tmp_path, ["test-zh"], 3, workers=1)
    found = contents(tmp_path)
    assert len(found) == 3 * 5 + 1
    found.pop("test-zh/first-3.jsonl")
    assert found == {name: data for name, data in contents(built).items() if name in found}


@pytest.mark.parametrize("layer", digests.LAYERS)
def test_the_bytes_are_those_of_the_repository(built, layer):
    for split in SPLITS:
        for found in digests.verify(built, split, digests.SUBSET, corpus.SIZE):
            if found.layer == layer:
                assert found.state is not State.DIFFERENT, found.reason
                if found.state is State.NOT_COMPARABLE:
                    pytest.skip(f"{layer} not compared: {found.reason}")


@pytest.mark.parametrize("split", corpus.SPLITS)
def test_what_every_split_says_and_shows_is_that_of_the_repository(split):
    counts = {row["count"] for row in digests.read(digests.TABLE)["digest"] if row["split"] == split}
    if split in corpus.TEST_SPLITS:
        assert counts >= {digests.SUBSET, corpus.SPLITS[split]}
    for count in counts:
        expected = digests.recorded(split, count, corpus.SIZE)
        assert digests.items_digest(corpus.utterances(split, count)) == expected.layers["items"]


def test_a_clip_is_what_the_corpus_and_the_renderer_make(built):
    from PIL import Image
    from scipy.io import wavfile

    from t2av_bench.benchmarks.manifest import read_manifest
    from t2av_bench.gridface.portrait.portrait import Portrait
    from t2av_bench.gridface.speech.synthesizer import Synthesizer
    from t2av_bench.media.clip import Clip

    (entry, *_), utterance = read_manifest(built / "test-en" / "first-8.jsonl"), corpus.utterances("test-en", 1)[0]
    assert entry.reason is None and entry.item.id == utterance.id
    assert (entry.item.text, entry.item.language) == (utterance.text, "en")
    with Synthesizer() as synthesizer:
        recording = corpus.record(utterance, synthesizer)
        other = corpus.record(corpus.voice_sample(utterance), synthesizer)
    frames = Portrait(utterance.identity, 128).render(recording.motion)
    assert np.array_equal(np.asarray(Image.open(entry.item.identity_image)), frames[0])
    for path, audio in ((Path(entry.item.reference).with_suffix(".wav"), recording.audio),
                        (entry.item.reference_voice, other.audio)):  # fmt: skip
        rate, samples = wavfile.read(path)
        assert rate == 16000 and samples.dtype == np.int16
        assert np.abs(samples / 32768 - audio).max() <= 0.5 / 32768 + 1e-7
    clip = Clip(entry.item.reference)
    info = clip.info
    assert (info.width, info.height, info.frame_rate, info.video_codec) == (128, 128, 25, "h264")
    assert (info.audio_codec, info.audio_rate, info.audio_channels) == ("aac", 16000, 1)
    shown = np.concatenate(list(clip.frames())).astype(float)
    assert 10 * np.log10(255**2 / np.mean((shown - frames) ** 2)) > 37
    heard = clip.audio(16000)
    assert len(heard) == len(recording.audio) == len(frames) * 640
    noise = np.sum((heard - recording.audio) ** 2)
    assert 10 * np.log10(np.sum(recording.audio**2) / noise) > 20  # also: in step with the lossless sound
    moved = np.sum((heard[64:] - recording.audio[:-64]) ** 2)
    assert moved > 10 * noise


def test_a_finished_build_is_found_again_without_making_or_writing_anything(built, monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing is to be made or written")

    monkeypatch.setattr(build, "_made", refuse)
    monkeypatch.setattr(build, "_prepare", refuse)
    monkeypatch.setattr(build, "write_text", refuse)
    manifests = build.build(built, SPLITS, digests.SUBSET)
    assert manifests == {split: built / split / "first-8.jsonl" for split in SPLITS}


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("reference/{}.mp4", truncate),
        ("reference/{}.wav", flip),
        ("identity/{}.png", Path.unlink),
        (".records/{}.json", truncate),
        (".records/{}.json", lambda path: path.write_text("[]")),
    ],
)
def test_a_damaged_item_is_made_again_and_no_other(copy, built, name, damage):
    damage(copy / "test-en" / name.format("test-en-0001"))
    assert made_by(copy, ["test-en"], 2, workers=1) == ["test-en-0001"]
    found = contents(copy)
    found.pop("test-en/first-2.jsonl")
    assert len(found) == 10 and found == {name: contents(built)[name] for name in found}
    assert made_by(copy, ["test-en"], 2) == []


def test_other_versions_of_a_library_do_not_count_as_finished(copy, monkeypatch):
    utterance = corpus.utterances("test-en", 1)[0]
    assert build.finished(copy, utterance, 128) is not None
    assert build.finished(copy, utterance, 256) is None
    assert build.finished(copy, dataclasses.replace(utterance, pitch=utterance.pitch + 1), 128) is None
    versions = build.installed()
    monkeypatch.setattr(build, "installed", lambda: versions | {"torch": "2.11.0"})
    build._tools.cache_clear()
    try:
        assert build.finished(copy, utterance, 128) is None
    finally:
        build._tools.cache_clear()


def test_another_version_of_the_benchmark_is_built_anew(copy, monkeypatch):
    """What was built stays valid whatever is tidied in the code, until the version says that the bytes are others."""
    utterance = corpus.utterances("test-en", 1)[0]
    monkeypatch.setattr(build, "VERSION", corpus.VERSION + "1")
    build._tools.cache_clear()
    try:
        assert build.finished(copy, utterance, 128) is None
    finally:
        build._tools.cache_clear()


def test_an_interrupted_build_continues(tmp_path):
    def stop(done: int, total: int, id: str) -> None:
        if id:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.build(tmp_path, ["dub"], 2, 1, stop)
    assert len(contents(tmp_path)) == 5, "one whole item and no manifest"
    (first,) = (path.stem for path in (tmp_path / "dub/reference").glob("*.mp4"))
    (second,) = {"dub-0000", "dub-0001"} - {first}
    assert made_by(tmp_path, ["dub"], 2, workers=1) == [second]
    assert (tmp_path / "dub/first-2.jsonl").is_file()


def test_a_killed_worker_is_reported_and_what_is_finished_stays(tmp_path):
    def kill(done: int, total: int, id: str) -> None:
        if id:
            for process in multiprocessing.active_children():
                process.kill()

    with pytest.raises(BuildError, match="killed .* the same command continues"):
        build.build(tmp_path, ["codec"], 8, 2, kill)
    finished, _ = build.on_disk(tmp_path, "codec")
    assert 1 <= finished < 8 and not (tmp_path / "codec/first-8.jsonl").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_a_write_that_fails_midway_leaves_no_file(tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))  # the video alone is larger
    try:
        with pytest.raises(BuildError, match="cannot write in .*: File too large.*--out"):
            build.build(tmp_path, ["test-en"], 1, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(tmp_path) == {}
    assert not list(tmp_path.rglob("*.part"))


def test_a_full_disk_is_noticed_before_anything_is_made(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(build.shutil, "disk_usage", lambda _: usage._replace(free=5_000_000))
    with pytest.raises(BuildError, match="about 60 MB are needed in .* 5 MB are free: .*--items"):
        build.build(tmp_path, ["test-en"])
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voice": "en-us+nobody"}, "test-en-0001 cannot be made: .*nobody"),
        ({"identity": -1}, "test-en-0001 cannot be made: an identity seed is 0 or larger, got -1"),
    ],
)
def test_a_voice_or_a_person_that_does_not_exist(tmp_path, monkeypatch, change, message):
    first, second = corpus.utterances("test-en", 2)
    broken = dataclasses.replace(second, **change)
    monkeypatch.setattr(corpus, "utterances", lambda split, count=None: [first, broken])
    with pytest.raises(BuildError, match=message):
        build.build(tmp_path, ["test-en"], 2, 1)
    assert not [name for name in contents(tmp_path) if second.id in name or name.endswith("jsonl")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["tst-en"],), "no split 'tst-en'; did you mean test-en"),
        (([],), "name at least one split: train"),
        ((["dub"], 0), "dub has 1 to 100 clips, 0 were asked for"),
        ((["dub"], 101), "dub has 1 to 100 clips, 101 were asked for"),
        ((["dub"], 1, 0), "workers must be 1 or more, got 0"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(BuildError, match=message):
        build.build(tmp_path / "new", *arguments)
    with pytest.raises(BuildError, match="128 or 256 pixels wide, 200 were asked for"):
        build.build(tmp_path / "new", ["dub"], size=200)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BuildError, match="file is a file, expected a folder to build in.*--out"):
            build.build(folder, ["dub"], 1)
    if not Path("/proc/self").is_dir():
        pytest.skip("no folder here that even root cannot write in")
    with pytest.raises(BuildError, match="cannot write in /proc/.*--out"):
        build.build("/proc/gridface", ["dub"], 1)


def test_digests_excuse_only_what_can_differ(built, tmp_path):
    measured = digests.measure(built, "test-en", 8, 128)
    table = tmp_path / "digests.toml"
    digests.write([measured, digests.measure(built, "test-zh", 8, 128)], table)
    expected = digests.recorded("test-en", 8, 128, table)
    assert expected == measured
    assert {found.state for found in digests.compare(measured, expected)} == {State.SAME}
    others = {layer: "0" * 64 for layer in digests.LAYERS}
    changed = dataclasses.replace(expected, layers=others)
    assert {found.state for found in digests.compare(measured, changed)} == {State.DIFFERENT}
    older = dataclasses.replace(changed, environment=expected.environment | {"torch": "1.0"})
    states = {found.layer: found.state for found in digests.compare(measured, older)}
    assert states == {
        "items": State.DIFFERENT, "sound": State.DIFFERENT, "motion": State.DIFFERENT,
        "pictures": State.NOT_COMPARABLE, "files": State.NOT_COMPARABLE,
    }  # fmt: skip
    reasons = [found.reason for found in digests.compare(measured, older) if found.layer == "pictures"]
    assert reasons == [f"the recorded digest was made with torch 1.0 (here {measured.environment['torch']})"]
    arm = dataclasses.replace(changed, environment=expected.environment | {"processor": "aarch64 DEFAULT"})
    states = [found.state for found in digests.compare(measured, arm)]
    assert states == [State.DIFFERENT] + 4 * [State.NOT_COMPARABLE], "arithmetic is the same everywhere"


def test_one_changed_bit_changes_the_digest_of_its_layer(copy):
    before = digests.measure(copy, "test-en", 2, 128).layers
    record = copy / "test-en/.records/test-en-0001.json"
    content = json.loads(record.read_text())
    content["motion"] = content["motion"][:-1] + ("0" if content["motion"][-1] != "0" else "1")
    record.write_text(json.dumps(content))
    after = digests.measure(copy, "test-en", 2, 128).layers
    assert [layer for layer in digests.LAYERS if before[layer] != after[layer]] == ["motion"]
    (copy / "test-en/identity/test-en-0000.png").unlink()
    with pytest.raises(BuildError, match="test-en-0000 is missing or damaged in .*data build embedded --split test-en"):
        digests.measure(copy, "test-en", 2, 128)


def test_digests_of_other_tools_do_not_stay_beside_new_ones(built, tmp_path):
    table = tmp_path / "digests.toml"
    measured = digests.measure(built, "test-en", 8, 128)
    digests.write([dataclasses.replace(measured, split="dub", environment=measured.environment | {"av": "1"})], table)
    digests.write([measured], table)
    assert digests.recorded("dub", 8, 128, table) is None
    table.write_text("digest = [")
    with pytest.raises(BuildError, match="cannot read the table of digests"):
        digests.recorded("test-en", 8, 128, table)


def test_the_command_builds_verifies_and_lists(built, tmp_path, monkeypatch):
    run = CliRunner().invoke
    command = ["build", "embedded", "--split", "test-en", "--items", "8", "--out", str(built)]
    result = run(data_app, [*command, "--verify"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(built / "test-en/first-8.jsonl")]
    assert "test-en, 8 items: same items, sound, motion" in result.stderr
    wrong = tmp_path / "wrong.toml"
    digests.write([dataclasses.replace(digests.measure(built, "test-en", 8, 128), layers={
        layer: "0" * 64 for layer in digests.LAYERS
    })], wrong)  # fmt: skip
    monkeypatch.setattr(digests, "TABLE", wrong)
    result = run(data_app, [*command, "--verify"])
    assert result.exit_code == 1 and "items different: this is not gridface version 1" in result.stderr
    result = run(data_app, [*command[:4], "--items", "2", "--out", str(built), "--verify"])
    assert result.exit_code == 2 and "no digest is recorded for 2 items of" in result.stderr
    rows = json.loads(run(data_app, ["show", "gridface", "--out", str(built), "--json"]).stdout)["splits"]
    assert {row["split"]: row["items"] for row in rows} == dict(corpus.SPLITS)
    finished = {row["split"]: row["finished"] for row in rows}
    assert finished["test-en"] == finished["test-zh"] == 8 and finished["train"] == 0
    result = run(data_app, ["build", "embedded", "--split", "test-eng"])
    assert result.exit_code == 2 and "did you mean test-en" in result.stderr


def test_the_default_folder_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv(build.FOLDER_VARIABLE, str(tmp_path))
    assert build.default_folder() == tmp_path / "gridface-1-128"
    assert build.default_folder(256) == tmp_path / "gridface-1-256"
    monkeypatch.delenv(build.FOLDER_VARIABLE)
    assert build.default_folder().name == "gridface-1-128" and build.default_folder().is_absolute()


def test_the_contact_sheet_shows_the_clips(built):
    from t2av_bench.gridface.data.contact_sheet import contact_sheet
    from t2av_bench.media.clip import Clip

    sheet = contact_sheet(built / "test-zh" / "first-8.jsonl", 2, columns=3)
    assert sheet.shape == (2 * 148, 3 * 128, 3)
    clip = Clip(built / "test-zh/reference/test-zh-0007.mp4")
    last = clip.frames_at([round(0.9 * (clip.frame_count - 1))])[0]
    assert np.array_equal(sheet[148 : 148 + 128, 256:], last)
    with pytest.raises(ValueError, match="has 8 items, 9 were asked for"):
        contact_sheet(built / "test-zh" / "first-8.jsonl", 9)
