"""What makes generation faster must not change it: packed weights, paired heads, compiled heads."""

import dataclasses

import pytest
import torch
from build import random_model
from test_sampling import NO_STOP, PAPER, close, config, item, mixed_items

from reference_model.acceleration import PackedLinear, can_pack, compile_model, pack_linears
from reference_model.checkpoints import convert
from reference_model.flow_matching import PatchSampler, SamplerSettings
from reference_model.paired_heads import PairedSampler, can_pair
from reference_model.sampling import generate


@pytest.fixture()
def model():
    return random_model(config(), seed=5)


@pytest.mark.skipif(not can_pack(torch.float32), reason="this build of torch has no oneDNN products")
def test_packed_weights_give_the_same_results(model):
    plain = generate(model, mixed_items(), PAPER)
    before = sum(isinstance(module, torch.nn.Linear) for module in model.modules())
    packed = pack_linears(model)
    assert packed == sum(isinstance(module, PackedLinear) for module in model.modules())
    # two heads of 2 blocks, two encoders of 1, a backbone of 2 layers: 5, 5 and 7 linears each
    assert packed == (2 * 2 + 2 * 1) * 5 + 2 * 7 and packed < before
    for left, right in zip(generate(model, mixed_items(), PAPER), plain, strict=True):
        close(left, right)


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this processor has no bfloat16 products")
def test_packed_weights_in_bfloat16(model):
    recipe = dataclasses.replace(NO_STOP, sampler=dataclasses.replace(NO_STOP.sampler, guidance=1.0))
    one = item(31, patches=1)
    (exact,) = generate(model, [one], recipe)
    half = convert(model, dtype=torch.bfloat16)
    pack_linears(half)
    (packed,) = generate(half, [one], recipe)
    assert 1e-5 < (packed.speech - exact.speech).std() / exact.speech.std() < 0.1


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@torch.no_grad()
def test_paired_heads_equal_two_samplers(model, guidance):
    settings = SamplerSettings(steps=4, guidance=guidance, zero_star=True, sway=1.0)
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 64, generator=draw)
    noises, contexts = ([torch.randn(3, 4, channels, generator=draw) for channels in (32, 40)] for _ in range(2))
    conditions = [torch.randn(3, channels, generator=draw) for channels in (256, 40)]
    heads = model.speech_head, model.motion_head
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = [
        PatchSampler(head, settings)(noise, hidden, context, condition)
        for head, noise, context, condition in zip(heads, noises, contexts, conditions, strict=True)
    ]
    paired = PairedSampler(*heads, settings)(tuple(noises), hidden, tuple(contexts), tuple(conditions))
    for left, right in zip(paired, expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    again = PatchSampler(heads[0], settings)(noises[0], hidden, contexts[0], conditions[0])
    torch.testing.assert_close(again, expected[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arrangement", ["add", "delay(1)", "interleaved_av"])
def test_a_loop_with_paired_heads_gives_the_same_results(arrangement):
    model = random_model(config(arrangement), seed=5)
    plain = generate(model, mixed_items(), PAPER, pair_heads=False)
    for left, right in zip(generate(model, mixed_items(), PAPER, pair_heads=True), plain, strict=True):
        close(left, right)


def test_packed_or_unlike_heads_are_not_paired(model):
    assert can_pair(model.speech_head, model.motion_head)
    other = random_model(dataclasses.replace(config(), head=dataclasses.replace(config().head, layers=1)))
    assert not can_pair(model.speech_head, other.motion_head)
    if pack_linears(model):
        with pytest.raises(ValueError, match="same shape and plain weights"):
            PairedSampler(model.speech_head, model.motion_head, SamplerSettings())


def test_a_compiled_model_gives_the_same_results(model):
    items = [item(1, text=3, patches=3), item(2, text=6, prefix=1, patches=4)]
    plain = generate(model, items, NO_STOP, window=2)
    compile_model(model, backend="eager")
    for left, right in zip(generate(model, items, NO_STOP, window=2), plain, strict=True):
        close(left, right)
