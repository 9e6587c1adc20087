"""Training of GridFace's lip-sync network: mouths and sounds that belong together, among those that do not.

InfoNCE in both directions. A batch holds many windows of each of a few clips, so most of what a mouth must be told
apart from is the same person's speech a few frames away. Pictures are shifted, softened, grained and dimmed, and
sounds get noise, a tilt and another level: the network should not care how a clip was encoded or vocoded.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, cross_entropy

from t2av_bench.gridface.extractors.pictures import network_input
from t2av_bench.gridface.extractors.sync import CHECKPOINT, WINDOW, log_mel, mouths
from t2av_bench.gridface.models.sync_network import SyncNetwork
from t2av_bench.gridface.training.extractors import fast, fit, seeded, training_clips

CLIPS, UPDATES = 400, 1200
_MARGIN = 6
_CLIPS_A_BATCH, _WINDOWS_A_CLIP = 12, 12
_ROWS_PER_FRAME, _ROWS = 4, 20
_LEAST_GAP = 2

Material = list[tuple[np.ndarray, np.ndarray]]


def material(clips: int = CLIPS, seed: int = 0) -> Material:
    """Per clip: (T, 56, 64) uint8 mouths with six pixels of margin, and (4 T, 40) float32 log-mel rows."""
    return [
        (mouths(frames, _MARGIN), log_mel(recording.audio))
        for _, recording, _, frames in training_clips(clips, None, seed)
    ]


def train(
    output: Path, seed: int = 0, quiet: bool = False, updates: int = UPDATES, clips: int = CLIPS
) -> Path:  # fmt: skip
    """Train on ``clips`` clips of the split ``train``; about 3 CPU minutes. Returns the checkpoint's path."""
    prepared = material(clips, seed)
    network = seeded(SyncNetwork, seed)
    network.log_scale = torch.nn.Parameter(torch.tensor(2.3))
    random = np.random.default_rng([0x51C5, seed])
    noise = torch.Generator().manual_seed(seed)

    def step() -> tuple[Tensor, dict[str, float]]:
        pictures, sounds = _batch(prepared, random)
        with fast():
            seen = network.embed_mouths(_spoil_pictures(pictures, noise))
            heard = network.embed_audio(_spoil_sounds(sounds, noise))
        scores = seen.float() @ heard.float().T * network.log_scale.exp().clamp(max=30.0)
        own = torch.arange(len(scores))
        found = (scores.argmax(1) == own).float().mean().item()
        return (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2, {"found": found}

    return fit(
        network, step, CHECKPOINT, output, updates=updates, seed=seed, quiet=quiet, clips=len(prepared),
        finish=lambda: delattr(network, "log_scale"),
    )  # fmt: skip


def _batch(prepared: Material, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(n, 5, 44, 52) float in [-1, 1], and (n, 20, 40): windows that belong together."""
    pictures, sounds = [], []
    for index in random.choice(len(prepared), min(_CLIPS_A_BATCH, len(prepared)), replace=False):
        frames, rows = prepared[index]
        down, right = random.integers(0, 2 * _MARGIN + 1, 2)
        height, width = frames.shape[1] - 2 * _MARGIN, frames.shape[2] - 2 * _MARGIN
        frames = frames[:, down : down + height, right : right + width]
        places = np.arange(random.integers(_LEAST_GAP), len(frames) - WINDOW + 1, _LEAST_GAP)
        for place in random.permutation(places)[:_WINDOWS_A_CLIP]:
            pictures.append(frames[place : place + WINDOW])
            sounds.append(rows[_ROWS_PER_FRAME * place : _ROWS_PER_FRAME * place + _ROWS])
    return network_input(np.stack(pictures)), torch.from_numpy(np.stack(sounds))


def _spoil_pictures(pictures: Tensor, noise: Generator) -> Tensor:
    """Softness, contrast, brightness and grain, drawn for each window."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=noise)

    count = len(pictures)
    soft = avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    pictures = pictures + draw(count, 1, 1, 1) * (soft - pictures)
    pictures = pictures * (0.8 + 0.4 * draw(count, 1, 1, 1)) + 0.2 * (draw(count, 1, 1, 1) - 0.5)
    return pictures + 0.08 * draw(count, 1, 1, 1) * torch.randn(pictures.shape, generator=noise)


def _spoil_sounds(sounds: Tensor, noise: Generator) -> Tensor:
    """A noise floor up to about 20 dB below the loud parts, a level, a tilt over the bands, and grain."""
    count, _, bands = sounds.shape
    floor = -1.3 + 1.2 * torch.rand(count, 1, 1, generator=noise)
    sounds = torch.logaddexp(5 * sounds, 5 * floor.expand_as(sounds)) / 5
    level = 0.1 * torch.randn(count, 1, 1, generator=noise)
    tilt = 0.15 * torch.randn(count, 1, 1, generator=noise) * torch.linspace(-1, 1, bands)
    return sounds + level + tilt + 0.08 * torch.randn(sounds.shape, generator=noise)
