"""Foreign programs that print, crash, hang, lie and leave: every misbehaviour costs its own clip alone."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import wavfile

from t2av_bench.errors import NotApplicable
from t2av_bench.faces import confirmed
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request, native_seed
from t2av_bench.systems.external import prepared, worker
from t2av_bench.systems.external import spec as specs
from t2av_bench.systems.external.process import Ended, Process, private_folder
from t2av_bench.systems.external.settings import VARIABLE

ROOT = Path(__file__).resolve().parents[4]
KILLS = int(os.environ.get("T2AV_TEST_KILLS", "6"))
"""How often the harness is killed; each takes two seconds."""

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


LISTS = (
    SHIM
    + """
CHUNK = 8

def make_many(model, requests):
    with open(os.path.join(model["checkout"], "asked"), "a") as file:
        file.write(" ".join(request["text"].replace(" ", "-") for request in requests) + "\\n")
    for request in requests:
        if not request["text"].startswith("together ") or len(requests) > 1:
            what = request["text"].split()[-1]
            if what == "stop":
                raise RuntimeError("a command that served the whole list ended")
            if what == "silent":
                continue
            made = make(model, dict(request, text=what))
        else:
            made = make(model, dict(request, text="good"))
        yield request["id"], made
"""
)


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
    monkeypatch.setattr(prepared, "SIDE", 64)  # a picture of noise in full size takes longer than all else
    worker._class_of.cache_clear()
    yield tmp_path
    worker._class_of.cache_clear()


BY_FILES = ["env", "-i", "PATH=/usr/bin:/bin", sys.executable]
"""A command that hands on neither descriptors nor variables, as a container's client."""


def load(place, python=sys.executable, **options):
    kind = worker.unruly
    return kind.load(python=python and str(python), checkout=str(place / "checkout"), **options)


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


@pytest.mark.parametrize("name", ["this", "python3.8", "python3.12", "this, by files"])
def test_each_misbehaviour_costs_its_own_clip_alone(place, name, capfd):
    python = interpreters().get(name.split(",")[0])
    if python is None:
        pytest.skip(f"there is no {name} on this machine")
    system = load(place, python, **({"command": BY_FILES} if "files" in name else {}))
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
system = worker.unruly.load(checkout=str(place / "checkout"), item_seconds=60.0, **{options!r})
for number in range({count}):
    text = {text!r}
    out = place / "out" / f"c{{number}}.mp4"
    if out.with_suffix(".json").exists():
        continue
    system.generate(Request(f"c{{number}}", out, task="a2v", text=text, identity=place / "face.mp4",
                            driving_audio=place / "speech.wav", seed=number), lambda _: print("beat", flush=True))
print("all", flush=True)
"""


def start(place, count, text, options=None):
    options = options or {"python": sys.executable}
    program = PROGRAM.format(tests=str(ROOT), place=str(place), count=count, text=text, options=options)
    (place / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(place / "tmp")},
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


@pytest.mark.parametrize(
    ("how", "reason"),
    [("gone", "died: its process ended with exit status 0"), ("crash", "died: its process died: SIGSEGV"),
     ("hang", "timeout: it took longer than 1 s"), ("stop", "exception: RuntimeError: a command that served"),
     ("raise", "exception: IndexError"), ("silent", "the system said nothing about it"),
     ("noise", "undecodable"), ("memory", "out_of_memory")],
)  # fmt: skip
@pytest.mark.parametrize("company", [False, True])
def test_what_a_broken_list_had_finished_counts_and_the_rest_is_asked_for_once_more_alone(place, how, reason, company):
    (place / "specs" / "unruly.py").write_text(LISTS)
    texts = ["good 1", "good 2", f"together {how}" if company else how, "good 3", "good 4"]
    system = load(place, item_seconds=1.0)
    answers = dict(zip(texts, system.generate_batch([request(place, text) for text in texts]), strict=True))
    system.close()
    for text, answer in answers.items():
        if text == how:
            assert isinstance(answer, GenerationFailed) and reason in str(answer)
        else:
            assert isinstance(answer, GeneratedClip), answer
    asked = [line.split() for line in (place / "checkout" / "asked").read_text().splitlines()]
    names = [text.replace(" ", "-") for text in texts]
    # One that only its own item knows of costs the later ones nothing.
    again = names[2:3] if how in ("silent", "noise") else names[2:]
    assert asked == [names, *([name] for name in again)]


def test_what_a_list_refuses_is_refused_at_once(place):
    (place / "specs" / "unruly.py").write_text(LISTS.replace("made = make(model, dict(request, text=what))", """
            try:
                made = make(model, dict(request, text=what))
            except Refused as error:
                made = error"""))  # fmt: skip
    system = load(place)
    good, refused = system.generate_batch([request(place, text) for text in ("good", "faceless")])
    system.close()
    assert isinstance(good, GeneratedClip) and "no_face" in str(refused)
    assert (place / "checkout" / "asked").read_text() == "good faceless\n"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("options", [
    {"python": sys.executable}, {"command": BY_FILES},
    {"command": ["setsid", "--wait", *BY_FILES]},  # out of the group, as behind a container's client
])  # fmt: skip
def test_nothing_outlives_a_harness_that_was_killed(place, options):
    harness = start(place, 1, "hang", options)
    assert harness.stdout.readline() == "beat\n"
    mark = str(place / "tmp")  # the settings of the process lie in its private folder
    until = time.monotonic() + 20
    while not running(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert running(mark)
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    harness.stdout.close()
    until = time.monotonic() + 10
    while ((left := running(mark)) or list((place / "tmp").iterdir())) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left and not list((place / "tmp").iterdir())


def test_a_command_is_told_the_places_and_sees_nothing_else(place, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    words = [*BY_FILES[:2], "FOLDER={folder}", "CHECKOUT={checkout}", "USER={user}", *BY_FILES[2:]]
    (place / "specs" / "unruly.py").write_text(SHIM.replace("    print(\"loading", """
    import json
    with open(os.path.join(settings["checkout"], "seen"), "w") as file:
        json.dump([dict(os.environ), os.getcwd(), os.path.abspath(__file__)], file)
    print("loading"""))  # fmt: skip
    system = load(place, python=None, command=words, gpus=[3])
    assert isinstance(system.generate(request(place, "good")), GeneratedClip)
    folder = system._process.folder
    variables, here, shim = json.loads((place / "checkout" / "seen").read_text())
    assert variables["FOLDER"] == str(folder) and variables["CHECKOUT"] == here == str(place / "checkout")
    assert variables["USER"] == f"{os.getuid()}:{os.getgid()}" and variables["CUDA_VISIBLE_DEVICES"] == "3"
    assert variables["TMPDIR"] == str(folder / "tmp") and variables["HF_HUB_OFFLINE"] == "1"
    assert "PYTHONPATH" not in variables and Path(shim).parent == folder
    pid = system.pid
    system.close()
    assert not folder.exists() and not running(str(folder)) and not Path(f"/proc/{pid}").exists()


def test_a_command_that_cannot_start_python_says_so(place):
    system = load(place, python=None, command=["sh", "-c", "echo there is no such image >&2; exit 125"])
    made = system.generate_batch([request(place, "good")])[0]
    assert "start: died: its process ended with exit status 125" in str(made)
    assert "there is no such image" in (place / "out" / ".logs" / "good.log").read_text()
    for command in ("docker run", []):
        with pytest.raises((ValueError, NotApplicable), match="list of words|nothing says where its python"):
            load(place, python=None, command=command)


@pytest.mark.parametrize(("code", "told"), [(137, "out_of_memory: its process was ended by SIGKILL"),
                                            (139, "died: its process died: SIGSEGV")])  # fmt: skip
def test_a_signal_that_a_container_died_of_is_told(place, code, told):
    system = load(place, python=None, command=["sh", "-c", f"exit {code}"])
    assert told in str(system.generate_batch([request(place, "good")])[0])


def test_a_row_with_a_python_of_its_own_does_not_take_the_files_command(place, monkeypatch):
    settings = place / "systems.toml"
    settings.write_text(f'[unruly]\ncommand = ["env", "python3"]\ncheckout = "{place}"\n')
    monkeypatch.setenv(VARIABLE, str(settings))
    assert worker.unruly.load()._places.command == ("env", "python3")
    assert worker.unruly.load(python=sys.executable)._places.command == ()
    settings.write_text(f'[unruly]\ncommand = "docker run"\ncheckout = "{place}"\n')
    with pytest.raises(ValueError, match="command is a list of words, got 'docker run'"):
        worker.unruly.load()


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


def test_kills_change_no_clip_and_no_record(place):
    killed_at_random(place, KILLS, 8)


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


class SeesBright:
    """A detector to which everything bright is a face."""

    name = "bright"

    def detect(self, frames):
        return [np.array([[0, 0, 9, 9, 1.0]] if frame.mean() > 100 else []).reshape(-1, 5) for frame in frames]


def test_a_picture_without_a_face_is_not_given_to_a_system_that_needs_one(place, monkeypatch):
    (place / "specs" / "unruly.toml").write_text(SPEC.replace("[tasks]", "needs_face = true\n[tasks]"))
    monkeypatch.setattr(prepared, "confirmed_blazeface", SeesBright)
    write_mp4(place / "dark.mp4", [np.zeros((2, 32, 32, 3), np.uint8)])
    system = load(place)
    dark = replace(request(place, "good", "dark"), identity=place / "dark.mp4")
    refused, made = system.generate_batch([dark, request(place, "good")])
    assert isinstance(refused, GenerationFailed) and str(refused).startswith("unruly: no_face: bright found no face")
    assert json.loads(made.record.read_text())["external"]["face"] == "a face was found by bright"

    def missing():
        raise NotApplicable("its weights are missing: fetch them")

    monkeypatch.setattr(prepared, "confirmed_blazeface", missing)
    made = system.generate(dark)
    system.close()
    assert json.loads(made.record.read_text())["external"]["face"] == (
        "not checked for a face: its weights are missing: fetch them"
    )


@pytest.mark.slow
def test_our_own_detector_tells_a_drawn_face_from_a_slope(real_weights, tmp_path):
    for id in confirmed.WEIGHTS:
        real_weights(id)
    from t2av_bench.cli.short_item import short_item

    given = short_item(tmp_path)
    assert prepared.look_for_face(given.identity, "unruly") == "a face was found by blazeface"
    with pytest.raises(GenerationFailed, match="unruly: no_face"):
        prepared.look_for_face(given.faceless, "unruly")


def test_only_what_the_system_wrote_is_native(place):
    """Of dubbing the sound alone, of a silent animation the pictures alone."""
    (place / "specs" / "unruly.toml").write_text(
        SPEC.replace("[native]", 'v2a = ["driving_video"]\n[native]').replace('source = "audio"', 'source = "free"')
    )
    made = 'return {"video": out + ".mp4", "audio": out + ".wav", "notes": ["a note"]}'
    assert made in SHIM
    half = 'return {"video": out + ".mp4"} if request["task"] == "a2v" else {"audio": out + ".wav"}'
    (place / "specs" / "unruly.py").write_text(SHIM.replace(made, half))
    system = load(place)
    animated = request(place, "good", "animated")
    dubbed = replace(request(place, "good", "dubbed"), task="v2a", driving_audio=None, identity=None,
                     driving_video=place / "checkout" / "template.mp4")  # fmt: skip
    made = system.generate_batch([animated, dubbed])
    system.close()
    assert all(isinstance(clip, GeneratedClip) for clip in made), made
    for clip, suffix, given in ((made[0], ".mp4", "speech.wav"), (made[1], ".wav", "template.mp4")):
        record = json.loads(clip.record.read_text())
        assert [Path(file["file"]).suffix for file in record["native_files"]] == [suffix]
        assert [file["file"] for file in record["inputs"].values() if file["file"] == given] == [given]
        assert clip.video.is_file() and len(Clip(clip.video).audio(16000))


def test_sound_of_16_bits_is_handed_over_as_it_is(place):
    samples = np.random.default_rng(3).integers(-32768, 32768, 16000).astype(np.int16)
    samples[:2] = -32768, 32767
    wavfile.write(place / "given.wav", 16000, samples)
    assert prepared.write_sound(place / "given.wav", place / "told.wav", 16000, 30.0) == 1.0
    assert np.array_equal(wavfile.read(place / "told.wav")[1], samples)


def by_files(place, script, *, command=None):
    """A process that shares a folder, whose command is a script of sh: $3 is its settings, beside the results."""
    folder = private_folder()
    shim = place / "silent.py"
    shim.write_text("def load(settings):\n    return 0\ndef make(model, request):\n    return {}\n")
    told = {"checkout": str(place), "weights": str(place)}
    return folder, lambda: Process(
        command or ["sh", "-c", script], shim, told, {}, None, folder, by_files=True
    )  # fmt: skip


def test_a_command_that_cannot_be_started_leaves_nothing(place):
    folder, start = by_files(place, "", command=["/nowhere/docker"])
    with pytest.raises(Ended, match="/nowhere/docker cannot be started"):
        start()
    assert not folder.exists()


@pytest.mark.parametrize(("script", "reason"), [
    ("exit 3", "ended with exit status 3"), ("sleep 60", "not ready within 1 s"),
])  # fmt: skip
def test_half_an_event_is_none(place, script, reason):
    folder, start = by_files(place, f'printf "{{" >> "${{3%/*}}/results.jsonl"; {script}')
    process = start()
    with pytest.raises(Ended, match=reason):
        process.ready(1.0, lambda: None)
    process.close()
    assert not folder.exists()


def test_a_full_disk_is_said_and_not_taken_for_memory(place, monkeypatch):
    _, start = by_files(place, "kill -9 $$")
    process = start()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(Ended, match="no space is left") as ended:
        process.ready(10.0, lambda: None)
    assert ended.value.kind == "died"
    process.close()


def test_requests_that_cannot_be_written_end_the_process(place, monkeypatch):
    _, start = by_files(place, f'exec {sys.executable} "$0" "$@"')
    process = start()
    process.ready(30.0, lambda: None)

    def full(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(process._channel, "send", full)
    with pytest.raises(Ended, match="told of requests in .*: No space left"):
        list(process.ask([{"id": "i1", "seed": 1}], 5.0, lambda: None))
    assert not process.alive
    process.close()
