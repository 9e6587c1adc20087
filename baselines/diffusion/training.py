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
from reference_model.training.validation import STREAM, HeldOut

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
    return _Run.start(sources, config, Path(output), resume, stop_after, quiet)


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
    blocks = (Block, TowerBlock)

    def __init__(self, sources: Sources, config: TrainingConfig, output: Path, accelerator: Any, *options: Any):
        source, network = training_source(sources, config.network), config.network
        self.shape = SampleShape(network.speech_dim, network.motion_dim, network.speaker_dim, network.vocab_size)
        self.plan = BatchPlan(
            {"t2av": source.lengths[:, SPEECH]}, {"t2av": config.batch_size, "tts": 0}, config.seed, config.pool_steps
        )
        self.sources, self.fingerprints = {"t2av": source}, {"training": source.fingerprint}
        order = np.argsort(sources.validation.lengths[:, SPEECH], kind="stable").tolist() if sources.validation else []
        self.held_out = HeldOut(
            order, config.validation.batch_size,
            lambda chosen: self.part(sources.validation, STREAM, [(index, index) for index in chosen], order),
        )  # fmt: skip
        super().__init__(config, output, accelerator, *options)

    def make_objective(self, path: Path | None) -> Objective:
        network = self.config.network
        model = load_network(path, config=network) if path else random_network(network, seed=self.config.seed)
        return Objective(model, self.config.flow)

    def write_model(self, weights: dict[str, Tensor], path: Path) -> None:
        write_safetensors(weights, path, {CONFIG_KEY: json.dumps(self.config.network.to_dict())})

    def micro_batches(self, first_step: int, end_step: int) -> Iterator[TrainingBatch]:
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        for step in range(first_step, end_step):
            picks = self.plan.step(step)
            whole = [pick.index for pick in picks]
            for own in split(picks, processes * self.config.accumulation)[rank::processes]:
                places = [(pick.index, pick.position) for pick in own]
                yield self.part(self.sources["t2av"], step, places, whole)

    def part(
        self, source: SampleSource, step: int, places: Sequence[tuple[int, int]], whole: Sequence[int]
    ) -> TrainingBatch:
        """The samples of ``places`` (index and position in the batch), as part of the samples ``whole``."""
        samples = [read_sample(source, index, self.shape) for index, _ in places]
        seeds = [sample_seed(self.config.seed, step, position) for _, position in places]
        return collate(samples, seeds, self.objective.model, (int(source.lengths[whole, SPEECH].sum()), len(whole)))
