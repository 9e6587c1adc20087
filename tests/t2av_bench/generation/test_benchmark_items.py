"""A benchmark's manifest serves both sides: what a system is asked, and what its clips are scored by."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_systems import Noise
from scipy.io import wavfile

from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.benchmarks.pairing import pair
from t2av_bench.generation.records import digests, fingerprint
from t2av_bench.generation.requests import Requests, read_items, write_manifest
from t2av_bench.generation.row import ExperimentRow


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


def request(data: Path, task: str, **fields: object):
    """What a system is asked for an item with these fields beside id, text, language and reference."""
    line = {"id": "a", "text": "one", "language": "en", "reference": "a.wav"} | fields
    asked = row(write(data, line, {"id": "b", "reference": "b.wav"}), task)
    items = read_items(asked, asked.manifest)
    return Requests(asked, 0, items, Noise, data / "out", digests()).of(items.entries[0])


def test_an_item_may_name_its_driving_sound_and_what_its_voice_says(data):
    assert request(data, "a2v").driving_audio == data / "a.wav"
    assert request(data, "a2v", driving_audio="song.wav").driving_audio == data / "song.wav"
    asked = request(data, "t2av", reference_voice="voice.wav", reference_voice_text="a few words")
    assert (asked.voice, asked.voice_text) == (data / "voice.wav", "a few words")
    assert request(data, "t2av", reference_voice_text="a few words").voice_text is None, "not what the reference says"


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
