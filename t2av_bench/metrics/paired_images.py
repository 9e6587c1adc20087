"""Base of the metrics that compare a generated clip with its reference frame by frame (LPIPS, PSNR, SSIM)."""

from abc import abstractmethod
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import FRAME_RATE, PICTURES
from t2av_bench.metrics.base import Measurement, Pair, Response
from t2av_bench.metrics.overlap import OverlapMetric, require_overlap
from t2av_bench.metrics.paired_frames import common_frames, paired_frames


def check_images(generated: np.ndarray, reference: np.ndarray) -> None:
    """Raise ValueError unless both are (n, H, W, 3) uint8 of one shape.

    The type is the scale: floats could be meant in [0, 1], [-1, 1] or [0, 255], and the wrong guess gives plausible
    numbers.
    """
    for name, images in (("generated", generated), ("reference", reference)):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                f"the {name} images are {images.dtype} of shape {images.shape}; expected uint8 (n, H, W, 3), RGB"
            )
    if generated.shape != reference.shape:
        raise ValueError(f"images of shapes {generated.shape} and {reference.shape}; expected the same shape")


def claims(worse: Response) -> dict[str, Response]:
    """What a comparison frame by frame must notice, whichever way is worse."""
    kinds = ("blur", "picture_noise", "bitrate", "freeze", "dropped_frames", "mouth_frozen", "identity_swap", "flicker",
             "cuts")  # fmt: skip
    return {**dict.fromkeys(kinds, worse), "container": "same"}


class PairedImages(OverlapMetric):
    """One value a frame, mean over the frames of the common duration (then over clips, by the table).

    smallest_side: frames below it cannot be measured. largest_batch: bounds memory whatever the settings ask for.
    """

    extra = "video"
    smallest_side = 1
    largest_batch = 32

    @property
    def pairing(self) -> dict[str, Any]:
        """The protocol's parameters that say which frames are compared."""
        return {**PICTURES, "length": "common duration", "least_overlap": self.least_overlap}

    @abstractmethod
    def compare(self, generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Values (n,) float64 of aligned uint8 RGB frames (n, H, W, 3)."""

    def measure(self, pair: Pair) -> Measurement:
        values = []
        for generated, reference in paired_frames(pair, min(self.settings.batch_size, self.largest_batch)):
            side = min(generated.shape[1:3])
            if side < self.smallest_side:
                raise Unscorable(f"frames have {side} pixels on their shorter side; {self.smallest_side} are needed")
            values.append(self.compare(generated, reference))
        _, detail = common_frames(pair)
        lengths = [detail[f"{side}_frames"] / FRAME_RATE for side in ("generated", "reference")]
        require_overlap(lengths[0], lengths[1], self.least_overlap, "video")
        return self.summarise(np.concatenate(values), detail)

    def summarise(self, values: np.ndarray, detail: dict) -> Measurement:
        """Mean of the frame values (frames,)."""
        return Measurement(values={self.quantities[0].name: float(values.mean())}, detail=detail)
