"""Whole runs of a very small model: it learns, resuming equals not stopping, signals and crashes lose nothing."""

import importlib.util
import json
import os
import shutil
import signal
import sys

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from function_source import FunctionSource
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_factory import metrics, micro_config, synthetic

from reference_model import train as command
from reference_model.checkpoints import load_model, random_model
from reference_model.config import ConfigError
from reference_model.modules.transformer import RMSNorm
from reference_model.training import run as run_module
from reference_model.training.loader import MicroBatches
from reference_model.training.loop import TrainingError, train
from reference_model.training.objective import Objective
from reference_model.training.run_state import checkpoints
from reference_model.training.sources import Sources, open_sources
from reference_model.utils.strict_loading import CheckpointError

LOSSES = ("speech_loss", "motion_loss", "stop_loss")


def run(config, **settings):
    return train(config, quiet=True, **settings)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    config = micro_config(
        tmp_path_factory.mktemp("learnt"),
        steps=60,
        validation={"every": 30},
        batch={"size": 8},
        optimiser={"learning_rate": 1e-2, "schedule": "cosine"},
        average={"decay": 0.9},
        data={"synthetic": {"samples": 400, "validation_samples": 40}},
        checkpoints={"every": 20, "keep": 2},
    )
    return config, run(config)


def test_every_loss_falls(learnt):
    config, result = learnt
    lines = metrics(config.output)
    assert [line["step"] for line in lines] == list(range(1, 61)) and result.step == 60
    for name in LOSSES:
        first, last = (sum(line[name] for line in part) / 10 for part in (lines[:10], lines[-10:]))
        assert last < 0.8 * first, (name, first, last)
    assert lines[-1]["epoch"] == {"t2av": 60 * 4 / 400, "tts": 60 * 4 / 400}
    assert [line["regression_loss"] for line in lines] == [0.0] * 60


def test_the_average_learns_as_well(learnt):
    config, _ = learnt
    lines = metrics(config.output, "validation")
    assert [line["step"] for line in lines] == [0, 30, 60]
    for name in ("loss", *LOSSES):
        values = [line[name] for line in lines]
        assert all(torch.isfinite(torch.tensor(values))) and values[-1] < 0.85 * values[0], (name, values)


def test_a_finished_run_delivers_the_averaged_model(learnt):
    config, result = learnt
    assert result.model.name == "model.safetensors"
    delivered = load_file(result.model)
    average = load_file(result.checkpoint / "average.safetensors")
    assert delivered.keys() == average.keys()
    assert all(torch.equal(delivered[name], average[name]) for name in average)
    trained = load_model(result.checkpoint / "model.safetensors")
    assert trained.config == config.model == load_model(result.model).config
    assert not all(torch.equal(value, average[name]) for name, value in trained.state_dict().items() if name in average)
    assert [path.name for path in checkpoints(result.checkpoint.parent.parent)] == ["step-00000040", "step-00000060"]


AIDED = {
    "steps": 6,
    "batch": {"accumulation": 2},
    "journal": {"every": 4},
    "validation": {"every": 3},
    "optimiser": {"warmup_share": 0.5, "schedule": "linear"},
    "aids": {"input_noise": 0.1, "context_noise": 0.1, "regression_weight": 1.0},
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return run(micro_config(tmp_path_factory.mktemp("straight"), **AIDED))


def assert_equal_runs(one, other):
    for name in ("model", "average", "optimiser"):
        left, right = (load_file(result.checkpoint / f"{name}.safetensors") for result in (one, other))
        assert left.keys() == right.keys()
        assert [key for key in left if not torch.equal(left[key], right[key])] == [], name
    outputs = [result.checkpoint.parent.parent for result in (one, other)]
    for kind in ("train", "validation"):
        left, right = (metrics(output, kind) for output in outputs)
        assert left == right and left


@pytest.mark.parametrize("stops", [[3], [2, 5]])
def test_resuming_equals_not_stopping(straight, tmp_path, stops):
    """Bit for bit: weights, average, moments, and lines of metrics whose mean spans the interruption."""
    config = micro_config(tmp_path, **AIDED)
    for stop in stops:
        result = run(config, resume=True, stop_after=stop)
        assert (result.step, result.model) == (stop, None)
    before = {file: file.read_bytes() for file in result.checkpoint.iterdir()}
    assert_equal_runs(straight, run(config, resume=True))
    assert {file: file.read_bytes() for file in result.checkpoint.iterdir()} == before  # read, not trained in place


def test_a_crash_after_a_checkpoint_costs_nothing_but_time(straight, tmp_path, monkeypatch):
    """The lines written after the last checkpoint are forgotten, a half-written checkpoint is not taken for one."""
    config = micro_config(tmp_path, **AIDED, checkpoints={"every": 2})
    genuine = run_module.write_safetensors

    def fails_at_step_four(state, path, metadata):
        if "step-00000004" in str(path):
            raise OSError("no space left on device")
        genuine(state, path, metadata)

    monkeypatch.setattr(run_module, "write_safetensors", fails_at_step_four)
    with pytest.raises(OSError, match="no space left"):
        run(config)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000002"]
    assert metrics(tmp_path)[-1]["step"] == 4
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "st')
    monkeypatch.undo()
    assert_equal_runs(straight, run(config, resume=True))


def test_a_finished_run_resumed_is_left_as_it_is(straight, tmp_path):
    shutil.copytree(straight.checkpoint.parent.parent, tmp_path, dirs_exist_ok=True)
    assert_equal_runs(straight, run(micro_config(tmp_path, **AIDED), resume=True))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_says_how_to_go_on(straight, tmp_path, number, capsys):
    config = micro_config(tmp_path, **AIDED)
    whole, calls = open_sources(config), []

    def interrupted(index):
        calls.append(index)
        if len(calls) == 8:  # in the middle of step 3: three T2AV samples a step
            os.kill(os.getpid(), number)
        return whole.t2av[index]

    source = FunctionSource(interrupted, whole.t2av.lengths)
    source.fingerprint = whole.t2av.fingerprint
    before = signal.getsignal(number)
    result = train(config, sources=Sources(source, whole.tts, whole.validation))
    assert (result.step, result.signal_number, result.model) == (3, number, None)
    assert signal.getsignal(number) is before
    assert "stopped after step 3" in (told := capsys.readouterr().err) and "--resume" in told
    assert_equal_runs(straight, run(config, resume=True))


def test_a_second_run_does_not_overwrite_the_first(straight):
    output = straight.checkpoint.parent.parent
    with pytest.raises(ConfigError, match="already holds a run .step-00000006.; continue it with --resume"):
        run(micro_config(output, **AIDED))


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"batch": {"size": 8}}, "batch.size was 6, now 8"),
        ({"optimiser": {"learning_rate": 1e-3}}, "optimiser.learning_rate was 0.003, now 0.001"),
        ({"model": {"head": {"layers": 2}}}, "model.head.layers was 1, now 2"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"data": {"synthetic": {"samples": 41}}}, "the t2av data changed"),
        ({"steps": 5}, "has done 6 steps already, steps = 5 asks for fewer"),
    ],
)
def test_another_run_s_checkpoint_is_refused(straight, change, complaint):
    changed = micro_config(straight.checkpoint.parent.parent, **{**AIDED, **change})
    with pytest.raises(ConfigError, match=complaint):
        run(changed, resume=True)


def test_what_may_change_may_change(straight, tmp_path):
    """Longer, elsewhere, split otherwise, reported otherwise."""
    shutil.copytree(straight.checkpoint.parent.parent, tmp_path, dirs_exist_ok=True)
    config = micro_config(tmp_path, **{**AIDED, "steps": 7, "batch": {"accumulation": 1}, "journal": {"every": 1}})
    assert run(config, resume=True).step == 7


@pytest.mark.parametrize(
    "name, complaint",
    [
        ("state.json", "step-00000006 is damaged .*remove it to continue from the checkpoint before"),
        ("model.safetensors", "model.safetensors cannot be read as safetensors"),
        ("optimiser.safetensors", "is damaged|cannot be read"),
    ],
)
def test_damaged_checkpoints_are_named(straight, tmp_path, name, complaint):
    shutil.copytree(straight.checkpoint.parent.parent, tmp_path, dirs_exist_ok=True)
    damaged = checkpoints(tmp_path)[-1] / name
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=complaint):
        run(micro_config(tmp_path, **AIDED), resume=True)


def test_moments_must_fit(straight, tmp_path):
    shutil.copytree(straight.checkpoint.parent.parent, tmp_path, dirs_exist_ok=True)
    file = checkpoints(tmp_path)[-1] / "optimiser.safetensors"
    tensors = load_file(file)
    del tensors["exp_avg.model.task_embedding.weight"]
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="missing exp_avg.model.task_embedding.weight"):
        run(micro_config(tmp_path, **{**AIDED, "steps": 8}), resume=True)


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path):
    source = synthetic(4)

    def huge(index):
        sample = source[index]
        sample.speech = sample.speech * 1e30
        return sample

    sources = Sources(FunctionSource(huge, source.lengths, name="my latents"), synthetic(4, 1, motion=False))
    with pytest.raises(
        TrainingError, match="step 1: the gradient is not finite.*lower optimiser.learning_rate.*my latents, sample"
    ):
        run(micro_config(tmp_path), sources=sources)
    assert checkpoints(tmp_path) == []


def test_starting_from_weights_and_from_a_backbone(straight, tmp_path):
    weights = straight.checkpoint / "average.safetensors"
    given = load_file(weights)
    start = micro_config(tmp_path / "a", steps=1, start={"weights": str(weights), "freeze_text_embedding": True})
    first = load_file(run(start).checkpoint / "model.safetensors")
    embedding = "backbone.model.embed_tokens.weight"
    assert torch.equal(first[embedding], given[embedding])
    assert not torch.equal(first["task_embedding.weight"], given["task_embedding.weight"])

    folder = tmp_path / "qwen"
    folder.mkdir()
    save_file(
        {name.removeprefix("backbone."): tensor + 1 for name, tensor in given.items() if name.startswith("backbone.")},
        folder / "model.safetensors",
    )
    config = micro_config(tmp_path / "b", steps=1, start={"backbone": str(folder)})
    after = load_file(run(config).checkpoint / "model.safetensors")
    norm = "backbone.model.norm.weight"
    torch.testing.assert_close(after[norm], given[norm] + 1, atol=0.01, rtol=0)
    with pytest.raises(CheckpointError, match="start.backbone: no file .*nowhere"):
        run(micro_config(tmp_path / "c", start={"backbone": str(tmp_path / "nowhere")}))


def test_bfloat16_keeps_weights_in_float32(tmp_path):
    result = run(micro_config(tmp_path, steps=2, precision="bfloat16"))
    assert {tensor.dtype for tensor in load_file(result.checkpoint / "model.safetensors").values()} == {torch.float32}
    lines = metrics(tmp_path)
    reference = micro_config(tmp_path / "float32", steps=2)
    run(reference)
    for ours, theirs in zip(lines, metrics(reference.output), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.03) and ours["loss"] != theirs["loss"]


def test_the_first_losses_are_those_of_a_plain_loop(tmp_path):
    """A loop of torch alone: AdamW with matrices decayed, clipping, warm-up, and nothing else."""
    config = micro_config(tmp_path, steps=6, optimiser={"clip_norm": 0.5, "warmup_share": 0.5, "weight_decay": 0.1})
    run(config)
    objective = Objective(random_model(config.model), config.loss, config.aids)
    matrices, vectors = ([p for p in objective.parameters() if (p.ndim > 1) == wanted] for wanted in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.98), fused=True)
    batches, norms = MicroBatches(config, open_sources(config)), []
    for step, line in enumerate(metrics(tmp_path)):
        losses = objective(batches[step])
        losses.loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(objective.parameters(), 0.5)))
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 3)
        optimiser.step()
        optimiser.zero_grad()
        named = {name: float(value) for name, value in losses.detached().items()}
        assert named == {name: line[name] for name in named} and len(named) == 5
        assert (line["gradient_norm"], line["learning_rate"]) == (norms[-1], optimiser.param_groups[0]["lr"])
    assert max(norms) > 0.5  # or nothing was clipped


def test_activations_that_are_computed_again_change_nothing(tmp_path, monkeypatch):
    results, counts, genuine = [], [], RMSNorm.forward

    def counted(self, x):
        counts[-1] += 1
        return genuine(self, x)

    monkeypatch.setattr(RMSNorm, "forward", counted)
    for again in (False, True):
        counts.append(0)
        config = micro_config(tmp_path / str(again), steps=3, activation_checkpointing=again, validation={"every": 2})
        results.append(run(config))
    assert_equal_runs(*results)
    assert counts[1] - counts[0] == 3 * 4 * 2  # steps, blocks of patch encoders and heads, norms of a block


def test_without_an_average_the_weights_are_delivered(tmp_path):
    config = micro_config(tmp_path, steps=4, average={"decay": 0.0}, validation={"every": 2})
    stopped = run(config, stop_after=2)
    assert sorted(path.name for path in stopped.checkpoint.iterdir()) == [
        "model.safetensors", "optimiser.safetensors", "state.json"
    ]  # fmt: skip
    result = run(config, resume=True)
    assert result.model.read_bytes() == (result.checkpoint / "model.safetensors").read_bytes()
    whole = run(micro_config(tmp_path / "whole", steps=4, average={"decay": 0.0}, validation={"every": 2}))
    assert whole.model.read_bytes() == result.model.read_bytes()
    assert metrics(tmp_path, "validation") == metrics(tmp_path / "whole", "validation")


def test_the_caller_s_settings_are_left_as_they_were(tmp_path):
    """Threads, accelerate's own state (a second precision in one process), environment and random numbers."""
    mine = Accelerator(cpu=True, mixed_precision="no")
    torch.manual_seed(3)
    expected = torch.get_num_threads(), dict(os.environ), torch.get_rng_state().tolist(), mine.state.mixed_precision
    for precision, threads in (("bfloat16", 0), ("float32", torch.get_num_threads() + 1)):
        run(micro_config(tmp_path / precision, steps=1, precision=precision, threads=threads))
        found = torch.get_num_threads(), dict(os.environ), torch.get_rng_state().tolist(), mine.state.mixed_precision
        assert found == expected
    with pytest.raises(ConfigError):
        run(micro_config(tmp_path / "bfloat16", steps=1))
    assert (torch.get_num_threads(), mine.state.mixed_precision) == (expected[0], "no")
    assert AcceleratorState().device == mine.device and not torch.distributed.is_initialized()


def test_tensorboard_is_told_what_the_lines_say(tmp_path):
    config = micro_config(tmp_path, steps=4, journal={"trackers": ["tensorboard"]}, validation={"every": 2})
    run(config, stop_after=2)
    run(config, resume=True)
    events = EventAccumulator(str(tmp_path / "t2av-training")).Reload()
    for kind, steps in (("train", [1, 2, 3, 4]), ("validation", [0, 2, 4])):
        lines = metrics(tmp_path, kind)
        told = events.Scalars(f"{kind}/speech_loss")
        assert [event.step for event in told] == steps == [line["step"] for line in lines]
        assert [event.value for event in told] == pytest.approx([line["speech_loss"] for line in lines])
    assert events.Scalars("train/epoch_t2av")[-1].value == pytest.approx(4 * 3 / 40)


def test_wandb_is_told_as_well(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run(micro_config(tmp_path, steps=2, journal={"trackers": ["wandb"]}))
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    wandb.teardown()  # its service, which lives as long as the process


@pytest.mark.parametrize(
    "missing, settings, complaint",
    [
        ("accelerate", {}, "training needs accelerate .*pip install 't2av-bench.train.'"),
        ("wandb", {"journal": {"trackers": ["wandb"]}}, "names wandb, which is not installed: pip install wandb"),
    ],
)
def test_a_missing_package_is_an_error_before_the_run(missing, settings, complaint, tmp_path, monkeypatch):
    genuine = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == missing else genuine(name, *a))
    if missing == "accelerate":
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=complaint):
        run(micro_config(tmp_path / "run", **settings))
    assert not (tmp_path / "run").exists()


# -- the command ---------------------------------------------------------------------------------------------


def config_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(f"""output = "{tmp_path / "out"}"
steps = 4
precision = "float32"
[model]
size = "tiny"
[data]
kind = "synthetic"
[data.synthetic]
samples = 12
validation_samples = 2
longest = 3
[batch]
size = 2
[checkpoints]
every = 2
""")
    return str(file)


def test_the_command_trains_stops_and_resumes(tmp_path, capsys):
    file = config_file(tmp_path)
    assert command.main([file, "--stop-after", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.strip().endswith("step-00000002") and "validation: loss" in err and "--resume" in err
    assert command.main([file]) == 2
    assert "error: " in (err := capsys.readouterr().err) and "--resume" in err
    assert command.main([file, "--resume", "journal.every=1", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "out" / "model.safetensors") and err == ""
    assert json.loads((tmp_path / "out" / "config.json").read_text())["journal"]["every"] == 1
    assert load_model(out.strip()).config.backbone.hidden_size == 64


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["tinny"], "error: no file tinny, .*did you mean tiny"),
        (["tiny", "batch.sise=4"], "error: .*unknown key 'batch.sise'; did you mean size"),
        (["paper", "device=cpu"], "error: no index.json in latents/t2av: there is no such folder"),
        (
            ["paper", "data.kind=synthetic"],
            "error: start.backbone: no file weights/Qwen3-0.6B; give .*or start.backbone= to begin with random weights",
        ),
        (["release", "start.weights="], "error: .*start.freeze_text_embedding would freeze random numbers"),
        (["tiny", "batch.size=1", "batch.accumulation=2"], "error: a batch of 1 samples cannot be split into 2"),
    ],
)
def test_the_command_explains_mistakes(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments) == 2
    told = capsys.readouterr().err
    assert all(part in told for part in complaint.split(".*")), told
