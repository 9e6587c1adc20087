"""Clips that one worker measures together, as on a GPU: the same database as one after the other."""

import json
import os
from pathlib import Path

import pytest
from evaluate_factory import make_clips
from plugin_factory import install

from t2av_bench import metrics
from t2av_bench.evaluation import evaluate as evaluating
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.evaluation.worker import CLIPS_TOGETHER, Job, Together, together
from t2av_bench.results.store import Store

# What happens to its process is the clip's name; LOG gets a line for each pass over several clips.
SOURCE = """
import json, os, signal
import numpy as np
from t2av_bench.metrics.base import Measurement, Metric
from t2av_bench.scores import Protocol, Quantity

class Shares(Metric):
    id, title, paper, quantities = "shares/one", "Shares", "none", (Quantity("level", "Level", "none"),)
    protocol = property(lambda self: Protocol(self.id))

    def prepare(self, pairs):
        names = [pair.item.id for pair in pairs]
        with open(os.environ["LOG"], "a") as log:
            log.write(json.dumps([os.getpid(), names]) + "\\n")
        if "kills_them" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        for pair in pairs:
            self.level(pair)
            if pair.item.id == "raises":
                raise ZeroDivisionError("in the middle")

    def measure(self, pair):
        if pair.item.id in ("kills_itself", "kills_them"):
            os.kill(os.getpid(), signal.SIGKILL)
        if pair.item.id == "raises":
            raise ZeroDivisionError("alone")
        return Measurement({"level": float(self.level(pair)[0])})

    def level(self, pair):
        def compute():
            return {"level": np.array([np.square(pair.generated.audio()).mean()], np.float32)}
        return pair.generated.stored(self.protocol.fingerprint, "level", compute)["level"]

class Alone(Metric):
    id, title, paper, quantities = "alone/one", "Alone", "none", (Quantity("length", "Length", "none"),)
    protocol = property(lambda self: Protocol(self.id))
    def measure(self, pair):
        return Measurement({"length": float(len(pair.generated.audio()))})
"""


@pytest.fixture
def sharing(tmp_path, monkeypatch):
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    install(
        tmp_path / "sharing", monkeypatch, {"shares/one": "shared:Shares", "alone/one": "shared:Alone"},
        {"shared": SOURCE},
    )  # fmt: skip
    yield
    metrics.registry.forget()


def jobs(*wanted):
    return [Job(f"c{index}", None, Path("x"), None, "", names) for index, names in enumerate(wanted)]


def made_of(found):
    return [tuple(each.clip for each in job.jobs) if isinstance(job, Together) else job.clip for job in found]


def test_on_a_gpu_clips_that_need_the_same_come_together_where_a_metric_gains(sharing):
    made = {id: metrics.create(id) for id in ("shares/one", "alone/one")}
    both, one, other = ("shares/one", "alone/one"), ("shares/one",), ("alone/one",)
    assert CLIPS_TOGETHER == 8
    ten = jobs(*[both] * 10)
    assert made_of(together(ten, made, "cpu")) == [f"c{n}" for n in range(10)]
    assert made_of(together(ten, made, "cuda:1")) == [tuple(f"c{n}" for n in range(8)), ("c8", "c9")]
    mixed = jobs(both, one, one, other, other, both)
    assert made_of(together(mixed, made, "cuda")) == ["c0", ("c1", "c2"), "c3", "c4", "c5"]
    (all_of_them, _) = together(ten, made, "mps")
    assert all_of_them.parts[:3] == (("c0", "shares/one"), ("c0", "alone/one"), ("c1", "shares/one"))


def kept(out):
    """Scores and reasons of a run, by clip and quantity."""
    with Store(out / "results.db") as store:
        return {(row.clip, row.quantity): (row.score.value, row.score.reason) for row in store.scores()}


@pytest.mark.parametrize("bad", [None, "kills_itself", "kills_them", "raises", "broken"])
def test_a_run_is_the_same_and_a_clip_that_ends_its_worker_costs_itself_alone(tmp_path, sharing, monkeypatch, bad):
    names = [f"clip{index}" for index in range(9)]
    made = make_clips(tmp_path / "made", [*names[:4], *([bad] if bad else []), *names[4:]])
    if bad == "broken":
        (made / "broken.wav").write_bytes(b"no sound")
    asked = EvaluateConfig(generated=made, metrics=("shares/one", "alone/one"), workers=1, timeout=60.0)
    found = []
    for folder in ("one", "many"):
        if folder == "many":
            monkeypatch.setattr(evaluating, "together", lambda jobs, metrics, device: together(jobs, metrics, "cuda"))
        seen = []
        evaluate(asked.model_copy(update={"out": tmp_path / folder}), seen.append, lambda text: None)
        found.append(kept(tmp_path / folder))
        assert [step.done for step in seen] == list(range(1, 2 * (9 + bool(bad)) + 1))
    passes = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert passes and max(len(clips) for _, clips in passes) == (7 if bad == "broken" else 8)
    assert all(process != os.getpid() for process, _ in passes)
    assert found[0] == found[1]
    reasons = {clip: reason for (clip, quantity), (_, reason) in found[1].items() if quantity == "level" and reason}
    assert set(reasons) == ({bad} if bad else set())
    if bad and bad.startswith("kills"):
        assert "the measuring process died: SIGKILL" in reasons[bad]
        assert found[1][bad, "length"][0] == 8000
    if bad == "raises":
        assert "alone" in reasons[bad]
