"""How far the eyes are open, by the outlines that MediaPipe's iris network draws (Ablavatski et al. 2020, arXiv
2006.11341; Apache-2.0).

The mesh places the eyes but hardly moves its lids when they close; this network looks at each eye from near and does.
It sees a turned square around an eye as 64x64 pixels in [0, 1], a right eye mirrored as if it were a left one.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain

import numpy as np

from t2av_bench import weights
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, Landmarks, landmark_protocol, landmarks_in
from t2av_bench.faces.mesh import Region, cut
from t2av_bench.faces.mesh_points import LEFT_EYE_INNER, LEFT_EYE_OUTER, RIGHT_EYE_INNER, RIGHT_EYE_OUTER
from t2av_bench.faces.network import Network, read_network
from t2av_bench.media.clip import Clip
from t2av_bench.scores import Protocol

WEIGHTS = "iris"
EYELID_WEIGHTS = (*LANDMARK_WEIGHTS, WEIGHTS)
SIDE = 64
# Side of the square over the distance of the eye's corners.
SCALE = 2.3
# Of the outline's 71 points: the corners, and the points of the lower and the upper lid in one order.
CORNERS, LOWER, UPPER = (0, 8), range(1, 8), range(9, 16)


def openness(outline: np.ndarray) -> float:
    """Mean height of an eye over its width. outline: (71, >= 2) points of the network."""
    outline = np.asarray(outline, np.float64)[:, :2]
    heights = np.linalg.norm(outline[LOWER] - outline[UPPER], axis=1)
    return float(heights.mean() / np.linalg.norm(outline[CORNERS[0]] - outline[CORNERS[1]]))


def eyelid_protocol() -> Protocol:
    """Everything that moves what ``eye_opening`` finds."""
    found = landmark_protocol()
    return Protocol(
        "faces/eyelids",
        found.parameters | {"eyelids": "iris", "eye_region": SCALE},
        found.weights | {WEIGHTS: weights.digest(WEIGHTS)},
        found.libraries,
    )


def eye_opening(clip: Clip) -> np.ndarray:
    """(n,) float32 heights over widths of the eyes, the mean of both, in the frames of ``landmarks_in``; about 0.25 to
    0.3 where they are open, 0.1 where they are closed. Raises as ``landmarks_in``."""
    landmarks = landmarks_in(clip)
    network = iris_network()
    frames = (frame[None] for frame in clip.each_frame())
    return clip.stored(
        eyelid_protocol().fingerprint, "eyelids", lambda: {"opening": openings(frames, landmarks, network)}
    )["opening"]


def openings(frames: Iterable[np.ndarray], landmarks: Landmarks, network: Network) -> np.ndarray:
    """As ``eye_opening``. frames: all of the clip, in batches (m, H, W, 3) uint8 RGB."""
    points = dict(zip(landmarks.frames.tolist(), landmarks.points, strict=True))
    found = []
    for number, frame in enumerate(chain.from_iterable(frames)):
        if number in points:
            right = _outline(frame, points[number][[RIGHT_EYE_OUTER, RIGHT_EYE_INNER]], network, mirrored=True)
            left = _outline(frame, points[number][[LEFT_EYE_INNER, LEFT_EYE_OUTER]], network, mirrored=False)
            found.append((openness(right) + openness(left)) / 2)
    return np.array(found, np.float32)


@lru_cache(maxsize=1)
def iris_network() -> Network:
    """The network of this process. NotApplicable where its weights are missing."""
    return read_network(WEIGHTS)


def _outline(frame: np.ndarray, corners: np.ndarray, network: Network, mirrored: bool) -> np.ndarray:
    """(71, 3) points in pixels of what the network saw. corners: (2, >= 2), the one to the picture's left first."""
    import cv2

    (x, y), (dx, dy) = corners[:, :2].astype(float).mean(0), (corners[1] - corners[0])[:2].astype(float)
    region = Region((x, y), SCALE * float(np.hypot(dx, dy)), float(np.arctan2(dy, dx)))
    picture = cv2.resize(cut(frame, region), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if mirrored:
        picture = picture[:, ::-1]
    return network(picture.astype(np.float32) / 255)[-1].reshape(-1, 3)
