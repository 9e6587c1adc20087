"""Workers with a graphics card of their own, and what they started that must end."""

import json
import os
import subprocess
import sys

import pytest
from experiment_factory import log, only_made, world  # noqa: F401

from t2av_bench.systems.base import System
from t2av_bench.systems.cascaded import Cascaded
from t2av_bench.utils.worker import Child, unlimited
from t2av_bench.utils.worker_pool import Finished

pytestmark = pytest.mark.usefixtures("fresh_workers")


def test_rows_that_want_one_card_take_turns_and_the_first_is_closed_before_the_second_is_loaded(tmp_path):
    rows = "".join(
        f'[[rows]]\nname = "{name}"\nsystem = "fake-carded"\noptions = {{level = {level}}}\n'
        for name, level in (("one", 0.1), ("two", 0.2))
    )
    plans = only_made(tmp_path, rows, workers=3)
    assert [(len(plan.made), plan.failures) for plan in plans] == [(3, {}), (3, {})]
    told = [line for line in log(tmp_path) if not line.startswith("fake")]
    process = {line.rpartition(" ")[2] for line in told}
    assert len(process) == 1 and str(os.getpid()) not in process, "one worker held the card"
    assert [line.rpartition(" ")[0] for line in told] == ["card-0"] * 3 + ["closed"] + ["card-0"] * 3


class _Part(System):
    id, title, paper, native, seed_support = "part", "Part", "none", None, "full"
    needs = {"tts": ("text",), "a2v": ("driving_audio",)}

    def __init__(self):
        self.closed = 0

    @classmethod
    def load(cls, *, device="cpu"):
        return cls()

    def generate(self, request, on_progress=None):
        raise NotImplementedError

    def close(self):
        self.closed += 1


def test_a_cascade_closes_each_of_its_systems_once_and_wants_their_card():
    both, other = _Part(), _Part()
    Cascaded(both, both).close()
    Cascaded(both, other).close()
    assert (both.closed, other.closed) == (2, 1)
    assert Cascaded.slots(tts="fake-noise", a2v="fake-carded") == ("card-0",)
    assert Cascaded.slots(tts="fake-carded", a2v="fake-noise", a2v_options={"level": 1.0}) == ("card-0",)
    assert Cascaded.slots(tts="fake-noise", a2v="fake-noise") == ()


def _environment_of_a_program():
    def carry_out(job, tell):
        program = "import json, os; print(json.dumps(dict(os.environ)))"
        run = subprocess.run([sys.executable, "-c", program], env=unlimited(os.environ), stdout=subprocess.PIPE)
        tell([dict(os.environ), json.loads(run.stdout)])

    return carry_out


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_a_program_that_a_worker_starts_is_not_kept_to_one_thread(name, monkeypatch):
    monkeypatch.setenv("KEPT", "x")
    child = Child(_environment_of_a_program)
    try:
        child.send(None)
        own, program = child.receive()
        assert own[name] == "1" and name not in program and program["KEPT"] == "x"
        assert child.receive() == Finished(None)
    finally:
        child.kill()
