"""Brightness of the parts of a picture over time: what ``frozen/pixels``, ``flicker/pixels`` and flashes look at.

A part is one of 32 x 32 equal blocks of the whole picture. Its mean hardly carries the noise of single pixels, and
means the same in a small and in a large version of a clip.
"""

import numpy as np

from t2av_bench.media.clip import PICTURES, Clip

SIDE = 32
PARAMETERS = {**PICTURES, "picture": f"{SIDE}x{SIDE} block means of BT.601 luma, whole frame"}


def block_luma(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (32, 32) float32 mean luma of each block, 0 to 255."""
    import cv2

    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def blocks_in(clip: Clip) -> np.ndarray:
    """(n, 32, 32) float32 block luma of a clip at 25 fps, once per clip."""

    def look() -> np.ndarray:
        return np.stack([block_luma(frame) for frame in clip.each_frame()])

    return clip.memo(("block luma",), look)
