"""Metrics as JSON Lines in ``metrics.jsonl`` and to the trackers that a run names, progress on stderr.

A ``train`` line has ``step`` (steps done), the losses (means over the steps since the last line), ``learning_rate``,
``gradient_norm`` (before clipping, mean), ``tokens_per_second`` (a baseline's: frames), ``padding`` (share of empty
places), ``epoch`` by task and ``seconds`` of this process. A ``validation`` line has ``step`` and the losses of the
averaged weights. Trackers are told the same as ``train/...`` and ``validation/...``.
"""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..checkpoints import write_text

if TYPE_CHECKING:
    from accelerate import Accelerator

PROJECT = "t2av-training"
"""TensorBoard's folder in the run's, and the project of W&B."""


class Journal:
    """Writes them; processes but the first write nothing. ``stream`` None is silent.

    ``meter`` has the sums since the last line. It is part of a checkpoint, so that resuming continues the same means.
    """

    def __init__(
        self, output: Path, accelerator: "Accelerator", stream: TextIO | None, config: Any, first_step: int,
        end_step: int, unit: str, meter: dict[str, Any] | None,
    ):  # fmt: skip
        self.path, self.accelerator = output / "metrics.jsonl", accelerator
        self.stream = stream if accelerator.is_main_process else None
        self.first_step, self.end_step, self.unit = first_step, end_step, unit
        self.meter: dict[str, Any] = meter or {"steps": 0, "sums": {}}
        self.started = self.last_line = time.monotonic()
        self.units = self.places = 0
        if accelerator.is_main_process:
            output.mkdir(parents=True, exist_ok=True)
            write_text(output / "config.json", json.dumps(config.to_dict(), indent=1) + "\n")
            if self.path.is_file():
                write_text(self.path, _lines_until(first_step, self.path.read_text(encoding="utf-8", errors="replace")))
        accelerator.init_trackers(
            PROJECT,
            init_kwargs={
                "tensorboard": {"purge_step": first_step + 1},
                "wandb": {"dir": str(output), "name": output.name, "config": config.to_dict()},
            },
        )

    def count(self, units: int, padding: int) -> None:
        self.units += units
        self.places += units + padding

    def add(self, values: dict[str, float]) -> None:
        """The losses of a step."""
        sums = self.meter["sums"]
        sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
        self.meter = {"steps": self.meter["steps"] + 1, "sums": sums}

    def train(self, step: int, rate: float, epochs: dict[str, float]) -> None:
        now = time.monotonic()
        speed = self.units / max(now - self.last_line, 1e-9)
        values = {name: value / self.meter["steps"] for name, value in self.meter["sums"].items()}
        values |= {
            "learning_rate": rate,
            f"{self.unit}_per_second": round(speed, 1),
            "padding": round(1 - self.units / max(self.places, 1), 4),
            "epoch": {name: round(epoch, 4) for name, epoch in epochs.items()},
            "seconds": round(now - self.started, 2),
        }
        left = (now - self.started) / max(step - self.first_step, 1) * (self.end_step - step)
        self._line(
            "train", step, values,
            f"step {step}/{self.end_step}  {_losses(values)}  rate {rate:.1e}  {speed:.0f} {self.unit}/s  "
            f"{timedelta(seconds=round(left))} left",
        )  # fmt: skip
        self.last_line, self.units, self.places, self.meter = now, 0, 0, {"steps": 0, "sums": {}}

    def validation(self, step: int, losses: dict[str, float]) -> None:
        self._line("validation", step, losses, f"step {step}  validation: {_losses(losses)}")

    def say(self, text: str) -> None:
        if self.stream:
            print(text, file=self.stream, flush=True)

    def _line(self, kind: str, step: int, values: dict[str, Any], text: str) -> None:
        if self.accelerator.is_main_process:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        told = {**values, **{f"epoch_{task}": epoch for task, epoch in values.get("epoch", {}).items()}}
        self.accelerator.log({f"{kind}/{name}": value for name, value in told.items() if name != "epoch"}, step=step)
        self.say(text)


def _lines_until(step: int, text: str) -> str:
    """The lines up to the checkpoint that the run continues from: later steps are done again."""
    kept = []
    for line in text.split("\n"):  # not splitlines: U+2028 ends no line of JSON
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # the process died while writing this line
    return "".join(kept)


def _losses(values: dict[str, Any]) -> str:
    shown = [f"{name.removesuffix('_loss')} {value:.4f}" for name, value in values.items() if name.endswith("_loss")]
    return f"loss {values['loss']:.4f} ({', '.join(shown)})"
