"""The backbone without transformers: names, hidden states and samples are those of transformers' model, bit by bit."""

import subprocess
import sys

import pytest
import torch
from random_models import random_model

from reference_model.acceleration import pack_linears
from reference_model.checkpoints import load_model, load_state, save_model
from reference_model.config import BackboneConfig, ModelConfig, TransformerConfig
from reference_model.modules.backbone import KeyValueCache, RotaryTable, decode
from reference_model.modules.decoder import Decoder

SMALL = {"vocab_size": 50, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model(request):
    backbone = BackboneConfig(**SMALL, rope_theta=5e5, rms_norm_eps=1e-5, tie_word_embeddings=request.param)
    return random_model(ModelConfig(backbone=backbone, head=TransformerConfig(2, 4)))


def hidden(model, dtype):
    backbone = model.backbone
    embeddings = backbone.get_input_embeddings()(torch.arange(14).view(2, 7))
    cache, table = KeyValueCache(backbone, 2, 8), RotaryTable.of(backbone, 8)
    cos, sin = (each.to(dtype) for each in table.at(torch.arange(7).expand(2, 7)))
    mask = torch.ones(7, 7, dtype=torch.bool).tril().expand(2, 7, 7)
    with torch.inference_mode():
        first = decode(backbone, embeddings, cos, sin, cache, 0, 7, mask)
        cos, sin = (each.to(dtype) for each in table.at(torch.full((2, 1), 7)))
        return first, decode(backbone, first[:, None], cos, sin, cache, 7, 8, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packed", [False, True])
def test_hidden_states_are_transformers_own(model, dtype, packed):
    both = [load_state(model.state_dict(), model.config, dtype=dtype, decode_only=only) for only in (False, True)]
    assert [each.backbone.dtype for each in both] == [dtype, dtype]
    assert [isinstance(each.backbone, Decoder) for each in both] == [False, True]
    if packed:
        assert pack_linears(both[0]) == pack_linears(both[1])
    for theirs, ours in zip(*(hidden(each, dtype) for each in both), strict=True):
        assert theirs.abs().max() > 0.1
        assert torch.equal(theirs, ours)


def test_state_dict_and_rotary_frequencies_are_transformers_own(model, tmp_path):
    save_model(model, tmp_path / "model.safetensors")
    ours = load_model(tmp_path / "model.safetensors", decode_only=True)
    state = ours.state_dict()
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(ours.backbone.model.rotary_emb.inv_freq, model.backbone.model.rotary_emb.inv_freq)
    for name, tensor in model.named_buffers():
        if "original_inv_freq" not in name:
            assert torch.equal(ours.get_buffer(name), tensor), name


def test_loading_imports_neither_transformers_nor_a_compiler(model, tmp_path):
    save_model(model, tmp_path / "model.safetensors")
    code = (
        "import sys; from reference_model.checkpoints import load_model; load_model(sys.argv[1], decode_only=True);"
        "print({'transformers', 'torchvision', 'torch._dynamo'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.safetensors")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"
