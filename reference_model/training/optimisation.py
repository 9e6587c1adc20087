"""AdamW, the learning rate by step, and the moving average of the weights (section 4.1)."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

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


class Average:
    """The moving average of a model's trained weights, begun with the weights as they are; none at a decay of 0."""

    def __init__(self, model: nn.Module, config: AverageConfig, updates: int = 0):
        self.config, self.updates = config, updates
        self._current = [p for p in model.parameters() if p.requires_grad] if config.decay else []
        self._averaged = [parameter.detach().clone() for parameter in self._current]

    @torch.no_grad()
    def update(self) -> None:
        """After a step. The first update takes the weights as they are."""
        if self._averaged:
            self.updates += 1
            decay = min(self.config.decay, self.updates / (self.updates + self.config.warmup))
            average = get_ema_multi_avg_fn(decay if self.updates > 1 else 0.0)
            average(self._averaged, self._current, self.updates)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """In this block the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for current, averaged in zip(self._current, self._averaged, strict=True):
            kept = current.clone()
            current.copy_(averaged)
            averaged.copy_(kept)
