"""Frozen faces: the share of time in which the mouth, or the head, stands still for a second or longer.

A frame at 25 fps is frozen where it lies in a second on end (25 neighbouring frames with the face) in which nothing of
these changes by more than 3 % of the interocular distance:

- ``frozen_mouth``: the gap between the inner lips, measured in space and against the eyes of the same frame, so that a
  moving head is no moving mouth;
- ``frozen_head``: where the eyes and nose are in the picture, and where the nose is from the eyes (a turned head).

The share is of the frames that lie in such a second at all; with none the clip has a reason. A mouth that is frozen in
a moving picture is seen, and so is that of a still picture which is slowly zoomed.

The bound lies above the trembling of landmarks and below speech. Still pictures of 18 clips at CRF 18 and 35: mouth
0.96 to 1.00 in 15, head 0.93 to 1.00 in 14; with noise of 8 levels mouth 0.5 to 1.00 in 14. A mouth pasted onto a
moving head: 0.85 to 1.00 in four of five clips, 0 in one whose head swings much. 58 clips of people who speak: mouth
0.00 in 50 of them, 0.2 to 0.6 where they are silent for seconds; head 0.00 in 56, at most 0.4. So a real clip scores 0,
or its pauses, and a frozen one nearly 1. On faces that are turned far, covered or dark the mesh itself trembles, and no
freeze is seen.
"""

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, Landmarks, landmarks_in
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.mesh_motion import head_place, mouth_gap, runs, stated_with_landmarks
from t2av_bench.scores import Protocol, Quantity

WINDOW = 25
BOUND = 0.03


def frozen_share(landmarks: Landmarks, signal: np.ndarray) -> float:
    """Share of frames in still seconds, of a signal (n, d) of the frames with the face. Raises Unscorable."""
    frozen, judged = 0, 0
    for run in runs(landmarks.frames):
        if len(run) < WINDOW:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(signal[run], WINDOW, axis=0)
        starts = np.flatnonzero(np.ptp(windows, axis=-1).max(axis=1) <= BOUND)
        frozen += len(np.unique(starts[:, None] + np.arange(WINDOW)))
        judged += len(run)
    if not judged:
        longest = max(map(len, runs(landmarks.frames)))
        raise Unscorable(f"the face is seen for {longest} frames on end at most; {WINDOW} (1 s) are needed")
    return frozen / judged


class FrozenMesh(Metric):
    id = "frozen/mesh468"
    title = "Frozen mouth and head"
    quantities = (
        Quantity("frozen_mouth", "Frozen mouth", "lower", interval=(0.0, 1.0), penalty=1.0),
        Quantity("frozen_head", "Frozen head", "lower", interval=(0.0, 1.0), penalty=1.0),
    )
    paper = "this project; landmarks of Kartynnik et al. 2019 (arXiv 1907.06724)"
    weights = LANDMARK_WEIGHTS
    packages = ("cv2", "scenedetect")
    extra = "sync"
    validity = {
        "frozen_mouth": {"freeze": "up", "mouth_frozen": "up", "container": "same", "frame_rate": "same"},
        "frozen_head": {"freeze": "up", "mouth_frozen": "same", "container": "same", "frame_rate": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        return stated_with_landmarks(self, {"window": WINDOW, "bound": BOUND})

    def measure(self, pair: Pair) -> Measurement:
        landmarks = landmarks_in(pair.generated)
        signals = {"frozen_mouth": mouth_gap(landmarks.points), "frozen_head": head_place(landmarks.points)}
        return Measurement(
            values={name: frozen_share(landmarks, signal) for name, signal in signals.items()},
            detail={"frames": landmarks.count, "frames_with_face": len(landmarks.frames)},
        )
