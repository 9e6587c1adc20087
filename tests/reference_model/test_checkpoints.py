"""Checkpoints: names and shapes of the release, strict loading, round trips, atomic writing."""

import os
from pathlib import Path

import pytest
import torch
from golden import cases
from random_models import random_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from reference_model import checkpoints, names
from reference_model.checkpoints import load_model, load_state, save_model
from reference_model.config import BackboneConfig, ModelConfig, TransformerConfig
from reference_model.utils.strict_loading import CheckpointError

TINY = ModelConfig.named("tiny")


@pytest.fixture(scope="module")
def model():
    return random_model(TINY, seed=3)


def same(left, right):
    left, right = left.state_dict(), right.state_dict()
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


@pytest.mark.parametrize("case", cases("12a"))
def test_full_size_names_and_shapes_are_the_release_s(case):
    config = case.config
    backbone = config["backbone"]
    ours = ModelConfig(
        backbone=BackboneConfig(
            vocab_size=backbone["vocab_size"],
            hidden_size=backbone["hidden_size"],
            intermediate_size=backbone["intermediate_size"],
            num_hidden_layers=backbone["layers"],
            num_attention_heads=backbone["heads"],
            num_key_value_heads=backbone["kv_heads"],
            head_dim=backbone["head_dim"],
            rope_theta=backbone["rope_theta"],
            rms_norm_eps=backbone["rms_norm_eps"],
            tie_word_embeddings=backbone["tie_word_embeddings"],
        ),
        patch_encoder=TransformerConfig(config["patch_encoder"]["layers"], config["patch_encoder"]["heads"]),
        head=TransformerConfig(config["heads"]["layers"], config["heads"]["heads"]),
        speech_dim=config["speech_dim"],
        motion_dim=config["motion_dim"],
        speaker_dim=config["speaker_dim"],
        patch_size=config["patch_size"],
    )
    manifest = {entry["key"]: tuple(entry["shape"]) for entry in case.meta["keys"]}
    released = names.model(ours).state_to_release(checkpoints.meta_model(ours).state_dict())
    assert {name: tuple(tensor.shape) for name, tensor in released.items()} == manifest
    if case.name == "12a_manifest_speech_llm":
        assert ours == ModelConfig.named("release")


def test_every_name_of_ours_has_a_release_name_of_its_own(model):
    released = names.model(TINY).state_to_release(model.state_dict())
    assert len(released) == len(model.state_dict())


def test_our_layout_round_trip_carries_the_configuration(model, tmp_path):
    path = tmp_path / "deep" / "model.safetensors"
    save_model(model, path)
    loaded = load_model(path)
    assert loaded.config == TINY
    same(loaded, model)
    assert loaded.backbone.lm_head.weight is loaded.backbone.get_input_embeddings().weight
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
    assert os.listdir(path.parent) == ["model.safetensors"]


@pytest.mark.parametrize("copy_of_head", [True, False])
def test_both_layouts_of_a_tied_head_load(model, tmp_path, copy_of_head):
    path = tmp_path / "model.safetensors"
    save_model(model, path, release_names=True)
    state = load_file(path)
    assert "llm.lm_head.weight" in state
    if not copy_of_head:
        del state["llm.lm_head.weight"]
    save_file(state, path)
    same(load_model(path, config=TINY), model)


def test_a_head_that_is_not_tied_is_refused_or_kept(model):
    state = names.model(TINY).state_to_release(model.state_dict())
    state["llm.lm_head.weight"] = state["llm.lm_head.weight"] + 1
    with pytest.raises(CheckpointError, match="tie_word_embeddings = false"):
        load_state(state, TINY)
    import dataclasses

    untied = dataclasses.replace(TINY, backbone=dataclasses.replace(TINY.backbone, tie_word_embeddings=False))
    loaded = load_state(state, untied)
    assert torch.equal(loaded.backbone.lm_head.weight, state["llm.lm_head.weight"])
    assert not torch.equal(loaded.backbone.lm_head.weight, loaded.backbone.get_input_embeddings().weight)


def test_loading_names_what_does_not_fit(model):
    state = names.model(TINY).state_to_release(model.state_dict())
    state["speech_cfm.estimator.in_projj.weight"] = state.pop("speech_cfm.estimator.in_proj.weight")
    state["head_stop.head.weight"] = torch.zeros(1, 3)
    with pytest.raises(CheckpointError) as error:
        load_state(state, TINY, source="a file")
    text = str(error.value)
    assert "a file does not fit: 1 missing, 1 unknown and 1 misshapen" in text
    assert "missing speech_cfm.estimator.in_proj.weight" in text
    assert "nearest: speech_cfm.estimator.in_projj.weight" in text
    assert "misshapen head_stop.head.weight: the model has [1, 64], the file [1, 3]" in text


def test_frozen_encoders_in_a_training_checkpoint_are_left_out(model):
    state = names.model(TINY).state_to_release(model.state_dict())
    state |= {"spk.weight": torch.zeros(2), "pretrained_speech_encoder.x": torch.zeros(2)}
    same(load_state(state, TINY), model)


def test_dtype_converts_all_but_the_rotary_tables(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    loaded = load_model(path, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert {b.dtype for b in loaded.buffers()} == {torch.float32}
    assert torch.equal(loaded.speech_head.trunk.rope.table, model.speech_head.trunk.rope.table)
    random = checkpoints.random_model(TINY, dtype=torch.bfloat16)
    assert {p.dtype for p in random.parameters()} == {torch.bfloat16}
    assert torch.equal(random.backbone.model.rotary_emb.inv_freq, model.backbone.model.rotary_emb.inv_freq)


@pytest.mark.parametrize("release_names", [False, True])
def test_the_backbone_may_have_a_dtype_of_its_own(model, tmp_path, release_names):
    path = tmp_path / "model.safetensors"
    save_model(model, path, release_names=release_names)
    loaded = load_model(path, config=TINY, dtype=torch.float32, backbone_dtype=torch.bfloat16)
    inside = {name: p.dtype for name, p in loaded.named_parameters() if name.startswith("backbone.")}
    assert inside and set(inside.values()) == {torch.bfloat16}
    assert {p.dtype for name, p in loaded.named_parameters() if name not in inside} == {torch.float32}
    assert {b.dtype for b in loaded.buffers()} == {torch.float32}


def test_stored_dtypes_are_kept_by_default(model):
    state = {
        name: tensor.bfloat16() if name.startswith("backbone.") else tensor
        for name, tensor in model.state_dict().items()
    }
    loaded = load_state(state, TINY)
    assert loaded.backbone.model.norm.weight.dtype is torch.bfloat16
    assert loaded.speech_head.output_projection.weight.dtype is torch.float32


def test_a_failed_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def full_disk(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_model(model, path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


def test_unreadable_files_say_so(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_model(tmp_path / "absent.safetensors")
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_model(path)


def test_a_configuration_from_the_future_is_refused(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    changed = metadata[checkpoints.CONFIG_KEY].replace('"patch_size"', '"patchsize"')
    save_file(load_file(path), path, {checkpoints.CONFIG_KEY: changed})
    with pytest.raises(CheckpointError, match="patchsize.*did you mean patch_size"):
        load_model(Path(path))
