"""What makes generation faster must not change it: packed weights, paired heads, compiled heads."""

import dataclasses

import pytest
import torch
from build import random_model
from test_sampling import NO_STOP, PAPER, RELEASE, close, config, item, mixed_items

from reference_model.acceleration.accelerate import PackedLinear, accelerate, can_pack, pack_linears
from reference_model.acceleration.cuda_graphs import Recorded, replayed
from reference_model.acceleration.paired_heads import PairedSampler, can_pair
from reference_model.acceleration.step_functions import StepFunctions
from reference_model.checkpoints import load_state
from reference_model.inference.sampling import generate, stream
from reference_model.modules.flow_matching import PatchSampler, SamplerSettings


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
    half = load_state(model.state_dict(), config(), dtype=torch.bfloat16)
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
    inputs = [part for triple in zip(noises, contexts, conditions, strict=True) for part in triple]
    paired = PairedSampler(*heads, settings)(hidden, *inputs)
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
    accelerate(model, compile=True, backend="eager")
    for left, right in zip(generate(model, items, NO_STOP, window=2), plain, strict=True):
        close(left, right)


class Rerun(Recorded):
    """Recording without a GPU: the same fixed buffers, but a replay calls the function again."""

    made = 0

    def _record(self, inputs):
        Rerun.made += 1
        static = [tensor.clone() for tensor in inputs]
        outputs = self._function(*static)

        def replay():
            again = self._function(*static)
            pairs = [(outputs, again)] if isinstance(outputs, torch.Tensor) else zip(outputs, again, strict=True)
            for kept, fresh in pairs:
                kept.copy_(fresh)

        return replayed(static, outputs, replay)


@pytest.fixture(params=["fixed buffers", "cuda graphs"])
def recorded(request):
    """A function that makes a model's step functions recorded ones, and the device to do it on."""
    if request.param == "cuda graphs":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        return "cuda", lambda model: accelerate(model, graphs=True)

    def stand_in(model):
        model.step_functions = StepFunctions(model, recorder=Rerun)

    return "cpu", stand_in


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("arrangement", ["add", "delay(1)", "interleaved_va"])
def test_recorded_steps_give_the_same_results(recorded, arrangement, pair):
    """Mixed tasks that end at different steps: finished rows stay in the batch, and must not matter."""
    device, record = recorded
    model = random_model(config(arrangement), seed=5).to(device)
    for recipe in (PAPER, RELEASE):
        model.step_functions = None
        plain = generate(model, mixed_items(), recipe, pair_heads=pair)
        record(model)
        for left, right in zip(generate(model, mixed_items(), recipe, pair_heads=pair), plain, strict=True):
            close(left, right)


def test_recordings_serve_later_batches_and_interleaved_streams(recorded):
    device, record = recorded
    model = random_model(config(), seed=5).to(device)
    items = [item(seed, text=4 + seed, patches=4) for seed in range(3)]
    plain = [generate(model, [one], NO_STOP)[0] for one in items]
    record(model)
    close(generate(model, [items[0]], NO_STOP)[0], plain[0])
    before = Rerun.made
    close(generate(model, [items[1]], NO_STOP)[0], plain[1])
    assert Rerun.made == before, "a batch of a known size was recorded again"

    abandoned = stream(model, [items[2]], NO_STOP)
    next(abandoned)
    results = {}
    for events in zip(*(stream(model, [one], NO_STOP) for one in items), strict=True):
        for index, event in enumerate(events):
            results[index] = event
    for index, expected in enumerate(plain):
        close(results[index], expected)
    abandoned.close()


def test_a_few_caches_are_kept(model):
    functions = StepFunctions(model, recorder=Rerun)
    caches = [functions.take_cache(1, 100 * number, torch.float32) for number in range(1, 8)]
    for cache in caches:
        functions.decode_step(cache)
        functions.return_cache(cache)
    again = functions.take_cache(1, 700, torch.float32)
    assert again is caches[-1] and again.columns >= 700
    assert functions.take_cache(1, 100, torch.float32) is not caches[0]
    assert functions.take_cache(2, 600, torch.float32).batch == 2


def test_acceleration_says_what_it_needs(model):
    with pytest.raises(ValueError, match="CUDA graphs need a model on a CUDA device; this one is on cpu"):
        accelerate(model, graphs=True)
    with pytest.raises(ValueError, match="use graphs=True"):
        accelerate(model, compile=True, mode="reduce-overhead")
    accelerate(model, compile=True, backend="eager")
    with pytest.raises(ValueError, match="convert it instead"):
        generate(model, [item(1)], NO_STOP, autocast=torch.bfloat16)
    accelerate(model)
    assert model.step_functions is None
