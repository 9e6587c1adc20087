"""The loop on one page equals the batched one, and the release's own loop where the golden cases hold it."""

import dataclasses

import pytest
import torch
from golden import cases, check
from random_models import golden_model, random_model
from test_sampling import FAST, config, item
from test_sampling_golden import item_of, recipe_of

from reference_model.generate import generate_one
from reference_model.inference.batched.sampling import generate
from reference_model.inference.recipes import RECIPES

# The page runs transformers' own forward with a growing cache, the batched loop one of fixed size: sums of another
# order in every layer. A patch, of values up to 3, then differs by 2 ulp, and every later one builds on it.
ULP = torch.finfo(torch.float32).eps
TOLERANCE = {"atol": 32 * ULP, "rtol": 32 * ULP}


def of_page(model, one, recipe):
    patches = list(generate_one(model, one, recipe))
    return [torch.cat(latents) for latents in zip(*patches, strict=True)], len(patches)


@pytest.mark.parametrize("prefix", [0, 2], ids=["no prefix", "prefix"])
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "release_tts"])
def test_the_page_equals_the_batched_loop(name, prefix):
    model = random_model(config(), seed=5)
    sampler = dataclasses.replace(RECIPES[name].sampler, steps=FAST.steps)
    recipe = dataclasses.replace(RECIPES[name], sampler=sampler, stop_threshold=0.05)
    if prefix and recipe.prefix_contents == "speech":
        pytest.skip("a prefix of speech alone is the batched loop's")
    ends = set()
    for seed in (0, 3):
        one = item(seed, text=4 + seed, prefix=prefix, patches=12)
        (expected,) = generate(model, [one], recipe)
        (speech, motion), patches = of_page(model, one, recipe)
        assert patches == expected.patches
        torch.testing.assert_close(speech, expected.speech[4 * prefix :], **TOLERANCE)
        torch.testing.assert_close(motion, expected.motion[4 * prefix :], **TOLERANCE)
        ends.add(expected.stop_reason)
    assert not recipe.use_stop or "predictor" in ends, "no item was ended by the stop predictor"


@pytest.mark.parametrize("case", cases("08"))
def test_the_page_equals_the_release(case):
    model, recipe = golden_model(case), recipe_of(case)
    one = item_of(case, recipe)
    if one.task != "t2av" or model.arrangement.delay or (one.speech is None) != (one.motion is None):
        with pytest.raises(ValueError, match="use inference.batched.sampling"):
            next(generate_one(model, one, recipe))
        return
    (speech, motion), _ = of_page(model, one, recipe)
    prefix = [] if one.speech is None else [one.speech]
    check(case, "speech_latents_full", torch.cat([*prefix, speech]))
    if "motion_latents" in case.outputs:
        check(case, "motion_latents", motion)


@pytest.mark.parametrize("other", [item(1, task="tts"), item(2, task="a2v", frames=8)], ids=["tts", "a2v"])
def test_what_needs_the_batched_loop_is_refused(other):
    with pytest.raises(ValueError, match="use inference.batched.sampling"):
        next(generate_one(random_model(config()), other, RECIPES["paper"]))
    with pytest.raises(ValueError, match="use inference.batched.sampling"):
        next(generate_one(random_model(config("delay(1)")), item(1), RECIPES["paper"]))
