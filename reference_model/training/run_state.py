"""Checkpoints of a run: everything that continues it bit for bit, written whole or not at all.

``checkpoints/step-00001000/`` holds

=======================  ========================================================================
file                     content
=======================  ========================================================================
``model.safetensors``    the weights being trained; :func:`..checkpoints.load_model` reads it
``average.safetensors``  their moving average: the model to use (none for a run without an average)
``optimiser.safetensors`` AdamW's moments by parameter, and the aids' weights
``state.json``           step, seed, data position, updates of the average, sums of the journal, settings
=======================  ========================================================================

The random numbers of a step are a function of seed and step (:mod:`.batch_plan`), so these two are the random
state, and with the counts of a step they are the position in the data. (accelerate's ``save_state`` pickles, and
writes in place.)
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict

from ..config import ConfigError
from ..utils.strict_loading import CheckpointError, check_names_and_shapes

if TYPE_CHECKING:
    from accelerate import Accelerator

FREE = (
    "output", "steps", "device", "threads", "timeout", "activation_checkpointing", "start.", "data.t2av", "data.tts",
    "data.validation", "data.verify", "data.workers", "accumulation", "batch.accumulation", "validation.",
    "checkpoints.", "journal.",
)  # fmt: skip
"""Settings that may change between a checkpoint and its continuation. Data may move, but not change: its
fingerprint is compared instead. ``start`` decided only where the run began."""

TRAINED_ON = ("t2av", "tts", "training")
"""Sources whose fingerprints must stay."""

WHOLE = state_dict.StateDictOptions(full_state_dict=True, cpu_offload=True)
"""Complete tensors on the CPU of the first process, however processes share the weights; none on the others."""


def checkpoints(output: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in (output / "checkpoints").glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


@contextlib.contextmanager
def new_checkpoint(target: Path, state: dict[str, Any], keep: int, accelerator: "Accelerator") -> Iterator[Path]:
    """A folder for the first process to write into, which is renamed to ``target`` when the block has ended well,
    with ``state`` as its ``state.json``; the oldest of the run's checkpoints beyond ``keep`` go."""
    part = target.with_name(f".{target.name}.part")
    if accelerator.is_main_process:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    yield part
    if accelerator.is_main_process:
        with open(part / "state.json", "w", encoding="utf-8") as file:
            json.dump({**state, "torch": torch.__version__}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
        for old in checkpoints(target.parent.parent)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(
    folder: Path, config: Any, fingerprints: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What ``state.json`` and ``optimiser.safetensors`` hold.

    Raises :class:`.ConfigError` when settings or data differ from those of the run, :class:`.CheckpointError` for
    files that cannot be read.
    """
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        _check_same_run(folder, state, config, fingerprints)
        return state, load_file(folder / "optimiser.safetensors")
    except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder} is damaged ({error}); remove it to continue from the checkpoint before"
        ) from error


def weights_of(objective: nn.Module) -> dict[str, Tensor]:
    """The weights of ``objective.model``, as ``WHOLE`` says."""
    named = state_dict.get_model_state_dict(objective, options=WHOLE)
    return {name.removeprefix("model."): tensor for name, tensor in named.items() if name.startswith("model.")}


def optimiser_state(
    objective: nn.Module, optimiser: torch.optim.Optimizer, options: state_dict.StateDictOptions | None = None
) -> dict[str, Tensor]:
    """``exp_avg.NAME``, ``exp_avg_sq.NAME`` and ``step.NAME`` of every trained parameter, and ``weight.NAME`` of those
    that are not the ``model``'s."""
    moments = state_dict.get_optimizer_state_dict(objective, optimiser, options=options).get("state", {})
    weights = state_dict.get_model_state_dict(objective, options=options)
    return {
        **{f"weight.{name}": tensor for name, tensor in weights.items() if not name.startswith("model.")},
        **{f"{kind}.{name}": tensor for name, state in moments.items() for kind, tensor in state.items()},
    }


def restore(
    objective: nn.Module, optimiser: torch.optim.Optimizer, weights: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor], source: Path,
) -> None:  # fmt: skip
    """Put back what :func:`weights_of` and :func:`optimiser_state` told. Raises :class:`.CheckpointError`."""
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in each.items()}
        for each in (optimiser_state(objective, optimiser), tensors)
    ]
    check_names_and_shapes(*shapes, source=str(source / "optimiser.safetensors"))
    whole = state_dict.StateDictOptions(full_state_dict=True)
    moments = {"state": {}, "param_groups": state_dict.get_optimizer_state_dict(objective, optimiser)["param_groups"]}
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    for key, tensor in tensors.items():
        kind, _, name = key.partition(".")
        if kind == "weight":
            state[name] = tensor
        else:
            moments["state"].setdefault(name, {})[kind] = tensor
    state_dict.set_optimizer_state_dict(objective, optimiser, moments, options=whole)
    state_dict.set_model_state_dict(objective, state, options=whole)


def _check_same_run(folder: Path, state: dict[str, Any], config: Any, fingerprints: dict[str, str]) -> None:
    then, now = _flat(state["config"]), _flat(config.to_dict())
    changed = [
        f"{name} was {then[name]!r}, now {now[name]!r}"
        for name in sorted(then.keys() & now.keys())  # a setting that one side lacks came or went with a version
        if then[name] != now[name] and not name.startswith(FREE)
    ]
    changed += [f"the {name} data changed" for name in TRAINED_ON if state["data"].get(name) != fingerprints.get(name)]
    if changed:
        raise ConfigError(
            f"{folder} belongs to a different run: {'; '.join(changed)}. Restore the settings to continue it, or "
            f"start a new run with another output; its weights are there as safetensors"
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
