"""How often the eyes blink: how open they are, by the outlines that a network draws of them (see ``faces.eyelids``).

Height over width is the eye aspect ratio of Soukupová & Čech 2016. It differs between persons and with the gaze, so
that closed means closed against the median of the second before and after.

People blink some 10 to 30 times a minute, in talk more often than at rest. A clip of a few seconds holds a few blinks
or none: the rate of a set is the blinks of all clips over their minutes. THEval has no such measure.
"""

import numpy as np

from t2av_bench.faces.eyelids import EYELID_WEIGHTS, eye_opening, eyelid_protocol
from t2av_bench.faces.landmarks import Landmarks
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.metrics.base import Measurement, Pair
from t2av_bench.metrics.theval import OfLandmarks, true_ranges
from t2av_bench.scores import Protocol, Quantity

CLOSED = 0.6
AROUND = FRAME_RATE
LONGEST = FRAME_RATE // 2


def blinks(opening: np.ndarray) -> np.ndarray:
    """(k, 2) half-open ranges of an eye opening (n,) at 25 fps in which the lids are closed for a blink.

    Closed: below 0.6 of the median opening of the second to either side. What lasts more than half a second is no
    blink but closed eyes; a blink that the clip begins or ends in counts.
    """
    from scipy.ndimage import median_filter

    around = median_filter(np.asarray(opening, np.float64), 2 * AROUND + 1, mode="reflect")
    ranges = true_ranges(opening < CLOSED * around)
    return ranges[ranges[:, 1] - ranges[:, 0] <= LONGEST]


class Blinks(OfLandmarks):
    id = "theval/blinks-iris"
    title = "Blinks"
    paper = "this project; eye aspect ratio of Soukupová & Čech 2016, Real-time eye blink detection (CVWW)"
    weights = EYELID_WEIGHTS
    parameters = {"closed": CLOSED, "around": AROUND, "longest": LONGEST}
    quantities = (
        Quantity("blink_rate", "Blinks (iris)", "none", "a minute", (0.0, 60.0 * FRAME_RATE / 2), 1, "weighted"),
    )
    validity = {"blink_rate": {"container": "same"}}

    @property
    def found_by(self) -> Protocol:
        return eyelid_protocol()

    def of_landmarks(self, landmarks: Landmarks, pair: Pair) -> Measurement:
        found = blinks(eye_opening(pair.generated))
        minutes = len(landmarks.frames) / FRAME_RATE / 60
        return Measurement(
            {"blink_rate": len(found) / minutes},
            weight=minutes,
            detail={"blinks": landmarks.frames[found[:, 0]].tolist()},
        )
