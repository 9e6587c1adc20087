"""Clips that one worker measures together, as on a GPU: the same database as one after the other."""

import json
import os
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from evaluate_factory import make_clips
from plugin_factory import install

from t2av_bench import metrics
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.evaluation.worker import CLIPS_TOGETHER, Job, Measuring, Together, WorkerContext, together
from t2av_bench.results.store import Store
from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import Failure

# What happens to its process is the clip's name; LOG gets a line for each pass over several clips.
SOURCE = """
import json, os, signal, time
import numpy as np
from t2av_bench.metrics.base import Measurement, Metric
from t2av_bench.scores import Protocol, Quantity

TIMEOUT = 4.0

class Shares(Metric):
    id, title, paper, quantities = "shares/one", "Shares", "none", (Quantity("level", "Level", "none"),)
    protocol = property(lambda self: Protocol(self.id))

    def prepare(self, pairs):
        names = [pair.item.id for pair in pairs]
        if "slow" in names:
            time.sleep(1.5 * TIMEOUT)
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
        if pair.item.id == "hangs":
            time.sleep(1000)
        if pair.item.id == "fills_memory":
            taken = np.ones(250_000_000)
            time.sleep(1000)
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
    assert made_of(together(mixed, made, "cuda")) == ["c3", "c4", ("c0", "c5"), ("c1", "c2")]
    # Metrics that need different machines alternate, clip by clip.
    kinds = [
        replace(job, needs=Needs(num_gpus=1.0) if job.metrics == one else Needs()) for job in jobs(*[one, both] * 3)
    ]
    groups = list(together(kinds, made, "cuda"))
    assert made_of(groups) == [("c0", "c2", "c4"), ("c1", "c3", "c5")]
    assert [group.needs.num_gpus for group in groups] == [1.0, None]
    assert [len(group) for group in made_of(together(ten, made, "cuda", workers=3))] == [3, 3, 3, 2]
    assert made_of(together(jobs(both, both), made, "cuda", workers=4)) == ["c0", "c1"]
    (all_of_them, _) = together(ten, made, "mps")
    assert all_of_them.parts[:3] == (("c0", "shares/one"), ("c0", "alone/one"), ("c1", "shares/one"))


def test_a_group_whose_machine_was_lost_waits_behind_the_others_clip_by_clip(tmp_path):
    from t2av_bench.metrics.base import Settings

    one, other, third = jobs(("a", "b"), ("a", "b"), ("a", "b"))
    work = Measuring(WorkerContext(Settings("cuda"), tmp_path))
    left = (("c0", "b"), ("c1", "a"), ("c1", "b"))
    for lost, order in ((True, ["c2", "c0", "c1"]), (False, ["c0", "c1", "c2"])):
        waiting = deque([third])
        failure = Failure(Together((one, other)), left, ("c0", "b"), "gone", False, False, False, lost)
        assert list(work.failed(failure, waiting)) == []
        assert [job.clip for job in waiting] == order
        assert {job.clip: job.metrics for job in waiting} == {"c0": ("b",), "c1": ("a", "b"), "c2": ("a", "b")}


def kept(out):
    """Scores and reasons of a run, by clip and quantity."""
    with Store(out / "results.db") as store:
        return {(row.clip, row.quantity): (row.score.value, row.score.reason) for row in store.scores()}


@pytest.mark.parametrize("bad", [None, "kills_itself", "kills_them", "raises", "broken"])
def test_a_run_is_the_same_and_a_clip_that_ends_its_worker_costs_itself_alone(tmp_path, sharing, bad):
    names = [f"clip{index}" for index in range(9)]
    made = make_clips(tmp_path / "made", [*names[:4], *([bad] if bad else []), *names[4:]])
    if bad == "broken":
        (made / "broken.wav").write_bytes(b"no sound")
    asked = EvaluateConfig(generated=made, metrics=("shares/one", "alone/one"), workers=1, timeout=60.0)
    found = []
    for folder, device in (("one", "cpu"), ("many", "cpu:0")):  # torch's other name, which is not ours
        seen = []
        changes = {"out": tmp_path / folder, "device": device}
        evaluate(asked.model_copy(update=changes), seen.append, lambda text: None)
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


def test_time_and_memory_are_those_of_one_clip_and_the_reason_names_it(tmp_path, sharing):
    """Three that together take half as long again as one may are not late; one that hangs or fills its worker is."""
    made = make_clips(tmp_path / "made", ["a", "b", "slow"])
    late = make_clips(tmp_path / "late", ["a", "hangs", "b"])
    full = make_clips(tmp_path / "full", ["a", "fills_memory", "b"])
    passes = {}
    late_reason, full_reason = "no result within 4 s (--timeout)", "used more than 1.5 GB of memory (--memory"
    for folder, timeout, reason in ((made, 4.0, None), (late, 4.0, late_reason), (full, 60.0, full_reason)):
        (tmp_path / "log").write_text("")
        asked = EvaluateConfig(
            generated=folder,
            metrics=("shares/one",),
            workers=1,
            timeout=timeout,
            memory=1.5,
            out=tmp_path / f"{folder}-run",
        ).model_copy(update={"device": "cpu:0"})
        evaluate(asked, lambda step: None, lambda text: None)
        found = {clip: reason for (clip, _), (_, reason) in kept(asked.out).items()}
        bad = {"late": "hangs", "full": "fills_memory"}.get(folder.name)
        assert {clip for clip, why in found.items() if why} == ({bad} if bad else set())
        assert bad is None or reason in found[bad]
        passes[folder.name] = len((tmp_path / "log").read_text().splitlines())
    assert passes == {"made": 1, "late": 1, "full": 1}
