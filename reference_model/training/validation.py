"""What is held out, as micro-batches whose losses add up to exact means over the whole set, with the same random
numbers every time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .batch_plan import sample_seed
from .collate import MicroBatch, collate
from .config import TrainingConfig
from .layout import layout, totals
from .samples import SampleSource, read_sample
from .sources import sample_shape, sequence_lengths

STREAM = 2**40
"""Takes the place of the step in the seeds: no training run gets that far."""


@dataclass
class HeldOut(Sequence):
    """Samples in ``order``, ``size`` at a time, as ``part`` makes a micro-batch of them."""

    order: list[int]
    size: int
    part: Callable[[list[int]], Any]

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __getitem__(self, number: int) -> Any:
        return self.part(self.order[number * self.size :][: self.size])


def held_out(source: SampleSource, config: TrainingConfig) -> HeldOut:
    """All samples of ``source``, from short to long."""
    layouts = [layout(lengths, config.model, config.data.max_tokens) for lengths in source.lengths]
    whole = totals(layouts, config.model, config.loss.stop_positive_factor)
    order = np.argsort(sequence_lengths(source.lengths, config.model), kind="stable")
    shape = sample_shape(config.model)

    def part(chosen: list[int]) -> MicroBatch:
        return collate(
            [read_sample(source, index, shape) for index in chosen],
            [layouts[index] for index in chosen],
            [sample_seed(config.seed, STREAM, index) for index in chosen],
            whole,
            config.model,
            config.aids,
            config.loss.repeats,
        )

    return HeldOut(order.tolist(), config.validation.batch_size, part)
