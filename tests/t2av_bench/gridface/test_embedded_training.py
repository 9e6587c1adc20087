"""Training of the embedded models by name: what is trained, continued, bundled, and refused."""

import json

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from t2av_bench.cli.main import app
from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.training import generators as training
from t2av_bench.gridface.training import latents
from t2av_bench.gridface.training import recipes as making


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    latents.build_latents(folder, "train", 8, workers=1)
    latents.build_latents(folder, "val", 2, workers=1)
    return folder


@pytest.mark.parametrize("name", ["talker_t2av_delay1", "length_matched_tts"])
def test_a_run_is_trained_installed_and_loaded_again(name, data, tmp_path):
    run = training.Run(name)
    trained = training.train(run, data, tmp_path / "run", updates=2, quiet=True)
    place = training.install(run, tmp_path / "run", tmp_path / "box")
    facts = checkpoints.facts(str(run), tmp_path / "box")
    assert checkpoints.path(str(run), tmp_path / "box") == place
    assert facts["command"] == f"t2av-bench train embedded {name}-seed0 --updates 2"
    assert facts["data_version"] == training.DATA_VERSION
    assert [row["step"] for row in facts["validation_curve"]] == [0, 2]
    whole, half = load_file(trained), load_file(place)
    assert all(tensor.dtype == torch.float16 for tensor in half.values())
    for key, tensor in whole.items():
        torch.testing.assert_close(half[key].float(), tensor, rtol=1e-3, atol=1e-6)


def test_a_finished_run_is_not_trained_again(data, tmp_path):
    run = training.Run("length_matched_tts", 3)
    first = training.train(run, data, tmp_path / "run", updates=2, quiet=True)
    before = first.stat().st_mtime_ns, (tmp_path / "run" / "metrics.jsonl").read_text()
    again = training.train(run, data, tmp_path / "run", updates=2, quiet=True)
    assert load_file(again).keys() == load_file(first).keys()
    assert [json.loads(line)["step"] for line in before[1].splitlines()][-1] == 2


def test_an_unfinished_run_is_not_installed(tmp_path):
    with pytest.raises(ValueError, match="no finished run.*train embedded dual_branch-seed1"):
        training.install(training.Run("dual_branch", 1), tmp_path, tmp_path / "box")
    assert not (tmp_path / "box").exists()


def test_generators_of_the_main_table_are_equally_large():
    from baselines.families import random_network

    reference = training.talker_parameters()
    for family in ("dual_branch", "audio_driven", "length_matched_tts"):
        config = training.baseline_config(training.Run(family), 1)
        assert random_network(config.network).parameter_count() == pytest.approx(reference, rel=0.1)


def test_arrangements_differ_in_nothing_else(tmp_path):
    runs = [training.Run(name) for name in training.MODELS if name.startswith("talker_t2av_")]
    configs = [training.talker_config(run, tmp_path, 10).to_dict() for run in runs]
    arrangements = [config["model"].pop("arrangement") for config in configs]
    assert sorted(arrangements) == ["add", "delay(1)", "delay(3)", "interleaved_av", "interleaved_va"]
    assert all(config == configs[0] for config in configs)
    assert configs[0]["aids"]["regression_weight"] == 0


def test_every_packaged_model_is_in_the_box_with_its_facts():
    assert set(making.packaged()) == set(checkpoints.names())
    for name in checkpoints.names():
        facts = checkpoints.facts(name)
        assert checkpoints.path(name).is_file()
        assert all(key in facts for key in checkpoints.REQUIRED)
        assert facts["command"].startswith(f"t2av-bench train embedded {name}")
        assert facts["scores"], name
    assert sum(path.stat().st_size for path in checkpoints.FOLDER.iterdir()) < 50e6


@pytest.mark.parametrize(("names", "message"), [
    (["talker"], "did you mean"), (["dual_branch-seedx"], "whole number"),
    (["audio_codec", "--updates", "5"], "computed"),
])  # fmt: skip
def test_wrong_names_and_settings_are_one_line(names, message, tmp_path):
    result = CliRunner().invoke(app, ["train", "embedded", *names, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.output
    assert not list(tmp_path.iterdir())
