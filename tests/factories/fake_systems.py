"""Systems for testing runs: cheap, and misbehaving on request. Installed as plug-ins by the tests that use them.

What an item does to them is written in its text: ``crash``, ``hang``, ``raise``, ``refuse``. Every request that is
begun leaves a line in the file ``FAKE_SYSTEMS_LOG``: system, id, and how many were asked for together.
"""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, NativeFormat, System
from t2av_bench.systems.output import names_of, publish, staged, write_clip


class Noise(System):
    """Half a second of noise by the request's seed, and a grey picture."""

    id, title, paper = "fake-noise", "Noise", "none"
    needs = {"t2av": ("text", "identity", "voice"), "a2v": ("text", "driving_audio"), "tts": ("text",)}
    native = NativeFormat(25, 32, 32, 16_000, "half a second")
    seed_support = "full"

    def __init__(self, level: float) -> None:
        self.level = level

    @classmethod
    def load(cls, *, device: str = "cpu", level: float = 0.1, checkpoint: Path | None = None) -> "Noise":
        import scipy.io  # noqa: F401 what takes seconds on a busy machine belongs to loading

        import t2av_bench.media.encode  # noqa: F401

        if checkpoint is not None:
            level = float(checkpoint.read_text())
        return cls(level)

    def generate(self, request, on_progress=None):
        return self._one(request, 1)

    def _one(self, request, together):
        self.check(request)
        with open(os.environ["FAKE_SYSTEMS_LOG"], "a") as log:
            log.write(f"{self.id} {request.id} {together}\n")
        time.sleep(float(os.environ.get("FAKE_SYSTEMS_SECONDS", "0")))
        if "crash" in request.text:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang" in request.text:
            time.sleep(1000)
        if "raise" in request.text:
            raise ZeroDivisionError("three over nothing")
        if "refuse" in request.text:
            raise GenerationFailed("the word 'refuse' is unknown")
        audio = self.level * np.random.default_rng(request.seed).standard_normal(7680).astype(np.float32)
        pictures = None if request.task == "tts" else [np.full((12, 32, 32, 3), 127, np.uint8)]
        names = names_of(request)
        with staged(names) as folder:
            write_clip(folder, names, pictures, audio, 16_000, 25)
            inputs = {name: str(getattr(request, name)) for name in ("identity", "voice", "driving_audio", "reference",
                                                                     "stranger")}  # fmt: skip
            record = {"id": request.id, "seed": request.seed, "inputs": inputs}
            publish(folder, names, record)
        return GeneratedClip(
            request.id, names.video, names.audio, names.record, 12, 25, 7680, 16_000, request.seed, "limit", 1.0
        )


class Choir(Noise):
    """The same, many at a time."""

    id, title = "fake-choir", "Choir"

    def generate_batch(self, requests, on_progress=None):
        return [self._one(request, len(requests)) for request in requests]


class Carded(Noise):
    """Wants the one graphics card; its log tells what it got, and when it is closed."""

    id, title = "fake-carded", "Carded"
    start_seconds = 900.0

    @classmethod
    def slots(cls, **options):
        return ("card-0",)

    def _one(self, request, together):
        clip = super()._one(request, together)
        self._log(f"{os.environ['T2AV_BENCH_GPU']} {os.getpid()}")
        return clip

    def close(self):
        self._log(f"closed {os.getpid()}")
        raise OSError("what it started has gone already")

    def _log(self, line):
        with open(os.environ["FAKE_SYSTEMS_LOG"], "a") as log:
            log.write(f"{line}\n")


class Obedient(Noise):
    """Follows a length, as its log tells."""

    id, title = "fake-obedient", "Obedient"
    follows_length = True

    def _one(self, request, together):
        with open(os.environ["FAKE_SYSTEMS_LOG"], "a") as log:
            log.write(f"told {request.target_seconds}\n")
        return super()._one(request, together)


class Absent(Noise):
    """A system whose weights are not here."""

    id, title = "fake-absent", "Absent"

    @classmethod
    def load(cls, *, device: str = "cpu"):
        raise NotApplicable("absent weights: t2av-bench weights fetch absent")


class Boaster(Noise):
    """Says that it made a clip."""

    id, title = "fake-boaster", "Boaster"

    def generate(self, request, on_progress=None):
        out = request.out
        out.with_suffix(".json").write_text(json.dumps({}))
        return GeneratedClip(
            request.id, out, out, out.with_suffix(".json"), 12, 25, 7680, 16_000, request.seed, "limit", 1.0
        )
