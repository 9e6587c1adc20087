"""Which samples make which step, and which process trains on which of them: pure arithmetic on seed and step.

Each task (T2AV, TTS) is an endless stream: a permutation of its samples, then another, and so on; nothing is
dropped or doubled inside an epoch. The samples of ``pool_steps`` steps are sorted by length, task by task, and
dealt to steps in that order, so that a step holds samples of like length; the steps of a pool come in random
order.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

TASKS = ("tts", "t2av")
"""By their row of the task embedding."""

_PERMUTATION, _ORDER, _SAMPLE, _WINDOW = range(4)
"""What a random number is for: the first word of its seed after the run's own."""


class Lengths(Protocol):
    """An array (N,), or what looks lengths up as they are asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Pick:
    """One sample of a step: its task, its index in the task's source, its position in the whole batch."""

    task: str
    index: int
    position: int


class BatchPlan:
    """``counts`` says how many samples of each task a step has, ``lengths`` the sequence length of each sample.

    Of ``lengths`` only the number of samples and those of the samples at hand are asked for. Memory: 4 bytes for each
    sample and task, the permutation of the epoch.
    """

    def __init__(self, lengths: Mapping[str, Lengths], counts: dict[str, int], seed: int, pool_steps: int):
        for task in TASKS:
            if counts[task] and not len(lengths.get(task, ())):
                raise ValueError(f"a step needs {counts[task]} {task} samples, but there are none")
        self.lengths, self.counts, self.seed, self.pool_steps = lengths, counts, seed, pool_steps
        self._pool = functools.lru_cache(maxsize=2)(self._make_pool)
        self._permutation = functools.lru_cache(maxsize=len(TASKS))(self._make_permutation)

    def __getstate__(self) -> dict:
        return {name: getattr(self, name) for name in ("lengths", "counts", "seed", "pool_steps")}

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)

    def step(self, step: int) -> list[Pick]:
        """The whole batch of a step: T2AV first, then TTS, each from short to long."""
        pool, place = divmod(step, self.pool_steps)
        order, samples = self._pool(pool)
        picks: list[Pick] = []
        for task in reversed(TASKS):
            count = self.counts[task]
            first = int(order[place]) * count
            picks += [
                Pick(task, int(index), len(picks) + offset)
                for offset, index in enumerate(samples[task][first : first + count])
            ]
        return picks

    def epoch(self, task: str, step: int) -> float:
        """How often the task's samples have been gone through before ``step``."""
        return step * self.counts[task] / len(self.lengths[task]) if self.counts[task] else 0.0

    def _make_pool(self, pool: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        order = _generator(self.seed, _ORDER, pool).permutation(self.pool_steps)
        samples = {}
        for task in TASKS:
            count = self.counts[task] * self.pool_steps
            if not count:
                samples[task] = np.zeros(0, np.int64)
                continue
            drawn = self._stream(task, pool * count, count)
            samples[task] = drawn[np.argsort(self.lengths[task][drawn], kind="stable")]
        return order, samples

    def _stream(self, task: str, first: int, count: int) -> np.ndarray:
        size, parts = len(self.lengths[task]), []
        while count:
            epoch, place = divmod(first, size)
            part = self._permutation(task, epoch)[place : place + count]
            parts.append(part)
            first, count = first + len(part), count - len(part)
        return np.concatenate(parts)

    def _make_permutation(self, task: str, epoch: int) -> np.ndarray:
        order = _generator(self.seed, _PERMUTATION, TASKS.index(task), epoch).permutation(len(self.lengths[task]))
        return order.astype(np.int32)


def split(picks: list[Pick], parts: int) -> list[list[Pick]]:
    """Deal a batch to ``parts`` micro-batches: each task's samples in order, so that like lengths stay together.

    No part is empty and both tasks are spread as evenly as they go. Raises ValueError for more parts than samples.
    """
    if len(picks) < parts:
        raise ValueError(
            f"a batch of {len(picks)} samples cannot be split into {parts} micro-batches; make "
            f"batch.size at least processes times batch.accumulation"
        )
    t2av = [pick for pick in picks if pick.task == "t2av"]
    tts = [pick for pick in picks if pick.task == "tts"]
    first = np.array_split(np.arange(len(t2av)), parts)
    # Sizes differ by one where they do not divide; counting from the other end keeps the sums level.
    second = [len(chunk) for chunk in np.array_split(np.arange(len(tts)), parts)][::-1]
    bounds = np.cumsum([0, *second])
    return [[t2av[index] for index in first[part]] + tts[bounds[part] : bounds[part + 1]] for part in range(parts)]


def sample_seed(seed: int, step: int, position: int) -> int:
    """Seed of every random number in the loss of one sample of one step."""
    return int(np.random.SeedSequence([seed, _SAMPLE, step, position]).generate_state(1, np.uint64)[0] >> 1)


def window_seed(seed: int, step: int, position: int) -> tuple[int, ...]:
    """Seed of the place at which a long sample of one step is cut."""
    return seed, _WINDOW, step, position


def _generator(*words: int) -> np.random.Generator:
    return np.random.default_rng(list(words))
