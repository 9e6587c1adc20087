"""Metrics as JSON Lines in ``metrics.jsonl``, progress on stderr.

A ``train`` line has ``step`` (steps done), the losses (means over the steps since the last line), ``learning_rate``,
``gradient_norm`` (before clipping, mean), ``tokens_per_second`` (a baseline's: frames), ``padding`` (share of empty
places), ``epoch`` by task and ``seconds`` of this process. A ``validation`` line has ``step`` and the losses of the
averaged weights.
"""

import json
import os
import time
from pathlib import Path
from typing import Any, TextIO


class Meter:
    """Sums since the last line of metrics. Part of a checkpoint, so that resuming continues the very same means."""

    def __init__(self, state: dict[str, Any] | None = None):
        self.steps: int = state["steps"] if state else 0
        self.sums: dict[str, float] = dict(state["sums"]) if state else {}

    def add(self, values: dict[str, float]) -> None:
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Means since the last call."""
        result = {name: value / self.steps for name, value in self.sums.items()}
        self.steps, self.sums = 0, {}
        return result

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "sums": dict(self.sums)}


class Journal:
    """Writes both. ``stream`` None is silent; without ``folder`` (processes but the first) nothing is written."""

    def __init__(
        self, folder: Path | None, stream: TextIO | None, first_step: int, end_step: int, unit: str = "tokens"
    ):
        self.path = folder / "metrics.jsonl" if folder else None
        self.stream = stream if folder else None
        self.first_step, self.end_step, self.unit = first_step, end_step, unit
        self.started = self.last_line = time.monotonic()
        self.tokens = self.places = 0
        if self.path:
            _forget_later_lines(self.path, first_step)

    def count(self, tokens: int, padding: int) -> None:
        self.tokens += tokens
        self.places += tokens + padding

    def train(self, step: int, means: dict[str, float], rate: float, epochs: dict[str, float]) -> None:
        now = time.monotonic()
        speed = self.tokens / max(now - self.last_line, 1e-9)
        padding = 1 - self.tokens / max(self.places, 1)
        self._line(
            {
                "kind": "train",
                "step": step,
                **means,
                "learning_rate": rate,
                f"{self.unit}_per_second": round(speed, 1),
                "padding": round(padding, 4),
                "epoch": {name: round(epoch, 4) for name, epoch in epochs.items()},
                "seconds": round(now - self.started, 2),
            }
        )
        self.last_line, self.tokens, self.places = now, 0, 0
        left = (now - self.started) / max(step - self.first_step, 1) * (self.end_step - step)
        self.say(
            f"step {step}/{self.end_step}  {_losses(means)}  rate {rate:.1e}  {speed:.0f} {self.unit}/s  "
            f"{_duration(left)} left",
            passing=True,
        )

    def validation(self, step: int, losses: dict[str, float]) -> None:
        self._line({"kind": "validation", "step": step, **losses})
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

    def _line(self, values: dict[str, Any]) -> None:
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


def _forget_later_lines(path: Path, step: int) -> None:
    """Drop lines of steps after the checkpoint that the run continues from: those steps are done again."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_bytes().split(b"\n"):  # not splitlines: U+2028 ends no line of JSON
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + b"\n")
        except (ValueError, KeyError, TypeError):
            continue  # the process died while writing this line
    part = path.with_suffix(".part")
    part.write_bytes(b"".join(kept))
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
