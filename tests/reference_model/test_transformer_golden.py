"""Blocks, patch encoder and diffusion head against the official release (golden 01 to 03)."""

import pytest
import torch
from golden import cases, check

from reference_model import names
from reference_model.modules.diffusion_head import DiffusionHead, sinusoidal_embedding
from reference_model.modules.patch_encoder import PatchEncoder
from reference_model.modules.transformer import Block, RMSNorm, RotaryEmbedding, Trunk
from reference_model.utils.strict_loading import NameMap, load_strictly


def loaded(module, case, pairs, prefix=""):
    weights = {key.removeprefix(prefix): value for key, value in case.weights.items()}
    load_strictly(module, weights, names=NameMap(pairs), source=case.name)
    return module


@pytest.mark.parametrize("case", cases("01a"))
def test_rms_norm(case):
    norm = loaded(RMSNorm(case.config["dim"], case.config["eps"]), case, names.NORM)
    check(case, "y", norm(case.inputs["x"]))


@pytest.mark.parametrize("case", cases("01b"))
def test_rotary_embedding(case):
    rope = RotaryEmbedding(case.config["head_dim"], case.config["max_len"], case.config["base"])
    x = case.inputs["x"]
    check(case, "y", rope(x))
    torch.testing.assert_close(rope.table, case.weights["w"], atol=1e-6, rtol=0)
    check(case, "y", loaded(rope, case, names.ROPE)(x))


@pytest.mark.parametrize("case", cases("01c"))
def test_block(case):
    config, x = case.config, case.inputs["x"]
    block = loaded(Block(config["n_embd"], config["n_head"]), case, names.BLOCK)
    rope = RotaryEmbedding(config["n_embd"] // config["n_head"])
    check(case, "y_rope", block(x, rope))
    check(case, "y_norope", block(x))
    check(case, "y_rope_masked", block(x, rope, case.inputs["additive_mask"]))
    check(case, "attn_of_norm1_rope", block.attention(block.attention_norm(x), rope))
    check(case, "mlp_of_x", block.mlp(x))


@pytest.mark.parametrize("case", cases("01d"))
def test_trunk(case):
    config, x = case.config, case.inputs["x"]
    trunk = loaded(
        Trunk(config["hidden_size"], config["n_layer"], config["n_head"]), case, names.blocks(config["n_layer"])
    )
    check(case, "y", trunk(x))
    check(case, "y_masked", trunk(x, case.inputs["keep_mask"].bool()))


@pytest.mark.parametrize("case", cases("02"))
def test_patch_encoder(case):
    config = case.config
    encoder = loaded(
        PatchEncoder(config["hidden_size"], config["n_layer"], config["n_head"]),
        case,
        names.patch_encoder(config["n_layer"]),
    )
    check(case, "tokens", encoder(case.inputs["x"]))


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
    check(case, "v", head(*arguments).mT)
    check(case, "v", head(*arguments, given["dt"]).mT)
    check(case, "v_dt_nonzero", head(*arguments, given["dt_nonzero"]).mT)
    time, step = (sinusoidal_embedding(given[name], head.width) for name in ("t", "dt"))
    check(case, "time_sinusoid", time)
    check(case, "dt_sinusoid", step)
    check(case, "time_mlp", head.time_network(time))
    check(case, "dt_mlp", head.step_network(step))
