"""Two processes train as one does: the same gradients for the same batch, and the same curve."""

import multiprocessing
import os
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel
from training_factory import metrics, micro_config

from reference_model.checkpoints import random_model
from reference_model.training.distributed import Processes
from reference_model.training.loader import MicroBatches, load
from reference_model.training.loop import accumulate_gradients, train
from reference_model.training.objective import Objective
from reference_model.training.sources import open_sources

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
SETTINGS = {
    "steps": 3,
    "seed": 3,
    "batch": {"size": 8, "accumulation": 2},
    "loss": {"recipe": "release"},
    "validation": {"every": 3, "batch_size": 2},
}


def gradients(config, processes):
    """Losses and gradients of step 1, on any number of processes."""
    objective = Objective(random_model(config.model), config.loss, config.aids)
    module = objective
    if processes.count > 1:
        module = DistributedDataParallel(objective, gradient_as_bucket_view=True)
    parts = list(load(MicroBatches(config, open_sources(config), processes.rank, processes.count), 1, 2))
    losses = accumulate_gradients(module, parts, processes, "float32")
    return losses, {name: parameter.grad.clone() for name, parameter in objective.named_parameters()}


def one_of_two(rank, ports, output):
    """What torchrun's environment makes of a process."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)
    config = micro_config(output, **SETTINGS)
    os.environ["MASTER_PORT"] = ports[0]
    with Processes.join("cpu") as processes:
        losses, found = gradients(config, processes)
    save_file(
        {**found, **{f"loss.{name}": torch.tensor(value) for name, value in losses.items()}},
        output / f"gradients-{rank}.safetensors",
    )
    os.environ["MASTER_PORT"] = ports[1]
    result = train(config, quiet=True)
    assert result.step == 3 and result.model


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    output = tmp_path_factory.mktemp("two")
    with socket.socket() as one, socket.socket() as two:
        for listener in (one, two):
            listener.bind(("127.0.0.1", 0))
        ports = [str(listener.getsockname()[1]) for listener in (one, two)]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=one_of_two, args=(rank, ports, output)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        if worker.is_alive():
            worker.kill()
    assert [worker.exitcode for worker in workers] == [0, 0]
    return output


def test_two_processes_have_the_gradients_of_one(both):
    config = micro_config(both, **SETTINGS)
    losses, expected = gradients(config, Processes(0, 1, torch.device("cpu")))
    for rank in range(2):
        found = load_file(both / f"gradients-{rank}.safetensors")
        for name, value in losses.items():
            assert float(found.pop(f"loss.{name}")) == pytest.approx(value, rel=1e-5), name
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max() + 1e-3))


def test_two_processes_draw_the_curve_of_one(both, tmp_path):
    config = micro_config(tmp_path, **SETTINGS)
    train(config, quiet=True)
    for kind in ("train", "validation"):
        ours, theirs = metrics(both, kind), metrics(tmp_path, kind)
        assert [line["step"] for line in ours] == [line["step"] for line in theirs]
        for left, right in zip(ours, theirs, strict=True):
            for name in ("loss", "speech_loss", "motion_loss", "stop_loss"):
                assert left[name] == pytest.approx(right[name], rel=1e-3), (kind, left["step"], name)
