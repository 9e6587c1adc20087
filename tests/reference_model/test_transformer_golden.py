"""Blocks, patch encoder and diffusion head against the official release (golden 01 to 03)."""

import json

import pytest
import torch
from golden import KINDS, Case, cases, check_outputs, golden_folder
from safetensors.torch import save_file

from reference_model import names
from reference_model.modules.diffusion_head import DiffusionHead, sinusoidal_embedding
from reference_model.modules.patch_encoder import PatchEncoder
from reference_model.modules.transformer import Block, RMSNorm, RotaryEmbedding, Trunk
from reference_model.utils.strict_loading import NameMap, load_strictly


def test_every_case_of_the_folder_has_a_test():
    stems = {path.stem for path in golden_folder().glob("*.json")} - {"discrepancies"}
    assert stems, f"no golden case in {golden_folder()}"
    assert [stem for stem in sorted(stems) if not stem.startswith(KINDS)] == []


def test_every_stored_output_must_be_known_and_right(tmp_path, monkeypatch):
    monkeypatch.setattr("golden.USED", {})
    (tmp_path / "01a_norm.json").write_text(json.dumps({"tensors": {"out.y": {}}, "tolerance": {"atol": 1e-3}}))
    save_file({"out.y": torch.ones(2)}, tmp_path / "01a_norm.safetensors")
    case = Case(tmp_path / "01a_norm.json")
    check_outputs(case, {"y": torch.tensor([1.0005, 1.0]), "not stored": torch.ones(1)})
    for found, problem in (
        ({"y": torch.tensor([1.005, 1.0])}, "off by 0.005"),
        ({"y": torch.tensor([torch.nan, 1.0])}, "not finite"),
        ({"y": torch.ones(1)}, r"is \(2,\), got \(1,\)"),
        ({"x": torch.ones(2)}, "does not know: y"),
    ):
        with pytest.raises(AssertionError, match=problem):
            check_outputs(case, found)


def loaded(module, case, pairs):
    load_strictly(module, case.weights, names=NameMap(pairs), source=case.name)
    return module


@pytest.mark.parametrize("case", cases("01a"))
def test_rms_norm(case):
    norm = loaded(RMSNorm(case.config["dim"], case.config["eps"]), case, names.NORM)
    check_outputs(case, {"y": norm(case.inputs["x"])})


@pytest.mark.parametrize("case", cases("01b"))
def test_rotary_embedding(case):
    """With the table of the case, and with our own: its angles are off by the rounding of a float32."""
    rope = RotaryEmbedding(case.config["head_dim"], case.config["max_len"], case.config["base"])
    torch.testing.assert_close(rope.table, case.weights["w"], atol=case.config["max_len"] * 1.2e-7, rtol=0)
    check_outputs(case, {"y": rope(case.inputs["x"])})
    check_outputs(case, {"y": loaded(rope, case, names.ROPE)(case.inputs["x"])})


@pytest.mark.parametrize("case", cases("01c"))
def test_block(case):
    config, x, mask = case.config, case.inputs["x"], case.inputs.get("additive_mask")
    block = loaded(Block(config["n_embd"], config["n_head"]), case, names.BLOCK)
    rope = RotaryEmbedding(config["n_embd"] // config["n_head"])
    found = {
        "y_rope": block(x, rope),
        "y_norope": block(x),
        "attn_of_norm1_rope": block.attention(block.attention_norm(x), rope),
        "mlp_of_x": block.mlp(x),
    }
    if mask is not None:
        found["y_rope_masked"] = block(x, rope, mask)
    check_outputs(case, found)


@pytest.mark.parametrize("case", cases("01d"))
def test_trunk(case):
    config, x, keep = case.config, case.inputs["x"], case.inputs.get("keep_mask")
    trunk = Trunk(config["hidden_size"], config["n_layer"], config["n_head"], config["feat_dim"])
    loaded(trunk, case, names.blocks(config["n_layer"]))
    found = {"y": trunk(x)}
    if keep is not None:
        found["y_masked"] = trunk(x, torch.where(keep.bool(), 0.0, -1e9)[:, None, None])
    check_outputs(case, found)


@pytest.mark.parametrize("case", cases("02"))
def test_patch_encoder(case):
    config = case.config
    encoder = PatchEncoder(config["hidden_size"], config["n_layer"], config["n_head"], config["input_dim"])
    loaded(encoder, case, names.patch_encoder(config["n_layer"]))
    check_outputs(case, {"tokens": encoder(case.inputs["x"])})


@pytest.mark.parametrize("case", cases("03"))
def test_diffusion_head(case):
    config, given = case.config, case.inputs
    head = DiffusionHead(
        config["in_channels"],
        config["global_cond_channels"],
        config["hidden_size"],
        config["n_layer"],
        config["n_head"],
    )
    loaded(head, case, names.diffusion_head(config["n_layer"]))
    arguments = (given["x"].mT, given["mu"], given["t"], given["cond"].mT, given["global_cond"])
    zero = torch.zeros_like(given["t"])
    time, step = (sinusoidal_embedding(value, head.width) for value in (given["t"], given.get("dt", zero)))
    found = {
        "v": head(*arguments).mT,
        "time_sinusoid": time,
        "dt_sinusoid": step,
        "time_mlp": head.time_network(time),
        "dt_mlp": head.step_network(step),
    }
    if "dt_nonzero" in given:
        found["v_dt_nonzero"] = head(*arguments, given["dt_nonzero"]).mT
    check_outputs(case, found)
    torch.testing.assert_close(head(*arguments, given.get("dt", zero)).mT, found["v"], atol=0, rtol=0)
