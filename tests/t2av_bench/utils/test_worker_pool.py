"""The pool over another transport than the one in use: a program that knows nothing of this package, in JSON."""

import json
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, replace

import pytest

from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import Done, Failure, Finished, WorkerPool, Working

# Loads what a job's key names, squares the numbers among its parts, and does what its words say.
PROGRAM = """
import json, sys, time
def tell(**message):
    print(json.dumps(message), flush=True)
held, loads = None, 0
for line in sys.stdin:
    job = json.loads(line)
    if job["key"] == "unloadable":
        tell(kind="finished", refusal="no such model")
        continue
    if job["key"] == "deadly":
        sys.exit(5)
    if job["key"] == "slow to load":
        time.sleep(2)
    loads += job["key"] != held
    held = job["key"]
    for part in job["parts"]:
        tell(kind="working", part=part)
        if part == "die":
            sys.exit(3)
        if part == "hang":
            time.sleep(60)
        tell(kind="done", part=part, result=[part, loads] if isinstance(part, str) else part ** 2)
    tell(kind="finished", refusal=None)
    if job["key"] == "dies afterwards":
        sys.exit(6)
"""


class Program:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def there(self):
        return True

    def fileno(self):
        return self._process.stdout.fileno()

    def send(self, message):
        self._held = 2e9 if "hang" in message.parts else None
        try:
            self._process.stdin.write(json.dumps({"key": message.key, "parts": message.parts}).encode() + b"\n")
        except BrokenPipeError:
            pass

    def receive(self):
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        said = json.loads(line)
        kinds = {"working": Working, "done": Done, "finished": Finished}
        return kinds[said.pop("kind")](**said)

    def ended(self):
        return False  # its end closes the pipe

    def exit_reason(self):
        return f"left with {self._process.wait()}"

    def memory_held(self):
        return self._held

    def kill(self):
        self._process.kill()
        self._process.communicate()


@dataclass(frozen=True)
class Job:
    key: str
    parts: tuple
    slots: tuple = ()
    start_seconds: float = 30.0
    needs: Needs = Needs()


class Squaring:
    doing, late = "squaring", "nothing for {:g} s"

    def __init__(self):
        self.started, self.failures, self.slots = 0, [], []

    def start(self, slot=None):
        self.started += slot is None
        self.slots += [] if slot is None else [slot]
        return Program()

    def failed(self, failure: Failure, waiting: deque):
        self.failures.append(failure)
        others = tuple(part for part in failure.left if part != failure.part)
        if others and not failure.loading:
            waiting.appendleft(replace(failure.job, parts=others))
        yield failure.reason


def done(work, *jobs, workers=1, timeout=20.0, **limits):
    with WorkerPool() as pool:
        return list(pool.run(jobs, work, workers=workers, timeout=timeout, **limits))


def test_all_parts_have_results_whatever_the_number_of_workers():
    jobs = [Job("a", (number, number + 1)) for number in range(0, 20, 2)]
    for workers in (1, 3):
        assert sorted(done(Squaring(), *jobs, workers=workers)) == [number**2 for number in range(20)]


def test_a_death_is_told_with_the_part_and_a_fresh_worker_takes_the_rest():
    work = Squaring()
    assert done(work, Job("a", (1, "die", 3)), Job("a", (4,))) == [
        1, "the squaring process left with 3", 9, 16,
    ]  # fmt: skip
    (failure,) = work.failures
    assert (failure.part, failure.left, failure.loading, work.started) == ("die", ("die", 3), False, 2)


def test_silence_is_measured_from_the_last_message():
    work = Squaring()
    begun = time.monotonic()
    assert done(work, Job("a", ("hang", 2)), timeout=1.0) == ["nothing for 1 s", 4]
    assert 1.0 < time.monotonic() - begun < 20


def test_silence_while_the_caller_was_busy_is_none():
    work = Squaring()
    found = []
    with WorkerPool() as pool:
        jobs = [Job("a", (1, 2, 3, 4)), Job("a", (5, 6, 7, 8))]
        for result in pool.run(jobs, work, workers=2, timeout=0.5):
            found.append(result)
            if len(found) == 1:
                time.sleep(1.5)
    assert sorted(found) == [number**2 for number in range(1, 9)] and not work.failures


def test_what_cannot_be_loaded_costs_no_other_job_and_no_worker():
    work = Squaring()
    assert done(work, Job("a", (1,)), Job("unloadable", (2,)), Job("b", (3,))) == [1, "no such model", 9]
    assert [(failure.loading, failure.refused) for failure in work.failures] == [(True, True)] and work.started == 1
    assert done(work, Job("deadly", (2,))) == ["the squaring process left with 5"]
    assert (work.failures[1].loading, work.failures[1].part) == (True, None)


def test_a_worker_that_died_between_two_jobs_costs_nothing():
    work = Squaring()
    assert done(work, Job("dies afterwards", (1,)), Job("dies afterwards", (2,))) == [1, 4]
    assert not work.failures and work.started == 2


def test_a_worker_keeps_to_what_it_has_loaded():
    jobs = [Job(key, (f"{key} {number}",)) for number in range(3) for key in ("x", "y")]
    assert done(Squaring(), *jobs) == [
        [f"{key} {number}", loads] for key, loads in (("x", 1), ("y", 2)) for number in range(3)
    ]


@pytest.mark.parametrize(("earlier", "leftovers"), [((), False), ((Job("a", (1,)),), True)])
def test_memory_is_the_jobs_own_or_an_earlier_ones(earlier, leftovers):
    work = Squaring()
    found = done(work, *earlier, Job("a", ("hang",)), most=1e9)
    assert "the squaring process used more than 1 GB of memory" in found[-1]
    (failure,) = work.failures
    assert failure.leftovers is leftovers and failure.part == "hang"


def test_workers_stay_for_equal_work_and_go_when_the_caller_gives_up():
    work = Squaring()
    with WorkerPool() as pool:
        for _ in range(2):
            assert list(pool.run([Job("a", ("s",))], work, workers=1, timeout=20.0)) == [["s", 1]]
        assert work.started == 1
        running = pool.run([Job("a", (1, "hang"))], work, workers=1, timeout=20.0)
        assert next(running) == 1
        running.close()
        assert list(pool.run([Job("a", ("s",))], work, workers=1, timeout=20.0)) == [["s", 1]]
        assert work.started == 2
        other = Squaring()
        assert list(pool.run([Job("a", (3,))], other, workers=1, timeout=20.0)) == [9] and other.started == 1


def test_each_slot_has_one_worker_whatever_the_number_of_others():
    work = Squaring()
    jobs = [Job("a", (number,), ("0", "1")) for number in range(6)] + [Job("a", (6,))]
    assert sorted(done(work, *jobs, workers=1)) == [number**2 for number in range(7)]
    assert sorted(work.slots) == ["0", "1"] and work.started == 1


def test_systems_that_want_the_same_slot_take_turns_in_one_worker():
    work = Squaring()
    jobs = [Job(key, (f"{key} {number}",), ("0",)) for number in range(2) for key in ("x", "y")]
    assert done(work, *jobs, workers=4) == [["x 0", 1], ["x 1", 1], ["y 0", 2], ["y 1", 2]]
    assert work.slots == ["0"] and work.started == 0


def test_who_may_have_several_slots_leaves_one_to_those_that_cannot_choose():
    work = Squaring()
    found = done(work, Job("x", ("x",), ("0", "1")), Job("y", ("y",), ("0",)), Job("z", (2,), ("1",)))
    assert sorted(map(str, found)) == ["4", "['x', 1]", "['y', 2]"] and sorted(work.slots) == ["0", "1"]


def test_a_slot_is_free_again_when_its_worker_died_and_workers_keep_theirs_between_calls():
    work = Squaring()
    with WorkerPool() as pool:
        jobs = [Job("a", ("die", 2), ("0",)), Job("a", (3,), ("0",))]
        assert sorted(map(str, pool.run(jobs, work, workers=1, timeout=20.0))) == [
            "4", "9", "the squaring process left with 3",
        ]  # fmt: skip
        assert work.slots == ["0", "0"] and work.started == 0
        assert list(pool.run([Job("a", (4,), ("0",))], work, workers=1, timeout=20.0)) == [16]
        assert work.slots == ["0", "0"]


def test_a_job_may_say_how_long_loading_takes():
    slow = Squaring()
    begun = time.monotonic()
    assert done(slow, Job("slow to load", (1,), start_seconds=20.0), timeout=0.5) == [1]
    assert done(slow, Job("slow to load", (1,), start_seconds=1.0), timeout=0.5) == ["nothing for 1 s"]
    assert time.monotonic() - begun < 20
