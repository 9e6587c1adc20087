"""Training of the baselines: :func:`train` runs a configuration to its end, or to a signal.

Everything but the batches and their losses is the reference's run.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from reference_model.checkpoints import write_safetensors
from reference_model.modules.transformer import Block
from reference_model.training.batch_plan import BatchPlan, sample_seed, split
from reference_model.training.loop import checkpoint_blocks
from reference_model.training.run import Run, TrainingResult
from reference_model.training.samples import (
    MOTION,
    SPEECH,
    SampleError,
    SampleShape,
    SampleSource,
    check_lengths,
    read_sample,
)
from reference_model.training.sources import Sources
from reference_model.training.validation import STREAM

from ..checkpoints import CONFIG_KEY, load_network
from ..families import network_class, random_network
from .config import NetworkConfig, TrainingConfig
from .network import DiffusionNetwork
from .objective import Objective, TrainingBatch, collate
from .tower import TowerBlock

MAX_TEXT = 1000
"""Text tokens beyond which a sample is refused."""


def train(
    config: TrainingConfig,
    sources: Sources,
    output: str | Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    stop_after: int | None = None,
) -> TrainingResult:
    """Train a baseline; the folder ``output`` receives ``metrics.jsonl``, ``checkpoints/`` and in the end
    ``model.safetensors``, the averaged weights.

    Trains on ``sources.t2av`` (a baseline without motion also on ``sources.tts`` where there is no ``t2av``) and
    validates on ``sources.validation``. ``resume`` continues from the last checkpoint of the folder, if there is
    one. ``stop_after`` ends after that step with a checkpoint, as a signal would. Progress goes to stderr unless
    ``quiet``. Raises :class:`.ConfigError`, :class:`.SampleError`, :class:`.CheckpointError`,
    :class:`.TrainingError`.
    """
    return _Run.start(config, Path(output), sources, resume=resume, stop_after=stop_after, quiet=quiet)


def training_source(sources: Sources, network: NetworkConfig) -> SampleSource:
    """What a network trains on. Raises :class:`.SampleError` where the sources hold nothing for it."""
    kind = network_class(network.family)
    source = sources.t2av
    if source is None and "motion" not in kind.modalities:
        source = sources.tts
    if source is None:
        raise SampleError(f"{network.family} has nothing to train on: give Sources(t2av=...)")
    for name, part in (("t2av", source), ("validation", sources.validation)):
        if part is not None:
            _check(part, name, kind)
    return source


def _check(source: SampleSource, name: str, kind: type[DiffusionNetwork]) -> None:
    check_lengths(source, name, MAX_TEXT)
    if "motion" not in kind.modalities:
        return
    unequal = source.lengths[:, SPEECH] != source.lengths[:, MOTION]
    if unequal.any():
        index = int(np.argmax(unequal))
        raise SampleError(
            f"{source.describe(index)} has {source.lengths[index, SPEECH]} frames of speech and "
            f"{source.lengths[index, MOTION]} of motion; {kind.family} needs as many of both"
        )


class _Run(Run):
    resuming = "resume"
    unit = "frames"

    def __init__(self, sources: Sources, config: TrainingConfig, output: Path, accelerator: Any, *options: Any):
        source = training_source(sources, config.network)
        counts = {"t2av": config.batch_size, "tts": 0}
        self.config = config
        self.plan = BatchPlan({"t2av": source.lengths[:, SPEECH]}, counts, config.seed, config.pool_steps)
        self.sources, self.fingerprints = {"t2av": source}, {"training": source.fingerprint}
        self.held_out = _HeldOut(self, sources.validation) if sources.validation else ()
        self.rank, self.processes = accelerator.process_index, accelerator.num_processes
        split(self.plan.step(0), self.processes * config.accumulation)  # a batch that cannot be split is an error now
        super().__init__(config, output, accelerator, *options)

    def first_model(self) -> DiffusionNetwork:
        return random_network(self.config.network, seed=self.config.seed)

    def make_objective(self, model: DiffusionNetwork) -> Objective:
        return Objective(model, self.config.flow)

    def checkpoint_activations(self, model: DiffusionNetwork) -> None:
        checkpoint_blocks(model, (Block, TowerBlock))

    def read_model(self, path: Path) -> DiffusionNetwork:
        return load_network(path, config=self.config.network)

    def write_model(self, weights: dict[str, Tensor], path: Path) -> None:
        write_safetensors(weights, path, {CONFIG_KEY: json.dumps(self.config.network.to_dict())})

    def micro_batches(self, first_step: int, end_step: int) -> Iterator[TrainingBatch]:
        source = self.sources["t2av"]
        for step in range(first_step, end_step):
            picks = self.plan.step(step)
            frames = int(source.lengths[[pick.index for pick in picks], SPEECH].sum())
            for own in split(picks, self.processes * self.config.accumulation)[self.rank :: self.processes]:
                draws = [(pick.index, sample_seed(self.config.seed, step, pick.position)) for pick in own]
                yield self.part(source, draws, (frames, len(picks)))

    def part(self, source: SampleSource, draws: Sequence[tuple[int, int]], whole: tuple[int, int]) -> TrainingBatch:
        """The samples of ``draws`` (index and seed), of a batch of ``whole`` frames and clips."""
        network = self.config.network
        shape = SampleShape(network.speech_dim, network.motion_dim, network.speaker_dim, network.vocab_size)
        samples = [read_sample(source, index, shape) for index, _ in draws]
        return collate(samples, [seed for _, seed in draws], self.objective.model, whole)


class _HeldOut(Sequence[TrainingBatch]):
    """Parts of all that is held out, from short to long, with the same random numbers each time."""

    def __init__(self, run: _Run, source: SampleSource):
        self.run, self.source, self.size = run, source, run.config.validation.batch_size
        self.whole = int(source.lengths[:, SPEECH].sum()), len(source.lengths)
        order = np.argsort(source.lengths[:, SPEECH], kind="stable")
        self.draws = [(index, sample_seed(run.config.seed, STREAM, index)) for index in order.tolist()]

    def __len__(self) -> int:
        return -(-len(self.draws) // self.size)

    def __getitem__(self, number: int) -> TrainingBatch:
        return self.run.part(self.source, self.draws[number * self.size :][: self.size], self.whole)
