"""A model smaller than ``tiny``, runs of it that take seconds, and micro-batches of samples given in a list."""

import json
from pathlib import Path

from reference_model.training.batch_plan import sample_seed
from reference_model.training.collate import collate
from reference_model.training.config import TrainingConfig, merged
from reference_model.training.layout import layout, totals
from reference_model.training.samples import SampleShape
from reference_model.training.synthetic import SyntheticSource

MICRO = {
    "size": "tiny",
    "speech_dim": 8,
    "motion_dim": 6,
    "speaker_dim": 8,
    "backbone": {
        "vocab_size": 20,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
    },
    "patch_encoder": {"layers": 1, "heads": 2},
    "head": {"layers": 1, "heads": 2},
}
SHAPE = SampleShape(speech_dim=8, motion_dim=6, speaker_dim=8, vocab_size=20)
TIMING = ("tokens_per_second", "seconds", "padding")


def micro_config(output="unused", **changes) -> TrainingConfig:
    """``changes`` are tables of the configuration, laid over a run of 8 steps in float32."""
    values = {
        "output": str(output),
        "steps": 8,
        "precision": "float32",
        "model": MICRO,
        "data": {
            "kind": "synthetic",
            "pool_steps": 4,
            "synthetic": {"samples": 40, "validation_samples": 6, "longest": 5},
        },
        "batch": {"size": 6},
        "optimiser": {"learning_rate": 3e-3},
        "validation": {"every": 0},
        "checkpoints": {"every": 1000},
        "journal": {"every": 1},
    }
    return TrainingConfig.from_dict(merged(values, changes))


def synthetic(count=12, seed=0, **settings) -> SyntheticSource:
    return SyntheticSource(count, seed, SHAPE, longest=5, **settings)


def metrics(output, kind="train") -> list[dict]:
    """Lines of one kind, without what depends on the clock."""
    lines = [json.loads(line) for line in (Path(output) / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in TIMING} for line in lines if line["kind"] == kind
    ]


def micro_batch(samples, model, recipe, aids, chosen=None, max_tokens=1000):
    """The ``chosen`` of ``samples`` (all) as a part of the batch that they all make."""
    chosen = range(len(samples)) if chosen is None else chosen
    layouts = [layout(sample.lengths, model, max_tokens) for sample in samples]
    whole = totals(layouts, model, recipe.stop_positive_factor)
    seeds = [sample_seed(0, 0, index) for index in chosen]
    picked = ([entries[index] for index in chosen] for entries in (samples, layouts))
    return collate(*picked, seeds, whole, model, aids, recipe.repeats)
