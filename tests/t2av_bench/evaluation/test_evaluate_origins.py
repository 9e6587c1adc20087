"""What clips' records say of their system goes with the run, wherever the clips are by then."""

import json
import shutil

import numpy as np
import pytest
from evaluate_factory import make_clips
from scipy.io import wavfile

import t2av_bench as tb
from t2av_bench.media.clip import Clip
from t2av_bench.systems.external import attestations

DIGESTS = {"spec": "1" * 64, "shim": "2" * 64}
TOLD = {
    "system": "ovi", "task": "t2av", "prompt": "A person says hello", "template": "ovi 12345678",
    "told_length": "reference",
    "external": {"spec_sha256": DIGESTS["spec"], "shim_sha256": DIGESTS["shim"], "only_in_words": ["language"],
                 "ignored": ["target_seconds"], "no_input": ["voice"]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_attestations(tmp_path, monkeypatch, fake_metrics):
    monkeypatch.setattr(attestations, "user_data", lambda: tmp_path / "data")
    monkeypatch.setattr(attestations, "_BUNDLED", tmp_path / "bundled")
    attestations._read.cache_clear()
    yield
    attestations._read.cache_clear()


def made(folder, names, record=TOLD, **more):
    """Clips with records, as a system and ``run`` leave them."""
    make_clips(folder, names)
    for name in names:
        sha256 = {f"{name}.wav": Clip(folder / f"{name}.wav").digest}
        (folder / f"{name}.json").write_text(json.dumps({**record, "id": name, "sha256": sha256} | more))
    return folder


def evaluate(folder, out, **more):
    return tb.evaluate(generated=folder, metrics=("fake/level",), workers=1, name="Ovi", out=out, **more)


def about(*runs):
    """The note of each row, found in every format that has it."""
    table = tb.table(list(runs))
    assert all(note in "\n".join(table.notes) for row in table.rows if (note := row.origin_note))
    return [row.origin_note for row in table.rows]


def attest(digests):
    attestations.write(attestations.own_file("ovi"), {
        "id": "ovi", "date": "2026-11-29T10:00:00+00:00", **digests,
        "results": [{"name": "item t2av", "status": "ok", "words": ""}],
    })  # fmt: skip


def test_a_moved_run_whose_clips_are_gone_still_says_it(tmp_path):
    evaluate(made(tmp_path / "made", ["a", "b"]), tmp_path / "run")
    shutil.rmtree(tmp_path / "made")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    (note,) = about(tmp_path / "elsewhere")
    made_by, *rest = note.split("; ")
    assert made_by.startswith("made by ovi ")
    assert rest == [
        "prompted by t2av-bench (template ovi 12345678)", "never run with weights by anybody",
        "language only in words of the prompt", "length, reference voice ignored", "told the length of the reference",
    ]  # fmt: skip


def test_merged_shards_say_what_each_of_them_said(tmp_path):
    folder = made(tmp_path / "made", ["a", "b", "c"])
    (folder / "c.json").unlink()
    shards = [evaluate(folder, tmp_path / "apart", shard=f"{index}/2") for index in (1, 2)]
    alone = evaluate(folder, tmp_path / "alone")
    merged = tb.merge([shard.path for shard in shards])
    assert about(merged) == about(alone) and "told the length of the reference (2 of 3 clips)" in about(merged)[0]


def test_the_record_of_another_clip_says_nothing_of_this_one(tmp_path):
    folder = made(tmp_path / "made", ["a", "b"])
    noise = np.random.default_rng(9).standard_normal(8000) * 900
    wavfile.write(folder / "a.wav", 16000, noise.astype(np.int16))
    (folder / "b.json").write_text("[1, 2")
    assert about(evaluate(folder, tmp_path / "run")) == [""]


@pytest.mark.parametrize("record", [
    {"system": "embedded-talker", "task": "t2av", "notes": []}, {"system": 7}, ["no record"], {"external": {}},
    {"system": "x", "external": {"ignored": "voice", "spec_sha256": 3}, "template": None},
])  # fmt: skip
def test_records_of_own_systems_and_strange_ones_have_no_note(tmp_path, record):
    folder = make_clips(tmp_path / "made", ["a"])
    (folder / "a.json").write_text(json.dumps(record))
    assert about(evaluate(folder, tmp_path / "run")) == [""]


def test_what_only_repeats_the_driving_speech_is_not_called_ignored(tmp_path):
    ignored = ["text", "target_seconds", "identity"]
    external = {**TOLD["external"], "ignored": ignored, "only_in_words": [], "no_input": ["voice"]}
    folder = made(tmp_path / "made", ["a"], task="a2v", external=external)
    assert "; identity image ignored;" in about(evaluate(folder, tmp_path / "run"))[0]


def test_of_a_cascade_each_stage_is_named(tmp_path):
    speech = {"system": "f5-tts", "task": "tts", "external": {**TOLD["external"], "no_input": ["identity"]}}
    picture = {"system": "sonic", "task": "a2v", "external": {**TOLD["external"], "only_in_words": []}}
    record = {"system": "cascaded", "task": "t2av", "stages": {"tts": speech, "a2v": picture}}
    (note,) = about(evaluate(made(tmp_path / "made", ["a", "b"], record), tmp_path / "run"))
    first, second, *rest = note.split("; ")
    assert first.startswith("made by f5-tts ") and second.startswith("made by sonic ")
    assert rest == [
        "f5-tts: never run with weights by anybody", "sonic: never run with weights by anybody",
        "f5-tts: language only in words of the prompt", "f5-tts: length ignored",
    ], "a voice needs no picture, and what is driven by speech no voice"  # fmt: skip


def test_an_attestation_of_these_digests_ends_never_run_now_and_for_later_readers(tmp_path):
    folder = made(tmp_path / "made", ["a"])
    before = evaluate(folder, tmp_path / "before")
    attest({**DIGESTS, "shim": "3" * 64})
    changed = "passed its check with weights on 2026-11-29; shim changed since"
    assert changed in about(before)[0] and "never run" not in about(before)[0]
    later = evaluate(folder, tmp_path / "later")
    attestations.own_file("ovi").unlink()
    attestations._read.cache_clear()
    assert "never run" in about(before)[0] and changed in about(later)[0], "each as far as it is known"
    attest(DIGESTS)
    for run in (before, later, after := evaluate(folder, tmp_path / "after")):
        assert "weights" not in about(run)[0] and "prompted by" in about(run)[0]
    attestations.own_file("ovi").unlink()
    attestations._read.cache_clear()
    assert "weights" not in about(after)[0], "whoever gets the run need not have the attestation"


def test_runs_of_before_have_no_notes(tmp_path):
    from t2av_bench.results.store import Store

    run = evaluate(made(tmp_path / "made", ["a"]), tmp_path / "run")
    with Store(run.path / "results.db", create=True) as store:
        store._write("DELETE FROM run WHERE key = 'origins'")
    assert about(run.path) == [""]
