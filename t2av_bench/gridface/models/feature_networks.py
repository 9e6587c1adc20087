"""The embedded benchmark's feature networks, for Fréchet distances between sets of frames and of short clips.

Features are what a small network knows after learning to read GridFace's drawing (who is shown, how face and head are
posed, how they move), together with the mean response of its first layers, which see sharpness, grain and colour.
Each feature is scaled by its deviation over the training split, then compressed by asinh.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

EMBEDDING = 64
WINDOW = 16
"""Frames of a clip that the clip network looks at."""
MOTION_SIZE = 16


class _Scaled(nn.Module, ABC):
    """Mean and deviation of the features over the training split; constants after training."""

    feature_mean: Tensor
    feature_deviation: Tensor

    def _register_scale(self, features: int) -> None:
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_deviation", torch.ones(features))

    def set_scale(self, features: Tensor) -> None:
        """features: (n, d) raw features of the training split."""
        self.feature_mean.copy_(features.mean(0))
        self.feature_deviation.copy_(features.std(0).clamp(min=1e-4))

    @abstractmethod
    def raw_features(self, pictures: Tensor) -> Tensor:
        """(n, d) features of pictures, each network's own."""

    def features(self, pictures: Tensor) -> Tensor:
        """Features in deviations of the training split, compressed; arguments as ``raw_features``.

        asinh is linear up to about one deviation and logarithmic beyond: pictures unlike any in training would
        otherwise get distances of many thousands, set by a handful of clips.
        """
        return ((self.raw_features(pictures) - self.feature_mean) / self.feature_deviation).asinh()


class FrameNetwork(_Scaled):
    """Reads one frame: motion (16) and appearance (``attributes`` numbers)."""

    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.first = block(3, 16, 1)
        self.second = nn.Sequential(nn.AvgPool2d(2), block(16, 24, 2))
        self.rest = nn.Sequential(
            block(24, 32, 2), block(32, 48, 2), block(48, 64, 2), nn.Flatten(), nn.Linear(64 * 4 * 4, EMBEDDING)
        )
        self.motion = nn.Linear(EMBEDDING, MOTION_SIZE)
        self.appearance = nn.Linear(EMBEDDING, attributes)
        self._register_scale(16 + 24 + EMBEDDING)

    def _layers(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.first(frames)
        second = self.second(first)
        return first, second, self.rest(second)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, 128, 128) RGB in [-1, 1] -> motion (n, 16), appearance (n, attributes), in training units."""
        embedding = self._layers(frames)[2]
        return self.motion(embedding), self.appearance(embedding)

    def raw_features(self, pictures: Tensor) -> Tensor:
        """(n, 3, 128, 128) RGB in [-1, 1] -> (n, 104)."""
        first, second, embedding = self._layers(pictures)
        return torch.cat([first.mean((2, 3)), second.mean((2, 3)), embedding], 1)


class ClipNetwork(_Scaled):
    """Reads 16 frames: their motion and its change frame by frame, and how the clip was played."""

    PLAYBACKS = 3  # forwards, backwards, double speed

    def __init__(self) -> None:
        super().__init__()
        self.first = block(3, 16, 2)
        self.rest = nn.Sequential(
            block(16, 24, 2), block(24, 32, 2), block(32, 48, 2), nn.Flatten(), nn.Linear(48 * 4 * 4, EMBEDDING),
            nn.ReLU(inplace=True),
        )  # fmt: skip
        self.course = nn.Sequential(
            nn.Conv1d(EMBEDDING, EMBEDDING, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv1d(EMBEDDING, EMBEDDING, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.summary = nn.Linear(2 * EMBEDDING, EMBEDDING)
        self.motion = nn.Conv1d(EMBEDDING, 2 * MOTION_SIZE, 1)
        self.playback = nn.Sequential(nn.ReLU(), nn.Linear(EMBEDDING, self.PLAYBACKS))
        self._register_scale(16 + EMBEDDING)

    def _layers(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> first layer's mean response (n, 16), course (n, 64, 14), summary (n, 64)."""
        # Each step sees a frame and its changes from the previous and to the next one.
        before, now, after = windows[:, :-2], windows[:, 1:-1], windows[:, 2:]
        steps = torch.stack([now, 4 * (now - before), 4 * (after - now)], 2).flatten(0, 1)
        first = self.first(steps)
        course = self.course(self.rest(first).unflatten(0, (len(windows), -1)).transpose(1, 2))
        texture = first.mean((2, 3)).unflatten(0, (len(windows), -1)).mean(1)
        spread = (course.var(2, unbiased=False) + 1e-4).sqrt()
        return texture, course, self.summary(torch.cat([course.mean(2), spread], 1))

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 16, 64, 64) grey in [-1, 1] -> motion and its change (n, 32, 14), playback logits (n, 3)."""
        _, course, summary = self._layers(windows)
        return self.motion(course), self.playback(summary)

    def raw_features(self, pictures: Tensor) -> Tensor:
        """(n, 16, 64, 64) grey in [-1, 1] -> (n, 80)."""
        texture, _, summary = self._layers(pictures)
        return torch.cat([texture, summary], 1)


def block(inputs: int, outputs: int, stride: int | tuple[int, int]) -> nn.Module:
    """A 3 x 3 convolution, normalised over the batch, and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
