"""Flow matching against closed forms: a Gaussian whose flow is known, guidance identities, time grids."""

import math

import pytest
import torch

from reference_model.modules.diffusion_head import DiffusionHead
from reference_model.modules.flow_matching import (
    LossDraws,
    LossSettings,
    PatchSampler,
    SamplerSettings,
    euler,
    flow_matching_loss,
    guided,
    sampler_times,
    time_grid,
)


def gaussian_velocity(mean, deviation, settings):
    """E[z - x_0 | x_t] for data N(mean, deviation^2): linear in x."""
    times, _ = sampler_times(settings)

    def velocity(x, step):
        t = float(times[step])
        variance = (1 - t) ** 2 * deviation**2 + t**2
        centred = x - (1 - t) * mean
        return (t - (1 - t) * deviation**2) / variance * centred - mean

    return velocity


@pytest.mark.parametrize("sway", [0.0, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_euler_solves_a_gaussian(sway, temperature):
    """The exact flow maps noise z to mean + deviation * z; Euler must reach it at first order."""
    mean, deviation = torch.tensor([2.0, -1.0, 0.5]), 0.6
    noise = torch.randn(64, 4, 3, generator=torch.Generator().manual_seed(1))
    exact = mean + deviation * temperature * noise

    def solve(steps):
        settings = SamplerSettings(steps=steps, temperature=temperature, sway=sway)
        return euler(gaussian_velocity(mean, deviation, settings), noise, settings)

    coarse, fine = solve(200), solve(400)
    errors = [(x - exact).abs().max().item() for x in (coarse, fine)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)
    extrapolated = 2 * fine - coarse
    torch.testing.assert_close(extrapolated, exact, atol=2e-3, rtol=0)


def test_a_straight_flow_is_solved_in_any_number_of_steps():
    noise = torch.randn(5, 4, 3)
    target = torch.randn(5, 4, 3)
    for steps in (1, 3, 10):
        solved = euler(lambda x, step: noise - target, noise, SamplerSettings(steps=steps, temperature=1.0))
        torch.testing.assert_close(solved, target, atol=1e-5, rtol=0)


def test_still_steps_move_time_and_not_the_sample():
    seen = []
    settings = SamplerSettings(steps=10, temperature=1.0, zero_star=True)
    euler(lambda x, step: seen.append((step, x.clone())) or torch.zeros_like(x), torch.ones(1, 4, 2), settings)
    assert [step for step, _ in seen] == list(range(1, 10))
    assert SamplerSettings(steps=60, zero_star=True).still_steps == 2
    one = SamplerSettings(steps=1, temperature=0.3, zero_star=True)
    assert torch.equal(euler(lambda x, step: 1 / 0, torch.ones(1, 4, 2), one), torch.full((1, 4, 2), 0.3))


def test_time_grids_run_from_noise_to_data():
    for sway in (0.0, 0.5, 1.0):
        grid = time_grid(10, sway)
        assert grid[0] == 1 and abs(grid[-1]) < 1e-6 and (grid.diff() < 0).all()
    uniform = torch.linspace(1, 0, 11)
    assert torch.equal(time_grid(10, 0.0), uniform)
    cosine = torch.cos(math.pi / 2 * uniform) + 2 * uniform - 1
    torch.testing.assert_close(time_grid(10, 1.0), cosine)
    times, lengths = sampler_times(SamplerSettings(steps=7, sway=1.0))
    torch.testing.assert_close(times, time_grid(7, 1.0)[:-1])
    assert sum(lengths) == pytest.approx(1.0, abs=1e-6)


def test_guidance_identities():
    conditional, unconditional = torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(2))
    for zero_star in (False, True):
        torch.testing.assert_close(guided(conditional, unconditional, 1.0, zero_star), conditional)
        torch.testing.assert_close(guided(conditional, conditional, 3.0, zero_star), conditional)
    torch.testing.assert_close(guided(conditional, unconditional, 0.0, False), unconditional)
    torch.testing.assert_close(guided(conditional, unconditional, 2.0, False), 2 * conditional - unconditional)
    # zero-star ignores the length of the unconditional velocity, whatever its sign
    for factor in (0.1, -4.0):
        torch.testing.assert_close(
            guided(conditional, factor * unconditional, 2.0, True), guided(conditional, unconditional, 2.0, True)
        )
    projected = guided(conditional, unconditional, 0.0, True)
    residual = ((conditional - projected) * unconditional).sum(dim=(1, 2))
    torch.testing.assert_close(residual, torch.zeros(6), atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return DiffusionHead(6, 5, 32, 2, 4)


def inputs(rows, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=draw) for shape in ((rows, 4, 6), (rows, 32), (rows, 4, 6), (rows, 5))]


@torch.no_grad()
def test_guidance_1_equals_no_guidance(head):
    """The sampler leaves the unconditional branch out; both branches evaluated must give the same."""
    noise, hidden, context, condition = inputs(3)
    settings = SamplerSettings(steps=6, guidance=1.0, zero_star=True, sway=1.0)
    times, _ = sampler_times(settings)

    def both(x, step):
        branches = [head(x, h, times[step].expand(3), context, condition) for h in (hidden, hidden * 0)]
        return guided(*branches, 1.0, True)

    sampled = PatchSampler(head, settings)(noise, hidden, context, condition)
    torch.testing.assert_close(sampled, euler(both, noise, settings), atol=1e-5, rtol=1e-5)
    guided_more = PatchSampler(head, SamplerSettings(steps=6, guidance=2.0, zero_star=True, sway=1.0))
    assert not torch.allclose(guided_more(noise, hidden, context, condition), sampled, atol=1e-3)


@torch.no_grad()
def test_rows_of_a_batch_do_not_mix(head):
    noise, hidden, context, condition = inputs(5)
    sampler = PatchSampler(head, SamplerSettings(steps=4, zero_star=True))
    together = sampler(noise, hidden, context, condition)
    order = torch.tensor([4, 2, 0, 3, 1])
    permuted = sampler(noise[order], hidden[order], context[order], condition[order])
    torch.testing.assert_close(permuted, together[order], atol=1e-5, rtol=1e-5)
    alone = sampler(noise[2:3], hidden[2:3], context[2:3], condition[2:3])
    torch.testing.assert_close(alone, together[2:3], atol=1e-5, rtol=1e-5)


def test_dropping_conditions_removes_their_influence(head):
    """With the hidden state always dropped its gradient is exactly zero; likewise for the context."""
    target, hidden, context, condition = (x.requires_grad_() for x in inputs(8))
    draws = LossDraws.sample(target.detach(), torch.Generator().manual_seed(1))
    for settings, dead, alive in (
        (LossSettings(hidden_dropout=1.0, context_dropout=0.0), hidden, context),
        (LossSettings(hidden_dropout=0.0, context_dropout=1.0), context, hidden),
    ):
        loss = flow_matching_loss(head, target.detach(), hidden, context, condition, draws, settings)
        gradients = torch.autograd.grad(loss, (dead, alive, condition))
        assert not gradients[0].any() and gradients[1].any() and gradients[2].any()


def test_masked_frames_do_not_count(head):
    target, hidden, context, condition = inputs(8)
    draws = LossDraws.sample(target, torch.Generator().manual_seed(1))
    arguments = (hidden, context, condition, draws)
    whole = flow_matching_loss(head, target, *arguments)
    ones = torch.ones(8, 4)
    torch.testing.assert_close(flow_matching_loss(head, target, *arguments, frame_mask=ones), whole)
    halves = [
        flow_matching_loss(head, target, *arguments, frame_mask=mask)
        for mask in (torch.tensor([1.0, 1, 0, 0]).expand(8, 4), torch.tensor([0.0, 0, 1, 1]).expand(8, 4))
    ]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, whole)
    assert abs(halves[0] - halves[1]) > 1e-3


def test_a_sampler_needs_a_step():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        SamplerSettings(steps=0)
