"""Training the embedded generators: one table of settings (``training.toml``), one function.

Every run ends in ``model.safetensors`` with a journal beside it, and continues where it was stopped.
"""

import json
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.training.extractors import DATA_VERSION
from t2av_bench.utils import json_lines
from t2av_bench.utils.config import near

if TYPE_CHECKING:
    from reference_model.training.config import TrainingConfig as TalkerTraining
    from reference_model.training.sources import Sources
_SETTINGS = tomllib.loads(Path(__file__).with_name("training.toml").read_text(encoding="utf-8"))
_SHARED = _SETTINGS.pop("shared")
MODELS: Mapping[str, Mapping[str, Any]] = _SETTINGS
"""Name -> its table of ``training.toml``."""


@dataclass(frozen=True, slots=True)
class Run:
    """One model with one seed; ``str(run)`` is the checkpoint's name."""

    model: str
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.model}-seed{self.seed}"

    @classmethod
    def parse(cls, name: str) -> "Run":
        """``dual_branch`` or ``dual_branch-seed2``. Raises ValueError naming the nearest model."""
        model, _, seed = name.partition("-seed")
        if model not in MODELS:
            raise ValueError(f"no embedded model is called {model!r}{near(model, MODELS)}")
        if seed and not re.fullmatch(r"\d{1,9}", seed):
            raise ValueError(f"{name!r}: after '-seed' comes a whole number, such as {model}-seed0")
        return cls(model, int(seed or 0))


def train(run: Run, latents: Path, output: Path, *, updates: int | None = None, quiet: bool = False) -> Path | None:
    """Train on the latents in ``latents`` (see ``latents.build_latents``) to the end, or to a signal.

    ``output`` receives the journal and the checkpoints; a run that is there is continued. Returns the file of
    averaged weights, or None for a run that was stopped. Raises ValueError for settings or latents that do not fit.
    """
    from reference_model.training.loop import train as train_talker

    sources = open_sources(latents)
    updates = updates or MODELS[run.model].get("updates", _SHARED["updates"])
    if MODELS[run.model]["kind"] == "talker":
        return train_talker(
            talker_config(run, output, updates), sources=sources, resume=output.exists(), quiet=quiet
        ).model
    from baselines.diffusion.training import train as train_baseline

    return train_baseline(baseline_config(run, updates), sources, output, resume=output.exists(), quiet=quiet).model


def open_sources(latents: Path) -> "Sources":
    """The training split, for joint and for speech-only samples, and the validation split."""
    from reference_model.training.shards import ShardSource
    from reference_model.training.sources import Sources

    clips = ShardSource(latents / "train", with_motion=True)
    return Sources(t2av=clips, tts=clips, validation=ShardSource(latents / "val", with_motion=True))


def talker_config(run: Run, output: Path, updates: int) -> "TalkerTraining":
    from reference_model.training.config import read_config

    settings = MODELS[run.model]
    values = {
        "output": output, "steps": updates, "seed": run.seed, "data.kind": "given",
        "model.speech_dim": 32, "model.motion_dim": 16, "model.speaker_dim": 64,
        "model.arrangement": settings["arrangement"],
        "batch.size": _SHARED["batch_size"], "batch.tts_share": _SHARED["tts_share"],
        "optimiser.learning_rate": _SHARED["learning_rate"], "optimiser.decay_from": _SHARED["decay_from"],
        "average.decay": _SHARED["average_decay"],
        "validation.every": _SHARED["validate_every"], "checkpoints.every": _SHARED["validate_every"],
        # The prototype's L1 loss on hidden states is off: what is trained is the paper's loss alone.
        "aids.regression_weight": 0.0,
        **{f"model.backbone.{key}": value for key, value in settings.get("model", {}).items()},
    }  # fmt: skip
    told = (str(value) if isinstance(value, Path) else json.dumps(value) for value in values.values())
    return read_config("tiny", [f"{key}={value}" for key, value in zip(values, told, strict=True)])


def baseline_config(run: Run, updates: int) -> Any:
    """The reference's parameter count, batch, rate and average; the rest are the baselines' defaults."""
    from baselines.diffusion.config import NetworkConfig, TrainingConfig
    from baselines.families import matched_width
    from reference_model.training.config import AverageConfig, CheckpointConfig, OptimiserConfig, ValidationConfig

    network = matched_width(NetworkConfig.from_dict({"family": run.model}), talker_parameters())
    every = _SHARED["validate_every"]
    return TrainingConfig(
        network, steps=updates, seed=run.seed, batch_size=_SHARED["batch_size"],
        optimiser=OptimiserConfig(
            learning_rate=_SHARED["learning_rate"], schedule="cosine", decay_from=_SHARED["decay_from"]
        ),
        average=AverageConfig(decay=_SHARED["average_decay"]),
        validation=ValidationConfig(every=every), checkpoints=CheckpointConfig(every=every),
    )  # fmt: skip


def talker_parameters() -> int:
    """Parameters of the reference at the embedded size, without the language-model head, which is never run."""
    from reference_model.checkpoints import meta_model

    model = meta_model(talker_config(Run("talker_t2av"), Path("unused"), 1).model)
    return sum(parameter.numel() for name, parameter in model.named_parameters() if "lm_head" not in name)


def install(run: Run, output: Path, folder: Path = checkpoints.FOLDER) -> Path:
    """Bundle a finished run, in half precision, with everything that made it; returns its place.

    Raises ValueError where the run has not finished.
    """
    import torch

    from reference_model.checkpoints import write_safetensors
    from reference_model.utils.strict_loading import read_safetensors

    trained = output / "model.safetensors"
    if not trained.is_file():
        raise ValueError(f"{output} holds no finished run: continue it with {checkpoints.command(str(run))}")
    tensors, metadata = read_safetensors(trained)
    state = {name: tensor.to(torch.float16) for name, tensor in tensors.items()}
    records = [json.loads(line) for _, line in json_lines.numbered((output / "metrics.jsonl").read_bytes())]
    validation = [record for record in records if record["kind"] == "validation"]
    updates = validation[-1]["step"]
    facts = {
        "command": f"t2av-bench train embedded {run} --updates {updates}",
        "seed": run.seed, "data_version": DATA_VERSION, "updates": updates, "batch_size": _SHARED["batch_size"],
        "parameters": sum(tensor.numel() for name, tensor in state.items() if "lm_head" not in name),
        "validation_curve": [
            {key: round(value, 4) if isinstance(value, float) else value
             for key, value in record.items() if key == "step" or key.endswith("loss")}
            for record in validation
        ],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        half = Path(scratch) / "half.safetensors"
        write_safetensors(state, half, metadata)
        return checkpoints.add(str(run), half, facts, folder)
