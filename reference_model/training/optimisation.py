"""AdamW, the learning rate by step, and the moving average of the weights (section 4.1)."""

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .config import AverageConfig, OptimiserConfig


def learning_rate(step: int, steps: int, config: OptimiserConfig) -> float:
    """Rate of step ``step`` (counted from 0) of ``steps``."""
    warmup = math.ceil(config.warmup_share * steps)
    rate = config.learning_rate * min(1.0, (step + 1) / max(warmup, 1))
    begin = max(config.decay_from * steps, warmup)
    if config.schedule == "constant" or step < begin:
        return rate
    done = (step - begin) / max(steps - 1 - begin, 1)
    if config.schedule == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    return rate * (1 - (1 - config.final_share) * done)


def make_optimiser(module: nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over the parameters that are trained; vectors (biases, norms) are not decayed."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def average_decay(update: int, config: AverageConfig) -> float:
    """Decay of the ``update``-th update, counted from 1."""
    return min(config.decay, update / (update + config.warmup))


def make_average(model: nn.Module, config: AverageConfig) -> AveragedModel:
    """A second copy of the weights; ``update_parameters(model)`` after each step, ``module`` is the model."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], updates: Tensor) -> None:
        weight = 1 - average_decay(int(updates) + 1, config)
        torch._foreach_lerp_(averaged, current, weight)

    return AveragedModel(model, multi_avg_fn=update)
