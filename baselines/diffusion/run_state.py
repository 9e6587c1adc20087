"""Checkpoints of a run: everything that continues it bit for bit, written whole or not at all.

The files are those of the reference's runs (:mod:`reference_model.training.run_state`): ``model.safetensors``,
``average.safetensors`` (the model to use), ``optimiser.safetensors`` and ``state.json``. Random numbers and the
position in the data are functions of seed and step.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reference_model.checkpoints import write_safetensors
from reference_model.config import ConfigError
from reference_model.training.run_state import Progress, checkpoints
from reference_model.utils.strict_loading import CheckpointError

from ..checkpoints import load_network, save_network
from .config import TrainingConfig
from .network import DiffusionNetwork
from .objective import Objective

FREE = ("steps", "device", "threads", "validation", "checkpoints", "journal")
"""Settings that may change between a checkpoint and its continuation."""


def save_checkpoint(
    output: Path,
    progress: Progress,
    objective: Objective,
    average: DiffusionNetwork,
    optimiser: torch.optim.Optimizer,
    config: TrainingConfig,
    fingerprints: dict[str, str],
) -> Path:
    """Write a checkpoint and remove the oldest beyond ``config.checkpoints.keep``. Returns its folder."""
    target = output / "checkpoints" / f"step-{progress.step:08d}"
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_network(objective.model, part / "model.safetensors")
    save_network(average, part / "average.safetensors")
    moments = {
        f"{key}.{name}": value.contiguous()
        for name, parameter in objective.named_parameters()
        for key, value in optimiser.state.get(parameter, {}).items()
    }
    write_safetensors(moments, part / "optimiser.safetensors", {})
    state = {**vars(progress), "data": fingerprints, "torch": torch.__version__, "config": config.to_dict()}
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
    folder: Path, config: TrainingConfig, fingerprints: dict[str, str], device: torch.device
) -> tuple[Progress, DiffusionNetwork, DiffusionNetwork, dict[str, Tensor]]:
    """Progress, network, its average, and the optimiser's tensors for
    :func:`reference_model.training.run_state.restore_optimiser`.

    Raises :class:`.ConfigError` when settings or data differ from those of the run, :class:`.CheckpointError` for
    files that cannot be read.
    """
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        progress = Progress(state["step"], state["average_updates"], state["meter"])
        then, data = state["config"], state["data"]
        moments = load_file(folder / "optimiser.safetensors", device=str(device))
    except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder} is damaged ({error}); remove it to continue from the checkpoint before"
        ) from error
    now = json.loads(json.dumps(config.to_dict()))
    changed = [
        f"{name} was {then.get(name)!r}, now {now.get(name)!r}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name) and name not in FREE
    ]
    if data.get("training") != fingerprints["training"]:
        changed.append("the training data changed")
    if changed:
        raise ConfigError(
            f"{folder} belongs to a different run: {'; '.join(changed)}. Restore the settings to continue it, or "
            f"start a new run in another folder"
        )
    if config.steps < progress.step:
        raise ConfigError(f"{folder} has done {progress.step} steps already, steps = {config.steps} asks for fewer")
    networks = [
        load_network(folder / name, config=config.network, device=str(device))
        for name in ("model.safetensors", "average.safetensors")
    ]
    return progress, *networks, moments
