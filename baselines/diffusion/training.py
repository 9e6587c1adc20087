"""The training loop of the baselines: :func:`train` runs a configuration to its end, or to a signal.

Batches, learning rate, clipping and moving average are the reference loop's.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import nn

from reference_model.config import ConfigError
from reference_model.training.batch_plan import BatchPlan, sample_seed
from reference_model.training.distributed import Processes
from reference_model.training.interruption import Interruption
from reference_model.training.journal import Meter
from reference_model.training.loop import TrainingError, TrainingResult
from reference_model.training.optimisation import learning_rate, make_average, make_optimiser, set_learning_rate
from reference_model.training.run_state import Progress, checkpoints, restore_optimiser
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

from ..checkpoints import save_network
from ..families import network_class, random_network
from .config import NetworkConfig, TrainingConfig
from .journal import LossJournal
from .network import DiffusionNetwork
from .objective import Objective, TrainingBatch, collate
from .run_state import load_checkpoint, save_checkpoint

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
        run = _Run(config, sources, Path(output), processes.device, resume, stop_after, None if quiet else sys.stderr)
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


class _Run:
    def __init__(
        self,
        config: TrainingConfig,
        sources: Sources,
        output: Path,
        device: torch.device,
        resume: bool,
        stop_after: int | None,
        stream: TextIO | None,
    ):
        self.config, self.output, self.device = config, output, device
        self.source, self.validation = training_source(sources, config.network), sources.validation
        network = config.network
        self.shape = SampleShape(network.speech_dim, network.motion_dim, network.speaker_dim, network.vocab_size)
        self.fingerprints = {"training": self.source.fingerprint}
        counts = {"t2av": config.batch_size, "tts": 0}
        self.plan = BatchPlan({"t2av": self.source.lengths[:, SPEECH]}, counts, config.seed, config.pool_steps)

        existing = checkpoints(output)
        if existing and not resume:
            raise ConfigError(
                f"{output} already holds a run ({existing[-1].name}); continue it with resume, or choose another output"
            )
        if existing:
            progress, model, averaged, moments = load_checkpoint(existing[-1], config, self.fingerprints, device)
        else:
            progress, model = Progress(0, 0, Meter().state()), random_network(config.network, seed=config.seed)
            averaged = moments = None
        self.step, self.meter = progress.step, Meter(progress.meter)
        self.objective = Objective(model.to(device).train(), config.flow)
        self.optimiser = make_optimiser(self.objective, config.optimiser)
        self.average = make_average(self.objective.model, config.average)
        if averaged is not None and moments is not None:
            self.average.module.load_state_dict(averaged.state_dict())
            self.average.n_averaged.fill_(progress.average_updates)
            restore_optimiser(self.optimiser, self.objective, moments, existing[-1])
        self.saved = progress.step if existing else None
        self.end = min(config.steps, stop_after or config.steps)
        output.mkdir(parents=True, exist_ok=True)
        (output / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")
        self.journal = LossJournal(output, stream, self.step, self.end)
        if resume:
            self.journal.say(
                f"continuing after step {self.step}" if existing else f"no checkpoint in {output} yet: starting at 0"
            )

    def run(self, interruption: Interruption) -> TrainingResult:
        config, signal_number = self.config, 0
        validated = None
        if self.step == 0 and config.validation.every:
            self._validate()
            validated = 0
        while self.step < self.end:
            self._step()
            if config.validation.every and self.step % config.validation.every == 0:
                self._validate()
                validated = self.step
            signal_number = interruption.signal_number
            if signal_number:
                break
            if self.step % config.checkpoints.every == 0 and self.step < self.end:
                self._save()
        finished = self.step == config.steps
        if finished and self.saved != self.step and validated != self.step and config.validation.every:
            self._validate()
        self._save()
        return self._finish(finished, signal_number)

    def _step(self) -> None:
        config, objective = self.config, self.objective
        picks = self.plan.step(self.step)
        seeds = [sample_seed(config.seed, self.step, pick.position) for pick in picks]
        part = self._batch(self.source, [pick.index for pick in picks], seeds)
        losses = objective.means(objective(part), part.batch.frames)
        losses["loss"].backward()
        rate = learning_rate(self.step, config.steps, config.optimiser)
        set_learning_rate(self.optimiser, rate)
        norm = nn.utils.clip_grad_norm_(objective.parameters(), config.optimiser.clip_norm)
        if not torch.isfinite(norm):
            where = ", ".join(self.source.describe(pick.index) for pick in picks[:8])
            raise TrainingError(
                f"step {self.step + 1}: the gradient is not finite (loss {float(losses['loss'].detach())}). Use a "
                f"lower optimiser.learning_rate or optimiser.clip_norm; the samples of the step are {where} ..."
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update_parameters(objective.model)
        self.step += 1
        frames = int(part.batch.frames.sum())
        self.journal.count(frames, next(iter(part.targets.values())).shape[:2].numel() - frames)
        self.meter.add(
            {**{name: float(value.detach()) for name, value in losses.items()}, "gradient_norm": float(norm)}
        )
        if self.step % config.journal.every == 0:
            self.journal.train(self.step, self.meter.means(), rate, {"t2av": self.plan.epoch("t2av", self.step)})

    def _batch(self, source: SampleSource, indices: Sequence[int], seeds: Sequence[int]) -> TrainingBatch:
        samples = [read_sample(source, index, self.shape) for index in indices]
        return collate(samples, seeds, self.objective.model).to(self.device)

    @torch.no_grad()
    def _validate(self) -> None:
        """Exact means over the held-out samples with the averaged weights, with the same random numbers each time."""
        if self.validation is None:
            return
        judged = Objective(self.average.module, self.config.flow)
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
        self.journal.validation(self.step, {name: float(value) for name, value in means.items()})

    def _save(self) -> None:
        if self.saved == self.step:
            return
        progress = Progress(self.step, int(self.average.n_averaged), self.meter.state())
        save_checkpoint(
            self.output, progress, self.objective, self.average.module, self.optimiser, self.config, self.fingerprints
        )
        self.saved = self.step

    def _finish(self, finished: bool, signal_number: int) -> TrainingResult:
        checkpoint = checkpoints(self.output)[-1]
        if not finished:
            self.journal.say(f"stopped after step {self.step}, checkpoint in {checkpoint}; continue with resume")
            return TrainingResult(self.step, checkpoint, None, signal_number)
        model = self.output / "model.safetensors"
        save_network(self.average.module, model)
        self.journal.say(f"done: {self.step} steps, averaged weights in {model}")
        return TrainingResult(self.step, checkpoint, model)
