"""Training forward: nothing leaks from the future, samples do not mix, and generation sees the same sequence."""

import dataclasses

import pytest
import torch
from build import random_model

from reference_model.config import ModelConfig
from reference_model.inference.batched.sampling import generate
from reference_model.inference.recipes import RECIPES
from reference_model.inference.types import GenerationItem
from reference_model.modules.flow_matching import LossDraws
from reference_model.training.forward import LOSS_RECIPES, TrainingBatch, training_forward

ARRANGEMENTS = ["add", "interleaved_av", "interleaved_va", "delay(1)", "delay(3)"]
SIZE, TEXT = 4, 5


def model_of(arrangement):
    return random_model(dataclasses.replace(ModelConfig.named("tiny"), arrangement=arrangement), seed=7)


@pytest.fixture(scope="module")
def models():
    return {name: model_of(name) for name in ARRANGEMENTS}


def batch_of(model, samples, seed=0):
    """``samples`` lists (speech frames, motion frames); motion 0 is TTS."""
    draw = torch.Generator().manual_seed(seed)
    layout = model.arrangement
    rows = []
    for speech, motion in samples:
        tokens = layout.slots(-(-speech // SIZE), -(-motion // SIZE)) * layout.tokens_per_slot
        rows.append((speech, motion, tokens))
    longest = max(tokens for *_, tokens in rows) + TEXT + 2
    speech = torch.randn(len(rows), max(s for s, _ in samples), 32, generator=draw)
    motion = torch.randn(len(rows), max(m for _, m in samples), 40, generator=draw)
    for row, (s, m, _) in enumerate(rows):
        speech[row, s:], motion[row, m:] = 0, 0
    return TrainingBatch(
        input_ids=torch.randint(256, (len(rows), longest), generator=draw),
        attention_mask=torch.stack([torch.arange(longest) < TEXT + tokens + 2 for *_, tokens in rows]),
        span=torch.tensor([[TEXT, TEXT + tokens] for *_, tokens in rows]),
        task=torch.tensor([int(m > 0) for _, m, _ in rows]),
        speech_latents=speech,
        motion_latents=motion,
        speech_lengths=torch.tensor([s for s, _, _ in rows]),
        motion_lengths=torch.tensor([m for _, m, _ in rows]),
        speaker_embedding=torch.randn(len(rows), 256, generator=draw),
    )


def select(batch, rows):
    return TrainingBatch(**{name: value[rows] for name, value in vars(batch).items()})


def forward(model, batch, recipe="paper"):
    with torch.no_grad():
        return training_forward(model, batch, LOSS_RECIPES[recipe], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("modality", ["speech", "motion"])
def test_a_patch_changes_no_earlier_hidden_state(models, arrangement, modality):
    model = models[arrangement]
    batch = batch_of(model, [(32, 32)])
    patch, changed = 4, dataclasses.replace(batch)
    latents = getattr(batch, f"{modality}_latents").clone()
    latents[:, patch * SIZE : (patch + 1) * SIZE] += 1
    setattr(changed, f"{modality}_latents", latents)
    before, after = forward(model, batch).hidden, forward(model, changed).hidden
    token = 1 + TEXT + model.arrangement.token(modality, patch)
    assert torch.equal(before[:, :token], after[:, :token])
    assert (before[:, token] - after[:, token]).abs().max() > 1e-3


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_patch_is_predicted_from_what_precedes_it(models, arrangement):
    """The hidden state of a flow-matching row must not know the row's own target, and must know the text."""
    model = models[arrangement]
    batch = batch_of(model, [(32, 32)])
    for modality in ("speech", "motion"):
        before = getattr(forward(model, batch), f"{modality}_rows")
        for patch in (0, 3, 7):
            latents = getattr(batch, f"{modality}_latents").clone()
            latents[:, patch * SIZE : (patch + 1) * SIZE] += 1
            rows = getattr(
                forward(model, dataclasses.replace(batch, **{f"{modality}_latents": latents})), f"{modality}_rows"
            )
            assert torch.equal(rows.hidden[: patch + 1], before.hidden[: patch + 1])
            assert torch.equal(rows.context[: patch + 1], before.context[: patch + 1])
            assert not torch.equal(rows.target[patch], before.target[patch])
        text = batch.input_ids.clone()
        text[:, 0] = (text[:, 0] + 1) % 256
        rows = getattr(forward(model, dataclasses.replace(batch, input_ids=text)), f"{modality}_rows")
        assert (rows.hidden - before.hidden).abs().amax(dim=1).min() > 1e-6


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_samples_of_a_batch_do_not_mix(models, arrangement):
    model = models[arrangement]
    batch = batch_of(model, [(32, 32), (14, 0), (20, 20), (29, 25)])
    together = forward(model, batch)
    order = [2, 0, 3, 1]
    permuted = forward(model, select(batch, order))
    torch.testing.assert_close(permuted.hidden, together.hidden[order], atol=1e-4, rtol=1e-4)
    assert torch.equal(permuted.stop_labels, together.stop_labels[order])
    for row in range(4):
        alone = forward(model, select(batch, [row])).hidden
        torch.testing.assert_close(alone, together.hidden[row : row + 1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_padding_does_not_matter(models, arrangement):
    """Token ids, latents and motion beyond a sample's lengths change nothing."""
    model = models[arrangement]
    batch = batch_of(model, [(32, 32), (13, 0), (18, 15)])
    noisy = dataclasses.replace(batch)
    noisy.input_ids = torch.where(batch.attention_mask, batch.input_ids, 17)
    for name in ("speech", "motion"):
        latents, lengths = getattr(batch, f"{name}_latents"), getattr(batch, f"{name}_lengths")
        beyond = torch.arange(latents.shape[1]) >= lengths[:, None]
        setattr(noisy, f"{name}_latents", torch.where(beyond[..., None], 3.0, latents))
    left, right = forward(model, batch), forward(model, noisy)
    assert torch.equal(left.hidden, right.hidden)
    assert left.loss == right.loss


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_generation_sees_the_sequence_that_training_saw(models, arrangement):
    """Generate, then train on the result: the hidden states that predicted each patch must be the same."""
    model = models[arrangement]
    draw = torch.Generator().manual_seed(3)
    item = GenerationItem(
        text_ids=torch.randint(256, (TEXT,), generator=draw),
        max_patches=7,
        seed=1,
        speaker_embedding=torch.randn(256, generator=draw),
        first_motion=torch.randn(40, generator=draw),
    )
    recipe = dataclasses.replace(RECIPES["paper"], use_stop=False)
    (result,) = generate(model, [item], recipe, trace=True)
    batch = batch_of(model, [(len(result.speech), len(result.motion))])
    batch.input_ids[0, :TEXT] = item.text_ids
    batch.speech_latents, batch.motion_latents = result.speech[None], result.motion[None]
    output = forward(model, batch)
    slots = torch.stack(result.trace.hidden)
    delay = model.arrangement.delay
    first = {"interleaved_av": "speech", "interleaved_va": "motion"}.get(arrangement)
    if first != "motion":
        torch.testing.assert_close(output.speech_rows.hidden, slots[:7], atol=2e-4, rtol=1e-3)
    if first != "speech":
        torch.testing.assert_close(output.motion_rows.hidden, slots[delay : delay + 7], atol=2e-4, rtol=1e-3)
    probabilities = output.stop_logits.sigmoid()[
        0, TEXT + model.arrangement.tokens_per_slot :: model.arrangement.tokens_per_slot
    ]
    expected = torch.tensor(result.trace.stop_probability[1:])
    torch.testing.assert_close(probabilities[: len(expected)], expected, atol=1e-4, rtol=1e-3)


def test_delay_0_trains_like_add():
    left, right = model_of("add"), model_of("delay(0)")
    batch = batch_of(left, [(32, 32), (14, 0)])
    assert forward(left, batch).loss == forward(right, batch).loss


def test_losses_add_up_by_the_recipe(models):
    batch = batch_of(models["add"], [(32, 32), (14, 0)])
    for name, motion_weight in (("paper", 8.0), ("release", 10.0)):
        output = forward(models["add"], batch, name)
        expected = output.speech_loss + motion_weight * output.motion_loss + output.stop_loss
        torch.testing.assert_close(output.loss, expected)
        assert len(output.speech_rows.target) == LOSS_RECIPES[name].repeats * (8 + 4)


def test_every_parameter_gets_a_gradient_even_without_motion(models):
    model = model_of("add")
    training_forward(
        model, batch_of(model, [(32, 0), (14, 0)]), LOSS_RECIPES["release"], generator=torch.Generator().manual_seed(0)
    ).loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert missing == []
    assert not model.motion_head.output_projection.weight.grad.any()
    assert model.motion_padding.grad.any()


def test_draws_can_be_injected(models):
    model = models["add"]
    batch = batch_of(model, [(32, 32)])
    rows = forward(model, batch)
    generator = torch.Generator().manual_seed(0)
    draws = {
        "speech": LossDraws.sample(rows.speech_rows.target, generator),
        "motion": LossDraws.sample(rows.motion_rows.target, generator),
    }
    with torch.no_grad():
        assert training_forward(model, batch, LOSS_RECIPES["paper"], draws).loss == rows.loss
