"""Fréchet video distance, and its kernel counterpart KVD, on I3D logits.

Protocol (after StyleGAN-V): one window of 16 consecutive frames at 25 fps from each clip, centred in the duration that
the generated clip and its reference share, the same start on both sides; full RGB frames, cropped to a centred square
where they are not square (the network would squeeze faces); rescaled and resized inside the TorchScript network;
population covariance. Clips below 16 frames fail. FVD is biased by about 1/n: compare equal numbers of clips only, and
prefer KVD (unbiased polynomial MMD² of the same features) below some hundred clips.
"""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from t2av_bench import weights
from t2av_bench.extractors import i3d
from t2av_bench.media.clip import PICTURES, Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.paired_frames import common_frames
from t2av_bench.metrics.set_distance import FrechetDistance, KernelDistance, Look, NetworkDistance
from t2av_bench.scores import Protocol, Quantity

WINDOW = 16


def centre_square(frames: np.ndarray) -> np.ndarray:
    """The centred square of frames (n, H, W, 3): (n, S, S, 3) with S = min(H, W)."""
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames[:, top : top + side, left : left + side]


class VideoDistance(NetworkDistance):
    """A distance between sets of I3D features; FVD and KVD share the features of a clip."""

    weights = (i3d.WEIGHTS,)
    licence = "research"
    packages = ("torch",)
    extra = "video"
    samples_together = i3d.BATCH

    @property
    def features_protocol(self) -> Protocol:
        parameters = {
            **PICTURES, "window": WINDOW, "start": "centred in the common duration", "area": "centred square",
            "colour": "RGB", "rescale": True, "resize": True, **self.reduced,
        }  # fmt: skip
        return replace(self.stated(parameters, "av", "torch"), id="i3d/styleganv")

    def looks(self, pair: Pair) -> tuple[dict[str, Look], dict[str, Any]]:
        reference = pair.require_reference()
        common, detail = common_frames(pair, WINDOW)
        start = (common - WINDOW) // 2

        def look(clip: Clip) -> Look:
            return Look(clip, f"i3d-{start}", lambda: centre_square(clip.frames_at(range(start, start + WINDOW)))[None])

        return {"generated": look(pair.generated), "reference": look(reference)}, {**detail, "start": start}

    def network(self) -> Callable[[np.ndarray], np.ndarray]:
        device = self.settings.device
        loaded = i3d.load(weights.path(i3d.WEIGHTS), weights.digest(i3d.WEIGHTS), device)
        return lambda windows: i3d.logits(loaded, windows, device, dtype=self.dtype)


class FVDStyleGANV(VideoDistance, FrechetDistance):
    id = "fvd/styleganv"
    title = "Fréchet video distance"
    quantities = (Quantity("fvd", "FVD", "lower", interval=(0.0, None), decimals=1, aggregate="set"),)
    validity = {"fvd": {"blur": "up", "picture_noise": "up", "freeze": "up", "dropped_frames": "up", "flicker": "up"}}
    paper = "Unterthiner et al. 2018 (arXiv 1812.01717); protocol of Skorokhodov et al. 2022 (arXiv 2112.14683)"
    ddof = 0
    distance_parameters = MappingProxyType({"covariance_ddof": 0})


class KVDStyleGANV(VideoDistance, KernelDistance):
    id = "kvd/styleganv"
    title = "Kernel video distance"
    quantities = (Quantity("kvd", "KVD", "lower", decimals=3, aggregate="set"),)
    validity = {"kvd": {"blur": "up", "picture_noise": "up", "freeze": "up", "dropped_frames": "up", "flicker": "up"}}
    paper = "Unterthiner et al. 2018 (arXiv 1812.01717); clips of Skorokhodov et al. 2022 (arXiv 2112.14683)"
    distance_parameters = MappingProxyType({"kernel": "(x·y/d + 1)^3, unbiased, full sets"})
