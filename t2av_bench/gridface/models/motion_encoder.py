"""The motion codec's encoder: a small convolutional network from pictures of a drawn face to its 16 motion dimensions.

It looks at three parts of the 128 x 128 frame: mouth and eyes at full resolution, because there a lip's contact is a
matter of one pixel, and the whole frame at half resolution, which tells pose and proportions. Every frame is encoded by
itself, so the answer depends neither on batches nor on the rest of the clip.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from t2av_bench.gridface.models import loading as extractor_checkpoints
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, MOTION_SIZE

IMAGE_SIZE = 128
CHECKPOINT = "motion_encoder"
# Rows and columns within which mouth and eyes stay, whoever is shown and however the head moves.
MOUTH_VIEW = (slice(64, 112), slice(36, 92))
EYE_VIEW = (slice(34, 70), slice(34, 94))
LOWEST = tuple(0.0 if name in MOTION_NAMES[:7] else -1.0 for name in MOTION_NAMES)
"""Smallest value of every dimension; the largest is 1."""


def _layers(*shapes: tuple[int, int, int, int]) -> nn.Sequential:
    """Convolutions given as (channels in, channels out, kernel, stride)."""
    layers: list[nn.Module] = []
    for before, after, kernel, stride in shapes:
        layers += [nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten())


class MotionEncoder(nn.Module):
    """Frames to motion. ``mean`` and ``std`` (16,) are the training targets' and belong to the weights."""

    mean: Tensor
    std: Tensor
    lowest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.mouth = _layers((3, 32, 5, 2), (32, 48, 3, 1), (48, 64, 3, 2), (64, 64, 3, 2))
        self.eyes = _layers((3, 24, 5, 2), (24, 48, 3, 2), (48, 64, 3, 1), (64, 32, 3, 2))
        self.whole = _layers((3, 16, 5, 2), (16, 32, 3, 2), (32, 64, 3, 2), (64, 48, 3, 2))
        # Mouth 6 x 7, eyes 5 x 8, whole 4 x 4 places remain.
        self.join = nn.Sequential(
            nn.Linear(64 * 42 + 32 * 40 + 48 * 16, 160), nn.ReLU(), nn.Linear(160, 96), nn.ReLU(),
            nn.Linear(96, MOTION_SIZE),
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(MOTION_SIZE))
        self.register_buffer("std", torch.ones(MOTION_SIZE))
        self.register_buffer("lowest", torch.tensor(LOWEST), persistent=False)

    def standardised(self, frames: Tensor) -> Tensor:
        """(N, 3, 128, 128) RGB in [-1, 1] to (N, 16): motion minus ``mean``, over ``std``, as the loss sees it."""
        frames = frames.contiguous(memory_format=torch.channels_last)
        mouth = self.mouth(frames[..., MOUTH_VIEW[0], MOUTH_VIEW[1]])
        eyes = self.eyes(frames[..., EYE_VIEW[0], EYE_VIEW[1]])
        return self.join(torch.cat([mouth, eyes, self.whole(avg_pool2d(frames, 2))], 1))

    def forward(self, frames: Tensor, offsets: Tensor | float = 0.0) -> Tensor:
        """(N, 3, 128, 128) RGB in [-1, 1] to motion (N, 16), plus ``offsets``, within the range of each dimension."""
        motion = self.standardised(frames) * self.std + self.mean + offsets
        return torch.minimum(torch.maximum(motion, self.lowest), torch.ones_like(self.lowest))


def load_encoder(path: Path) -> MotionEncoder:
    """A trained encoder, in single precision. Raises CheckpointError (ValueError) for a file that does not fit."""
    return extractor_checkpoints.load(CHECKPOINT, lambda state: MotionEncoder(), path)
