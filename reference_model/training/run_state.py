"""Checkpoints of a run: everything that continues it bit for bit, written whole or not at all.

``checkpoints/step-00001000/`` holds

=======================  ========================================================================
file                     content
=======================  ========================================================================
``model.safetensors``    the weights being trained; :func:`..checkpoints.load_model` reads it
``average.safetensors``  their moving average: the model to use
``optimiser.safetensors`` AdamW's moments by parameter, and the aids' weights
``state.json``           step, seed, data position, updates of the average, sums of the journal, settings
=======================  ========================================================================

The random numbers of a step are a function of seed and step (:mod:`.batch_plan`), so these two are the random
state, and with the counts of a step they are the position in the data. The folder is written under another name,
flushed and renamed.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..checkpoints import write_safetensors
from ..config import ConfigError
from ..utils.strict_loading import CheckpointError, check_names_and_shapes

FREE = (
    "output",
    "steps",
    "device",
    "threads",
    "start.",
    "data.t2av",
    "data.tts",
    "data.validation",
    "data.verify",
    "data.workers",
    "batch.accumulation",
    "validation.",
    "checkpoints.",
    "journal.",
)
"""Settings that may change between a checkpoint and its continuation. Data may move, but not change: its
fingerprint is compared instead. ``start`` decided only where the run began."""

TRAINED_ON = ("t2av", "tts", "training")
"""Sources whose fingerprints must stay."""


@dataclass
class Progress:
    """Where a run is: steps done, updates of the average, sums of the journal."""

    step: int
    average_updates: int
    meter: dict[str, Any]


def checkpoints(output: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in (output / "checkpoints").glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def save_checkpoint(
    output: Path,
    progress: Progress,
    trained: Any,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: Any,
    fingerprints: dict[str, str],
    positions: dict[str, int],
    write: Callable[[Any, Path], None],
) -> Path:
    """Write a checkpoint and remove the oldest beyond ``config.checkpoints.keep``. Returns its folder.

    ``trained`` is the module whose parameters are optimised, its ``model`` what ``write`` writes to a file.
    """
    target = output / "checkpoints" / f"step-{progress.step:08d}"
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    write(trained.model, part / "model.safetensors")
    write(average, part / "average.safetensors")
    write_safetensors(_optimiser_state(optimiser, trained), part / "optimiser.safetensors", {})
    state = {
        "step": progress.step,
        "seed": config.seed,
        "data_position": positions,
        "average_updates": progress.average_updates,
        "meter": progress.meter,
        "data": fingerprints,
        "torch": torch.__version__,
        "config": config.to_dict(),
    }
    with open(part / "state.json", "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    if target.exists():
        shutil.rmtree(target)
    os.replace(part, target)
    for old in checkpoints(output)[: -config.checkpoints.keep]:
        shutil.rmtree(old)
    return target


def load_checkpoint(
    folder: Path,
    config: Any,
    fingerprints: dict[str, str],
    device: torch.device,
    read: Callable[[Path], nn.Module],
) -> tuple[Progress, nn.Module, nn.Module, dict[str, Tensor]]:
    """Progress, model, its average (both as ``read`` reads them) and the optimiser's tensors (for
    :func:`restore_optimiser`).

    Raises :class:`.ConfigError` when settings or data differ from those of the run, :class:`.CheckpointError` for
    files that cannot be read.
    """
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        progress = Progress(state["step"], state["average_updates"], state["meter"])
        _check_same_run(folder, state, config, fingerprints)
        moments = load_file(folder / "optimiser.safetensors", device=str(device))
    except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder} is damaged ({error}); remove it to continue from the checkpoint before"
        ) from error
    return progress, read(folder / "model.safetensors"), read(folder / "average.safetensors"), moments


def restore_optimiser(
    optimiser: torch.optim.Optimizer, trained: nn.Module, tensors: dict[str, Tensor], source: Path
) -> None:
    """Put the tensors of :func:`load_checkpoint` back. ``trained`` is the module whose parameters are optimised."""
    expected = _aids(trained)
    for name, parameter in trained.named_parameters():
        if parameter.requires_grad:
            for moment in ("exp_avg", "exp_avg_sq"):
                expected[f"{moment}.{name}"] = parameter
            expected[f"step.{name}"] = torch.zeros(())
    check_names_and_shapes(
        {name: tuple(tensor.shape) for name, tensor in expected.items()},
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        source=str(source / "optimiser.safetensors"),
    )
    with torch.no_grad():
        for name, weight in _aids(trained).items():
            weight.copy_(tensors[name])
    for name, parameter in trained.named_parameters():
        if parameter.requires_grad:
            optimiser.state[parameter] = {key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}


def _optimiser_state(optimiser: torch.optim.Optimizer, trained: nn.Module) -> dict[str, Tensor]:
    state = {name: weight.detach() for name, weight in _aids(trained).items()}
    for name, parameter in trained.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            state[f"{key}.{name}"] = value.contiguous()
    return state


def _aids(trained: nn.Module) -> dict[str, Tensor]:
    """Parameters that are trained but are not the model's."""
    return {
        f"weight.{name}": parameter for name, parameter in trained.named_parameters() if not name.startswith("model.")
    }


def _check_same_run(folder: Path, state: dict[str, Any], config: Any, fingerprints: dict[str, str]) -> None:
    then, now = _flat(state["config"]), _flat(config.to_dict())
    changed = [
        f"{name} was {then.get(name)!r}, now {now.get(name)!r}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name) and not name.startswith(FREE)
    ]
    changed += [f"the {name} data changed" for name in TRAINED_ON if state["data"].get(name) != fingerprints.get(name)]
    if changed:
        raise ConfigError(
            f"{folder} belongs to a different run: {'; '.join(changed)}. Restore the settings to "
            f"continue it, or start a new run with another output; the weights are in {folder / 'average.safetensors'}"
        )
    if config.steps < state["step"]:
        raise ConfigError(f"{folder} has done {state['step']} steps already, steps = {config.steps} asks for fewer")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            result.update(_flat(value, f"{prefix}{key}."))
        else:
            result[prefix + key] = list(value) if isinstance(value, tuple) else value
    return result
