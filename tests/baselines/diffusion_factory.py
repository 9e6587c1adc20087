"""Very small networks of every family, clips for them, and runs that take seconds."""

import json
from pathlib import Path

import torch

from baselines.diffusion.config import NetworkConfig, TrainingConfig
from baselines.diffusion.items import Item
from baselines.families import random_network
from reference_model.training.config import merged
from reference_model.training.samples import SampleShape
from reference_model.training.sources import Sources
from reference_model.training.synthetic import SyntheticSource

FAMILIES = ("dual_branch", "audio_driven", "length_matched_tts")
MICRO = {"width": 32, "layers": 2, "heads": 2, "vocab_size": 20, "speech_dim": 8, "motion_dim": 6, "speaker_dim": 8}
SHAPE = SampleShape(speech_dim=8, motion_dim=6, speaker_dim=8, vocab_size=20)
TIMING = ("frames_per_second", "seconds", "padding")


def micro(family, seed=0, **changes):
    """A random network in which nothing is zero: what starts at zero could hide what it multiplies."""
    network = random_network(NetworkConfig(family, **{**MICRO, **changes}), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def synthetic(count=12, seed=0, **settings):
    return SyntheticSource(count, seed, SHAPE, longest=5, **settings)


def micro_training(family, **changes):
    """``changes`` are tables of the configuration, laid over a run of 8 steps."""
    values = {
        "network": {"family": family, **MICRO},
        "steps": 8,
        "batch_size": 6,
        "pool_steps": 4,
        "optimiser": {"learning_rate": 3e-3, "schedule": "cosine"},
        "validation": {"every": 0},
        "checkpoints": {"every": 1000},
        "journal": {"every": 1},
    }
    return TrainingConfig.from_dict(merged(values, changes))


def sources(training=40, validation=8):
    return Sources(t2av=synthetic(training), validation=synthetic(validation, seed=2))


def items(family, samples, frames=None):
    """An item for each sample, as long as the sample unless ``frames`` says otherwise."""
    return [
        Item(one.text_ids, one.speaker_embedding, one.motion[0], one.speech, frames or len(one.speech), seed)
        for seed, one in enumerate(samples)
    ]


def metrics(output, kind="train"):
    """Lines of one kind, without what depends on the clock."""
    lines = [json.loads(line) for line in (Path(output) / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in TIMING} for line in lines if line["kind"] == kind
    ]
