"""Two processes train as one does: the same gradients for the same batch, the same curve, one end for a signal."""

import dataclasses
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from function_source import FunctionSource
from safetensors.torch import load_file
from training_factory import metrics, micro_config, synthetic

from baselines.diffusion.config import TrainingConfig as BaselineConfig
from baselines.diffusion.training import train as train_baseline
from reference_model.checkpoints import random_model
from reference_model.training.loop import train
from reference_model.training.run_state import checkpoints
from reference_model.training.sources import Sources, open_sources

needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
SETTINGS = {
    "steps": 3,
    "seed": 3,
    "batch": {"size": 8, "accumulation": 2},
    "loss": {"recipe": "release"},
    "optimiser": {"clip_norm": 1e9},
    "checkpoints": {"every": 1},
    "validation": {"every": 3, "batch_size": 2},  # three parts for two processes
    "timeout": 300,
}


BASELINE = BaselineConfig.from_dict(
    {
        "network": {"family": "dual_branch", "width": 32, "heads": 2, "vocab_size": 20, "speech_dim": 8,
                    "motion_dim": 6, "speaker_dim": 8},
        "steps": 3, "batch_size": 6, "accumulation": 2, "optimiser": {"clip_norm": 1e9},
        "validation": {"every": 3, "batch_size": 3}, "journal": {"every": 1}, "timeout": 300,
    }
)  # fmt: skip


def baseline_sources():
    return Sources(t2av=synthetic(40), validation=synthetic(7, 2))


def altered(config, act):
    """The configuration's sources; ``act`` is done when the third T2AV sample of a process is read, in step 2."""
    whole, calls = open_sources(config), []

    def sample(index):
        calls.append(index)
        if len(calls) == 3:
            act()
        return whole.t2av[index]

    source = FunctionSource(sample, whole.t2av.lengths)
    source.fingerprint = whole.t2av.fingerprint
    return Sources(source, whole.tts, whole.validation)


def one_of_two(rank, ports, output):
    """What torchrun's environment makes of a process."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS="1"
    )
    torch.set_num_threads(1)
    os.environ["MASTER_PORT"] = ports[0]
    result = train(micro_config(output / "whole", **SETTINGS), quiet=True)
    assert result.step == 3 and result.model == output / "whole" / "model.safetensors"
    assert not torch.distributed.is_initialized()

    os.environ["MASTER_PORT"] = ports[1]
    config = micro_config(output / "stopped", **SETTINGS)
    interruption = altered(config, lambda: rank and os.kill(os.getpid(), signal.SIGTERM))  # of the second alone
    result = train(config, sources=interruption, quiet=True)
    assert (result.step, result.signal_number) == (2, signal.SIGTERM)
    os.environ["MASTER_PORT"] = ports[2]
    assert train(config, resume=True, quiet=True).step == 3
    os.environ["MASTER_PORT"] = ports[3]
    assert train_baseline(BASELINE, baseline_sources(), output / "baseline", quiet=True).step == 3

    os.environ["MASTER_PORT"] = ports[4]
    config = micro_config(output / "waiting", **{**SETTINGS, "timeout": 4})
    with pytest.raises(RuntimeError):  # the first, which waits for the second; then that, which is alone
        train(config, sources=altered(config, lambda: time.sleep(5 * rank)), quiet=True)
    assert not torch.distributed.is_initialized()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    output = tmp_path_factory.mktemp("two")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    ports = [str(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    assert Accelerator and random_model(micro_config().model)  # imported once for both
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=one_of_two, args=(rank, ports, output)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        if worker.is_alive():
            worker.kill()
    assert [worker.exitcode for worker in workers] == [0, 0]
    return output


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    output = tmp_path_factory.mktemp("alone")
    train(micro_config(output, **SETTINGS), quiet=True)
    return output


@needs_fork
def test_two_processes_have_the_gradients_of_one(both, alone):
    """AdamW's first moment after one step is the gradient, times 1 - beta1."""
    found, expected = (load_file(checkpoints(each)[0] / "optimiser.safetensors") for each in (both / "whole", alone))
    gradients = {name: tensor for name, tensor in expected.items() if name.startswith("exp_avg.")}
    assert len(gradients) > 50 and any(tensor.abs().max() > 1e-3 for tensor in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max() + 1e-4))


@needs_fork
def test_two_processes_draw_the_curve_of_one(both, alone):
    for kind, count in (("train", 3), ("validation", 2)):
        ours, theirs = metrics(both / "whole", kind), metrics(alone, kind)
        assert [line["step"] for line in ours] == [line["step"] for line in theirs] and len(ours) == count
        for left, right in zip(ours, theirs, strict=True):
            for name in ("loss", "speech_loss", "motion_loss", "stop_loss"):
                assert left[name] == pytest.approx(right[name], rel=1e-3), (kind, left["step"], name)


@needs_fork
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_baseline_does_not_depend_on_processes_and_passes(both, accumulation, tmp_path):
    train_baseline(dataclasses.replace(BASELINE, accumulation=accumulation), baseline_sources(), tmp_path, quiet=True)
    for kind, count in (("train", 3), ("validation", 2)):
        ours, theirs = metrics(both / "baseline", kind), metrics(tmp_path, kind)
        assert len(ours) == len(theirs) == count
        for left, right in zip(ours, theirs, strict=True):
            for name in ("loss", "speech_loss", "motion_loss", "length_loss"):
                assert left[name] == pytest.approx(right[name], rel=1e-3), (kind, left["step"], name)


@needs_fork
def test_a_signal_to_one_of_two_ends_both_and_they_continue_bit_for_bit(both):
    whole, continued = (load_file(both / name / "model.safetensors") for name in ("whole", "stopped"))
    assert whole.keys() == continued.keys()
    assert [name for name in whole if not torch.equal(whole[name], continued[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torch.distributed.run", "accelerate.commands.launch"])
def test_the_launchers_start_it(launcher, tmp_path):
    options = (
        ["--nproc-per-node", "2", "--standalone"] if launcher.startswith("torch") else ["--cpu", "--num_processes", "2"]
    )
    arguments = ["tiny", f"output={tmp_path}", "steps=2", "device=cpu", "validation.every=0", "batch.size=4", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", launcher, *options, "-m", "reference_model.train", *arguments],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "model.safetensors")
    assert done.stdout.count("model.safetensors") == 1
