"""A benchmark's manifest serves both sides: what a system is asked, and what its clips are scored by."""

import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fake_systems import Noise
from scipy.io import wavfile

from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.benchmarks.pairing import pair
from t2av_bench.generation.lengths import with_length
from t2av_bench.generation.records import digests, fingerprint
from t2av_bench.generation.requests import Requests, read_items, write_manifest
from t2av_bench.generation.row import ExperimentRow
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import Request


def row(manifest: Path, task: str = "a2v") -> ExperimentRow:
    return ExperimentRow(
        name="noise", label="noise", system="fake-noise", task=task, manifest=manifest, split=None, items=None, seed=0,
        max_seconds=30.0, metrics=("all",), tables=(), step=None, options={},
    )  # fmt: skip


@pytest.fixture
def data(tmp_path):
    for index, name in enumerate(("a", "b", "voice", "song")):
        samples = np.random.default_rng(index).standard_normal(800) * 1000
        wavfile.write(tmp_path / f"{name}.wav", 16000, samples.astype(np.int16))
    return tmp_path


def write(folder: Path, *lines: object) -> Path:
    path = folder / "items.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_bytes(text.encode())
    return path


class Dubber(Noise):
    needs = {**Noise.needs, "v2a": ("text", "driving_video")}


def request(data: Path, task: str, **fields: object):
    """What a system is asked for an item with these fields beside id, text, language and reference."""
    line = {"id": "a", "text": "one", "language": "en", "reference": "a.wav"} | fields
    asked = row(write(data, line, {"id": "b", "reference": "b.wav"}), task)
    items = read_items(asked, asked.manifest)
    return Requests(asked, 0, items, Dubber, data / "out", digests()).of(items.entries[0])


def test_an_item_may_name_its_driving_sound_and_what_its_voice_says(data):
    assert request(data, "a2v").driving_audio == data / "a.wav"
    assert request(data, "a2v", driving_audio="song.wav").driving_audio == data / "song.wav"
    asked = request(data, "t2av", reference_voice="voice.wav", reference_voice_text="a few words")
    assert (asked.voice, asked.voice_text) == (data / "voice.wav", "a few words")
    assert request(data, "t2av", reference_voice_text="a few words").voice_text is None, "not what the reference says"


def test_what_is_said_of_scene_voice_and_length_reaches_the_system(data):
    asked = with_length(request(data, "t2av", scene="a kitchen", voice_description="hoarse", seconds=3.0))
    assert (asked.scene, asked.voice_description, asked.target_seconds) == ("a kitchen", "hoarse", None)
    assert with_length(request(data, "a2v")).target_seconds == 800 / 16000
    frames = np.zeros((7, 32, 32, 3), np.uint8)
    write_mp4(data / "a.mp4", [frames], np.zeros(16000), frame_rate=Fraction(30000, 1001))
    assert with_length(request(data, "v2a", driving_video="a.mp4")).target_seconds == pytest.approx(7 * 1001 / 30000)


class OneSeed(Noise):
    seed_support = "run"


def test_a_system_with_one_seed_for_the_list_gets_that_of_the_row(data):
    line = {"text": "one", "language": "en", "reference": "a.wav"}
    asked = row(write(data, {"id": "a"} | line, {"id": "b"} | line), "t2av")
    items = read_items(asked, asked.manifest)

    def seeds(kind: type, run_seed: int, row: ExperimentRow = asked) -> list[int]:
        requests = Requests(row, run_seed, items, kind, data / "out", digests())
        return [requests.of(entry).seed for entry in items.entries]

    first, second = seeds(OneSeed, 0)
    assert first == second and first not in seeds(Noise, 0)
    others = {first, seeds(OneSeed, 1)[0], seeds(OneSeed, 0, replace(asked, seed=1))[0]}
    assert len(others) == 3, "the seeds of the run and of the row both count"
    assert len(set(seeds(Noise, 0))) == 2


def test_a_fingerprint_is_that_of_earlier_versions_where_nothing_new_is_told(data):
    plain = Request("a", data / "a.mp4", text="one", language="en", seed=3)
    document = {
        "version": 1, "system": "s", "options": {}, "files": {}, "id": "a", "task": "t2av", "text": "one",
        "language": "en", "voice_text": None, "seed": 3, "max_seconds": 30.0, "inputs": {},
    }  # fmt: skip
    wanted = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    assert fingerprint(plain, "s", {}, {}, digests()) == wanted
    told = [replace(plain, **{name: value}) for name, value in
            (("scene", "a"), ("voice_description", "a"), ("target_seconds", 1.0))]  # fmt: skip
    assert len({wanted, *(fingerprint(each, "s", {}, {}, digests()) for each in told)}) == 4
    driven = replace(plain, task="a2v", driving_audio=data / "a.wav")
    assert fingerprint(replace(driven, target_seconds=0.05), "s", {}, {}, digests()) == fingerprint(
        driven, "s", {}, {}, digests()
    ), "the file's content tells its length"


def test_labels_and_unset_fields_do_not_make_a_clip_again(data):
    def made_from(**fields: object) -> str:
        return fingerprint(request(data, "t2av", **fields), "fake-noise", {}, {}, digests())

    plain = made_from()
    assert made_from(speaker="s", video="v", licence="l", tags=["t"], mood="calm") == plain
    assert made_from(reference_voice="voice.wav") != plain
    assert made_from(reference_voice="voice.wav", reference_voice_text="x") != made_from(reference_voice="voice.wav")


def test_strangers_are_other_speakers_where_the_manifest_knows_them(data):
    lines = [{"id": id, "text": id, "reference": "a.wav" if id == "a" else f"{id}.wav", "speaker": speaker}
             for id, speaker in (("a", "anna"), ("b", "anna"), ("voice", "bert"))]  # fmt: skip
    asked = row(write(data, *lines))
    items = read_items(asked, asked.manifest)
    assert Requests(asked, 0, items, Noise, data / "out", digests()).of(items.entries[0]).stranger == data / "voice.wav"


def test_the_manifest_of_a_row_has_the_same_items_however_its_lines_were_written(data):
    lines = [
        {"id": "a", "text": "one\u2028two\x85three", "language": "en", "reference": "a.wav", "speaker": 7, "take": [1]},
        "", "{broken", {"id": "a"}, "", {"id": "b", "text": 3}, {"id": "w", "withdrawn": True}, {"id": "cafe\u0301"},
    ]  # fmt: skip
    asked = row(write(data, *lines))
    items = read_items(asked, asked.manifest)
    assert [entry.item.id for entry in items.entries] == ["a", "items.jsonl line 3", "a (line 4)", "b", "caf\u00e9"]
    path = write_manifest(items, data / "items", asked)
    again = read_manifest(path)
    assert [entry.item.id for entry in again] == [entry.item.id for entry in items.entries]
    assert not any(entry.reason for entry in again)
    first = again[0].item
    assert (first.text, first.speaker, first.model_extra) == ("one\u2028two\x85three", "7", {"take": [1]})
    clips = data / "clips"
    clips.mkdir()
    broken = {entry.item.id: entry.reason for entry in items.entries if entry.reason}
    assert broken.keys() == {"items.jsonl line 3", "a (line 4)", "b"}
    failures = [json.dumps({"id": id, "reason": reason}) + "\n" for id, reason in broken.items()]
    (clips / "failures.jsonl").write_text("".join(failures))
    (clips / "a.wav").write_bytes((data / "a.wav").read_bytes())
    planned = {entry.item.id: entry.reason for entry in pair(clips, manifest=path)[0]}
    assert planned["a"] is None and {id: planned[id] for id in broken} == broken
