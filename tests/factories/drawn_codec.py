"""A stand-in for the trained motion codec: it knows two persons, and reads their motion roughly, without a network."""

import numpy as np
import torch
from torch import Tensor

from t2av_bench.gridface.models import motion_statistics
from t2av_bench.gridface.portrait.portrait import Portrait

PERSONS = (220, 221)


class TwoPersonsCodec:
    """A :class:`reference_model.codecs.MotionCodec` that draws with the benchmark's renderer."""

    latent_dim, image_size, frame_rate = 16, 128, 25

    def __init__(self) -> None:
        self.portraits = [Portrait(person, 128) for person in PERSONS]
        rest = torch.zeros(1, 16)
        self.looks = torch.cat([portrait.draw(rest) for portrait in self.portraits]) * 2 - 1

    def normalize(self, motion_code: Tensor) -> Tensor:
        return motion_statistics.normalize(motion_code)

    def denormalize(self, motion_latents: Tensor) -> Tensor:
        return motion_statistics.denormalize(motion_latents)

    def encode(self, frames: Tensor) -> Tensor:
        assert frames.shape[2:] == (3, 128, 128) and frames.abs().max() <= 1
        return torch.nn.functional.adaptive_avg_pool2d(frames.mean(2), (4, 4)).flatten(2)

    def source(self, source_image: Tensor) -> "TwoPersonsRenderer":
        differences = (self.looks - source_image).square().mean((1, 2, 3)).sqrt()
        if differences.min() > 0.25:
            raise ValueError("shows none of the two persons")
        return TwoPersonsRenderer(self.portraits[int(differences.argmin())])

    def decode(self, source_image: Tensor, motion_latents: Tensor) -> Tensor:
        return self.source(source_image).render(motion_latents)


class TwoPersonsRenderer:
    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait

    def render(self, motion_latents: Tensor) -> Tensor:
        return self.portrait.draw(motion_statistics.denormalize(motion_latents[0]))[None] * 2 - 1


def picture(person: int, size: int = 128, jaw: float = 0.0) -> np.ndarray:
    """(size, size, 3) uint8 RGB."""
    motion = np.zeros((1, 16))
    motion[0, 0] = jaw
    return Portrait(person, size).render(motion)[0]
