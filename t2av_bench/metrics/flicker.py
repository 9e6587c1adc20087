"""Temporal flicker: brightness that comes and goes from frame to frame, in the still half of the picture.

y(b, t) is the mean luma, 0 to 255, of block b (of 32 x 32) in frame t at 25 fps. Within shots, the flicker of a block
is the mean over time of |y(b, t-1) - 2 y(b, t) + y(b, t+1)| / 4, and ``flicker`` is the median over blocks. A
brightness that swings by +a and -a from frame to frame gives a; a steady picture and one that brightens evenly give 0.
The second difference takes evenly moving edges out, the median what moves in less than half of the picture. Blocks that
are nearly black or white (mean below 16 or above 239) cannot swing and are left out; a clip of such alone fails.

VBench's temporal flickering (Huang et al. 2024, arXiv 2311.17982) is the mean absolute difference of neighbouring
frames, on clips that were filtered for standing still; in a clip of a talking person it measures the motion, and a
frozen picture is its best case. So this is not its number. Real clips score 0.04 to 0.8, those whose camera moves
much 1.4. Other frame rates than 25 show fewer swings. Needs no weights.
"""

from collections.abc import Sequence

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces.shots import MIN_SHOT, THRESHOLD, shots_in
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.picture_blocks import PARAMETERS, blocks_in
from t2av_bench.scores import Protocol, Quantity

DARKEST, BRIGHTEST = 16.0, 239.0


def flicker(blocks: np.ndarray, shots: Sequence[tuple[int, int]]) -> float:
    """Block luma (n, h, w) and shots -> flicker in levels of 255. Raises Unscorable where none can be seen."""
    swings = [np.abs(np.diff(blocks[first:end], n=2, axis=0)) / 4 for first, end in shots if end - first > 2]
    if not swings:
        raise Unscorable(f"no shot of the clip's {len(blocks)} frames has three, which are needed to see flicker")
    means = blocks.mean(axis=0, dtype=np.float64)
    able = (means >= DARKEST) & (means <= BRIGHTEST)
    if not able.any():
        raise Unscorable("the whole picture is nearly black or white")
    return float(np.median(np.concatenate(swings).mean(axis=0, dtype=np.float64)[able]))


class FlickerPixels(Metric):
    id = "flicker/pixels"
    title = "Temporal flicker"
    quantities = (Quantity("flicker", "Flicker", "lower", "levels of 255", (0.0, 255.0), penalty="worst"),)
    paper = "this project; the question is that of VBench's temporal flickering (Huang et al. 2024, arXiv 2311.17982)"
    packages = ("cv2", "scenedetect")
    extra = "sync"
    validity = {"flicker": {"flicker": "up", "container": "same"}}

    @property
    def protocol(self) -> Protocol:
        parameters = {
            **PARAMETERS, "darkest": DARKEST, "brightest": BRIGHTEST, "difference": "second, / 4",
            "shots": {"threshold": THRESHOLD, "min_shot": MIN_SHOT},
        }  # fmt: skip
        return self.stated(parameters, "av", "opencv-contrib-python", "scenedetect")

    def measure(self, pair: Pair) -> Measurement:
        blocks = blocks_in(pair.generated)
        return Measurement({"flicker": flicker(blocks, shots_in(pair.generated))}, detail={"frames": len(blocks)})
