"""Training forward: equal to a plain one, nothing leaks from the future, and generation sees the same sequence."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from random_models import random_model
from training_factory import micro_batch

from reference_model.config import ModelConfig
from reference_model.inference.batched.sampling import generate
from reference_model.inference.recipes import RECIPES
from reference_model.inference.types import GenerationItem
from reference_model.modules.backbone import hidden_states
from reference_model.training.config import AidsConfig
from reference_model.training.forward import LOSS_RECIPES, flow_rows, sequence_embeddings
from reference_model.training.layout import layout
from reference_model.training.objective import Objective
from reference_model.training.samples import Sample

ARRANGEMENTS = ["add", "interleaved_av", "interleaved_va", "delay(1)", "delay(3)"]
SIZE, TEXT = 4, 5
MODALITIES = ("speech", "motion")


def model_of(arrangement):
    return random_model(dataclasses.replace(ModelConfig.named("tiny"), arrangement=arrangement), seed=7)


@pytest.fixture(scope="module")
def models():
    return {name: model_of(name) for name in ARRANGEMENTS}


def samples_of(*lengths, seed=0):
    """``lengths`` lists (speech frames, motion frames); motion 0 is TTS."""
    draw = torch.Generator().manual_seed(seed)
    return [
        Sample(
            torch.randint(256, (TEXT,), generator=draw),
            torch.randn(speech, 32, generator=draw),
            torch.randn(256, generator=draw),
            torch.randn(motion, 40, generator=draw) if motion else None,
            torch.randint(256, (2,), generator=draw),
        )
        for speech, motion in lengths
    ]


def batch_of(model, samples, recipe="paper", max_tokens=1000):
    return micro_batch(samples, model.config, LOSS_RECIPES[recipe], AidsConfig(), max_tokens=max_tokens)


@torch.no_grad()
def forward(model, samples):
    part = batch_of(model, samples)
    hidden = hidden_states(model.backbone, sequence_embeddings(model, part))
    rows = {name: flow_rows(part.modalities[name], hidden) for name in MODALITIES}
    return SimpleNamespace(part=part, hidden=hidden, rows=rows)


# -- a plain implementation ----------------------------------------------------------------------------------


def plain_losses(model, samples, recipe, draws, max_tokens):
    """Section 3.4 from its definition: one sample, one token, one patch at a time."""
    rows, logits, labels, zeros = {name: [] for name in MODALITIES}, [], [], []
    for sample in samples:
        rest = (sample.suffix_ids, sample.text_ids)
        suffix, text = (model.embed_text(ids[None])[0] for ids in rest)
        tokens, position, ends = [model.task_embedding.weight[int(sample.motion is not None)], *text], {}, []
        patches = {"speech": patches_of(sample.speech), "motion": patches_of(sample.motion)}
        delay = model.arrangement.delay
        motion_end = len(patches["motion"]) + delay if patches["motion"] else 0
        for slot in range(max(len(patches["speech"]), motion_end)):
            for group in model.arrangement.groups:
                for name in group:
                    position[name, slot - (delay if name == "motion" else 0)] = len(tokens)
                tokens.append(sum(patch_token(model, name, patches[name], slot, delay) for name in group))
            ends.append(len(tokens) - 1)
        sequence = torch.stack([*tokens, *suffix][: 1 + max_tokens])
        hidden = model.backbone.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state[0]
        for name, own in patches.items():
            predicted = [index for index in range(len(own)) if position[name, index] - 1 < len(hidden)]
            if len(predicted) < 2:
                continue
            condition = sample.speaker_embedding if name == "speech" else sample.motion[0]
            for index in predicted:
                context = own[index - 1][0] if index else torch.zeros_like(own[0][0])
                state = hidden[position[name, index] - 1]
                rows[name] += [(own[index][0], state, context, condition)] * recipe.repeats
        ends = [end for end in ends if end < len(hidden)]
        far = len(ends) - 1 - round(0.3 * model.config.fps / SIZE)  # 0.3 s before the last slot have no label
        kept = [(end, int(end == ends[-1])) for slot, end in enumerate(ends) if end == ends[-1] or slot < far]
        zeros += [sum(1 - label for _, label in kept)] if kept else []
        logits += [model.stop_predictor(hidden[end]) for end, _ in kept]
        labels += [float(label) for _, label in kept]
    losses = {}
    for name in MODALITIES:
        errors = [
            velocity_error(model.head(name), row, draws[name], index, recipe) for index, row in enumerate(rows[name])
        ]
        losses[name] = sum(errors) / len(errors) if errors else torch.zeros(())
    stop = torch.zeros(())
    if labels:
        weight = torch.tensor(sum(zeros) / len(zeros) * recipe.stop_positive_factor)
        stop = F.binary_cross_entropy_with_logits(torch.stack(logits), torch.tensor(labels), pos_weight=weight)
    total = losses["speech"] + recipe.motion_weight * losses["motion"] + recipe.stop_weight * stop
    return SimpleNamespace(loss=total, stop=stop, rows={name: len(found) for name, found in rows.items()}, **losses)


def patches_of(latents):
    """Patches ``(P, C)``, the last padded with zeros, each with its number of real frames."""
    pieces = [] if latents is None else latents.split(SIZE)
    return [(F.pad(piece, (0, 0, 0, SIZE - len(piece))), len(piece)) for piece in pieces]


def patch_token(model, name, patches, slot, delay):
    if name == "motion" and not patches:
        return model.motion_padding[0, 0]
    index = slot - (delay if name == "motion" else 0)
    there = 0 <= index < len(patches)
    patch, frames = patches[index] if there else (torch.zeros_like(patches[0][0]), 0)
    valid = torch.arange(SIZE) < frames
    return model.encode(name, patch[None, None], valid[None, None])[0, 0]


def velocity_error(head, row, draws, index, recipe):
    target, state, context, condition = row
    time = torch.sigmoid(draws.time_normal[index] * recipe.flow.time_scale + recipe.flow.time_mean)
    state = state * (draws.hidden_uniform[index] > recipe.flow.hidden_dropout)
    context = context * (draws.context_uniform[index] > recipe.flow.context_dropout)
    noise = draws.noise[index]
    noisy = (1 - time) * target + time * noise
    velocity = head(noisy[None], state[None], time[None], context[None], condition[None])[0]
    return (velocity - (noise - target)).square().mean()


CLIPS = samples_of((23, 20), (14, 0), (16, 29), (30, 30), (3, 3), (33, 4))


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("max_tokens", [1000, TEXT + 8, TEXT + 5, TEXT + 3, TEXT + 2])
def test_losses_and_gradients_are_those_of_a_plain_implementation(models, arrangement, max_tokens):
    """Also where the sequence is cut, in the suffix of some clips and among the patches of others."""
    recipe = dataclasses.replace(LOSS_RECIPES["release"], repeats=1 if max_tokens > TEXT + 3 else 2)
    model = models[arrangement]
    part = micro_batch(CLIPS, model.config, recipe, AidsConfig(), max_tokens=max_tokens)
    draws = {name: rows.draws for name, rows in part.modalities.items()}
    found, gradients = {}, {}
    for kind in ("ours", "plain"):
        model.zero_grad()
        if kind == "ours":
            losses = Objective(model, recipe, AidsConfig())(part)
        else:
            losses = plain_losses(model, CLIPS, recipe, draws, max_tokens)
        losses.loss.backward()
        found[kind] = {name: float(getattr(losses, name).detach()) for name in ("loss", "speech", "motion", "stop")}
        gradients[kind] = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert part.input_ids.shape[1] <= max_tokens
    for name, rows in part.modalities.items():
        assert losses.rows[name] == len(rows.window), name
        distinct = len(draws[name].noise.unique(dim=0))
        assert distinct == max(1, len(rows.window)), "every row has random numbers of its own"
    assert found["ours"] == pytest.approx(found["plain"], rel=2e-5, abs=1e-6)
    for name, gradient in gradients["ours"].items():
        plain = gradients["plain"][name]
        plain = torch.zeros_like(gradient) if plain is None else plain
        scale = float(plain.abs().max()) + 1e-3
        torch.testing.assert_close(
            gradient, plain, rtol=1e-3, atol=1e-4 * scale, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("tokens, patches", [(9, 5), (4, 5), (3, 4), (1, 2), (0, 0)])
def test_a_cut_sequence_trains_the_patch_after_the_cut(models, tokens, patches):
    """Five patches with room for fewer: n tokens and the one before them predict n + 1 patches, alone it predicts
    none, as with a single patch."""
    config = models["add"].config
    assert layout((TEXT, 0, 20, 20), config, TEXT + tokens).patches == {"speech": patches, "motion": patches}


# -- what follows from the definition ------------------------------------------------------------------------


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_patch_changes_no_earlier_hidden_state(models, arrangement, modality):
    model = models[arrangement]
    (sample,) = samples_of((32, 32))
    patch, latents = 4, getattr(sample, modality).clone()
    latents[patch * SIZE : (patch + 1) * SIZE] += 1
    before = forward(model, [sample]).hidden
    after = forward(model, [dataclasses.replace(sample, **{modality: latents})]).hidden
    token = 1 + TEXT + model.arrangement.token(modality, patch)
    assert torch.equal(before[:, :token], after[:, :token])
    assert (before[:, token] - after[:, token]).abs().max() > 1e-3


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_patch_is_predicted_from_what_precedes_it(models, arrangement):
    """The hidden state of a flow-matching row must not know the row's own target, and must know the text."""
    model = models[arrangement]
    (sample,) = samples_of((32, 32))
    first = forward(model, [sample]).rows
    for modality in MODALITIES:
        before = first[modality]
        for patch in (0, 3, 7):
            latents = getattr(sample, modality).clone()
            latents[patch * SIZE : (patch + 1) * SIZE] += 1
            rows = forward(model, [dataclasses.replace(sample, **{modality: latents})]).rows[modality]
            assert torch.equal(rows.hidden[: patch + 1], before.hidden[: patch + 1])
            assert torch.equal(rows.context[: patch + 1], before.context[: patch + 1])
            assert not torch.equal(rows.target[patch], before.target[patch])
        text = sample.text_ids.clone()
        text[0] = (text[0] + 1) % 256
        rows = forward(model, [dataclasses.replace(sample, text_ids=text)]).rows[modality]
        assert (rows.hidden - before.hidden).abs().amax(dim=1).min() > 1e-6


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_samples_of_a_batch_do_not_mix(models, arrangement):
    model = models[arrangement]
    samples = samples_of((32, 32), (14, 0), (20, 20), (29, 25))
    together = forward(model, samples).hidden
    order = [2, 0, 3, 1]
    lengths = [1 + layout(sample.lengths, model.config, 1000).tokens for sample in samples]
    permuted = forward(model, [samples[row] for row in order]).hidden
    for row, length in enumerate(lengths):
        alone = forward(model, [samples[row]]).hidden[0]
        for other in (permuted[order.index(row), :length], alone):
            torch.testing.assert_close(other, together[row, :length], atol=1e-4, rtol=1e-4)


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
    output = forward(model, [Sample(item.text_ids, result.speech, item.speaker_embedding, result.motion)])
    slots = torch.stack(result.trace.hidden)
    delay, per_slot = model.arrangement.delay, model.arrangement.tokens_per_slot
    first = {"interleaved_av": "speech", "interleaved_va": "motion"}.get(arrangement)
    if first != "motion":
        torch.testing.assert_close(output.rows["speech"].hidden, slots[:7], atol=2e-4, rtol=1e-3)
    if first != "speech":
        torch.testing.assert_close(output.rows["motion"].hidden, slots[delay : delay + 7], atol=2e-4, rtol=1e-3)
    probabilities = model.stop_predictor(output.hidden).sigmoid()[0, TEXT + per_slot :: per_slot]
    expected = torch.tensor(result.trace.stop_probability[1:])
    torch.testing.assert_close(probabilities[: len(expected)], expected, atol=1e-4, rtol=1e-3)


def test_delay_0_trains_like_add():
    samples = samples_of((32, 32), (14, 0))
    losses = []
    for arrangement in ("add", "delay(0)"):
        model = model_of(arrangement)
        objective = Objective(model, LOSS_RECIPES["paper"], AidsConfig())
        losses.append(objective(batch_of(model, samples)).loss)
    assert losses[0] == losses[1]
