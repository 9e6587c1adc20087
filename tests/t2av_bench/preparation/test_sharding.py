"""Many clips to a folder of shards: the same bytes however it is done, and a reason for every clip that is none."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from number_encoder import NumberEncoder

from reference_model.training.shards import ShardSource
from t2av_bench.errors import NotApplicable
from t2av_bench.preparation import sharding
from t2av_bench.preparation.sharding import EncodingTask, make_shards

TROUBLES = {1: "refused", 4: "not finite", 6: "defect"}
_INTERRUPTED = """
from pathlib import Path
import sys
sys.path[:0] = sys.argv[2:]
from t2av_bench.preparation import sharding
from number_encoder import NumberEncoder
from test_sharding import clips
sharding.BLOCK = 4
sharding.make_shards(clips(0.4), NumberEncoder, (), Path(sys.argv[1]), {"codec": "numbers"}, workers=1)
"""


def clips(seconds=0.0, count=11):
    contents = [{"frames": 4 + number, "trouble": TROUBLES.get(number)} for number in range(count)]
    made = [EncodingTask(f"clip {number}", {**each, "seconds": seconds}, each) for number, each in enumerate(contents)]
    return [*made, EncodingTask("слово", {}, {}, reason="there is no text")]


def make(folder, made=None, settings=None, workers=1, encoder=(), **options):
    return make_shards(made or clips(), NumberEncoder, encoder, folder, settings or {"codec": "numbers"},
                       workers=workers, **options)  # fmt: skip


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(sharding, "BLOCK", 4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The clips in a folder, made by one worker: what is returned, and the progress that was told."""
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "BLOCK", 4)
        return make(tmp_path_factory.mktemp("whole") / "a", on_step=steps.append), steps


def test_every_clip_is_a_sample_or_has_its_reason(whole):
    one, steps = whole
    assert [path.name for path in sorted(one.folder.glob("*.safetensors"))] == [
        f"0000{n}.safetensors" for n in range(3)
    ]
    assert (one.prepared, one.total) == (8, 12) and [step.done for step in steps] == list(range(1, 13))
    reasons = dict(one.left_out)
    assert re.fullmatch(r"unexpected KeyError: 'key' \(number_encoder.py:\d+\)", reasons.pop("clip 6"))
    assert reasons == {
        "clip 1": "it shows no face", "clip 4": "sample 'clip 4': speech is not finite from frame 1 on",
        "слово": "there is no text",
    }  # fmt: skip


def test_neither_workers_nor_a_kill_change_a_byte(whole, tmp_path):
    make(tmp_path / "two", workers=2)
    expected = contents(whole[0].folder)
    assert contents(tmp_path / "two") == expected
    killed = tmp_path / "killed"
    paths = [os.path.dirname(sys.modules[name].__file__) for name in ("number_encoder", __name__)]
    process = subprocess.Popen([sys.executable, "-c", _INTERRUPTED, str(killed), *paths], start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while len(list(killed.glob(".parts/00001/*"))) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (killed / ".parts" / "00000.json").is_file() and not (killed / "index.json").exists()
    (killed / ".00001.safetensors.abc.part").write_bytes(b"half of a shard")
    before = {path: path.stat().st_mtime_ns for path in killed.rglob("*.safetensors")}
    steps = []
    make(killed, on_step=steps.append)
    assert contents(killed) == expected
    assert steps[0].done >= 6  # what was finished counts, and with it the clip without a text
    assert (killed / "00000.safetensors").stat().st_mtime_ns == before[killed / "00000.safetensors"]


def test_the_samples_are_read_back(whole):
    source = ShardSource(whole[0].folder, with_motion=True, verify="digest")
    assert source.lengths[:, 2].tolist() == [4, 6, 7, 9, 11, 12, 13, 14]
    sample = source[7]
    assert sample.speech[-1].tolist() == [39.0, 40.0, 41.0] and sample.motion[-1].tolist() == [39.0, 40.0]
    assert sample.text_ids.tolist() == [1, 2] and sample.suffix_ids.tolist() == [7]
    assert source.describe(7).endswith("00002.safetensors, entry 2 ('clip 10')")


def test_a_finished_folder_is_found_and_another_one_refused(whole, tmp_path):
    folder = shutil.copytree(whole[0].folder, tmp_path / "a")
    assert make(folder, encoder=(False,)) == dataclasses.replace(whole[0], folder=folder)  # nothing could be loaded
    for other, told in (
        ({"settings": {"codec": "letters"}}, "made with other settings .codec 'numbers' there, 'letters' now.: choose"),
        ({"made": clips(count=5)}, "clips 12 there, 6 now; other clips or texts"),
        ({"dtype": "float16"}, "dtype 'float32' there, 'float16' now"),
    ):
        with pytest.raises(ValueError, match=told):
            make(folder, **other)
    (folder / "settings.json").unlink()
    with pytest.raises(ValueError, match="holds shards that this command did not write: choose another folder"):
        make(folder)


def test_a_clip_that_kills_its_worker_costs_itself_alone(tmp_path):
    made = [
        EncodingTask(name, {"frames": 5, "trouble": trouble}, name)
        for name, trouble in (("bad", "killed"), ("good", None))
    ]
    done = make(tmp_path / "a", made, dtype="float16")
    assert ShardSource(done.folder)[0].speech[-1].tolist() == [12.0, 13.0, 14.0]
    assert (done.folder / "00000.safetensors").read_bytes().count(b'"F16"') == 3
    assert done.left_out == [("bad", "the encoding process died: SIGKILL (out of memory?)")]


def test_without_an_encoder_or_a_usable_clip_there_are_no_shards(tmp_path):
    with pytest.raises(NotApplicable, match="the encoder cannot be loaded: this encoder loads nothing"):
        make(tmp_path / "a", encoder=(False,))
    broken = [EncodingTask(str(number), {}, number, reason=f"reason {number}") for number in range(3)]
    for _ in range(2):
        with pytest.raises(ValueError, match="none of 3 clips could be prepared, .*left_out.jsonl.*first: 0: reason 0"):
            make(tmp_path / "b", broken)
    rows = [json.loads(line) for line in (tmp_path / "b" / "left_out.jsonl").read_text().splitlines()]
    assert rows == [{"id": str(number), "reason": f"reason {number}"} for number in range(3)]
    assert not (tmp_path / "b" / "index.json").exists()
