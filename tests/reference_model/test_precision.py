"""The release's precision: a bfloat16 backbone beside float32 patch encoders, heads and stop predictor."""

import dataclasses

import pytest
import torch
from random_models import random_model
from test_sampling import FAST, NO_STOP, config, item

from reference_model.acceleration import Accelerated, pack_linears
from reference_model.checkpoints import load_state
from reference_model.inference.batched.sampling import generate, stream
from reference_model.inference.types import GeneratedPatch

# Random weights amplify rounding from patch to patch, and guidance at every step: one patch without it is comparable.
RECIPE = dataclasses.replace(NO_STOP, sampler=dataclasses.replace(FAST, guidance=1.0))
ITEMS = [item(31, patches=1), item(32, text=11, prefix=2, patches=1)]


@pytest.fixture(scope="module")
def exact():
    return random_model(config(), seed=5)


@pytest.fixture
def mixed(exact):
    return load_state(exact.state_dict(), config(), dtype=torch.float32, backbone_dtype=torch.bfloat16)


def error(results, expected) -> float:
    """The largest relative deviation of a generated patch."""
    pairs = [
        (getattr(left, name)[-4:], getattr(right, name)[-4:])
        for left, right in zip(results, expected, strict=True)
        for name in ("speech", "motion")
    ]
    return max(float((left - right).std() / right.std()) for left, right in pairs)


def test_only_the_backbone_computes_in_bfloat16(mixed):
    seen: dict[str, set[torch.dtype]] = {}
    watched = {
        "backbone": mixed.backbone.model.layers[0].mlp,
        "encoder": mixed.speech_patch_encoder.blocks[0].mlp,
        "speech": mixed.speech_head.trunk,
        "motion": mixed.motion_head.trunk,
        "stop": mixed.stop_predictor.hidden,
    }
    for name, module in watched.items():
        module.register_forward_pre_hook(
            lambda module, inputs, name=name: seen.setdefault(name, set()).add(inputs[0].dtype)
        )
    generate(mixed, [item(1, prefix=1)], dataclasses.replace(RECIPE, use_stop=True))
    expected = dict.fromkeys(watched, {torch.float32}) | {"backbone": {torch.bfloat16}}
    assert seen == expected


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("how", ["plain", "packed", "paired"])
def test_every_loop_stays_near_float32(exact, mixed, how):
    expected = generate(exact, ITEMS, RECIPE)
    if how == "packed":
        pack_linears(mixed)
    networks = Accelerated(mixed, pair_heads=True) if how == "paired" else None
    results = generate(mixed, ITEMS, RECIPE, networks=networks)
    assert 1e-5 < error(results, expected) < 0.1
    assert error([generate(mixed, [one], RECIPE, networks=networks)[0] for one in ITEMS], expected) < 0.1
    half = load_state(exact.state_dict(), config(), dtype=torch.bfloat16)
    assert error(results, expected) < error(generate(half, ITEMS, RECIPE), expected), "the heads' rounding is spared"


def test_a_stream_joined_is_the_result(mixed):
    events = list(stream(mixed, [item(2, prefix=1, patches=5)], NO_STOP))
    patches = [event for event in events if isinstance(event, GeneratedPatch)]
    result = events[-1]
    for name in ("speech", "motion"):
        assert torch.equal(torch.cat([getattr(patch, name) for patch in patches]), getattr(result, name)[4:])
