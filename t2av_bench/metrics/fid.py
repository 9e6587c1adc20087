"""Fréchet Inception distance of the generated frames from the reference frames.

Protocol: 16 frames a clip, in the middle of 16 equal segments of the duration that the generated clip and its
reference share, at 25 fps, the same indices on both sides; full RGB frames as decoded; clean-fid's resize and network;
sample covariance. FID is biased by about 1/n and frames of a clip are correlated: compare equal numbers of clips only.

``fid/clean`` and ``fid/legacy_pytorch`` differ by several points on downscaled frames and are never mixed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from t2av_bench import weights
from t2av_bench.extractors import inception
from t2av_bench.media.clip import PICTURES, Clip
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.paired_frames import common_frames, segment_centres
from t2av_bench.metrics.set_distance import FrechetDistance, Look, NetworkDistance
from t2av_bench.scores import Protocol, Quantity

FRAMES_PER_CLIP = 16


class InceptionDistance(NetworkDistance):
    """A distance between sets of Inception features. FID and KID of one mode share the features of a clip."""

    mode: ClassVar[inception.Mode]
    packages = ("cleanfid", "torch")
    extra = "video"
    samples_together = inception.BATCH

    @property
    def features_protocol(self) -> Protocol:
        parameters = {
            **PICTURES, "frames_per_clip": FRAMES_PER_CLIP, "frame_choice": "segment centres of the common duration",
            "area": "full frame", "colour": "RGB", "resize": f"clean-fid {self.mode}", **self.reduced,
        }  # fmt: skip
        stated = self.stated(parameters, "av", "clean-fid", "pillow", "torch")
        return replace(stated, id=f"inception/{self.mode}")

    def looks(self, pair: Pair) -> tuple[dict[str, Look], dict[str, Any]]:
        reference = pair.require_reference()
        common, detail = common_frames(pair, FRAMES_PER_CLIP)
        indices = segment_centres(common, FRAMES_PER_CLIP)
        # The indices follow from the first and the last one.
        choice = f"inception-{indices[0]}-{indices[-1]}"

        def look(clip: Clip) -> Look:
            return Look(clip, choice, lambda: inception.resized(clip.frames_at(indices), self.mode))

        return {"generated": look(pair.generated), "reference": look(reference)}, detail

    def network(self) -> Callable[[np.ndarray], np.ndarray]:
        (weight,), device = self.weights, self.settings.device
        loaded = inception.load(self.mode, weights.path(weight), weights.digest(weight), device)
        return lambda images: inception.embed(images, loaded, device, self.dtype)


class _FID(InceptionDistance, FrechetDistance):
    quantities = (Quantity("fid", "FID", "lower", interval=(0.0, None), decimals=2, aggregate="set"),)
    validity = {"fid": {"blur": "up", "picture_noise": "up", "bitrate": "up", "identity_swap": "up"}}


class FIDClean(_FID):
    id = "fid/clean"
    title = "Fréchet Inception distance (clean-fid)"
    mode = "clean"
    paper = "Parmar et al. 2022, On Aliased Resizing (arXiv 2104.11222); Heusel et al. 2017 (arXiv 1706.08500)"
    weights = ("inception_nv",)
    licence = "non-commercial"


class FIDLegacyPytorch(_FID):
    id = "fid/legacy_pytorch"
    title = "Fréchet Inception distance (as pytorch-fid)"
    mode = "legacy_pytorch"
    paper = "Heusel et al. 2017 (arXiv 1706.08500), in the implementation of pytorch-fid"
    weights = ("inception_pt",)
    licence = "free"
