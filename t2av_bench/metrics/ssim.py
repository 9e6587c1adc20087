"""Structural similarity of generated frames against time-aligned reference frames.

Wang et al. 2004: Gaussian window 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, population moments, no downsampling, mean
over the positions where the window lies inside the image. On each RGB channel, then the mean of the three (values on
luma differ by 0.01 to 0.02); double precision; mean over frames.
"""

import numpy as np

from t2av_bench.metrics.base import Protocol, Quantity, require
from t2av_bench.metrics.paired_images import PairedImages, check_images
from t2av_bench.scores import library_versions

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03


def ssim(generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """SSIM of uint8 RGB images (n, H, W, 3), H and W at least 11: (n,) float64 in [-1, 1]."""
    check_images(generated, reference)
    if min(generated.shape[1:3]) < WINDOW:
        raise ValueError(f"images are {generated.shape[2]}x{generated.shape[1]}; the window is {WINDOW}x{WINDOW}")
    return np.array([_ssim(x, y) for x, y in zip(generated, reference, strict=True)])


def _ssim(x: np.ndarray, y: np.ndarray) -> float:
    cv2 = require("cv2", "video")
    taps = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    inner = slice(WINDOW // 2, -(WINDOW // 2))

    def local_mean(values: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(values, cv2.CV_64F, taps, taps)[inner, inner]

    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x = local_mean(x * x) - mean_x**2
    variance_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((luminance * structure).mean())


class SSIM(PairedImages):
    id = "ssim/rgb"
    title = "Structural similarity"
    quantities = (Quantity("ssim", "SSIM", "higher", interval=(-1.0, 1.0), decimals=4, penalty="worst"),)
    paper = "Wang et al. 2004, Image Quality Assessment: From Error Visibility to Structural Similarity"
    smallest_side = WINDOW

    @property
    def protocol(self) -> Protocol:
        return Protocol(
            id=self.id,
            parameters={
                "frame_rate": 25, "colour": "RGB", "window": WINDOW, "sigma": SIGMA, "k1": K1, "k2": K2,
                "border": "inside only", "length": "common duration",
            },
            libraries=library_versions("av"),
        )  # fmt: skip

    def compare(self, generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return ssim(generated, reference)
