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
    height, width = generated.shape[1:3]
    rows = min(max(WINDOW, _STRIP_VALUES // (3 * width)), height - WINDOW + 1)
    room = np.empty((8, rows + WINDOW - 1, width, 3))
    return np.array([_ssim(x, y, rows, room) for x, y in zip(generated, reference, strict=True)])


def _ssim(x: np.ndarray, y: np.ndarray, rows: int, room: np.ndarray) -> float:
    """SSIM of one pair (H, W, 3) uint8, in strips of so many rows, which stay in the processor's cache."""
    height, width = x.shape[:2]
    total, positions = 0.0, height - WINDOW + 1
    for top in range(0, positions, rows):
        bottom = min(top + rows, positions) + WINDOW - 1
        total += _quarters(x[top:bottom], y[top:bottom], room[:, : bottom - top]) * 4
    return float(total / (positions * (width - WINDOW + 1) * 3))


def _quarters(x: np.ndarray, y: np.ndarray, room: np.ndarray) -> float:
    """A quarter of the sum of the SSIM map (H - 10, W - 10, 3) of images (H, W, 3) uint8.

    room: (8, H, W, 3) float64, which every strip writes over. The factors 2 of the formula are left to the caller;
    powers of two move no digit.
    """
    import cv2

    taps = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    inner = slice(WINDOW // 2, -(WINDOW // 2))

    def local_mean(values: np.ndarray, target: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(values, cv2.CV_64F, taps, taps, dst=target)[inner, inner]

    first, second, product = room[:3]
    first[:], second[:] = x, y
    np.multiply(first, second, out=product)
    mean_x, mean_y, covariance = (local_mean(*each) for each in zip(room[:3], room[3:6], strict=True))
    first *= first
    second *= second
    first += second
    variances = local_mean(first, room[6])  # of both; only their sum is needed
    similarity = room[7].reshape(-1)[: mean_x.size].reshape(mean_x.shape)  # in one piece, for its sum
    np.multiply(mean_x, mean_y, out=similarity)
    mean_x *= mean_x
    mean_y *= mean_y
    mean_x += mean_y
    covariance -= similarity
    variances -= mean_x
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    similarity += c1 / 2
    covariance += c2 / 2
    similarity *= covariance
    mean_x += c1
    variances += c2
    mean_x *= variances
    similarity /= mean_x
    return float(similarity.sum())


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
