"""Peak signal-to-noise ratio of generated frames against time-aligned reference frames.

Per frame 10·log10(255² / MSE) over all RGB values in [0, 255], capped at 100 dB (identical frames have none); mean of
the frame values, not the value of the mean error. Clips with capped frames say so in their detail. A clip
that shares less than 90 % of the longer one's time with its reference fails (option ``least_overlap``).
"""

from typing import Any

import numpy as np

from t2av_bench.metrics.base import Measurement
from t2av_bench.metrics.paired_images import PairedImages, check_images, claims
from t2av_bench.scores import Protocol, Quantity

CAP = 100.0


def psnr(generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """PSNR in dB of uint8 RGB images (n, H, W, 3): (n,) float64 in [0, 100]."""
    check_images(generated, reference)
    import cv2

    squares = [cv2.norm(x, y, cv2.NORM_L2SQR) for x, y in zip(generated, reference, strict=True)]  # exact for uint8
    error = np.array(squares) / generated[0].size
    with np.errstate(divide="ignore"):
        return np.minimum(CAP, 10 * np.log10(255.0**2 / error))


class PSNR(PairedImages):
    id = "psnr/rgb"
    packages = ("cv2",)
    title = "Peak signal-to-noise ratio"
    quantities = (
        Quantity("psnr", "PSNR", "higher", unit="dB", interval=(0.0, CAP), decimals=2, penalty="worst"),
    )  # fmt: skip
    validity = {"psnr": claims("down")}
    paper = "ITU-T J.340; per-frame mean and cap as in common_metrics_on_video_quality"

    @property
    def protocol(self) -> Protocol:
        return self.stated({**self.pairing, "colour": "RGB", "peak": 255, "cap": CAP}, "av")

    def compare(self, generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return psnr(generated, reference)

    def summarise(self, values: np.ndarray, detail: dict[str, Any]) -> Measurement:
        if capped := int((values == CAP).sum()):
            detail = {**detail, "capped_frames": capped}
        return super().summarise(values, detail)
