"""Cuts and flashes a second, of which a talking portrait should have none.

A cut is a frame whose hue, saturation and value differ by more than 27 levels on average from the frame before
(PySceneDetect's content detector; neighbouring frames above that are one cut). Unlike shots, which last 15 frames or
more, cuts are counted from the first frame on: that of a system which copies its portrait and goes on elsewhere is one.

A flash is W3C's general flash (WCAG 2.2, 2.3.1): in a quarter of the picture or more, relative luminance rises by a
tenth of the largest one, or falls by it, and returns within 5 frames at 25 fps (0.2 s), the darker state below 0.8.
Luminance is that of 32 x 32 blocks. The ends of a flash are no cuts; a foreign picture of the same brightness for a
few frames is two cuts. A clip that is asked to have several shots has its cuts rightly.

Real clips score 0, and one cut in each that was cut. Hue means nothing in pictures that are nearly black: there fast
motion is taken for a cut now and then (2 of 45 clips). Needs no weights.
"""

from collections.abc import Iterable

import numpy as np

from t2av_bench.faces.shots import THRESHOLD, ShotCutter
from t2av_bench.media.clip import FRAME_RATE, Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.colour import linear_light
from t2av_bench.metrics.picture_blocks import PARAMETERS, blocks_in
from t2av_bench.scores import Protocol, Quantity

LUMINANCE_STEP = 0.1
DARKER_BELOW = 0.8
AREA = 0.25
LONGEST_FLASH = 5


def flashes(blocks: np.ndarray) -> list[tuple[int, int]]:
    """Block luma (n, h, w) at 25 fps -> half-open frame ranges of the flashes, in order; each has frames around it."""
    light = linear_light(blocks)
    found: list[tuple[int, int]] = []
    first = 1
    while first < len(light) - 1:
        last = min(first + LONGEST_FLASH, len(light) - 1)
        end = next((end for end in range(first + 1, last + 1) if _differs(light, first, end)), None)
        if end:
            found.append((first, end))
        first = end + 1 if end else first + 1
    return found


def _differs(light: np.ndarray, first: int, end: int) -> bool:
    """Whether frames ``first`` to ``end`` are all brighter, or all darker, than those on both sides of them."""
    inside, around = light[first:end], light[[first - 1, end]]
    dark, darkest = around.max(axis=0), inside.max(axis=0)
    bright = (inside.min(axis=0) - dark >= LUMINANCE_STEP) & (dark < DARKER_BELOW)
    dim = (around.min(axis=0) - darkest >= LUMINANCE_STEP) & (darkest < DARKER_BELOW)
    return bool(max(bright.mean(), dim.mean()) >= AREA)


def jumps_in(clip: Clip) -> list[int]:
    """Numbers of the frames that differ from the one before as a cut does; the first of neighbouring ones."""
    cutter = ShotCutter(min_shot=1)
    for frame in clip.each_frame():
        cutter.add(frame[None])
    jumps = [first for first, _ in cutter.shots()[1:]]
    return [number for number in jumps if number - 1 not in jumps]


def cuts_without_flashes(jumps: Iterable[int], ranges: Iterable[tuple[int, int]]) -> list[int]:
    """The jumps that are not the beginning or the end of a flash."""
    edges = {edge for each in ranges for edge in each}
    return [number for number in jumps if number not in edges]


class CutsContent(Metric):
    id = "cuts/content"
    title = "Cuts and flashes"
    quantities = (
        Quantity("cuts", "Cuts", "lower", unit="1/s", interval=(0.0, None), penalty="worst"),
        Quantity("flashes", "Flashes", "lower", unit="1/s", interval=(0.0, None), penalty="worst"),
    )
    aliases = {"cuts per second": "cuts", "flashes per second": "flashes"}
    paper = "PySceneDetect's content detector; W3C 2023, WCAG 2.2, success criterion 2.3.1 (general flash)"
    packages = ("cv2", "scenedetect")
    extra = "sync"
    validity = {
        "cuts": {"cuts": "up", "container": "same", "frame_rate": "same"},
        "flashes": {"container": "same", "frame_rate": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        parameters = {
            **PARAMETERS, "threshold": THRESHOLD, "luminance_step": LUMINANCE_STEP, "darker_below": DARKER_BELOW,
            "area": AREA, "longest_flash": LONGEST_FLASH,
        }  # fmt: skip
        return self.stated(parameters, "av", "opencv-contrib-python", "scenedetect")

    def measure(self, pair: Pair) -> Measurement:
        clip = pair.generated
        found = flashes(blocks_in(clip))
        cuts = cuts_without_flashes(jumps_in(clip), found)
        seconds = clip.frame_count / FRAME_RATE
        return Measurement(
            values={"cuts": len(cuts) / seconds, "flashes": len(found) / seconds},
            detail={"cuts_at_frames": cuts, "flashes_at_frames": [first for first, _ in found]},
        )
