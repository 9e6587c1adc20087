"""The training loop (section 3.4): :func:`train` runs a configuration to its end, or to a signal."""

import contextlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

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
        run = _TalkerRun(
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


class Run(ABC):
    """A run under way: its steps, validations and checkpoints. Subclasses say what is trained, on what, and how it is
    kept in a file."""

    resuming = "--resume"
    unit = "tokens"
    """What a step's work is counted in, for the journal."""

    def __init__(
        self,
        config: Any,
        output: Path,
        fingerprints: dict[str, str],
        processes: Processes,
        resume: bool,
        stop_after: int | None,
        stream: TextIO | None,
    ):
        self.config, self.output, self.fingerprints, self.processes = config, output, fingerprints, processes
        existing = checkpoints(output)
        if existing and not resume:
            raise ConfigError(
                f"{output} already holds a run ({existing[-1].name}); continue it with {self.resuming}, "
                f"or choose another output"
            )
        averaged = moments = None
        if existing:
            progress, model, averaged, moments = load_checkpoint(
                existing[-1], config, fingerprints, processes.device, self.read_model
            )
        else:
            progress, model = Progress(0, 0, Meter().state()), self.first_model()
        self.step, self.meter = progress.step, Meter(progress.meter)
        self.objective: Any = self.make_objective(model).to(processes.device)
        self.optimiser = make_optimiser(self.objective, config.optimiser)
        self.average = make_average(self.objective.model, config.average)
        if averaged is not None and moments is not None:
            self.average.module.load_state_dict(averaged.state_dict())
            self.average.n_averaged.fill_(progress.average_updates)
            restore_optimiser(self.optimiser, self.objective, moments, existing[-1])
        self.last_checkpoint: Path | None = existing[-1] if existing else None
        self.end = min(config.steps, stop_after or config.steps)
        if processes.first:
            output.mkdir(parents=True, exist_ok=True)
            (output / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")
        self.journal = Journal(output if processes.first else None, stream, self.step, self.end, self.unit)
        if resume:
            self.journal.say(
                f"continuing after step {self.step}"
                if existing
                else f"no checkpoint in {output} yet: starting at step 0"
            )

    @abstractmethod
    def first_model(self) -> nn.Module:
        """The model before the first step."""

    @abstractmethod
    def make_objective(self, model: nn.Module) -> nn.Module:
        """The module whose parameters are optimised; its ``model`` is ``model``."""

    @abstractmethod
    def read_model(self, path: Path) -> nn.Module: ...

    @abstractmethod
    def write_model(self, model: Any, path: Path) -> None: ...

    @abstractmethod
    def gradients(self) -> dict[str, float]:
        """Add the gradients of the next step; returns its losses, with ``loss``, and counts its work."""

    @abstractmethod
    def losses(self, model: Any) -> dict[str, float] | None:
        """The losses of ``model`` on what is held out; None where nothing is."""

    @abstractmethod
    def positions(self, step: int) -> dict[str, int]:
        """Samples of each task gone through before ``step``."""

    @abstractmethod
    def epochs(self) -> dict[str, float]:
        """How often each task's samples have been gone through."""

    @abstractmethod
    def described(self) -> str:
        """The samples of the present step, for an error."""

    def run(self, interruption: Interruption) -> TrainingResult:
        config, signal_number = self.config, 0
        validated = self.step
        if self.step == 0 and config.validation.every:
            self._validate()
        while self.step < self.end:
            self._step()
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

    def _step(self) -> None:
        config = self.config
        values = self.gradients()
        rate = learning_rate(self.step, config.steps, config.optimiser)
        set_learning_rate(self.optimiser, rate)
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), config.optimiser.clip_norm)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"step {self.step + 1}: the gradient is not finite (loss {values['loss']}). Continue from "
                f"{self.last_checkpoint or 'the start'} with a lower optimiser.learning_rate or optimiser.clip_norm, "
                f'or precision = "float32"; the samples of the step are {self.described()}'
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update_parameters(self.objective.model)
        self.step += 1
        self.meter.add({**values, "gradient_norm": float(norm)})
        if self.step % config.journal.every == 0:
            self.journal.train(self.step, self.meter.means(), rate, self.epochs())

    def _validate(self) -> None:
        losses = self.losses(self.average.module)
        if losses is not None:
            self.journal.validation(self.step, losses)

    def _save(self) -> None:
        if self.last_checkpoint is not None and self.last_checkpoint.name == f"step-{self.step:08d}":
            return
        if self.processes.first:
            self.last_checkpoint = save_checkpoint(
                self.output,
                Progress(self.step, int(self.average.n_averaged), self.meter.state()),
                self.objective,
                self.average.module,
                self.optimiser,
                self.config,
                self.fingerprints,
                self.positions(self.step),
                self.write_model,
            )
        self.processes.wait()
        self.last_checkpoint = checkpoints(self.output)[-1]

    def _finish(self, finished: bool, signal_number: int) -> TrainingResult:
        checkpoint = checkpoints(self.output)[-1]
        if not finished:
            self.journal.say(
                f"stopped after step {self.step}, checkpoint in {checkpoint}; continue with the same "
                f"command and {self.resuming}"
            )
            return TrainingResult(self.step, checkpoint, None, signal_number)
        model = self.output / "model.safetensors"
        if self.processes.first:
            self.write_model(self.average.module, model)
            self.journal.say(f"done: {self.step} steps, averaged weights in {model}")
        return TrainingResult(self.step, checkpoint, model)


class _TalkerRun(Run):
    def __init__(
        self,
        config: TrainingConfig,
        sources: Sources,
        processes: Processes,
        resume: bool,
        stop_after: int | None,
        stream: TextIO | None,
    ):
        self.sources = sources
        check_sources(sources, config)
        self.batches = MicroBatches(config, sources, processes.rank, processes.count)
        self.batches.picks(0)  # a batch that cannot be split is an error now
        super().__init__(config, Path(config.output), sources.fingerprints(), processes, resume, stop_after, stream)
        self.parts = load(self.batches, self.step, self.end)
        self.module: nn.Module = self.objective
        if processes.count > 1:
            devices = [processes.device] if processes.device.type == "cuda" else None
            self.module = DistributedDataParallel(self.objective, device_ids=devices, gradient_as_bucket_view=True)

    def first_model(self) -> TalkerT2AV:
        config, start, device = self.config, self.config.start, self.processes.device
        if start.weights:
            return load_model(start.weights, config=config.model, device=device, dtype=torch.float32)
        model = random_model(config.model, seed=config.seed)
        if start.backbone:
            _load_backbone(model, Path(start.backbone))
        return model.to(device)

    def make_objective(self, model: nn.Module) -> Objective:
        if not self.config.model.backbone.tie_word_embeddings:
            model.get_parameter(LM_HEAD).requires_grad_(False)  # it is never run
        if self.config.start.freeze_text_embedding:
            model.get_parameter(EMBEDDING).requires_grad_(False)
        return Objective(model, self.config.loss, self.config.aids)

    def read_model(self, path: Path) -> TalkerT2AV:
        return load_model(path, config=self.config.model, device=self.processes.device)

    def write_model(self, model: TalkerT2AV, path: Path) -> None:
        save_model(model, path)

    def gradients(self) -> dict[str, float]:
        own = []
        for _ in range(self.config.batch.accumulation):
            own.append(next(self.parts))
            self.journal.count(own[-1].tokens, own[-1].padding)
        return accumulate_gradients(self.module, own, self.processes, self.config.precision)

    def losses(self, model: TalkerT2AV) -> dict[str, float] | None:
        if self.sources.validation is None:
            return None
        judged = Objective(model, self.config.loss, self.config.aids).to(self.processes.device)
        judged.regression = self.objective.regression
        return validate(judged, self.sources.validation, self.config, self.processes)

    def positions(self, step: int) -> dict[str, int]:
        return {"t2av": step * self.config.batch.t2av, "tts": step * self.config.batch.tts}

    def epochs(self) -> dict[str, float]:
        return {task: self.batches.plan.epoch(task, self.step) for task in self.batches.sources}

    def described(self) -> str:
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
