"""Shots: where a clip is cut, by PySceneDetect's content detector on frames in memory."""

import numpy as np

from t2av_bench.media.clip import Clip
from t2av_bench.utils.optional import require

# Threshold of PySceneDetect 0.6; a frame is compared with the one before it in hue, saturation and value.
THRESHOLD = 27.0
MIN_SHOT = 15


class ShotCutter:
    """Finds cuts while frames stream past; one object a clip.

    threshold: mean change of a pixel, 0 to 255, that makes a cut.
    merge: how cuts closer than ``min_shot`` frames are thinned: the last of them counts (PySceneDetect 0.6), or the
        first (0.5).

    Frames are reduced to a longer side of 256 pixels first, as PySceneDetect's manager does.
    """

    def __init__(self, threshold: float = THRESHOLD, merge: bool = True, min_shot: int = MIN_SHOT) -> None:
        detector = require("scenedetect.detectors", "sync").ContentDetector
        modes = require("scenedetect.scene_detector", "sync").FlashFilter.Mode
        self._detector = detector(
            threshold=threshold, min_scene_len=min_shot, filter_mode=modes.MERGE if merge else modes.SUPPRESS
        )
        self._cuts: list[int] = []
        self._count = 0

    def add(self, frames: np.ndarray) -> None:
        """The next (n, H, W, 3) uint8 RGB frames."""
        for frame in frames:
            self._cuts += self._detector.process_frame(self._count, self._prepare(frame))
            self._count += 1

    def shots(self) -> list[tuple[int, int]]:
        """Half-open frame ranges (first, end) that cover all frames added so far."""
        edges = [0, *sorted(set(self._cuts)), self._count]
        return [(first, end) for first, end in zip(edges, edges[1:], strict=False) if end > first]

    def _prepare(self, frame: np.ndarray) -> np.ndarray:
        import cv2
        from scenedetect.scene_manager import compute_downscale_factor

        height, width = frame.shape[:2]
        factor = compute_downscale_factor(max(width, height))
        if factor > 1.0:
            size = (max(1, round(width / factor)), max(1, round(height / factor)))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(frame[:, :, ::-1])


def shots_in(clip: Clip) -> list[tuple[int, int]]:
    """Shots of a clip at its frame rate, once per clip."""

    def cut() -> list[tuple[int, int]]:
        cutter = ShotCutter()
        for frame in clip.each_frame():
            cutter.add(frame[None])
        return cutter.shots()

    return clip.memo(("shots", THRESHOLD, MIN_SHOT), cut)
