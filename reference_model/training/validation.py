"""What is held out, as micro-batches whose losses add up to exact means over the whole set, with the same random
numbers every time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .batch_plan import sample_seed, window_seed
from .collate import MicroBatch, collate
from .config import TrainingConfig
from .layout import layout, totals
from .samples import Sample, SampleSource, random_window, read_sample
from .sources import TrainedLengths, sample_shape

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
    lengths = TrainedLengths(source, config)
    layouts = [layout(row, config.model, config.data.max_tokens) for row in lengths.rows(slice(None))]
    whole = totals(layouts, config.model, config.loss.stop_positive_factor)
    order = np.argsort(lengths[:], kind="stable")
    shape = sample_shape(config.model)

    def read(index: int) -> Sample:
        sample = read_sample(source, index, shape)
        return random_window(sample, config.window_frames, window_seed(config.seed, STREAM, index))

    def part(chosen: list[int]) -> MicroBatch:
        return collate(
            [read(index) for index in chosen],
            [layouts[index] for index in chosen],
            [sample_seed(config.seed, STREAM, index) for index in chosen],
            whole,
            config.model,
            config.aids,
            config.loss.repeats,
        )

    return HeldOut(order.tolist(), config.validation.batch_size, part)
