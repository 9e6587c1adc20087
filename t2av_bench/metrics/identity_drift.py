"""Whether a face stays the same person to the end of the clip: ArcFace similarity to its own first second, over time.

Every 5th frame at 25 fps is embedded as ``csim/buffalo_l`` does it (the vectors are shared). The reference is the mean
of the first five vectors, brought to length 1: one second, where the face is seen from the start. The later frames'
cosines with it give ``identity_slope``, their least-squares line over time, a minute; and ``identity_min``, the lowest.
The first five are left out of both, for they are part of what they would be compared with.

No portrait and no reference clip is needed: how well the first second fits a portrait is ``csim``. A slope over few
seconds is uncertain; at least ten later frames with a face (two seconds) are needed. Frames without a face are
left out and counted in the detail. A cut to another person lowers both, as it should.

Proved by tests: the line, the minimum and the bookkeeping, on a stand-in network with known answers. Not proved here:
numbers with the real weights, which are not bundled.
"""

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.extractors import arcface
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.csim import LIBRARIES, PARAMETERS, identities_in
from t2av_bench.scores import Protocol, Quantity

FIRST = 5
LEAST_LATER = 10


def similarity_over_time(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors (n, d) in time order -> (n - 5,) float64 cosines of all but the first five with these five's mean.

    Raises Unscorable where fewer than ten are left.
    """
    if len(vectors) < FIRST + LEAST_LATER:
        raise Unscorable(
            f"too short: {len(vectors)} of the frames examined have a face; "
            f"{FIRST} to compare with and {LEAST_LATER} later ones are needed"
        )
    reference = vectors[:FIRST].mean(axis=0, dtype=np.float64)
    return vectors[FIRST:].astype(np.float64) @ (reference / np.linalg.norm(reference))


class IdentityDriftBuffaloL(Metric):
    id = "identity_drift/buffalo_l"
    title = "Drift of identity (ArcFace)"
    quantities = (
        Quantity("identity_slope", "Identity slope", "higher", unit="1/min", penalty="worst"),
        Quantity("identity_min", "Identity min", "higher", interval=(-1.0, 1.0), penalty="worst"),
    )
    aliases = {"identity drift": "identity_slope"}
    paper = "this project; the vectors of Deng et al. 2019, ArcFace (arXiv 1801.07698)"
    weights = (arcface.DETECTOR, arcface.RECOGNISER)
    licence = "non-commercial"
    packages = ("cv2", "onnxruntime")
    extra = "video"
    validity = {
        "identity_slope": {"identity_swap": "down", "container": "same", "frame_rate": "same"},
        "identity_min": {"identity_swap": "down", "container": "same", "frame_rate": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        return self.stated({**PARAMETERS, "first": FIRST, "least_later": LEAST_LATER}, *LIBRARIES)

    def measure(self, pair: Pair) -> Measurement:
        found = identities_in(pair.generated, self.settings.device)
        examined, seen = int(found["examined"][0]), len(found["frames"])
        cosines = similarity_over_time(found["vectors"])
        minutes = found["frames"][FIRST:] / (60 * FRAME_RATE)
        centred = minutes - minutes.mean()
        slope = (centred @ cosines) / (centred @ centred)
        return Measurement(
            values={"identity_slope": float(slope), "identity_min": float(cosines.min())},
            detail={
                "frames_examined": examined,
                "frames_without_face": examined - seen,
                "lowest_at_frame": int(found["frames"][FIRST:][cosines.argmin()]),
            },
        )
