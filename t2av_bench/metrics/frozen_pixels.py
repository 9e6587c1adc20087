"""Frozen pictures: the share of a clip's frames in which nothing in the picture moves.

A frame is frozen where it is one of three neighbouring frames at 25 fps in which no block of the picture (32 x 32
blocks, mean luma) changes by more than 1.5 levels of 255. So a picture counts that is shown for 120 ms or longer; what
a clip of 12.5 frames/s or more repeats to fill 25 does not.

The bound lies above what compression does to a still picture (H.264 at CRF 18: 0.99 to 1.00 frozen) and below a
talking person: the real clips that it was chosen on score 0.00 to 0.12, where a camera on a tripod sees a listener.
Below CRF 30 the encoder's own pulsing of small pictures can hide a freeze. A still picture that is zoomed or grainy
moves here; whether the face in it does, is asked by ``frozen/mesh468``. Needs no weights.
"""

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.picture_blocks import PARAMETERS, blocks_in
from t2av_bench.scores import Protocol, Quantity

WINDOW = 3
BOUND = 1.5


def frozen_frames(blocks: np.ndarray) -> np.ndarray:
    """Block luma (n, h, w) at 25 fps -> (n,) whether a frame is frozen. Raises Unscorable below three frames."""
    if len(blocks) < WINDOW:
        raise Unscorable(f"the clip has {len(blocks)} frames at 25 fps; {WINDOW} are needed")
    windows = np.lib.stride_tricks.sliding_window_view(blocks, WINDOW, axis=0)
    still = np.ptp(windows, axis=-1).max(axis=(1, 2)) <= BOUND
    frozen = np.zeros(len(blocks), bool)
    for shift in range(WINDOW):
        frozen[shift : shift + len(still)] |= still
    return frozen


class FrozenPixels(Metric):
    id = "frozen/pixels"
    title = "Frozen picture"
    quantities = (Quantity("frozen_picture", "Frozen picture", "lower", interval=(0.0, 1.0), penalty=1.0),)
    aliases = {"freeze ratio": "frozen_picture"}
    paper = "this project; a frozen picture as ITU-T J.247 and ffmpeg's freezedetect mean it, with its own bound"
    packages = ("cv2",)
    extra = "video"
    validity = {
        "frozen_picture": {"freeze": "up", "dropped_frames": "up", "container": "same", "frame_rate": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        return self.stated({**PARAMETERS, "window": WINDOW, "bound": BOUND}, "av", "opencv-contrib-python")

    def measure(self, pair: Pair) -> Measurement:
        frozen = frozen_frames(blocks_in(pair.generated))
        return Measurement({"frozen_picture": float(frozen.mean())}, detail={"frames": len(frozen)})
