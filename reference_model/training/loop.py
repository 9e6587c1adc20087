"""Training of the reference (section 3.4): :func:`train` runs a configuration to its end, or to a signal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

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
from .validation import held_out

__all__ = ["TrainingError", "TrainingResult", "train"]


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
    return _TalkerRun.start(data, config, Path(config.output), resume, stop_after, quiet)


class _TalkerRun(Run):
    def __init__(self, sources: Sources, config: TrainingConfig, output: Path, accelerator: Any, *options: Any):
        check_sources(sources, config)
        self.batches = MicroBatches(config, sources, accelerator.process_index, accelerator.num_processes)
        self.batches.picks(0)  # a batch that cannot be split is an error now
        self.plan, self.sources, self.fingerprints = self.batches.plan, self.batches.sources, sources.fingerprints()
        self.held_out = held_out(sources.validation, config) if sources.validation else ()
        super().__init__(config, output, accelerator, *options)
        if config.data.kind == "shards" and config.batch.tts and not config.data.tts:
            self.journal.say("data.tts names no folder: TTS samples are those of data.t2av without their motion")
        if config.validation.every and not sources.validation:
            self.journal.say("data.validation names nothing that is held out: there are no validation losses")

    def make_objective(self, path: Path | None) -> Objective:
        config = self.config
        model = load_model(path, config=config.model) if path else _first_model(config)
        if not config.model.backbone.tie_word_embeddings:
            model.get_parameter(LM_HEAD).requires_grad_(False)  # it is never run
        if config.start.freeze_text_embedding:
            model.get_parameter(EMBEDDING).requires_grad_(False)
        return Objective(model, config.loss, config.aids)

    def losses(self, part: MicroBatch) -> dict[str, Tensor]:
        losses = self.module(part)
        return {**losses.detached(), "loss": losses.loss}

    @property
    def blocks(self) -> tuple[type, ...]:
        """Of patch encoders and heads, and of the backbone."""
        return Block, type(self.objective.model.backbone.model.layers[0])

    def write_model(self, weights: dict[str, Tensor], path: Path) -> None:
        config = self.config.model
        if config.backbone.tie_word_embeddings:
            weights = {name: tensor for name, tensor in weights.items() if name != LM_HEAD}
        write_safetensors(weights, path, {CONFIG_KEY: json.dumps(config.to_dict())})

    def micro_batches(self, first_step: int, end_step: int) -> Iterator[MicroBatch]:
        return load(self.batches, first_step, end_step)


def _first_model(config: TrainingConfig) -> TalkerT2AV:
    start = config.start
    if start.weights:
        file = _given("weights", Path(start.weights), "a safetensors file of a whole model")
        return load_model(file, config=config.model, dtype=torch.float32)
    if not start.backbone:
        return random_model(config.model, seed=config.seed)
    # A published Qwen3 (section 4.1).
    folder = Path(start.backbone)
    file = folder / "model.safetensors" if folder.is_dir() else folder
    what = "a safetensors file of a Qwen3 language model, or the folder with its model.safetensors"
    state = load_file(_given("backbone", file, what))
    if "lm_head.weight" not in state and "model.embed_tokens.weight" in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = random_model(config.model, seed=config.seed)
    load_strictly(model.backbone, state, source=str(file), dtype=torch.float32)
    if config.model.backbone.tie_word_embeddings:
        model.backbone.lm_head.weight = model.backbone.get_input_embeddings().weight
    return model


def _given(setting: str, file: Path, what: str) -> Path:
    if not file.is_file():
        raise CheckpointError(
            f"start.{setting}: no file {file}; give {what}, or start.{setting}= to begin with random weights"
        )
    return file
