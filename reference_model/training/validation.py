"""What is held out, as micro-batches whose losses add up to exact means over the whole set, with the same random
numbers every time."""

from collections.abc import Sequence

import numpy as np

from .batch_plan import sample_seed, window_seed
from .collate import MicroBatch, collate
from .config import TrainingConfig
from .layout import layout, totals
from .samples import Sample, SampleSource, random_window, read_sample
from .sources import TrainedLengths, sample_shape

STREAM = 2**40
"""Takes the place of the step in the seeds: no training run gets that far."""


class HeldOut(Sequence[MicroBatch]):
    """Micro-batches of ``config.validation.batch_size`` samples of ``source``, from short to long."""

    def __init__(self, source: SampleSource, config: TrainingConfig):
        self.source, self.config = source, config
        lengths = TrainedLengths(source, config)
        self._layouts = [layout(row, config.model, config.data.max_tokens) for row in lengths.rows(slice(None))]
        self._whole = totals(self._layouts, config.model, config.loss.stop_positive_factor)
        self._order = np.argsort(lengths[:], kind="stable").tolist()

    def __len__(self) -> int:
        return -(-len(self._order) // self.config.validation.batch_size)

    def __getitem__(self, number: int) -> MicroBatch:
        config, size = self.config, self.config.validation.batch_size
        chosen = self._order[number * size : (number + 1) * size]
        return collate(
            [self._read(index) for index in chosen],
            [self._layouts[index] for index in chosen],
            [sample_seed(config.seed, STREAM, index) for index in chosen],
            self._whole,
            config.model,
            config.aids,
            config.loss.repeats,
        )

    def _read(self, index: int) -> Sample:
        sample = read_sample(self.source, index, sample_shape(self.config.model))
        return random_window(sample, self.config.window_frames, window_seed(self.config.seed, STREAM, index))
