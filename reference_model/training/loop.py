"""Training of the reference (section 3.4): :func:`train` runs a configuration to its end, or to a signal."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..checkpoints import CONFIG_KEY, EMBEDDING, LM_HEAD, load_model, random_model, write_safetensors
from ..model import TalkerT2AV
from ..modules.transformer import Block
from ..utils.strict_loading import CheckpointError, load_strictly
from .collate import MicroBatch
from .config import TrainingConfig
from .loader import MicroBatches, load
from .objective import Objective
from .run import Run, TrainingError, TrainingResult
from .sources import Sources, check_sources, open_sources
from .validation import HeldOut

__all__ = ["TrainingError", "TrainingResult", "checkpoint_blocks", "train"]


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
    :class:`.TrainingError`.
    """
    data = sources or open_sources(config)
    return _TalkerRun.start(config, Path(config.output), data, resume=resume, stop_after=stop_after, quiet=quiet)


def checkpoint_blocks(model: torch.nn.Module, kind: type) -> None:
    """Let every module of ``kind`` in ``model`` compute its activations again in the backward pass."""
    for module in model.modules():
        if isinstance(module, kind):
            again = functools.partial(checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False)
            module.forward = again


class _TalkerRun(Run):
    def __init__(self, sources: Sources, config: TrainingConfig, output: Path, accelerator: Any, *options: Any):
        check_sources(sources, config)
        self.batches = MicroBatches(config, sources, accelerator.process_index, accelerator.num_processes)
        self.batches.picks(0)  # a batch that cannot be split is an error now
        self.plan, self.sources, self.fingerprints = self.batches.plan, self.batches.sources, sources.fingerprints()
        self.held_out = HeldOut(sources.validation, config) if sources.validation else ()
        super().__init__(config, output, accelerator, *options)

    def first_model(self) -> TalkerT2AV:
        config, start = self.config, self.config.start
        if start.weights:
            _check_start("weights", Path(start.weights))
            return load_model(start.weights, config=config.model, dtype=torch.float32)
        model = random_model(config.model, seed=config.seed)
        if start.backbone:
            _load_backbone(model, Path(start.backbone))
        return model

    def make_objective(self, model: TalkerT2AV) -> Objective:
        if not self.config.model.backbone.tie_word_embeddings:
            model.get_parameter(LM_HEAD).requires_grad_(False)  # it is never run
        if self.config.start.freeze_text_embedding:
            model.get_parameter(EMBEDDING).requires_grad_(False)
        return Objective(model, self.config.loss, self.config.aids)

    def checkpoint_activations(self, model: TalkerT2AV) -> None:
        model.backbone.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        checkpoint_blocks(model, Block)  # of patch encoders and heads

    def read_model(self, path: Path) -> TalkerT2AV:
        return load_model(path, config=self.config.model)

    def write_model(self, weights: dict[str, Tensor], path: Path) -> None:
        config = self.config.model
        if config.backbone.tie_word_embeddings:
            weights = {name: tensor for name, tensor in weights.items() if name != LM_HEAD}
        write_safetensors(weights, path, {CONFIG_KEY: json.dumps(config.to_dict())})

    def micro_batches(self, first_step: int, end_step: int) -> Iterator[MicroBatch]:
        return load(self.batches, first_step, end_step)


def _load_backbone(model: TalkerT2AV, path: Path) -> None:
    """Put a published Qwen3 into the model's backbone (section 4.1)."""
    file = path / "model.safetensors" if path.is_dir() else path
    _check_start("backbone", file)
    state = load_file(file)
    if "lm_head.weight" not in state and "model.embed_tokens.weight" in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    load_strictly(model.backbone, state, source=str(file), dtype=torch.float32)
    if model.config.backbone.tie_word_embeddings:
        model.backbone.lm_head.weight = model.backbone.get_input_embeddings().weight


def _check_start(setting: str, file: Path) -> None:
    what = {
        "weights": "a safetensors file of a whole model",
        "backbone": "a safetensors file of a Qwen3 language model, or the folder with its model.safetensors",
    }
    if not file.is_file():
        raise CheckpointError(
            f"start.{setting}: no file {file}; give {what[setting]}, or start.{setting}= to begin with random weights"
        )
