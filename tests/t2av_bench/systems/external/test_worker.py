"""Foreign programs that print, crash, hang, lie and leave: every misbehaviour costs its own clip alone."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from t2av_bench.errors import NotApplicable
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request, native_seed
from t2av_bench.systems.external import spec as specs
from t2av_bench.systems.external import worker

ROOT = Path(__file__).resolve().parents[4]

SPEC = """
id = "unruly"
title = "Unruly"
paper = "made for these tests"
carrier = "worker"
seed_support = "full"
item_seconds = 3
start_seconds = 20
repository = "nobody/unruly"
commit = "0000000000000000000000000000000000000000"
[tasks]
a2v = ["text", "identity", "driving_audio"]
[native]
frame_rate = "25"
length = "as many frames as the sound lasts, rounded down"
[length]
source = "audio"
[honours]
text = "ignored"
identity = "yes"
driving_audio = "yes"
[options]
strength = { default = 1.0, help = "of nothing" }
broken = { default = false, help = "whether loading fails" }
"""

SHIM = """
import ctypes, os, shutil, signal, subprocess, sys, time, wave
from _worker import Refused

def load(settings):
    print("loading, says Python")
    if settings["options"]["broken"]:
        raise RuntimeError("these weights are no weights")
    return settings

def make(model, request):
    print("making, says Python")
    os.write(1, b"written to descriptor 1\\n")
    subprocess.call(["sh", "-c", "echo a child prints"])
    out = os.path.join(request["out_dir"], request["id"])
    what = request["text"]
    if what == "raise":
        return [][1]
    if what == "nothing":
        return {"video": out + ".mp4", "audio": out + ".wav"}
    if what == "empty":
        open(out + ".mp4", "w").close()
        return {"av": out + ".mp4"}
    if what == "noise":
        with open(out + ".mp4", "wb") as file:
            file.write(b"no video at all" * 100)
        return {"av": out + ".mp4"}
    if what == "exit":
        sys.exit(0)
    if what == "gone":
        os._exit(0)
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    if what == "faceless":
        raise Refused("no_face", "no face was found")
    if what == "hang":
        subprocess.Popen(["sleep", "1000"])
        time.sleep(1000)
    if what == "odd answer":
        return 7
    shutil.copyfile(os.path.join(model["checkout"], "long.mp4" if what == "too long" else "template.mp4"), out + ".mp4")
    with wave.open(out + ".wav", "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(request["seed"].to_bytes(4, "little") * 8000)
    return {"video": out + ".mp4", "audio": out + ".wav", "notes": ["a note"]}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the specification, its shim, a checkout and the inputs of an item of one second."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "unruly.toml").write_text(SPEC)
    (tmp_path / "specs" / "unruly.py").write_text(SHIM)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    pictures = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    write_mp4(checkout / "template.mp4", [pictures[:25]])
    write_mp4(checkout / "long.mp4", [pictures])
    write_mp4(tmp_path / "face.mp4", [pictures[:2]])
    tone = (8000 * np.sin(np.arange(16000) / 9)).astype(np.int16)
    wavfile.write(tmp_path / "speech.wav", 16000, tone)
    monkeypatch.setenv(specs.VARIABLE, str(tmp_path / "specs"))
    worker._class_of.cache_clear()
    yield tmp_path
    worker._class_of.cache_clear()


def load(place, python=sys.executable, **options):
    kind = worker.unruly
    return kind.load(python=str(python), checkout=str(place / "checkout"), **options)


def request(place, text, name=None):
    return Request(
        name or text.replace(" ", "-"), place / "out" / f"{name or text.replace(' ', '-')}.mp4", task="a2v", text=text,
        identity=place / "face.mp4", driving_audio=place / "speech.wav", seed=2**40,
    )  # fmt: skip


ROWS = {
    "good": None, "raise": "exception: IndexError", "nothing": "no_file", "empty": "empty_file",
    "noise": "undecodable", "exit": "exception: SystemExit", "crash": "died: its process died: SIGSEGV", "good 2": None,
    "gone": "died: its process ended with exit status 0", "memory": "out_of_memory", "faceless": "no_face: no face",
    "odd answer": "exception: TypeError: the shim gave 7", "too long": "wrong_length: it wrote 40 frames, 25 were",
    "hang": "timeout: it took longer than 3 s", "good 3": None,
}  # fmt: skip


def interpreters():
    found = {"this": sys.executable}
    for name in ("python3.8", "python3.9", "python3.10", "python3.12"):
        for each in (shutil.which(name), *map(str, Path.home().glob(f".pyenv/versions/{name[6:]}.*/bin/python"))):
            if each and subprocess.run([each, "-c", ""], capture_output=True).returncode == 0:
                found[name] = each
                break
    return found


@pytest.mark.parametrize("name", ["this", "python3.8", "python3.12"])
def test_each_misbehaviour_costs_its_own_clip_alone(place, name, capfd):
    python = interpreters().get(name)
    if python is None:
        pytest.skip(f"there is no {name} on this machine")
    system = load(place, python)
    beats = []
    answers = dict(zip(ROWS, system.generate_batch([request(place, text) for text in ROWS], beats.append), strict=True))
    system.close()
    for text, reason in ROWS.items():
        if reason is None:
            assert isinstance(answers[text], GeneratedClip), answers[text]
        else:
            assert isinstance(answers[text], GenerationFailed) and reason in str(answers[text])
    assert beats, "a process that works is heard"
    assert not capfd.readouterr().out, "what it prints is not the command's"
    log = (place / "out" / ".logs" / "raise.log").read_text()
    for printed in ("says Python", "written to descriptor 1", "a child prints", "IndexError"):
        assert printed in log
    assert sorted(path.name for path in (place / "out").glob("[!.]*")) == [
        *(f"good{n}.{kind}" for n in ("-2", "-3", "") for kind in ("json", "mp4", "wav"))
    ] and not list((place / "out").glob(".*.part"))


def test_a_clip_is_what_was_written_and_its_record_says_how(place):
    system = load(place, strength=2.0)
    clip = system.generate(request(place, "good"))
    system.close()
    assert (clip.frame_count, clip.frame_rate, clip.audio_samples) == (25, 25, 16000)
    wanted = np.frombuffer(native_seed(2**40).to_bytes(4, "little") * 8000, "<i2") / 32768
    assert np.allclose(Clip(clip.audio).audio(16000), wanted, atol=1e-4)
    record = json.loads(clip.record.read_text())
    assert record["native_seed"] == native_seed(2**40) and record["settings"]["options"]["strength"] == 2.0
    assert record["external"]["ignored"] == ["text"] and record["notes"] == ["a note"]
    assert record["external"]["interpreter"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_what_never_starts_is_asked_no_more_after_three_times(place):
    system = load(place, broken=True)
    answers = system.generate_batch([request(place, "good", f"g{number}") for number in range(5)])
    system.close()
    assert [type(answer) for answer in answers] == [GenerationFailed] * 2 + [NotApplicable] * 3 or [
        type(answer) for answer in answers
    ] == [GenerationFailed] * 3 + [NotApplicable] * 2
    assert all("these weights are no weights" in str(answer) for answer in answers)


def test_options_and_places_are_refused_by_name(place):
    from t2av_bench.systems.external.settings import VARIABLE

    with pytest.raises(NotApplicable, match="systems recipe unruly"):
        worker.unruly.load()
    with pytest.raises(NotApplicable, match="nowhere is no program"):
        worker.unruly.load(python="nowhere", checkout=str(place))
    settings = place / "systems.toml"
    settings.write_text('[unruly]\npython = "python3"\ncheckuot = "x"\n')
    os.environ[VARIABLE] = str(settings)
    try:
        with pytest.raises(ValueError, match="checkuot.*checkout"):
            worker.unruly.load()
    finally:
        del os.environ[VARIABLE]


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from t2av_bench.systems.base import Request
from t2av_bench.systems.external import worker
place = Path({place!r})
system = worker.unruly.load(python=sys.executable, checkout=str(place / "checkout"), item_seconds=60.0)
for number in range({count}):
    text = {text!r}
    out = place / "out" / f"c{{number}}.mp4"
    if out.with_suffix(".json").exists():
        continue
    system.generate(Request(f"c{{number}}", out, task="a2v", text=text, identity=place / "face.mp4",
                            driving_audio=place / "speech.wav", seed=number), lambda _: print("beat", flush=True))
print("all", flush=True)
"""


def start(place, count, text):
    program = PROGRAM.format(tests=str(ROOT), place=str(place), count=count, text=text)
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def running(text):
    """Processes whose command line holds the text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_nothing_outlives_a_harness_that_was_killed(place):
    harness = start(place, 1, "hang")
    assert harness.stdout.readline() == "beat\n"
    marks = (str(place / "specs" / "unruly.py"),)
    until = time.monotonic() + 20
    while not any(running(mark) for mark in marks) and time.monotonic() < until:
        time.sleep(0.1)
    assert running(marks[0])
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    harness.stdout.close()
    until = time.monotonic() + 5
    while (left := running(marks[0])) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def contents(place):
    """What the clips hold, without how long they took and where they were made."""
    found = {}
    for path in sorted((place / "out").glob("[!.]*")):
        data = path.read_bytes()
        if path.suffix == ".json":
            record = json.loads(data)
            for name in ("seconds_taken", "real_time_factor"):
                record.pop(name)
            record["external"].pop("peak_memory")
            # The files of a process are counted from its start.
            record["native_files"] = [file["sha256"] for file in record["native_files"]]
            data = json.dumps(record, sort_keys=True).encode()
        found[path.name] = data
    return found


def killed_at_random(place, kills, count):
    whole = start(place, count, "good")
    assert whole.communicate()[0].endswith("all\n")
    wanted = contents(place)
    assert len(wanted) == 3 * count
    moments = random.Random(7)
    done = 0
    while done < kills:
        shutil.rmtree(place / "out")
        while done < kills:
            harness = start(place, count, "good")
            time.sleep(moments.uniform(0.3, 2.5))
            ended = harness.poll() is not None
            harness.kill()
            harness.communicate()
            if ended:
                break
            done += 1
    assert start(place, count, "good").communicate()[0].endswith("all\n")
    for left in (place / "out").glob(".*.part"):  # the next command of generation removes them, see generate.py
        shutil.rmtree(left)
    assert contents(place) == wanted


def test_twenty_kills_change_no_clip_and_no_record(place):
    killed_at_random(place, 20, 8)


@pytest.mark.parametrize(
    ("device", "gpus", "told", "seen"),
    [("cpu", None, "cpu", ""), ("cuda", None, "cuda:0", None), ("cuda:2", None, "cuda:0", "2"),
     ("cpu", [3, 4], "cuda:0", "3")],
)  # fmt: skip
def test_a_shim_sees_the_card_that_was_asked_for_alone(place, device, gpus, told, seen):
    system = load(place, device=device, gpus=gpus)
    assert (system._device, system._gpu) == (told, seen)


def test_a_driving_video_is_handed_over_without_its_sound(place):
    from t2av_bench.systems.external.prepared import copy_pictures

    pictures = np.random.default_rng(1).integers(0, 255, (10, 32, 32, 3), np.uint8)
    write_mp4(place / "said.mp4", [pictures], np.zeros(6400, np.float32))
    copy_pictures(place / "said.mp4", place / "seen.mp4")
    assert not Clip(place / "seen.mp4").info.has_audio
    assert all(
        np.array_equal(a, b) for a, b in zip(Clip(place / "said.mp4").frames(), Clip(place / "seen.mp4").frames(),
                                             strict=True)
    )  # fmt: skip
