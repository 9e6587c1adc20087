"""Workers end with their parent, keep to their memory, and their death is noticed whatever they started."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evaluate_factory import make_clips
from plugin_factory import install

from t2av_bench import metrics
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.results.store import Store
from t2av_bench.utils import memory

pytestmark = pytest.mark.usefixtures("fresh_workers")

# What a metric does to its process is the clip's name; ``NOTES`` is a folder to write process ids into.
SOURCE = '''
import os, signal, subprocess, sys, time
from pathlib import Path
import numpy as np
from t2av_bench.metrics.base import Measurement, Metric
from t2av_bench.scores import Protocol, Quantity

def note(name):
    path = Path(os.environ["NOTES"], name)
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)

def fork():
    if os.fork() == 0:
        note("forked")
        time.sleep(60)
        os._exit(0)
    while not Path(os.environ["NOTES"], "forked").exists():
        time.sleep(0.01)

def act(name):
    note("worker")
    if name == "sleep":
        time.sleep(60)
    if name == "program_and_compute":
        program = subprocess.Popen(["sleep", "60"])
        Path(os.environ["NOTES"], "program").write_text(str(program.pid))
    if name.endswith("compute"):  # C code that never lets another Python thread run
        3 ** (10 ** 10)
    if name == "forked_and_sleep":
        fork()
        time.sleep(60)
    if name == "forked_and_killed":
        fork()
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "forked_and_exit":
        fork()
        os._exit(3)
    if name == "forked_twice_returning":
        os.fork()
    if name == "program_and_killed":
        program = subprocess.Popen(["sleep", "60"])
        Path(os.environ["NOTES"], "program").write_text(str(program.pid))
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "greedy":
        kept = []
        while True:
            kept.append(np.ones(4_000_000))
            time.sleep(0.01)
    if name == "greedy_child":
        if os.fork() == 0:
            act("greedy")
        time.sleep(60)
    if name == "keeps":
        Kept.held = np.ones(60_000_000)  # 480 MB that stay for the clips after it

class Acts(Metric):
    id, title, paper, quantities = "acts/one", "Acts", "none", (Quantity("acts", "Acts", "none"),)
    protocol = property(lambda self: Protocol(self.id))
    def measure(self, pair):
        act(pair.item.id)
        return Measurement({"acts": 1.0})

class Kept(Metric):
    """Fails where a clip before it left memory behind."""
    held = None
    id, title, paper, quantities = "acts/two", "Acts", "none", (Quantity("two", "Two", "none"),)
    protocol = property(lambda self: Protocol(self.id))
    def measure(self, pair):
        more = np.ones(60_000_000)
        time.sleep(1.0)
        return Measurement({"two": float(more[0])})
'''


@pytest.fixture
def acts(tmp_path, monkeypatch):
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setenv("NOTES", str(notes))
    entries = {"acts/one": "acting:Acts", "acts/two": "acting:Kept"}
    yield install(tmp_path / "acts", monkeypatch, entries, {"acting": SOURCE})
    metrics.registry.forget()


def noted(folder: Path, name: str, seconds: float = 60.0) -> int:
    """The process id under a name, as soon as it is there."""
    end = time.monotonic() + seconds
    while not (folder / "notes" / name).exists():
        assert time.monotonic() < end, f"nobody wrote {name}"
        time.sleep(0.05)
    return int((folder / "notes" / name).read_text())


def gone_within(process: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def start(folder: Path, environment: dict[str, str], clip: str) -> subprocess.Popen:
    made = make_clips(folder / "made", ["a_good_one", clip])
    return subprocess.Popen(
        [sys.executable, "-m", "t2av_bench.cli.main", "evaluate", "--generated", str(made),
         "--out", str(folder / "run"), "--metrics", "acts/one", "--workers", "1"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever runs the tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def scores(out: Path, quantity: str = "acts") -> dict:
    with Store(out / "results.db") as store:
        return {row.clip: row.score for row in store.scores() if row.quantity == quantity}


def until_in_the_middle(folder: Path, clip: str) -> int:
    """Wait until the good clip is kept and the worker is in the middle of the other; returns the worker's id."""
    worker = noted(folder, "worker")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if scores(folder / "run")["a_good_one"].value is not None:
                break
        except (ValueError, KeyError):
            pass
        time.sleep(0.05)
    if clip.startswith("forked"):
        noted(folder, "forked")
    time.sleep(0.5)
    return worker


@pytest.mark.parametrize(
    ("clip", "number"),
    [("sleep", signal.SIGKILL), ("compute", signal.SIGKILL), ("compute", signal.SIGTERM),
     ("forked_and_sleep", signal.SIGKILL), ("forked_and_sleep", signal.SIGTERM),
     ("program_and_compute", signal.SIGKILL)],
)  # fmt: skip
def test_a_worker_and_what_it_started_end_with_its_parent_whatever_it_is_doing(tmp_path, acts, clip, number):
    process = start(tmp_path, acts, clip)
    worker = until_in_the_middle(tmp_path, clip)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert gone_within(worker, 5.0)
    if "_and_" in clip:
        assert gone_within(noted(tmp_path, clip.partition("_")[0]), 5.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_one_line_and_keeps_what_is_finished(tmp_path, acts, number):
    process = start(tmp_path, acts, "sleep")
    until_in_the_middle(tmp_path, "sleep")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    said = [line for line in err.splitlines() if " measurements" not in line]
    what = "interrupted" if number == signal.SIGINT else "terminated"
    assert said == [f"t2av-bench: {what}; what is finished is kept, and the same command continues"]
    assert out == ""
    assert scores(tmp_path / "run")["a_good_one"].value == 1.0
    assert not list((tmp_path / "run").glob("results.db-*")), "one plain file"


def _asked(tmp_path, made, **settings):
    settings = {"metrics": ("acts/one",), "workers": 1} | settings
    return EvaluateConfig(generated=made, out=tmp_path / "run", **settings)


DEATHS = {
    "forked_and_killed": "the measuring process died: SIGKILL",
    "program_and_killed": "the measuring process died: SIGKILL",
    "forked_and_exit": "the measuring process ended with exit status 3",
}


@pytest.mark.parametrize("clip", DEATHS)
def test_what_a_worker_started_does_not_hide_its_death(tmp_path, acts, clip):
    made = make_clips(tmp_path / "made", [clip, "good"])
    begun = time.monotonic()
    evaluate(_asked(tmp_path, made, timeout=50.0), _quiet, _quiet)
    assert time.monotonic() - begun < 40, "noticed, not waited for"
    found = scores(tmp_path / "run")
    assert DEATHS[clip] in found[clip].reason and found["good"].value == 1.0
    assert gone_within(noted(tmp_path, "program" if clip.startswith("program") else "forked"), 5.0)


def test_a_measurement_that_returns_in_two_processes_counts_once(tmp_path, acts):
    made = make_clips(tmp_path / "made", ["forked_twice_returning", "good"])
    seen = []
    evaluate(_asked(tmp_path, made), seen.append, _quiet)
    assert len(seen) == 2 and all(score.value == 1.0 for score in scores(tmp_path / "run").values())


@pytest.mark.parametrize("clip", ["greedy", "greedy_child"])
def test_a_worker_that_takes_too_much_memory_is_ended_with_a_reason(tmp_path, acts, clip):
    made = make_clips(tmp_path / "made", [clip, "other"])
    plan = _asked(tmp_path, made, memory=1.0, timeout=50.0)
    evaluate(plan, _quiet, _quiet)
    found = scores(tmp_path / "run")
    assert "used more than 1 GB of memory (--memory" in found[clip].reason and found["other"].value == 1.0


def test_memory_that_earlier_clips_left_is_not_blamed_on_a_later_one(tmp_path, acts):
    made = make_clips(tmp_path / "made", ["keeps", "later"])
    plan = _asked(tmp_path, made, metrics=("acts/one", "acts/two"), memory=0.85, timeout=50.0)
    evaluate(plan, _quiet, _quiet)
    assert scores(tmp_path / "run", "two")["later"].value == 1.0


def test_the_option_reaches_the_worker_and_is_kept(tmp_path, acts):
    made = make_clips(tmp_path / "made", ["greedy"])
    done = subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", "evaluate", "--generated", str(made),
         "--out", str(tmp_path / "run"), "--metrics", "acts/one", "--memory", "0.7", "--json"],
        env=acts, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and "used more than 0.7 GB" in json.loads(done.stdout)["failures"][0]["reason"]
    assert "memory = 0.7" in (tmp_path / "run" / "evaluate.toml").read_text()


def _quiet(_):
    pass


def fake_machine(root: Path, available_kb: int, cgroup: str, files: dict[str, str]) -> Path:
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available_kb} kB\n")
    (root / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_available_memory_is_the_least_of_machine_and_groups(tmp_path):
    assert memory.available(fake_machine(tmp_path / "plain", 8_000_000, "0::/\n", {})) == 8_000_000 * 1024
    second = {
        "memory.max": "max\n", "memory.current": "1\n",
        "job/memory.max": "4000000000\n", "job/memory.current": "1500000000\n",
        "job/memory.stat": "anon 1\ninactive_file 500000000\n",
        "job/step/memory.max": "max\n", "job/step/memory.current": "5\n",
    }  # fmt: skip
    assert memory.available(fake_machine(tmp_path / "two", 8_000_000, "0::/job/step\n", second)) == 3_000_000_000
    first = {"memory/memory.limit_in_bytes": "2000000000\n", "memory/memory.usage_in_bytes": "500000000\n"}
    groups = "5:cpu,cpuacct:/x\n4:memory:/\n"
    assert memory.available(fake_machine(tmp_path / "one", 8_000_000, groups, first)) == 1_500_000_000
    assert memory.available(tmp_path / "elsewhere") is None


def test_workers_are_as_many_as_cores_and_memory_allow(monkeypatch):
    for there, expected in ((None, 8), (64 * memory.GB, 8), (20 * memory.GB, 6), (1 * memory.GB, 1)):
        monkeypatch.setattr(memory, "available", lambda there=there: there)
        assert memory.fitting(3 * memory.GB, 8) == expected


def test_used_memory_counts_what_a_child_holds():
    code = "import time; held = bytearray(200_000_000); print('ready', flush=True); time.sleep(60)"
    before = memory.used(os.getpid())
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        held, together = memory.used(child.pid), memory.used(os.getpid())
        child.kill()
    assert 200_000_000 <= held < 260_000_000
    assert together - before == pytest.approx(held, abs=40_000_000)
    assert memory.used(child.pid) is None, "it is gone"
