"""The training objective: the same however a batch is split, and its aids."""

import dataclasses

import pytest
import torch
from random_models import random_model
from training_factory import SHAPE, micro_batch, micro_config, synthetic

from reference_model.checkpoints import meta_model
from reference_model.modules.backbone import hidden_states
from reference_model.training.forward import flow_rows, sequence_embeddings
from reference_model.training.objective import Objective
from reference_model.training.samples import Sample, read_sample

MODALITIES = ("speech", "motion")


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


def prepare(items, config, chosen=None):
    return micro_batch(items, config.model, config.loss, config.aids, chosen)


def gradients(config, parts, items):
    objective = Objective(random_model(config.model), config.loss, config.aids)
    sums = {}
    for chosen in parts:
        losses = objective(prepare(items, config, chosen))
        losses.loss.backward()
        for name, value in losses.detached().items():
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums, {name: parameter.grad for name, parameter in objective.named_parameters()}


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


@pytest.mark.parametrize("frames", [None, 3], ids=["some speech", "single patches alone"])
def test_every_parameter_has_a_gradient_even_without_rows(frames):
    """Distributed training needs them all; the tied language-model head is the text embedding itself."""
    items = [dataclasses.replace(sample, motion=None, speech=sample.speech[:frames]) for sample in mixed()]
    config = micro_config(aids={"regression_weight": 1.0})
    objective = Objective(random_model(config.model), config.loss, config.aids)
    losses = objective(prepare(items, config))
    losses.loss.backward()
    assert losses.motion == 0 and (losses.speech > 0) == (frames is None)
    assert [name for name, parameter in objective.named_parameters() if parameter.grad is None] == []
    assert not any(p.grad.any() for p in objective.model.motion_head.parameters())


def test_noise_reaches_what_is_read_and_no_target():
    """Noise leaves the latents alone, and the frames before the first patch, which stay zero as in generation."""
    items = mixed()
    plain, noisy = micro_config(), micro_config(aids={"input_noise": 0.5, "context_noise": 0.5})
    model = random_model(noisy.model)
    parts = {"clean": prepare(items, plain), "noisy": prepare(items, noisy)}
    inputs = {name: sequence_embeddings(model, part) for name, part in parts.items()}
    assert not torch.equal(inputs["clean"], inputs["noisy"])
    hidden = hidden_states(model.backbone, inputs["clean"])
    for name in MODALITIES:
        clean, part = parts["clean"].modalities[name], parts["noisy"].modalities[name]
        assert torch.equal(clean.latents, part.latents) and torch.equal(clean.draws.noise, part.draws.noise)
        # The amount is uniform in [0, 1]: E[(2 s u)^2] = 4/3 s^2.
        deviation = part.input_noise[part.valid].std()
        assert deviation == pytest.approx(0.5 * (4 / 3) ** 0.5, rel=0.2)
        expected, found = flow_rows(clean, hidden), flow_rows(part, hidden)
        assert torch.equal(expected.target, found.target)
        changed = (found.context != expected.context).flatten(1).any(dim=1)
        assert torch.equal(changed, (expected.context != 0).flatten(1).any(dim=1)) and changed.any()


def test_the_regression_aid_is_an_l1_loss_on_the_hidden_state():
    config = micro_config(aids={"regression_weight": 2.0})
    model = random_model(config.model)
    objective = Objective(model, config.loss, config.aids)
    with torch.no_grad():
        for parameter in objective.regression.parameters():
            parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    part = prepare(mixed(), config)
    hidden = hidden_states(model.backbone, sequence_embeddings(model, part))
    rows = {name: flow_rows(part.modalities[name], hidden) for name in MODALITIES}
    expected = sum(
        (objective.regression[name](row.hidden) - row.target.flatten(1)).abs().mean() for name, row in rows.items()
    )
    losses = objective(part)
    torch.testing.assert_close(losses.regression, expected)
    plain = losses.speech + config.loss.motion_weight * losses.motion + losses.stop
    torch.testing.assert_close(losses.loss, plain + 2 * expected)


def test_no_number_is_looked_at():
    """On a device that holds none: a forward pass that asked for one would wait for a GPU, and here it fails."""
    config = micro_config(aids={"input_noise": 0.1, "context_noise": 0.1, "regression_weight": 1.0})
    objective = Objective(meta_model(config.model), config.loss, config.aids).to("meta")
    losses = objective(prepare(mixed(), config).to("meta"))
    losses.loss.backward()
    assert losses.loss.is_meta and all(parameter.grad is not None for parameter in objective.parameters())
