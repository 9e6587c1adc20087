"""Training of the baselines: :func:`train` runs a configuration to its end, or to a signal.

Everything but the batches and their losses is the reference's run.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import torch

from reference_model.config import ConfigError
from reference_model.training.batch_plan import BatchPlan, sample_seed
from reference_model.training.distributed import Processes
from reference_model.training.interruption import Interruption
from reference_model.training.loop import Run, TrainingResult
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

from ..checkpoints import load_network, save_network
from ..families import network_class, random_network
from .config import NetworkConfig, TrainingConfig
from .network import DiffusionNetwork
from .objective import Objective, TrainingBatch, collate

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
    if config.threads:
        torch.set_num_threads(config.threads)
    with Processes.join(config.device) as processes, Interruption() as interruption:
        if processes.count > 1:
            raise ConfigError("baselines train in a single process; start them without torchrun")
        run = _Run(config, sources, Path(output), processes, resume, stop_after, None if quiet else sys.stderr)
        return run.run(interruption)


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

    def __init__(
        self,
        config: TrainingConfig,
        sources: Sources,
        output: Path,
        processes: Processes,
        resume: bool,
        stop_after: int | None,
        stream: TextIO | None,
    ):
        network = config.network
        self.source, self.validation = training_source(sources, network), sources.validation
        self.shape = SampleShape(network.speech_dim, network.motion_dim, network.speaker_dim, network.vocab_size)
        counts = {"t2av": config.batch_size, "tts": 0}
        self.plan = BatchPlan({"t2av": self.source.lengths[:, SPEECH]}, counts, config.seed, config.pool_steps)
        super().__init__(config, output, {"training": self.source.fingerprint}, processes, resume, stop_after, stream)

    def first_model(self) -> DiffusionNetwork:
        return random_network(self.config.network, seed=self.config.seed)

    def make_objective(self, model: DiffusionNetwork) -> Objective:
        return Objective(model.train(), self.config.flow)

    def read_model(self, path: Path) -> DiffusionNetwork:
        return load_network(path, config=self.config.network, device=str(self.processes.device))

    def write_model(self, model: DiffusionNetwork, path: Path) -> None:
        save_network(model, path)

    def gradients(self) -> dict[str, float]:
        picks = self.plan.step(self.step)
        seeds = [sample_seed(self.config.seed, self.step, pick.position) for pick in picks]
        part = self._batch(self.source, [pick.index for pick in picks], seeds)
        losses = self.objective.means(self.objective(part), part.batch.frames)
        losses["loss"].backward()
        frames = int(part.batch.frames.sum())
        self.journal.count(frames, next(iter(part.targets.values())).shape[:2].numel() - frames)
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def losses(self, model: DiffusionNetwork) -> dict[str, float] | None:
        """Exact means over the held-out samples, with the same random numbers each time."""
        if self.validation is None:
            return None
        judged = Objective(model, self.config.flow)
        order = np.argsort(self.validation.lengths[:, SPEECH], kind="stable")
        parts: dict[str, list[torch.Tensor]] = {}
        frames, size = [], self.config.validation.batch_size
        for start in range(0, len(order), size):
            chosen = [int(index) for index in order[start : start + size]]
            part = self._batch(self.validation, chosen, [sample_seed(self.config.seed, STREAM, i) for i in chosen])
            for name, values in judged(part).items():
                parts.setdefault(name, []).append(values.double())
            frames.append(part.batch.frames)
        losses = {name: torch.cat(values) for name, values in parts.items()}
        means = judged.means(losses, torch.cat(frames).double())
        return {name: float(value) for name, value in means.items()}

    def _batch(self, source: SampleSource, indices: Sequence[int], seeds: Sequence[int]) -> TrainingBatch:
        samples = [read_sample(source, index, self.shape) for index in indices]
        return collate(samples, seeds, self.objective.model).to(self.processes.device)

    def positions(self, step: int) -> dict[str, int]:
        return {"t2av": step * self.config.batch_size}

    def epochs(self) -> dict[str, float]:
        return {"t2av": self.plan.epoch("t2av", self.step)}

    def described(self) -> str:
        return ", ".join(self.source.describe(pick.index) for pick in self.plan.step(self.step)[:8]) + " ..."
