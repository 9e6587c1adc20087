"""Metrics as JSON Lines in ``metrics.jsonl`` and to the trackers that a run names, progress on stderr.

A ``train`` line has ``step`` (steps done), the losses (means over the steps since the last line), ``learning_rate``,
``gradient_norm`` (before clipping, mean), ``tokens_per_second`` (a baseline's: frames; of the first process),
``padding`` (share of empty places), ``epoch`` by task and ``seconds`` of this process. A ``validation`` line has
``step`` and the losses of the averaged weights. Trackers are told the same as ``train/...`` and ``validation/...``.
"""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from accelerate import Accelerator

PROJECT = "t2av-training"
"""A W&B project; TensorBoard's folder in the run's."""


class Journal:
    """Writes them; processes but the first write nothing. ``stream`` None is silent.

    ``sums`` over the steps since the last line are part of a checkpoint, so that resuming continues the same means.
    """

    def __init__(
        self, output: Path, accelerator: "Accelerator", stream: TextIO | None, config: dict[str, Any],
        steps: tuple[int, int], unit: str, sums: dict[str, Any] | None,
    ):  # fmt: skip
        self.path, self.accelerator, self.unit = output / "metrics.jsonl", accelerator, unit
        self.first_step, self.end_step = steps
        self.sums = sums or {"steps": 0, "sums": {}}
        self.stream = stream if accelerator.is_main_process else None
        self.started = self.last_line = time.monotonic()
        self.units = self.places = 0
        if accelerator.is_main_process:
            output.mkdir(parents=True, exist_ok=True)
            _write(output / "config.json", json.dumps(config, indent=1) + "\n")
            if self.path.is_file():
                _write(self.path, _lines_until(self.first_step, self.path))
        accelerator.init_trackers(
            PROJECT,
            init_kwargs={
                "tensorboard": {"purge_step": self.first_step + 1},
                "wandb": {"dir": str(output), "name": output.name, "config": config},
            },
        )

    def count(self, units: int, padding: int) -> None:
        self.units += units
        self.places += units + padding

    def add(self, values: dict[str, float]) -> None:
        """What a step was like."""
        sums = self.sums["sums"]
        self.sums = {
            "steps": self.sums["steps"] + 1,
            "sums": {name: sums.get(name, 0.0) + value for name, value in values.items()},
        }

    def train(self, step: int, rate: float, epochs: dict[str, float]) -> None:
        now = time.monotonic()
        speed = self.units / max(now - self.last_line, 1e-9)
        means = {name: value / self.sums["steps"] for name, value in self.sums["sums"].items()}
        self._line(
            "train",
            {
                "step": step,
                **means,
                "learning_rate": rate,
                f"{self.unit}_per_second": round(speed, 1),
                "padding": round(1 - self.units / max(self.places, 1), 4),
                "epoch": {name: round(epoch, 4) for name, epoch in epochs.items()},
                "seconds": round(now - self.started, 2),
            },
        )
        self.last_line, self.units, self.places, self.sums = now, 0, 0, {"steps": 0, "sums": {}}
        left = (now - self.started) / max(step - self.first_step, 1) * (self.end_step - step)
        self.say(
            f"step {step}/{self.end_step}  {_losses(means)}  rate {rate:.1e}  {speed:.0f} {self.unit}/s  "
            f"{_duration(left)} left",
            passing=True,
        )

    def validation(self, step: int, losses: dict[str, float]) -> None:
        self._line("validation", {"step": step, **losses})
        self.say(f"step {step}  validation: {_losses(losses)}")

    def say(self, text: str, passing: bool = False) -> None:
        """A line on the stream; a ``passing`` one is overwritten by the next where the stream is a terminal."""
        if self.stream is None:
            return
        if self.stream.isatty():
            text = "\r\x1b[K" + text + ("" if passing else "\n")
        else:
            text += "\n"
        self.stream.write(text)
        self.stream.flush()

    def _line(self, kind: str, values: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **values}) + "\n")
        told = {**values, **{f"epoch_{task}": epoch for task, epoch in values.get("epoch", {}).items()}}
        step = told.pop("step")
        self.accelerator.log({f"{kind}/{name}": value for name, value in told.items() if name != "epoch"}, step=step)


def _lines_until(step: int, path: Path) -> str:
    """The lines up to the checkpoint that the run continues from: later steps are done again."""
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):  # U+2028 ends no line of JSON
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # the process died while writing this line
    return "".join(kept)


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _losses(values: dict[str, float]) -> str:
    shown = [f"{name.removesuffix('_loss')} {value:.4f}" for name, value in values.items() if name.endswith("_loss")]
    return f"loss {values['loss']:.4f} ({', '.join(shown)})"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
