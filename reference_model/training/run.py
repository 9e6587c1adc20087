"""The training loop, of the reference and of the baselines: steps, validations, checkpoints."""

import functools
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..checkpoints import write_safetensors
from ..config import ConfigError
from .batch_plan import BatchPlan
from .journal import Journal
from .optimisation import Average, learning_rate, make_optimiser
from .processes import joined, signals
from .run_state import WHOLE, checkpoints, load_checkpoint, new_checkpoint, optimiser_state, restore, weights_of
from .samples import SampleSource

if TYPE_CHECKING:
    from accelerate import Accelerator


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and what to try."""


@dataclass
class TrainingResult:
    """``step`` steps are done, the last ``checkpoint`` is at that step. ``model`` is the file that a finished run
    delivers, None for an unfinished one; ``signal_number`` is what ended it early, or 0."""

    step: int
    checkpoint: Path
    model: Path | None
    signal_number: int = 0


class Run(ABC):
    """A run under way. Subclasses say what is trained, on what, and how it is kept in a file.

    Before this ``__init__`` they set ``plan``, which samples make which step; ``sources`` by task; ``fingerprints`` of
    all data; ``held_out``, the micro-batches of a validation. A micro-batch has ``to(device)``, and counts its
    ``tokens`` and ``padding``.
    """

    resuming = "--resume"
    unit = "tokens"
    """What a step's work is counted in, for the journal."""
    blocks: tuple[type, ...]
    """Modules that compute their activations again with ``activation_checkpointing``."""

    plan: BatchPlan
    sources: dict[str, SampleSource]
    fingerprints: dict[str, str]
    held_out: Sequence[Any]

    def __init__(
        self, config: Any, output: Path, accelerator: "Accelerator", resume: bool, stop_after: int | None,
        stream: TextIO | None,
    ):  # fmt: skip
        self.config, self.output, self.accelerator = config, output, accelerator
        last = self.last_checkpoint = next(reversed(checkpoints(output)), None)
        if last and not resume:
            raise ConfigError(
                f"{output} already holds a run ({last.name}); continue it with {self.resuming}, or choose another "
                f"output"
            )
        state, tensors = load_checkpoint(last, config, self.fingerprints) if last else ({}, {})
        self.step: int = state.get("step", 0)
        self.end = min(config.steps, stop_after or config.steps)
        averaged = "average.safetensors" if config.average.decay else "model.safetensors"
        self.objective: Any = self.make_objective(last and last / averaged).train()
        if config.activation_checkpointing:
            recompute(self.objective, self.blocks)
        optimiser = make_optimiser(self.objective, config.optimiser)
        self.module, self.optimiser = accelerator.prepare(self.objective, optimiser)
        self.average = Average(self.objective.model, config.average, state.get("average_updates", 0))
        if last:
            # The average was a copy of the weights that were there; now those of the checkpoint take their place.
            weights = self.make_objective(last / "model.safetensors").model.state_dict()
            restore(self.objective, optimiser, weights, tensors, last)
        self.parts = self.micro_batches(self.step, self.end)
        self.journal = Journal(output, accelerator, stream, config, self.step, self.end, self.unit, state.get("meter"))
        if resume:
            self.journal.say(
                f"continuing after step {self.step}" if last else f"no checkpoint in {output} yet: starting at step 0"
            )

    @abstractmethod
    def make_objective(self, path: Path | None) -> nn.Module:
        """The module whose parameters are optimised. Its ``model`` is that of a file that :meth:`write_model` wrote;
        without one, the model before the first step."""

    def losses(self, part: Any) -> dict[str, Tensor]:
        """What ``module`` makes of a micro-batch: losses by name that add up over the parts of a batch, with the
        ``loss`` that is minimised."""
        return self.module(part)

    @abstractmethod
    def write_model(self, weights: dict[str, Tensor], path: Path) -> None: ...

    @abstractmethod
    def micro_batches(self, first_step: int, end_step: int) -> Iterator[Any]:
        """This process's parts of the steps' batches in order, ``config.accumulation`` a step."""

    @classmethod
    def start(
        cls, data: Any, config: Any, output: Path, resume: bool, stop_after: int | None, quiet: bool
    ) -> TrainingResult:
        """Run on ``data`` to the end, or to a signal."""
        with joined(config, output) as accelerator, signals() as received:
            run = cls(data, config, output, accelerator, resume, stop_after, None if quiet else sys.stderr)
            return run._to_the_end(received)

    def _to_the_end(self, received: list[int]) -> TrainingResult:
        every, signal_number, validated = self.config.validation.every, 0, self.step
        if self.step == 0 and every:
            self._validate()
        while self.step < self.end:
            self._step()
            if every and self.step % every == 0:
                self._validate()
                validated = self.step
            # One process may have received a signal: all of them end.
            own = torch.tensor([received[0] if received else 0], device=self.accelerator.device)
            signal_number = int(self.accelerator.gather(own).max())
            if signal_number:
                break
            if self.step % self.config.checkpoints.every == 0 and self.step < self.end:
                self._save()
        finished = self.step == self.config.steps
        if finished and every and validated != self.step:
            self._validate()
        last = self._save()
        if not finished:
            self.journal.say(
                f"stopped after step {self.step}, checkpoint in {last}; continue with the same command and "
                f"{self.resuming}"
            )
            return TrainingResult(self.step, last, None, signal_number)
        delivered = self.output / "model.safetensors"
        with self.average.applied():
            self._write_model(delivered)
        kind = "averaged weights" if self.config.average.decay else "weights"
        self.journal.say(f"done: {self.step} steps, {kind} in {delivered}")
        return TrainingResult(self.step, last, delivered)

    def _step(self) -> None:
        config, accelerator = self.config, self.accelerator
        sums: dict[str, Any] = {}
        for _ in range(config.accumulation):
            part = next(self.parts).to(accelerator.device)
            self.journal.count(part.tokens, part.padding)
            with accelerator.accumulate(self.module):
                losses = self.losses(part)
                # Gradients are averaged over processes and passes; parts are made to add up.
                accelerator.backward(losses["loss"] * (accelerator.num_processes * config.accumulation))
            _add(sums, losses)
        values = self._over_processes(sums)
        rate = learning_rate(self.step, config.steps, config.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        norm = accelerator.clip_grad_norm_(self.module.parameters(), config.optimiser.clip_norm)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"step {self.step + 1}: the gradient is not finite (loss {values['loss']}). Continue from "
                f"{self.last_checkpoint or 'the start'} with a lower optimiser.learning_rate or optimiser.clip_norm, "
                f'or precision = "float32"; the samples of the step are {self._described()}'
            )
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update()
        self.step += 1
        self.journal.add({**values, "gradient_norm": float(norm)})
        if self.step % config.journal.every == 0:
            self.journal.train(self.step, rate, {task: self.plan.epoch(task, self.step) for task in self.sources})

    @torch.no_grad()
    def _validate(self) -> None:
        """Losses of the averaged weights: exact means over all that is held out. Processes share the work."""
        sums: dict[str, Any] = {}
        last = len(self.held_out) - 1
        with self.average.applied():
            for first in range(0, last + 1, self.accelerator.num_processes):
                # All run as often, as sharded weights need it: one without a part of its own repeats the last in vain.
                own = first + self.accelerator.process_index
                losses = self.losses(self.held_out[min(own, last)].to(self.accelerator.device))
                _add(sums, losses, own <= last)
        if sums:
            self.journal.validation(self.step, self._over_processes(sums))

    def _over_processes(self, sums: dict[str, Tensor]) -> dict[str, float]:
        whole = self.accelerator.reduce(torch.stack(list(sums.values())), "sum")
        return dict(zip(sums, whole.tolist(), strict=True))

    def _described(self) -> str:
        picks = self.plan.step(self.step)
        shown = [self.sources[pick.task].describe(pick.index) for pick in picks[:8]]
        return ", ".join(shown) + (f" and {len(picks) - 8} more" if len(picks) > 8 else "")

    def _save(self) -> Path:
        target = self.output / "checkpoints" / f"step-{self.step:08d}"
        if self.last_checkpoint == target:
            return target
        state = {
            "step": self.step,
            "seed": self.config.seed,
            "data_position": {task: self.step * count for task, count in self.plan.counts.items()},
            "average_updates": self.average.updates,
            "meter": self.journal.meter,
            "data": self.fingerprints,
            "config": self.config.to_dict(),
        }
        with new_checkpoint(target, state, self.config.checkpoints.keep, self.accelerator) as folder:
            self._write_model(folder / "model.safetensors")
            if self.config.average.decay:
                with self.average.applied():
                    self._write_model(folder / "average.safetensors")
            tensors = optimiser_state(self.objective, self.optimiser.optimizer, WHOLE)
            if self.accelerator.is_main_process:
                write_safetensors(tensors, folder / "optimiser.safetensors", {})
        self.last_checkpoint = target
        return target

    def _write_model(self, path: Path) -> None:
        weights = weights_of(self.objective)  # of all processes, where they share the weights out
        if self.accelerator.is_main_process:
            self.write_model(weights, path)


def recompute(module: nn.Module, blocks: tuple[type, ...]) -> None:
    """Let the ``blocks`` in a module compute their activations again in the backward pass, instead of keeping them."""
    for block in module.modules():
        if isinstance(block, blocks):
            again = functools.partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
            block.forward = again


def _add(sums: dict[str, Any], losses: dict[str, Tensor], times: int = 1) -> None:
    for name, value in losses.items():
        sums[name] = sums.get(name, 0) + value.detach().double() * times
