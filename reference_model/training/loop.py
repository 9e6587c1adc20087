"""The training loop (section 3.4): :func:`train` runs a configuration to its end, or to a signal."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..checkpoints import EMBEDDING, LM_HEAD, load_model, random_model, save_model
from ..config import ConfigError
from ..model import TalkerT2AV
from ..utils.strict_loading import CheckpointError, load_strictly
from .collate import MicroBatch
from .config import TrainingConfig
from .distributed import Processes
from .interruption import Interruption
from .journal import Journal, Meter
from .loader import MicroBatches, load
from .objective import Objective
from .optimisation import learning_rate, make_average, make_optimiser, set_learning_rate
from .run_state import Progress, checkpoints, load_checkpoint, restore_optimiser, save_checkpoint
from .sources import Sources, check_sources, open_sources
from .validation import validate


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and what to try."""


@dataclass
class TrainingResult:
    """``step`` steps are done, the last ``checkpoint`` is at that step. ``model`` is the file of averaged weights
    that a finished run delivers, None for an unfinished one; ``signal_number`` is what ended it early, or 0."""

    step: int
    checkpoint: Path
    model: Path | None
    signal_number: int = 0


def train(
    config: TrainingConfig,
    *,
    sources: Sources | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    quiet: bool = False,
) -> TrainingResult:
    """Train; the folder ``config.output`` receives ``metrics.jsonl``, ``checkpoints/`` and in the end
    ``model.safetensors``.

    ``sources`` replaces what ``config.data`` names. ``resume`` continues from the last checkpoint of the folder, if
    there is one. ``stop_after`` ends after that step with a checkpoint, as a signal would. Progress goes to stderr
    unless ``quiet``. Raises :class:`.ConfigError`, :class:`.SampleError`, :class:`.CheckpointError`,
    :class:`TrainingError`.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    with Processes.join(config.device) as processes, Interruption() as interruption:
        run = _Run(
            config, sources or open_sources(config), processes, resume, stop_after, None if quiet else sys.stderr
        )
        return run.run(interruption)


def accumulate_gradients(
    module: nn.Module, parts: Sequence[MicroBatch], processes: Processes, precision: str
) -> dict[str, float]:
    """Add the gradients of a whole batch to ``module``, an :class:`.Objective` or its distributed wrapping.

    ``parts`` are this process's micro-batches. Returns the losses of the whole batch, the same on every process.
    """
    sums: dict[str, Tensor] = {}
    for turn, part in enumerate(parts):
        # Gradients travel between processes once, with the last part.
        waits = isinstance(module, DistributedDataParallel) and turn < len(parts) - 1
        with module.no_sync() if waits else contextlib.nullcontext():
            with processes.autocast(precision):
                losses = module(part.to(processes.device))
            # Distributed training averages the gradients of processes; the losses of parts are made to add up.
            (losses.loss * processes.count).backward()
        for name, value in losses.detached().items():
            sums[name] = sums.get(name, 0) + value.double()
    return dict(zip(sums, processes.sum(torch.stack(list(sums.values()))).tolist(), strict=True))


class _Run:
    def __init__(
        self,
        config: TrainingConfig,
        sources: Sources,
        processes: Processes,
        resume: bool,
        stop_after: int | None,
        stream: TextIO | None,
    ):
        self.config, self.sources, self.processes = config, sources, processes
        self.output = Path(config.output)
        self.fingerprints = sources.fingerprints()
        check_sources(sources, config)
        self.batches = MicroBatches(config, sources, processes.rank, processes.count)
        self.batches.picks(0)  # a batch that cannot be split is an error now

        existing = checkpoints(self.output)
        if existing and not resume:
            raise ConfigError(
                f"{self.output} already holds a run ({existing[-1].name}); continue it with --resume, "
                f"or choose another output"
            )
        if existing:
            progress, model, averaged, moments = load_checkpoint(
                existing[-1], config, self.fingerprints, processes.device
            )
        else:
            progress, model, averaged, moments = Progress(0, 0, Meter().state()), self._start(), None, None
        self.step, self.meter = progress.step, Meter(progress.meter)
        self._freeze(model)
        self.objective = Objective(model, config.loss, config.aids).to(processes.device)
        self.optimiser = make_optimiser(self.objective, config.optimiser)
        self.average = make_average(model, config.average)
        if averaged is not None and moments is not None:
            self.average.module.load_state_dict(averaged.state_dict())
            self.average.n_averaged.fill_(progress.average_updates)
            restore_optimiser(self.optimiser, self.objective, moments, existing[-1])
        self.last_checkpoint: Path | None = existing[-1] if existing else None
        self.module: nn.Module = self.objective
        if processes.count > 1:
            devices = [processes.device] if processes.device.type == "cuda" else None
            self.module = DistributedDataParallel(self.objective, device_ids=devices, gradient_as_bucket_view=True)
        self.end = min(config.steps, stop_after or config.steps)
        if processes.first:
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")
        self.journal = Journal(self.output if processes.first else None, stream, self.step, self.end)
        if resume:
            self.journal.say(
                f"continuing after step {self.step}"
                if existing
                else f"no checkpoint in {self.output} yet: starting at step 0"
            )

    def run(self, interruption: Interruption) -> TrainingResult:
        config, signal_number = self.config, 0
        validated = self.step
        if self.step == 0 and config.validation.every:
            self._validate()
        parts = load(self.batches, self.step, self.end)
        while self.step < self.end:
            self._step(parts)
            if config.validation.every and self.step % config.validation.every == 0:
                self._validate()
                validated = self.step
            signal_number = self.processes.any(interruption.signal_number)
            if signal_number:
                break
            if self.step % config.checkpoints.every == 0 and self.step < self.end:
                self._save()
        finished = self.step == config.steps
        if finished and validated != self.step and config.validation.every:
            self._validate()
        self._save()
        return self._finish(finished, signal_number)

    def _step(self, parts: Iterator[MicroBatch]) -> None:
        config, processes = self.config, self.processes
        own = []
        for _ in range(config.batch.accumulation):
            own.append(next(parts))
            self.journal.count(own[-1].tokens, own[-1].padding)
        values = accumulate_gradients(self.module, own, processes, config.precision)
        rate = learning_rate(self.step, config.steps, config.optimiser)
        set_learning_rate(self.optimiser, rate)
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), config.optimiser.clip_norm)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"step {self.step + 1}: the gradient is not finite (loss {values['loss']}). Continue from "
                f"{self.last_checkpoint or 'the start'} with a lower optimiser.learning_rate or optimiser.clip_norm, "
                f'or precision = "float32"; the samples of the step are {self._described()}'
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update_parameters(self.objective.model)
        self.step += 1
        self.meter.add({**values, "gradient_norm": float(norm)})
        if self.step % config.journal.every == 0:
            epochs = {task: self.batches.plan.epoch(task, self.step) for task in self.batches.sources}
            self.journal.train(self.step, self.meter.means(), rate, epochs)

    @property
    def _averaged(self) -> TalkerT2AV:
        return self.average.module  # type: ignore[return-value]  # typed as any module

    def _validate(self) -> None:
        if self.sources.validation is None:
            return
        judged = Objective(self._averaged, self.config.loss, self.config.aids).to(self.processes.device)
        judged.regression = self.objective.regression
        losses = validate(judged, self.sources.validation, self.config, self.processes)
        self.journal.validation(self.step, losses)

    def _save(self) -> None:
        if self.last_checkpoint is not None and self.last_checkpoint.name == f"step-{self.step:08d}":
            return
        if self.processes.first:
            progress = Progress(self.step, int(self.average.n_averaged), self.meter.state())
            self.last_checkpoint = save_checkpoint(
                self.output,
                progress,
                self.objective.model,
                self._averaged,
                self.optimiser,
                self.objective,
                self.config,
                self.fingerprints,
                self.config.checkpoints.keep,
            )
        self.processes.wait()
        self.last_checkpoint = checkpoints(self.output)[-1]

    def _finish(self, finished: bool, signal_number: int) -> TrainingResult:
        checkpoint = checkpoints(self.output)[-1]
        if not finished:
            self.journal.say(
                f"stopped after step {self.step}, checkpoint in {checkpoint}; continue with the same "
                f"command and --resume"
            )
            return TrainingResult(self.step, checkpoint, None, signal_number)
        model = self.output / "model.safetensors"
        if self.processes.first:
            save_model(self._averaged, model)
            self.journal.say(f"done: {self.step} steps, averaged weights in {model}")
        return TrainingResult(self.step, checkpoint, model)

    def _start(self) -> TalkerT2AV:
        config, start, device = self.config, self.config.start, self.processes.device
        if start.weights:
            return load_model(start.weights, config=config.model, device=device, dtype=torch.float32)
        model = random_model(config.model, seed=config.seed)
        if start.backbone:
            _load_backbone(model, Path(start.backbone))
        return model.to(device)

    def _freeze(self, model: TalkerT2AV) -> None:
        if not self.config.model.backbone.tie_word_embeddings:
            model.get_parameter(LM_HEAD).requires_grad_(False)  # it is never run
        if self.config.start.freeze_text_embedding:
            model.get_parameter(EMBEDDING).requires_grad_(False)

    def _described(self) -> str:
        _, whole, _ = self.batches.picks(self.step * self.config.batch.accumulation)
        shown = [self.batches.sources[pick.task].describe(pick.index) for pick in whole[:8]]
        return ", ".join(shown) + (f" and {len(whole) - 8} more" if len(whole) > 8 else "")


def _load_backbone(model: TalkerT2AV, path: Path) -> None:
    """Put a published Qwen3 into the model's backbone (section 4.1)."""
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(
            f"start.backbone: no file {file}; give a safetensors file of a Qwen3 language model, or "
            f"the folder with its model.safetensors"
        )
    state = load_file(file)
    if "lm_head.weight" not in state and "model.embed_tokens.weight" in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    load_strictly(model.backbone, state, source=str(file), dtype=torch.float32)
    if model.config.backbone.tie_word_embeddings:
        model.backbone.lm_head.weight = model.backbone.get_input_embeddings().weight
