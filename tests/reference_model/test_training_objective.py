"""The training objective: the model's own training forward, however a batch is split."""

import dataclasses

import pytest
import torch
from build import random_model
from reference_model.training.distributed import Processes
from training_factory import SHAPE, micro_config, synthetic

from reference_model.modules.stop_predictor import IGNORED
from reference_model.training.batch_plan import sample_seed
from reference_model.training.collate import collate
from reference_model.training.forward import LOSS_RECIPES, training_forward
from reference_model.training.layout import layout, totals
from reference_model.training.objective import Objective
from reference_model.training.samples import Sample, read_sample

ARRANGEMENTS = ["add", "interleaved_av", "interleaved_va", "delay(1)", "delay(3)"]


def mixed():
    """T2AV and TTS of many lengths: a whole patch, part of one, a single one; motion shorter than speech; suffixes."""
    source = synthetic(3)
    result = [read_sample(source, index, SHAPE) for index in range(3)]
    result += [
        dataclasses.replace(result[0], motion=None),
        dataclasses.replace(result[1], motion=result[1].motion[:-3]),
    ]
    draw = torch.Generator().manual_seed(1)
    for frames in (3, 13, 30):
        result.append(
            Sample(
                torch.tensor([1, 2, 3]),
                torch.randn(frames, 8, generator=draw),
                torch.randn(8, generator=draw),
                torch.randn(frames, 6, generator=draw),
                torch.tensor([4, 5]),
            )
        )
    return result


def prepare(items, config, chosen=None, max_tokens=1000):
    chosen = range(len(items)) if chosen is None else chosen
    layouts = [layout(sample.lengths, config.model, max_tokens) for sample in items]
    whole = totals(layouts, config.model, config.loss.stop_positive_factor)
    return collate(
        [items[index] for index in chosen],
        [layouts[index] for index in chosen],
        [sample_seed(0, 0, index) for index in chosen],
        whole,
        config.model,
        config.aids,
        config.loss.repeats,
    )


@pytest.mark.parametrize("recipe", LOSS_RECIPES)
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_whole_batch_is_the_training_forward(arrangement, recipe):
    config = micro_config(model={"arrangement": arrangement}, loss={"recipe": recipe})
    model = random_model(config.model)
    part = prepare(mixed(), config)
    ours = Objective(model, config.loss, config.aids)(part)
    theirs = training_forward(model, part.batch, config.loss, part.draws)
    assert torch.equal(part.labels, theirs.stop_labels)
    assert part.stop_weight == pytest.approx(float(theirs.stop_weight))
    for name in ("loss", "speech_loss", "motion_loss", "stop_loss"):
        torch.testing.assert_close(ours.detached()[name], getattr(theirs, name).detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("max_tokens", [1000, 9, 8])
def test_counts_from_lengths_are_the_counts_of_the_forward(arrangement, max_tokens):
    config = micro_config(model={"arrangement": arrangement}, loss={"recipe": "release"})
    items = mixed()
    part = prepare(items, config, max_tokens=max_tokens)
    rows = training_forward(random_model(config.model), part.batch, config.loss, part.draws)
    counts = totals([layout(sample.lengths, config.model, max_tokens) for sample in items], config.model, 1.0)
    for name in ("speech", "motion"):
        found = getattr(rows, f"{name}_rows")
        assert counts.patches[name] * 2 == (len(found.target) if found.present else 0)
        assert part.draws[name].noise.shape == found.target.shape
        assert len(part.draws[name].noise.unique(dim=0)) == len(found.target)
    assert counts.labels == int((rows.stop_labels != IGNORED).sum())
    assert part.batch.input_ids.shape[1] <= max_tokens


def gradients(config, parts, items):
    model = random_model(config.model)
    objective = Objective(model, config.loss, config.aids)
    sums: dict[str, float] = {}
    for chosen in parts:
        losses = objective(prepare(items, config, chosen))
        losses.loss.backward()
        for name, value in losses.detached().items():
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums, {
        name: parameter.grad
        for name, parameter in objective.named_parameters()
        if parameter.requires_grad and parameter.grad is not None
    }


@pytest.mark.parametrize(
    "parts",
    [[[0, 1, 2, 3], [4, 5, 6, 7]], [[3], [5, 0, 1], [2, 4, 7, 6]], [[index] for index in range(8)]],
    ids=["halves", "uneven", "singles"],
)
@pytest.mark.parametrize("aids", [{}, {"input_noise": 0.1, "context_noise": 0.1, "regression_weight": 1.0}])
def test_splitting_a_batch_changes_no_gradient(parts, aids):
    """Means over rows, label counts and the stop weight are those of the whole batch, and so is every random number."""
    config = micro_config(loss={"recipe": "release"}, aids=aids)
    items = mixed()
    whole, expected = gradients(config, [range(8)], items)
    losses, found = gradients(config, parts, items)
    for name, value in whole.items():
        assert losses[name] == pytest.approx(value, rel=1e-5), name
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name],
            gradient,
            rtol=1e-3,
            atol=1e-5 * float(gradient.abs().max() + 1e-3),
            msg=lambda text, name=name: f"{name}: {text}",
        )


def test_every_parameter_has_a_gradient_even_without_motion():
    """Distributed training needs them all; the tied language-model head is the text embedding itself."""
    items = [dataclasses.replace(sample, motion=None) for sample in mixed()]
    config = micro_config(aids={"regression_weight": 1.0})
    objective = Objective(random_model(config.model), config.loss, config.aids)
    losses = objective(prepare(items, config))
    losses.loss.backward()
    assert losses.motion.item() == 0 and losses.speech.item() > 0
    assert [name for name, parameter in objective.named_parameters() if parameter.grad is None] == []
    assert not any(p.grad.any() for p in objective.model.motion_head.parameters())


def test_noise_reaches_what_is_read_and_no_target():
    items = mixed()
    plain, noisy = micro_config(), micro_config(aids={"input_noise": 0.5, "context_noise": 0.5})
    clean, part = prepare(items, plain), prepare(items, noisy)
    assert torch.equal(clean.batch.speech_latents, part.batch.speech_latents)
    assert torch.equal(clean.draws["speech"].noise, part.draws["speech"].noise)
    deviation = torch.cat(
        [part.input_noise["speech"][row, :frames] for row, frames in enumerate(part.batch.speech_lengths.tolist())]
    ).std()
    assert deviation == pytest.approx(0.5 * (4 / 3) ** 0.5, rel=0.2)  # amount uniform in [0, 1]: E[(2 s u)^2] = 4/3 s^2
    objective = Objective(random_model(noisy.model), noisy.loss, noisy.aids)
    first = torch.zeros(1, 4, 8)
    rows = dataclasses.replace(training_forward(objective.model, part.batch, noisy.loss, part.draws).speech_rows)
    heard = objective._context(part, "speech", rows)
    assert torch.equal(heard[:1], first) and not torch.equal(heard[1:], rows.context[1:])


def test_the_regression_aid_is_an_l1_loss_on_the_hidden_state():
    config = micro_config(aids={"regression_weight": 2.0})
    model = random_model(config.model)
    objective = Objective(model, config.loss, config.aids)
    with torch.no_grad():
        for parameter in objective.regression.parameters():
            parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    part = prepare(mixed(), config)
    forward = training_forward(model, part.batch, config.loss, part.draws)
    expected = sum(
        (objective.regression[name](rows.hidden) - rows.target.flatten(1)).abs().mean()
        for name, rows in (("speech", forward.speech_rows), ("motion", forward.motion_rows))
    )
    losses = objective(part)
    torch.testing.assert_close(losses.regression, expected)
    torch.testing.assert_close(losses.loss, forward.loss + 2 * expected)
