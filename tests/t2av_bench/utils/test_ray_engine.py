"""What workers take of a cluster's machines, and how many there may be: over machines that are made up."""

import sys
from types import SimpleNamespace

import pytest

from t2av_bench.utils.ray_engine import RayEngine, chosen_engine
from t2av_bench.utils.worker_engine import Needs

GB = 10**9


def machine(cpus, gpus=0.0, memory=64.0, alive=True):
    return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus, "memory": memory * GB}}


@pytest.fixture
def engine_on(monkeypatch):
    engines = []

    def start(nodes, **default):
        ray = SimpleNamespace(is_initialized=lambda: True, nodes=lambda: nodes)
        monkeypatch.setitem(sys.modules, "ray", ray)
        engines.append(RayEngine(default=Needs(**default)))
        return engines[-1]

    yield start
    for engine in engines:
        engine.__exit__()


def job(slots=(), **needs):
    return SimpleNamespace(slots=slots, needs=Needs(**needs))


def test_as_many_workers_as_the_scarcest_thing_of_each_living_machine_allows(engine_on):
    nodes = [machine(8, memory=20.0), machine(2), machine(0), machine(16, alive=False)]
    engine = engine_on(nodes, memory=4.0 * GB)
    assert engine.most(100, Needs()) == 5 + 2
    assert engine.most(3, Needs()) == 3
    assert engine.most(100, Needs(num_cpus=0.5)) == 5 + 4
    assert engine.most(100, Needs(memory=30.0 * GB)) == 2


def test_cards_are_shared_where_a_worker_takes_a_part_of_one(engine_on):
    engine = engine_on([machine(16, 2)], num_gpus=1.0, memory=2.0 * GB)
    assert engine.most(100, Needs()) == 2
    assert engine.most(100, Needs(num_gpus=0.25)) == 8
    assert engine.most(100, Needs(num_gpus=0.0)) == 16


def test_a_job_for_one_of_several_named_cards_takes_any_that_ray_gives(engine_on):
    engine = engine_on([machine(4, 2)])
    assert engine.needs(job(("0", "1"))) == Needs(num_gpus=1.0) and list(engine.slots(job(("0", "1")))) == []
    assert engine.needs(job(("0", "1"), num_gpus=2.0)) == Needs(num_gpus=2.0)
    assert engine.needs(job()) == Needs()


def test_memory_that_nobody_asked_for_keeps_no_worker_from_a_small_machine(engine_on):
    engine = engine_on([machine(4, memory=3.0)], memory=10.0 * GB)
    assert engine.most(100, Needs()) == 1
    with pytest.raises(ValueError, match=r"can hold a worker \(CPU 1, memory 10 GB\); there are: CPU 4, GPU 0, mem"):
        engine.most(100, Needs(memory=10.0 * GB))


def test_the_share_of_memory_is_that_of_the_fullest_machine(engine_on):
    engine = engine_on([machine(4, memory=40.0), machine(2, memory=40.0)], memory=4.0 * GB)
    assert engine.share(100) == pytest.approx(0.9 * 40 * GB / 4)
    assert engine.share(1) == pytest.approx(0.9 * 40 * GB)


def test_options_of_a_cluster_without_one_are_refused():
    for given, option in (({"address": "10.0.0.1:6379"}, "--address"), ({"address": None, "ship": True}, "--ship")):
        with pytest.raises(ValueError, match=f"{option} is for --engine ray"):
            with chosen_engine("local", device="cpu", memory=1.0, **given):
                pass
