"""The pool on machines that come late, hold few, and are lost: over an engine whose machines are made up."""

import os
from collections import deque
from dataclasses import dataclass, replace

import pytest

from t2av_bench.utils.worker_engine import Lost, Needs
from t2av_bench.utils.worker_pool import Done, Finished, WorkerPool, Working

SMALL, LARGE = Needs(), Needs(num_gpus=1)


@dataclass(frozen=True)
class Job:
    parts: tuple
    needs: Needs = SMALL
    key: str = ""
    slots: tuple = ()
    start_seconds: float = 30.0


class Machine:
    """Answers at once: a number's square; ``lose`` loses it. Is there after so many looks."""

    def __init__(self, engine, needs, looks):
        self.engine, self.needs, self.looks, self.gone = engine, needs, looks, False
        self.messages = deque()
        self.read, self.write = os.pipe()

    def there(self):
        self.looks -= 1
        return self.looks < 0

    def fileno(self):
        return self.read

    def send(self, job):
        assert self.looks < 0, "a job for a worker that has no machine"
        self.engine.sent.append((self, job))
        for part in job.parts:
            self.say(Working(part))
            if part == "lose" and self.engine.losses:
                self.engine.losses -= 1
                self.say(Lost())
                return
            if part == "greedy":
                return
            self.say(Done(part, part if isinstance(part, str) else part**2))
        self.say(Finished())

    def say(self, message):
        self.messages.append(message)
        os.write(self.write, b".")

    def receive(self):
        os.read(self.read, 1)
        message = self.messages.popleft()
        if isinstance(message, Lost):
            raise message
        return message

    def ended(self):
        return False

    def exit_reason(self):
        return "was lost"

    def memory_held(self):
        return 4e9

    def kill(self):
        os.close(self.read)
        os.close(self.write)
        self.engine.machines.remove(self)


class Machines:
    """holds: workers that there may be, by needs. looks: after how many each next machine is there."""

    def __init__(self, holds=None, losses=0, looks=()):
        self.holds, self.losses, self.looks = holds or {SMALL: 2}, losses, deque(looks)
        self.machines, self.sent, self.together, self.started = [], [], 0, []

    def needs(self, job):
        return job.needs

    def slots(self, job):
        return ()

    def most(self, asked, needs):
        return min(asked, self.holds[needs])

    def share(self, workers):
        return None

    def start(self, work, slot, needs):
        self.machines.append(Machine(self, needs, self.looks.popleft() if self.looks else 0))
        self.started.append(needs)
        self.together = max(self.together, len(self.machines))
        return self.machines[-1]


class Squaring:
    doing, late = "squaring", "nothing for {:g} s"

    def failed(self, failure, waiting):
        if failure.lost:
            waiting.append(replace(failure.job, parts=failure.left))
            return
        rest = tuple(part for part in failure.left if part != failure.part)
        if rest:
            waiting.appendleft(replace(failure.job, parts=rest))
        yield failure.reason


def done(engine, *jobs, workers=8, most=None):
    with WorkerPool(engine) as pool:
        found = list(pool.run(jobs, Squaring(), workers=workers, timeout=20.0, most=most))
    assert not engine.machines
    return sorted(map(str, found))


def test_a_lost_machine_costs_nothing_and_what_was_done_is_not_done_again():
    engine = Machines(losses=2)
    jobs = [Job((1, "lose", 2)), Job((3,)), Job((4,))]
    assert done(engine, *jobs) == sorted(["1", "lose", "4", "9", "16"])
    assert [job.parts for _, job in engine.sent if "lose" in job.parts] == [(1, "lose", 2), ("lose", 2), ("lose", 2)]


def test_what_takes_its_machine_along_every_time_is_to_blame_in_the_end():
    engine = Machines(losses=10**6)
    others = [Job((number,)) for number in range(10)]
    found = done(engine, Job(("lose",)), *others)
    assert found == sorted([str(number**2) for number in range(10)] + ["the squaring process was lost"])
    assert 10**6 - engine.losses < 50


def test_many_workers_lost_with_one_machine_are_no_reason_to_blame_anybody():
    engine = Machines({SMALL: 20}, losses=20)
    jobs = [Job(("lose", number)) for number in range(20)]
    found = done(engine, *jobs, workers=20)
    assert found == sorted(["lose"] * 20 + [str(number**2) for number in range(20)])


def test_jobs_go_to_those_that_have_a_machine_and_nobody_waits_for_the_others():
    engine = Machines({SMALL: 3}, looks=[10**9, 3, 10**9])
    assert done(engine, *(Job((number,)) for number in range(6))) == sorted(str(number**2) for number in range(6))
    assert len({id(machine) for machine, _ in engine.sent}) == 1


def test_machines_may_come_while_jobs_wait():
    engine = Machines({SMALL: 0})
    asked = []
    holds = engine.most

    def most(count, needs):
        asked.append(needs)
        return holds(count, needs) if len(asked) < 3 else count

    engine.most = most
    assert done(engine, Job((5,))) == ["25"] and len(asked) == 3


def test_each_worker_does_jobs_of_its_own_needs_alone_and_cards_come_first():
    engine = Machines({SMALL: 2, LARGE: 1})
    jobs = [Job((number,), LARGE if number % 2 else SMALL) for number in range(10)]
    assert done(engine, *jobs) == sorted(str(number**2) for number in range(10))
    assert all(machine.needs == job.needs for machine, job in engine.sent)
    assert engine.started[0] == LARGE and engine.together == 3


def test_who_has_no_job_left_makes_room_for_other_needs():
    engine = Machines({SMALL: 1, LARGE: 1})
    assert done(engine, Job((1,), SMALL), Job((2,), LARGE), Job((3,), SMALL), workers=1) == ["1", "4", "9"]
    assert engine.together == 1 and sorted(engine.started, key=str) == sorted([LARGE, SMALL], key=str)


@pytest.mark.parametrize(("needs", "most", "said"), [(SMALL, 1e9, "1 GB"), (Needs(memory=2e9), 1e9, "2 GB")])
def test_memory_that_a_job_needs_is_its_limit(needs, most, said):
    engine = Machines({needs: 1})
    (reason,) = done(engine, Job(("greedy",), needs), most=most)
    assert f"used more than {said} of memory" in reason
