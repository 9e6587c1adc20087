"""Structural similarity of generated frames against time-aligned reference frames.

Wang et al. 2004: Gaussian window 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, population moments, no downsampling, mean
over the positions where the window lies inside the image. On each RGB channel, then the mean of the three (values on
luma differ by 0.01 to 0.02); double precision; mean over frames. A clip that shares less than 90 % of the longer one's
time with its reference fails (option ``least_overlap``).
"""

import numpy as np

from t2av_bench.metrics.paired_images import PairedImages, check_images, claims
from t2av_bench.scores import Protocol, Quantity

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
_STRIP_VALUES = 1 << 16


def ssim(generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """SSIM of uint8 RGB images (n, H, W, 3), H and W at least 11: (n,) float64 in [-1, 1]."""
    check_images(generated, reference)
    if min(generated.shape[1:3]) < WINDOW:
        raise ValueError(f"images are {generated.shape[2]}x{generated.shape[1]}; the window is {WINDOW}x{WINDOW}")
    return np.array([_ssim(x, y) for x, y in zip(generated, reference, strict=True)])


def _ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of one pair (H, W, 3) uint8, in strips of rows that stay in the processor's cache."""
    height, width = x.shape[:2]
    rows = max(WINDOW, _STRIP_VALUES // (3 * width))
    total, positions = 0.0, height - WINDOW + 1
    for top in range(0, positions, rows):
        bottom = min(top + rows, positions) + WINDOW - 1
        total += _similarity(x[top:bottom].astype(np.float64), y[top:bottom].astype(np.float64)).sum()
    return float(total / (positions * (width - WINDOW + 1) * 3))


def _similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The SSIM map (H - 10, W - 10, 3) of images (H, W, 3) float64 in [0, 255]."""
    import cv2

    taps = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    inner = slice(WINDOW // 2, -(WINDOW // 2))

    def local_mean(values: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(values, cv2.CV_64F, taps, taps)[inner, inner]

    mean_x, mean_y = local_mean(x), local_mean(y)
    mean_product = mean_x * mean_y
    mean_squares = mean_x**2 + mean_y**2
    covariance = local_mean(x * y) - mean_product
    variances = local_mean(x * x + y * y) - mean_squares  # of both; only their sum is needed
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    return (2 * mean_product + c1) * (2 * covariance + c2) / ((mean_squares + c1) * (variances + c2))


class SSIM(PairedImages):
    id = "ssim/rgb"
    packages = ("cv2",)
    title = "Structural similarity"
    quantities = (Quantity("ssim", "SSIM", "higher", interval=(-1.0, 1.0), decimals=4, penalty="worst"),)
    validity = {"ssim": claims("down")}
    paper = "Wang et al. 2004, Image Quality Assessment: From Error Visibility to Structural Similarity"
    smallest_side = WINDOW

    @property
    def protocol(self) -> Protocol:
        window = {"window": WINDOW, "sigma": SIGMA, "k1": K1, "k2": K2, "border": "inside only"}
        return self.stated({**self.pairing, "colour": "RGB", **window}, "av")

    def compare(self, generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return ssim(generated, reference)
