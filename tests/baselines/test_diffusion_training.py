"""Whole runs of very small networks: they learn, resuming equals not stopping, bad files and settings are refused."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch
from diffusion_factory import FAMILIES, items, metrics, micro, micro_training, sources, synthetic
from function_source import FunctionSource
from safetensors.torch import load_file, save_file

from baselines.checkpoints import load_network, save_network
from baselines.diffusion import sampling
from baselines.diffusion.config import FlowConfig
from baselines.diffusion.objective import Objective, collate
from baselines.diffusion.training import train
from reference_model.config import ConfigError
from reference_model.modules.flow_matching import SamplerSettings
from reference_model.training.loop import TrainingError
from reference_model.training.run_state import checkpoints
from reference_model.training.samples import SampleError
from reference_model.training.sources import Sources
from reference_model.utils.strict_loading import CheckpointError


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Every family after 100 updates: its output folder."""
    folder = tmp_path_factory.mktemp("learnt")
    for family in FAMILIES:
        config = micro_training(
            family, steps=100, batch_size=8, validation={"every": 50}, average={"decay": 0.97},
            optimiser={"learning_rate": 1e-2},
        )  # fmt: skip
        result = train(config, sources(400, 32), folder / family, quiet=True)
        assert result.step == 100 and result.model == folder / family / "model.safetensors"
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_every_validation_loss_falls(learnt, family):
    lines = metrics(learnt / family, "validation")
    assert [line["step"] for line in lines] == [0, 50, 100]
    names = {"dual_branch": 3, "audio_driven": 1, "length_matched_tts": 2}
    losses = [name for name in lines[0] if name.endswith("_loss")]
    assert len(losses) == names[family]
    for name in losses:
        assert lines[2][name] < lines[1][name] < lines[0][name]
        assert lines[2][name] < 0.4 * lines[0][name], name
    train_lines = metrics(learnt / family)
    assert [line["step"] for line in train_lines] == list(range(1, 101))
    assert train_lines[-1]["epoch"] == {"t2av": 100 * 8 / 400}


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_follow_their_conditions(learnt, family):
    """Generated clips are nearer to their own truth than to that of another text of the same length."""
    held_out = synthetic(120, seed=5)
    by_length = {}
    for index in range(120):
        sample = held_out[index]
        by_length.setdefault(len(sample.speech), []).append(sample)
    pairs = [(group[0], group[1]) for group in by_length.values() if len(group) > 1]
    network = load_network(learnt / family / "model.safetensors", family=family)
    drawn = sampling.sample(network, items(family, [one for one, _ in pairs]), SamplerSettings(guidance=1.5))
    better = []
    for result, (own, other) in zip(drawn, pairs, strict=True):
        for name in network.modalities:
            value = getattr(result, name)
            distance = [(value - getattr(sample, name)).square().mean().item() for sample in (own, other)]
            better.append(distance[0] < 0.5 * distance[1])
    assert len(pairs) >= 5 and np.mean(better) > 0.85, better


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_are_the_velocity(family):
    """A network that knows the answer has no loss; one that says 0 has the mean square of noise - data."""
    network = micro(family)
    part = collate([synthetic()[index] for index in range(3)], [5, 6, 7], network)
    objective = Objective(network, FlowConfig())
    answers = {name: part.draws[name].noise - target for name, target in part.targets.items()}
    seen = {}

    def answer(noisy, time, condition):
        seen.update(noisy=noisy, time=time)
        return answers

    network.velocity = answer
    losses = objective(part)
    for name, target in part.targets.items():
        assert losses[f"{name}_loss"] == 0
        expected = target + seen["time"][:, None, None] * answers[name]
        torch.testing.assert_close(seen["noisy"][name], expected)
        assert torch.equal(part.draws[name].time_normal, next(iter(part.draws.values())).time_normal)
    network.velocity = lambda noisy, time, condition: {name: 0 * value for name, value in noisy.items()}
    losses = objective(part)
    for name, answer in answers.items():
        frames = [answer[row, :count] for row, count in enumerate(part.batch.frames.tolist())]
        torch.testing.assert_close(losses[f"{name}_loss"], torch.cat(frames).square().mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_has_a_gradient(family):
    """Several processes wait for all of them."""
    objective = Objective(micro(family), FlowConfig())
    objective(collate([synthetic()[0]], [5], objective.model))["loss"].backward()
    assert [name for name, parameter in objective.named_parameters() if parameter.grad is None] == []


def test_random_numbers_of_a_clip_do_not_depend_on_its_batch():
    network = micro("dual_branch")
    samples = [synthetic()[index] for index in range(3)]
    together, alone = collate(samples, [5, 6, 7], network), collate(samples[1:2], [6], network)
    for name, draw in alone.draws.items():
        frames = len(samples[1].speech)
        assert torch.equal(together.draws[name].noise[1, :frames], draw.noise[0])
        assert together.draws[name].time_normal[1] == draw.time_normal[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_resuming_equals_not_stopping(family, tmp_path):
    config = micro_training(family, journal={"every": 3}, validation={"every": 4}, checkpoints={"every": 3})
    whole = train(config, sources(), tmp_path / "whole", quiet=True)
    part = train(config, sources(), tmp_path / "part", quiet=True, stop_after=5)
    assert part.step == 5 and part.model is None
    train(config, sources(), tmp_path / "part", quiet=True, resume=True)
    ours, theirs = load_file(whole.model), load_file(tmp_path / "part" / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours) and ours.keys() == theirs.keys()
    for kind in ("train", "validation"):
        assert metrics(tmp_path / "whole", kind) == metrics(tmp_path / "part", kind)
    assert [path.name for path in checkpoints(tmp_path / "whole")] == [f"step-{step:08d}" for step in (3, 6, 8)]


def test_a_signal_ends_with_a_checkpoint(tmp_path):
    calls = []

    def interrupting(index):
        calls.append(index)
        if len(calls) == 15:
            os.kill(os.getpid(), signal.SIGTERM)
        return clips[index]

    clips = synthetic(40)
    source = FunctionSource(interrupting, clips.lengths, fingerprint=clips.fingerprint)
    result = train(micro_training("length_matched_tts"), Sources(t2av=source), tmp_path, quiet=True)
    assert (result.step, result.signal_number, result.model) == (3, signal.SIGTERM, None)
    assert result.checkpoint.name == "step-00000003"


def test_another_run_is_not_continued(tmp_path):
    config = micro_training("audio_driven")
    train(config, sources(), tmp_path, quiet=True, stop_after=2)
    with pytest.raises(ConfigError, match="already holds a run .step-00000002.; continue it with resume"):
        train(config, sources(), tmp_path, quiet=True)
    with pytest.raises(ConfigError, match="seed was 0, now 1"):
        train(micro_training("audio_driven", seed=1), sources(), tmp_path, quiet=True, resume=True)
    with pytest.raises(ConfigError, match="the training data changed"):
        train(config, sources(41), tmp_path, quiet=True, resume=True)
    with pytest.raises(ConfigError, match="has done 2 steps already"):
        train(micro_training("audio_driven", steps=1), sources(), tmp_path, quiet=True, resume=True)


@pytest.mark.parametrize("name", ["model.safetensors", "average.safetensors", "optimiser.safetensors", "state.json"])
def test_a_damaged_checkpoint_of_a_run_is_named(name, tmp_path):
    config = micro_training("length_matched_tts")
    folder = train(config, sources(), tmp_path, quiet=True, stop_after=2).checkpoint
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=str(folder)):
        train(config, sources(), tmp_path, quiet=True, resume=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_a_file_brings_back_the_network(family, dtype, tmp_path):
    network = micro(family)
    save_network(network, tmp_path / "one.safetensors", dtype=dtype)
    again = load_network(tmp_path / "one.safetensors", family=family)
    assert again.config == network.config
    for name, tensor in network.state_dict().items():
        rounded = tensor.to(dtype).float() if dtype else tensor
        assert torch.equal(again.state_dict()[name], rounded), name
    assert all(parameter.dtype == torch.float32 for parameter in again.parameters())


def test_wrong_files_are_refused(tmp_path):
    path = tmp_path / "one.safetensors"
    network = micro("dual_branch")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_network(path)
    save_network(network, path)
    with pytest.raises(CheckpointError, match="holds a dual_branch network, not audio_driven"):
        load_network(path, family="audio_driven")
    with pytest.raises(CheckpointError, match=r"misshapen .*the model has \[48"):
        load_network(path, config=micro("dual_branch", width=48).config)
    with pytest.raises(CheckpointError, match="missing .*speech.blocks.2"):
        load_network(path, config=micro("dual_branch", layers=3).config)
    content = path.read_bytes()
    for damaged in (content[:-100], content[:50], b"", b"not safetensors at all"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"cannot be read as safetensors .{len(damaged)} bytes"):
            load_network(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of a diffusion baseline"):
        load_network(path)
    save_file({"x": torch.zeros(1)}, path, {"diffusion_baseline_config": '{"family": "dual_branch", "depth": 3}'})
    with pytest.raises(CheckpointError, match="unknown key 'depth'"):
        load_network(path)
    network.speech.output_projection.weight.data[0, 0] = torch.nan
    save_network(network, path)
    with pytest.raises(CheckpointError, match="speech.output_projection.weight is not finite"):
        load_network(path)


def test_data_that_does_not_fit_is_refused(tmp_path):
    silent = Sources(t2av=synthetic(motion=False))
    with pytest.raises(SampleError, match="frames of speech and 0 of motion; dual_branch needs as many of both"):
        train(micro_training("dual_branch"), silent, tmp_path / "a", quiet=True)
    train(micro_training("length_matched_tts", steps=1), Sources(tts=silent.t2av), tmp_path / "b", quiet=True)
    with pytest.raises(SampleError, match="audio_driven has nothing to train on"):
        train(micro_training("audio_driven"), Sources(tts=synthetic()), tmp_path / "c", quiet=True)
    assert not (tmp_path / "a").exists() and not (tmp_path / "c").exists()


def test_a_gradient_that_is_not_finite_ends_the_run(tmp_path):
    clips = synthetic(12)

    def broken(index):
        sample = clips[index]
        sample.speech = sample.speech * 1e30
        return sample

    source = FunctionSource(broken, clips.lengths)
    with pytest.raises(TrainingError, match="step 1: the gradient is not finite"):
        train(micro_training("length_matched_tts"), Sources(t2av=source), tmp_path, quiet=True)


def test_progress_shows_the_losses_there_are(tmp_path, capsys):
    config = micro_training("audio_driven", steps=2, validation={"every": 2})
    train(config, sources(), tmp_path, quiet=False)
    shown = capsys.readouterr().err
    assert "step 2/2  loss" in shown and "(motion " in shown and "speech" not in shown
    assert "step 2  validation: loss" in shown
    shutil.rmtree(tmp_path)
