"""What makes generation faster must not change it: packed weights, paired heads, compiled and recorded steps."""

import dataclasses

import pytest
import torch
from random_models import random_model
from test_sampling import NO_STOP, PAPER, RELEASE, close, config, item, mixed_items

from reference_model.acceleration import Accelerated, pack_linears
from reference_model.acceleration.cuda_graphs import Recorded
from reference_model.acceleration.packed_weights import PackedLinear, can_pack
from reference_model.acceleration.paired_heads import PairedSampler
from reference_model.checkpoints import load_model, load_state, save_model
from reference_model.inference.batched.sampling import generate, stream
from reference_model.modules.flow_matching import PatchSampler, SamplerSettings

# Only for the CPU does torch.func lack a batched form of attention; there it takes one trunk after the other.
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_model_is_saved_as_if_it_were_not(model, tmp_path, dtype):
    """Every weight bit for bit, in our layout and in the release's; what is loaded generates the same."""
    if not can_pack(dtype):
        pytest.skip(f"this build or processor has no oneDNN products of {dtype}")
    model = load_state(model.state_dict(), config(), dtype=dtype)
    save_model(model, tmp_path / "plain.safetensors")
    save_model(model, tmp_path / "plain_release.safetensors", release_names=True)
    assert pack_linears(model)
    for name, release in (("plain", False), ("plain_release", True)):
        save_model(model, tmp_path / "packed.safetensors", release_names=release)
        assert (tmp_path / "packed.safetensors").read_bytes() == (tmp_path / f"{name}.safetensors").read_bytes()
    again = load_model(tmp_path / "plain.safetensors")
    assert all(isinstance(value, torch.Tensor) for value in again.state_dict().values())


def test_without_the_operators_the_model_stays_as_it_was(model, monkeypatch):
    class Lacking:
        def __getattr__(self, name):
            raise AttributeError(name)

    monkeypatch.setattr("reference_model.acceleration.packed_weights._ops", Lacking())
    assert pack_linears(model) == 0 and not any(isinstance(module, PackedLinear) for module in model.modules())


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
    inputs = [
        tensor
        for noise, context, condition in zip(noises, contexts, conditions, strict=True)
        for tensor in (noise, hidden, context, condition)
    ]
    paired = PairedSampler(*(PatchSampler(head, settings) for head in heads))(*inputs)
    for left, right in zip(paired, expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    again = PatchSampler(heads[0], settings)(noises[0], hidden, contexts[0], conditions[0])
    torch.testing.assert_close(again, expected[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arrangement", ["add", "delay(1)", "interleaved_av"])
@pytest.mark.parametrize("how", [{}, {"pair_heads": True}], ids=["alone", "paired"])
def test_rows_that_stay_and_paired_heads_change_nothing(arrangement, how):
    """Mixed tasks that end at different steps: finished rows stay in the batch, and must not matter."""
    model = random_model(config(arrangement), seed=5)
    plain = generate(model, mixed_items(), PAPER)
    for left, right in zip(
        generate(model, mixed_items(), PAPER, networks=Accelerated(model, **how)), plain, strict=True
    ):
        close(left, right)


def test_packed_or_unlike_heads_are_not_paired(model):
    draw = lambda model: generate(model, [item(1)], NO_STOP, networks=Accelerated(model, pair_heads=True))  # noqa: E731
    other = random_model(config(), seed=6)
    model.motion_head = random_model(
        dataclasses.replace(config(), head=dataclasses.replace(config().head, layers=1))
    ).motion_head
    with pytest.raises(ValueError, match="same shape and plain weights"):
        draw(model)
    if pack_linears(other):
        with pytest.raises(ValueError, match="same shape and plain weights"):
            draw(other)


@pytest.mark.parametrize("pair_heads", [False, True])
def test_a_compiled_model_gives_the_same_results(model, pair_heads):
    items = [item(1, text=3, patches=3), item(2, text=6, prefix=1, patches=4)]
    limit = torch._dynamo.config.recompile_limit
    networks = Accelerated(model, compile=True, pair_heads=pair_heads, backend="eager")
    for batch in (items, items[:1]):
        plain = generate(model, batch, NO_STOP)
        for left, right in zip(generate(model, batch, NO_STOP, networks=networks), plain, strict=True):
            close(left, right)
    assert torch._dynamo.config.recompile_limit == limit, "a global setting was changed"


class Rerun(Recorded):
    """Recording without a GPU: the same fixed buffers, but a replay calls the function again."""

    made = 0

    def _record(self, static):
        Rerun.made += 1
        outputs = self._function(*static)

        def replay():
            again = self._function(*static)
            pairs = [(outputs, again)] if isinstance(outputs, torch.Tensor) else zip(outputs, again, strict=True)
            for kept, fresh in pairs:
                kept.copy_(fresh)

        return outputs, replay


@pytest.fixture(params=["fixed buffers", "cuda graphs"])
def recorded(request):
    """A function that makes a model's recorded networks, and the device to do it on."""
    if request.param == "cuda graphs":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        return "cuda", lambda model, **how: Accelerated(model, graphs=True, **how)

    def stand_in(model, **how):
        networks = Accelerated(model, **how)
        networks._record = Rerun
        return networks

    return "cpu", stand_in


@pytest.mark.parametrize("pair_heads", [False, True])
@pytest.mark.parametrize("arrangement", ["add", "delay(1)", "interleaved_va"])
def test_recorded_steps_give_the_same_results(recorded, arrangement, pair_heads):
    device, record = recorded
    model = random_model(config(arrangement), seed=5).to(device)
    networks = record(model, pair_heads=pair_heads)
    for recipe in (PAPER, RELEASE):
        plain = generate(model, mixed_items(), recipe)
        for left, right in zip(generate(model, mixed_items(), recipe, networks=networks), plain, strict=True):
            close(left, right)


def test_recordings_serve_later_batches_and_interleaved_streams(recorded):
    device, record = recorded
    model = random_model(config(), seed=5).to(device)
    items = [item(seed, text=4 + seed, patches=4) for seed in range(3)]
    plain = [generate(model, [one], NO_STOP)[0] for one in items]
    networks = record(model)
    close(generate(model, [items[0]], NO_STOP, networks=networks)[0], plain[0])
    before = Rerun.made
    close(generate(model, [items[1]], NO_STOP, networks=networks)[0], plain[1])
    assert Rerun.made == before, "a batch of a known size was recorded again"

    abandoned = stream(model, [items[2]], NO_STOP, networks=networks)
    next(abandoned)
    results = {}
    for events in zip(*(stream(model, [one], NO_STOP, networks=networks) for one in items), strict=True):
        for index, event in enumerate(events):
            results[index] = event
    for index, expected in enumerate(plain):
        close(results[index], expected)
    abandoned.close()


def test_a_few_caches_are_kept(model):
    networks = Accelerated(model)
    caches = [networks.take_cache(1, 100 * number) for number in range(1, 8)]
    for cache in caches:
        networks.return_cache(cache)
    again = networks.take_cache(1, 700)
    assert again is caches[-1] and again.columns >= 700
    assert networks.take_cache(1, 100) is not caches[0]
    assert networks.take_cache(2, 600).batch == 2


def test_graphs_need_a_gpu(model):
    with pytest.raises(ValueError, match="CUDA graphs need a model on a CUDA device; this one is on cpu"):
        Accelerated(model, graphs=True)
