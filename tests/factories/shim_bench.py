"""A shim is asked for clips by the worker, in a process of its own, against the tree that stands for its system."""

import ast
import json
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from t2av_bench.systems.external.spec import SHIMS, spec

FAKES = Path(__file__).resolve().parents[1] / "t2av_bench" / "systems" / "external" / "fakes"
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is not there")


def sound(path, seconds, rate=24000):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(2 * round(seconds * rate)))
    return str(path)


def samples(path):
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def frames(path):
    with av.open(path) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def mean_colours(path):
    return np.array([frame.mean((0, 1)) for frame in frames(path)])


class Bench:
    """The shim ``id`` is asked for clips. said: what the system printed.

    checkout: a copy of its fake tree. weights: a folder of their own, with what the tree's placeholders name and what
    the tree has of the specification's weights.
    """

    def __init__(self, id, folder):
        self.id, self.folder, self.count, self.said = id, folder, 0, ""
        self.checkout, self.weights, self.options = folder / "checkout", folder / "weights", spec(id).defaults
        shutil.copytree(FAKES / id, self.checkout)
        for line in (self.checkout / "placeholders.txt").read_text().split():
            place = self.weights / line
            (place if line.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
            if not line.endswith("/"):
                place.touch()
        for weight in spec(id).weights:
            if weight.path != "." and (self.checkout / weight.path).exists():
                (self.weights / weight.path).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(self.checkout / weight.path, self.weights / weight.path)
        self.identity = str(folder / "i000001.png")
        cv2.imwrite(self.identity, np.full((512, 512, 3), (40, 80, 160), np.uint8))
        self.voice = sound(folder / "i000001.wav", 2.0)
        self.speech = sound(folder / "speech.wav", 1.0, spec(id).audio_rate_in)

    def picture(self, name):
        """A copy of the identity; a name such as ``noface.png`` tells a fake tree what it shall find in it."""
        return str(shutil.copy(self.identity, self.folder / name))

    def request(self, text="Good morning", **fields):
        self.count += 1
        out = self.folder / f"out{self.count}"
        out.mkdir()
        task = next(iter(spec(self.id).tasks))
        return {"schema": 1, "id": "i000001", "task": task, "seed": 7, "text": text, "language": "en",
                "prompt": f"Someone says <S>{text}<E>", "identity": self.identity, "voice": self.voice,
                "voice_text": "Eleven sign", "driving_audio": self.speech if task == "a2v" else None,
                "driving_video": None, "target_seconds": None, "max_seconds": 30.0, "out_dir": str(out),
                "params": {}} | fields  # fmt: skip

    def answers(self, requests, variables=None, **options):
        settings = {"checkout": str(self.checkout), "weights": str(self.weights), "device": "cuda:0",
                    "options": self.options | options}  # fmt: skip
        asked, told = self.folder / "requests.jsonl", self.folder / "results.jsonl"
        (self.folder / "settings.json").write_text(json.dumps(settings))
        asked.write_text("".join(json.dumps(each) + "\n" for each in requests))
        told.unlink(missing_ok=True)
        files = {"--settings": self.folder / "settings.json", "--requests": asked, "--results": told}
        done = subprocess.run(
            [sys.executable, SHIMS / "_worker.py", SHIMS / f"{self.id}.py",
             *(word for pair in files.items() for word in pair)], env=variables,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)  # fmt: skip
        assert done.stdout == ""
        self.said = done.stderr
        return [json.loads(line) for line in told.read_text().splitlines()]

    def ask(self, *requests, **options):
        """What became of each request."""
        ready, *done, bye = self.answers(requests, **options)
        assert ready["event"] == "ready" and bye["event"] == "bye", ready
        assert len(done) == len(requests)
        return done

    def make(self, text="Good morning", fields=None, **options):
        (done,) = self.ask(self.request(text, **(fields or {})), **options)
        assert done["status"] == "ok", done
        return done["made"]

    def broken(self, **options):
        (told,) = self.answers([self.request()], **options)
        assert told["event"] == "broken"
        return told["message"]

    def given(self):
        return self.said.split("GIVEN ")[1].splitlines()[0]


@pytest.fixture
def bench(tmp_path, request):
    return Bench(request.param, tmp_path)


def of(*ids):
    return pytest.mark.parametrize("bench", ids, indirect=True)


def check_shim(id):
    """Python 3.8, the standard library alone at the top; every option of the specification is read."""
    text = (SHIMS / f"{id}.py").read_text()
    for node in ast.parse(text, feature_version=(3, 8)).body:
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name == "_worker" or name in sys.stdlib_module_names
    for name in spec(id).options:
        assert f'"{name}"' in text
