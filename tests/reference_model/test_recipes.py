"""Recipes as sequences: where the task embedding stands, per task; and noise that follows from the item alone."""

import dataclasses

import pytest
import torch
from random_models import random_model
from test_sampling import ARRANGEMENTS, NO_STOP, config, item

from reference_model.inference.batched.plan import make_plan
from reference_model.inference.batched.sampling import generate
from reference_model.inference.batched.slot_tokens import prompt_embeddings
from reference_model.inference.recipes import RECIPES
from reference_model.inference.types import GenerationItem, SeededNoise
from reference_model.model import TASK_T2AV, TASK_TTS


@pytest.fixture(scope="module")
def models():
    return {name: random_model(config(name), seed=5) for name in ARRANGEMENTS}


def prompt(model, recipe, one):
    plan = make_plan(one, model.config, RECIPES[recipe], model.arrangement.delay)
    with torch.no_grad():
        return prompt_embeddings(model, RECIPES[recipe], plan)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("task", ["t2av", "a2v", "v2a", "tts"])
def test_without_a_prefix_the_task_embedding_is_in_front(models, arrangement, task):
    """The sequence of training, in every task, but for the script's letter, which lacks that one token."""
    model = models[arrangement]
    one = item(1, task=task, text=5, frames=20 if task in ("a2v", "v2a") else 0)
    trained = prompt(model, "paper", one)
    row = model.task_embedding.weight[TASK_TTS if task == "tts" else TASK_T2AV]
    assert torch.equal(trained[0], row) and torch.equal(trained[1:6], model.embed_text(one.text_ids))
    assert torch.equal(prompt(model, "release", one), trained)
    assert torch.equal(prompt(model, "release_script", one), trained[1:])


@pytest.mark.parametrize("recipe", ["release", "release_script"])
@pytest.mark.parametrize("task", ["t2av", "tts"])
def test_with_a_prefix_the_release_adds_it_to_the_first_token(models, task, recipe):
    model, one = models["add"], item(2, task=task, text=5, prefix=2)
    trained, released = prompt(model, "paper", one), prompt(model, recipe, one)
    if task == "t2av":  # the release rounds reference motion first
        one.motion = one.motion.bfloat16().float()
        trained = prompt(model, "paper", one)
    expected = trained[1:].clone()
    expected[5] += trained[0]
    assert len(released) == 5 + 2 and torch.equal(released, expected)


def first_noise(one: GenerationItem) -> torch.Tensor:
    return one.own_noise().draw("speech", (4, 32))


def test_noise_follows_from_the_item_alone():
    plain = dataclasses.replace(item(3), seed=None)
    assert torch.equal(first_noise(plain), first_noise(dataclasses.replace(plain)))
    changes = [
        {"text_ids": plain.text_ids + 1}, {"task": "tts"}, {"speech": torch.zeros(4, 32)}, {"seed": 0}, {"id": "a"},
        {"speaker_embedding": plain.speaker_embedding + 1e-3}, {"first_motion": plain.first_motion - 1e-3}, {"id": "b"},
    ]  # fmt: skip
    others = [first_noise(dataclasses.replace(plain, **change)) for change in changes]
    assert len({tuple(noise.flatten().tolist()) for noise in [first_noise(plain), *others]}) == 9
    named = dataclasses.replace(plain, id="a", speaker_embedding=plain.speaker_embedding + 1)
    assert torch.equal(first_noise(named), others[4]), "an id stands for the item, whatever its inputs"
    seeded = dataclasses.replace(named, seed=7)
    assert torch.equal(first_noise(seeded), SeededNoise(7).draw("speech", (4, 32)))
    known = GenerationItem(torch.tensor([1]), 1, id="test-en-0000")
    # printf test-en-0000 | sha256sum, the first 8 bytes, halved
    assert torch.equal(first_noise(known), SeededNoise(0x106626A9E29E50D).draw("speech", (4, 32)))


def test_items_without_seeds_differ_in_a_batch_and_do_not_depend_on_it(models):
    """One and the same text, bound and inputs: only the ids tell the items apart."""
    twins = [dataclasses.replace(item(4, patches=2), seed=None, id=name) for name in ("a", "b")]
    first, second = generate(models["add"], twins, NO_STOP)
    assert (first.speech - second.speech).abs().max() > 0.1
    again, _ = generate(models["add"], [twins[1], item(5)], NO_STOP)
    torch.testing.assert_close(again.speech, second.speech, atol=1e-4, rtol=1e-4)
