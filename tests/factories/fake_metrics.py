"""Metrics for testing runs: cheap, and misbehaving on request. Installed as a plug-in by ``conftest.fake_metrics``.

What a clip does to them is written in its name: ``crash``, ``hang``, ``raise``, ``nan``, ``face``, ``huge``,
``greedy`` (of memory), ``slow``.
"""

import os
import signal
import time

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Measurement, Metric, Pair, SetMetric, Settings
from t2av_bench.scores import Protocol, Quantity


class Level(Metric):
    """Mean square of the audio."""

    id = "fake/level"
    title = "Level"
    quantities = (Quantity("level", "Level", "higher", interval=(0.0, 1.0), decimals=4),)
    paper = "none"

    def __init__(self, settings: Settings | None = None, gain: float = 1.0) -> None:
        super().__init__(settings)
        self.gain = gain

    @property
    def protocol(self) -> Protocol:
        return Protocol(self.id, {"version": os.environ.get("FAKE_VERSION", "1"), "gain": self.gain})

    def measure(self, pair: Pair) -> Measurement:
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        name = pair.item.id
        if "crash" in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang" in name:
            time.sleep(1000)
        if "slow" in name:
            time.sleep(0.5)
        if "greedy" in name:
            kept = []
            while True:
                kept.append(np.ones(2_000_000))
                time.sleep(0.05)
        if "raise" in name:
            raise ZeroDivisionError("three over nothing")
        if "nan" in name:
            return Measurement({"level": float("nan")})
        if "face" in name:
            raise Unscorable("no face found in any of 10 frames")
        if "huge" in name:
            return Measurement({"level": 7.0})
        samples = pair.generated.audio(16000)
        return Measurement(
            {"level": self.gain * float(np.mean(np.square(samples, dtype=np.float64)))}, detail={"n": samples.size}
        )


class Length(Metric):
    """Seconds of audio: a second metric, so that one clip's trouble with the first can be told from it."""

    id = "fake/length"
    title = "Length"
    quantities = (Quantity("length", "Length", "none", unit="s"),)
    paper = "none"

    @property
    def protocol(self) -> Protocol:
        return Protocol(self.id)

    def measure(self, pair: Pair) -> Measurement:
        return Measurement({"length": pair.generated.audio(16000).size / 16000})


class Spread(SetMetric):
    """Distance of the mean level from the references' mean level."""

    id = "fake/spread"
    title = "Spread"
    quantities = (Quantity("spread", "Spread", "lower", aggregate="set"),)
    paper = "none"

    @property
    def protocol(self) -> Protocol:
        return Protocol(self.id)

    def measure(self, pair: Pair) -> Measurement:
        reference = pair.require_reference()
        return Measurement(
            features={
                "generated": np.array([np.std(pair.generated.audio(16000))], dtype=np.float32),
                "reference": np.array([np.std(reference.audio(16000))], dtype=np.float32),
            }
        )

    def aggregate(self, features) -> Measurement:
        if len(features) < 2:
            raise Unscorable("a spread needs at least 2 clips")
        generated, reference = (np.concatenate([row[side] for row in features]) for side in ("generated", "reference"))
        return Measurement({"spread": abs(float(generated.mean(dtype=np.float64) - reference.mean(dtype=np.float64)))})
