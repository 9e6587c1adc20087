"""Micro-batches by number, prepared in order, in this process or in background processes."""

import signal
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.utils.data import DataLoader, Dataset

from .batch_plan import TASKS, BatchPlan, Pick, sample_seed, split, window_seed
from .collate import MicroBatch, collate
from .config import TrainingConfig
from .layout import layout, totals
from .samples import Sample, SampleError, random_window, read_sample
from .sources import Sources, TrainedLengths, sample_shape


class MicroBatches(Dataset):
    """Micro-batch ``(step * accumulation + pass)`` of process ``rank`` among ``processes``.

    A broken sample is returned as its :class:`.SampleError`, so that the message crosses processes unchanged.
    """

    def __init__(self, config: TrainingConfig, sources: Sources, rank: int = 0, processes: int = 1):
        self.config, self.rank, self.processes = config, rank, processes
        self.shape = sample_shape(config.model)
        counts = {"tts": config.batch.tts, "t2av": config.batch.t2av}
        self.sources = {task: getattr(sources, task) for task in TASKS if counts[task]}
        self.lengths = {
            task: TrainedLengths(source, config, motion=task == "t2av") for task, source in self.sources.items()
        }
        self.plan = BatchPlan(self.lengths, counts, config.seed, config.data.pool_steps)

    def picks(self, number: int) -> tuple[int, list[Pick], list[Pick]]:
        """Step, the whole batch of that step, and the samples of micro-batch ``number`` of this process.

        Neighbouring parts, of like length, go to different processes at the same time, so that none waits long.
        """
        step, turn = divmod(number, self.config.batch.accumulation)
        whole = self.plan.step(step)
        parts = split(whole, self.processes * self.config.batch.accumulation)
        return step, whole, parts[turn * self.processes + self.rank]

    def __getitem__(self, number: int) -> MicroBatch | SampleError:
        config = self.config
        step, whole, own = self.picks(number)
        layouts = [
            layout(self.lengths[pick.task].rows(pick.index), config.model, config.data.max_tokens) for pick in whole
        ]
        try:
            samples = [self._read(pick, step) for pick in own]
        except SampleError as error:
            return error
        return collate(
            samples,
            [layouts[pick.position] for pick in own],
            [sample_seed(config.seed, step, pick.position) for pick in own],
            totals(layouts, config.model, config.loss.stop_positive_factor),
            config.model,
            config.aids,
            config.loss.repeats,
        )

    def _read(self, pick: Pick, step: int) -> Sample:
        sample = read_sample(self.sources[pick.task], pick.index, self.shape)
        if pick.task == "tts":
            sample = replace(sample, motion=None)
        return random_window(sample, self.config.window_frames, window_seed(self.config.seed, step, pick.position))


def load(batches: MicroBatches, first_step: int, end_step: int) -> Iterator[MicroBatch]:
    """The micro-batches of steps [``first_step``, ``end_step``), in order. Raises :class:`.SampleError`."""
    accumulation = batches.config.batch.accumulation
    # Its own generator: the loader would draw from torch's global one otherwise.
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first_step * accumulation, end_step * accumulation),
        num_workers=batches.config.data.workers,
        collate_fn=_as_it_is,
        worker_init_fn=_ignore_signals,
        generator=torch.Generator(),
    )
    for item in loader:
        if isinstance(item, SampleError):
            raise item
        yield item


def _ignore_signals(_: int) -> None:
    """A terminal or a scheduler signals every process; the main one must live to write its checkpoint, and dies if
    a worker does. Workers end when it tells them to, or when it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(item):
    return item
