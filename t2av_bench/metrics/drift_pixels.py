"""Drift: how far the end of a clip is from its start, in colour and in sharpness.

The first and the last second of the clip's longest shot are compared (start-end contrast; Zhang & Agrawala 2025,
FramePack, arXiv 2504.12626), so that a cut is no drift. Each frame is reduced to 256 pixels on its shorter side.

``drift_colour``: for L*, a* and b* of CIELAB the 1-Wasserstein distance between the values of all pixels of both
seconds, and the root of the sum of their squares. Where everything shifts alike it is the colour difference ΔE*ab (CIE
1976); contrast and saturation count as well. What moves within the picture does not count, what enters or leaves it
does. 2.3 is just noticeable.

``drift_sharpness``: how many dB the sharpness changes, up or down: 10 |log10(end / start)|. Sharpness is the variance
of the Laplacian of luma over the variance of luma, which contrast does not change; the mean over the second. The
detail says which way it went. Real clips of 5 to 15 s score 0.3 to 3 in colour (up to 13 where the camera moves or
something large enters) and 0.0 to 3 dB (6 where a face comes out of the dark). Needs no weights.
"""

from collections.abc import Sequence

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces.shots import MIN_SHOT, THRESHOLD, shots_in
from t2av_bench.media.clip import FRAME_RATE, PICTURES, Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.colour import cielab
from t2av_bench.metrics.reduced import SHORTER_SIDE, reduced
from t2av_bench.scores import Protocol, Quantity

WINDOW = FRAME_RATE
# Colours of every 5th frame are compared: within 0.2 s they hardly change, and each has 65,000 pixels or more.
COLOUR_STEP = 5


def start_and_end(shots: Sequence[tuple[int, int]]) -> tuple[range, range]:
    """Frame numbers of the first and the last second of the longest shot. Raises Unscorable where they overlap."""
    first, end = max(shots, key=lambda shot: shot[1] - shot[0])
    if end - first < 2 * WINDOW:
        raise Unscorable(
            f"too short: the longest shot lasts {(end - first) / FRAME_RATE:.2f} s; "
            f"{2 * WINDOW / FRAME_RATE:g} s are needed to compare its first and its last second"
        )
    return range(first, first + WINDOW), range(end - WINDOW, end)


def colour_distance(start: np.ndarray, end: np.ndarray) -> float:
    """Lab values (k, 3) of both sides, equally many -> the distance described above."""
    moved = np.abs(np.sort(start, axis=0) - np.sort(end, axis=0)).mean(axis=0, dtype=np.float64)
    return float(np.linalg.norm(moved))


def sharpness(frame: np.ndarray) -> float:
    """(h, w, 3) uint8 RGB -> variance of luma's Laplacian over that of luma. Raises Unscorable for an even picture."""
    import cv2

    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float64)
    if not (spread := luma.var()):
        raise Unscorable("the picture is of one colour: it has no sharpness that could change")
    return float(cv2.Laplacian(luma, cv2.CV_64F, borderType=cv2.BORDER_REPLICATE).var() / spread)


def picked(clip: Clip, *ranges: range) -> list[list[np.ndarray]]:
    """The reduced frames of each range of frame numbers, in one pass."""
    found: list[list[np.ndarray]] = [[] for _ in ranges]
    for number, frame in enumerate(clip.each_frame()):
        for frames, numbers in zip(found, ranges, strict=True):
            if number in numbers:
                frames.append(reduced(frame))
    return found


class DriftPixels(Metric):
    id = "drift/pixels"
    title = "Drift of the picture"
    quantities = (
        Quantity("drift_colour", "Colour drift", "lower", unit="ΔE", interval=(0.0, None), decimals=2, penalty="worst"),
        Quantity(
            "drift_sharpness", "Sharpness drift", "lower", unit="dB", interval=(0.0, None), decimals=2, penalty="worst"
        ),
    )  # fmt: skip
    paper = "Zhang & Agrawala 2025, FramePack (arXiv 2504.12626), start-end contrast; ISO/CIE 11664-4 (CIELAB)"
    packages = ("cv2", "scenedetect")
    extra = "sync"
    validity = {
        "drift_colour": {"container": "same", "frame_rate": "same", "freeze": "down"},
        "drift_sharpness": {"container": "same", "freeze": "down"},
    }

    @property
    def protocol(self) -> Protocol:
        parameters = {
            **PICTURES, "window": WINDOW, "of": "longest shot", "shorter_side": SHORTER_SIDE,
            "colour": "CIELAB (sRGB, D65)", "colour_step": COLOUR_STEP,
            "sharpness": "variance of 3x3 Laplacian / variance, luma",
            "shots": {"threshold": THRESHOLD, "min_shot": MIN_SHOT},
        }  # fmt: skip
        return self.stated(parameters, "av", "opencv-contrib-python", "scenedetect")

    def measure(self, pair: Pair) -> Measurement:
        ranges = start_and_end(shots_in(pair.generated))
        start, end = picked(pair.generated, *ranges)
        colours = [cielab(np.stack(frames[::COLOUR_STEP])).reshape(-1, 3) for frames in (start, end)]
        sharp = [np.mean([sharpness(frame) for frame in frames]) for frames in (start, end)]
        decibels = float(10 * np.log10(sharp[1] / sharp[0]))
        return Measurement(
            values={"drift_colour": colour_distance(*colours), "drift_sharpness": abs(decibels)},
            detail={"first_frame": ranges[0][0], "last_frame": ranges[1][-1], "sharpness_change_db": decibels},
        )
