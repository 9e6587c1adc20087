"""Configurations of runs: strict reading, packaged examples, overrides, the learning rate and the average's decay."""

import subprocess
import sys
import tomllib

import pytest
import torch
from training_factory import micro_config

from reference_model.config import ConfigError, ModelConfig
from reference_model.training.config import CONFIGS, TrainingConfig, read_config
from reference_model.training.forward import LOSS_RECIPES
from reference_model.training.optimisation import Average, learning_rate, make_optimiser

BASE = {"output": "runs/x", "steps": 100, "data": {"kind": "synthetic"}}


def test_packaged_configurations_are_complete_and_valid():
    names = {file.stem for file in CONFIGS.glob("*.toml")}
    assert names == {"paper", "release", "tiny"}
    for name in names:
        config = read_config(name)
        assert TrainingConfig.from_dict(config.to_dict()) == config
        assert read_config(CONFIGS / f"{name}.toml") == config


def test_the_paper_s_configuration_says_what_the_paper_says():
    config = read_config("paper")
    assert config.steps == 200_000 and config.batch.size == 256 and config.batch.t2av == config.batch.tts == 128
    assert config.optimiser.learning_rate == 1e-4 and config.optimiser.warmup_share == 0.03
    assert config.optimiser.schedule == "constant" and config.precision == "bfloat16"
    assert config.loss == LOSS_RECIPES["paper"] and config.loss.motion_weight == 8 and config.loss.stop_weight == 1
    assert config.model == ModelConfig.named("release")


def test_named_defaults_lie_under_the_table_s_own_settings():
    config = TrainingConfig.from_dict(
        {
            **BASE,
            "model": {"size": "tiny", "head": {"layers": 5}},
            "loss": {"recipe": "release", "flow": {"hidden_dropout": 0.2}},
        }
    )
    assert config.model.head.layers == 5 and config.model.head.heads == ModelConfig.named("tiny").head.heads
    assert config.model.backbone == ModelConfig.named("tiny").backbone
    assert config.loss.flow.hidden_dropout == 0.2 and config.loss.repeats == LOSS_RECIPES["release"].repeats


def test_overrides_are_toml_or_text():
    config = read_config(
        "tiny",
        [
            "steps=7",
            "optimiser.learning_rate=3e-4",
            "output=runs/a b",
            "batch.tts_share=1",
            'data.t2av=["a", "b"]',
            "model.arrangement=delay(2)",
        ],
    )
    assert (config.steps, config.optimiser.learning_rate, config.output) == (7, 3e-4, "runs/a b")
    assert config.batch.t2av == 0 and config.data.t2av == ("a", "b") and config.model.arrangement == "delay(2)"


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"step": 3}, "unknown key 'step'; did you mean steps"),
        ({"optimiser": {"learning_rat": 1}}, "unknown key 'optimiser.learning_rat'; did you mean learning_rate"),
        ({"data": {"synthetic": {"sample": 3}}}, "unknown key 'data.synthetic.sample'; did you mean samples"),
        ({"model": {"siz": "tiny"}}, "unknown key 'model.siz'; did you mean size"),
        ({"model": {"size": "tny"}}, "no size is called 'tny'; did you mean tiny"),
        ({"loss": {"recipe": "papr"}}, "no loss recipe is called 'papr'; did you mean paper"),
        ({"loss": {"motion_wait": 3.0}}, "unknown key 'loss.motion_wait'; did you mean motion_weight"),
        ({"steps": "many"}, "'steps': Input should be a valid integer, got 'many'"),
        ({"steps": 0}, "'steps': Input should be greater than or equal to 1, got 0"),
        ({"output": ""}, "'output': String should have at least 1 character"),
        ({"precision": "bf16"}, "'precision': Input should be 'bfloat16' or 'float32', got 'bf16'"),
        ({"batch": {"tts_share": 1.5}}, "'batch.tts_share': Input should be less than or equal to 1, got 1.5"),
        ({"optimiser": {"learning_rate": 0.0}}, "'optimiser.learning_rate': Input should be greater than 0"),
        ({"average": {"decay": 1.0}}, "'average.decay': Input should be less than 1"),
        ({"start": {"weights": "a", "backbone": "b"}}, "start.weights or start.backbone, not both"),
        ({"data": {"kind": "shards", "tts": "x"}}, "data.t2av names no folder; set it, or batch.tts_share = 1"),
        ({"data": {"kind": "synthetic", "t2av": [3]}}, "'data.t2av.0': Input should be a valid string, got 3"),
        ({"aids": {"input_noise": -1.0}}, "'aids.input_noise': Input should be greater than or equal to 0"),
    ],
)
def test_wrong_settings_say_what_to_write(change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        TrainingConfig.from_dict({**BASE, **change})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="no file papr, nor a packaged configuration.*; did you mean paper"):
        read_config("papr")
    (tmp_path / "bad.toml").write_text("steps = ")
    with pytest.raises(ConfigError, match="cannot read the configuration .*bad.toml"):
        read_config(tmp_path / "bad.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(ConfigError, match="empty.toml: 'output' is missing: the folder of the run.*'steps' is missing"):
        read_config(tmp_path / "empty.toml")
    with pytest.raises(ConfigError, match="the override 'steps': expected table.setting=value"):
        read_config("tiny", ["steps"])


def test_help_does_not_wait_for_torch():
    code = (
        "import sys, reference_model.train as t\ntry:\n    t.main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--resume" in done.stdout


def rates(**settings):
    config = TrainingConfig.from_dict({**BASE, "optimiser": {"learning_rate": 1.0, **settings}}).optimiser
    return [learning_rate(step, 100, config) for step in range(100)]


def test_the_rate_rises_linearly_then_stays():
    values = rates(warmup_share=0.1)
    assert values[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert set(values[10:]) == {1.0}
    assert rates(warmup_share=0.0) == [1.0] * 100


@pytest.mark.parametrize("schedule, middle", [("linear", 0.5), ("cosine", 0.5)])
def test_the_rate_falls_to_its_final_share(schedule, middle):
    values = rates(warmup_share=0.1, schedule=schedule, decay_from=0.41, final_share=0.02)
    assert values[40] == 1.0 and values[-1] == pytest.approx(0.02)
    assert all(a >= b for a, b in zip(values[10:], values[11:], strict=False))
    assert (values[70] + values[71]) / 2 == pytest.approx((1 + 0.02) * middle, abs=0.02)
    assert max(values) == 1.0


def test_vectors_are_not_decayed():
    module = torch.nn.Linear(3, 4)
    groups = make_optimiser(module, micro_config().optimiser).param_groups
    assert {(group["params"][0].ndim, group["weight_decay"]) for group in groups} == {(2, 0.01), (1, 0.0)}


def test_the_average_is_the_recurrence_it_claims_to_be():
    module = torch.nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    average = Average(module, micro_config(average={"decay": 0.9, "warmup": 4}).average)
    expected = None
    for update in range(1, 60):
        with torch.no_grad():
            module.weight.fill_(float(update**2))
        average.update()
        decay = 0.0 if expected is None else min(0.9, update / (update + 4))
        expected = update**2 if expected is None else decay * expected + (1 - decay) * update**2
        with average.applied():
            assert module.weight[0, 0].item() == pytest.approx(expected, rel=1e-5)
        assert module.weight.tolist() == [[update**2, update**2]]
    assert average.updates == 59


def test_without_an_average_the_weights_are_the_weights():
    module = torch.nn.Linear(2, 1)
    average = Average(module, micro_config(average={"decay": 0}).average)
    average.update()
    with average.applied(), torch.no_grad():
        module.weight.fill_(3.0)
    assert module.weight.tolist() == [[3.0, 3.0]] and average.updates == 0


def test_the_release_s_configuration_says_what_the_release_does():
    config = read_config("release")
    assert config.optimiser.beta2 == 0.95 and config.average.decay == 0 and config.optimiser.schedule == "cosine"
    assert config.loss == LOSS_RECIPES["release"] and config.start.freeze_text_embedding


def test_toml_files_state_no_setting_twice_and_no_foreign_path():
    for file in CONFIGS.glob("*.toml"):
        text = file.read_text()
        assert not any(word in text for word in ("/work", "/home", "/root"))
        assert tomllib.loads(text)["output"].startswith("runs/")
