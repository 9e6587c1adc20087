"""Pictures made small, for metrics that need no detail: a clip costs the same whatever its size."""

import numpy as np

SHORTER_SIDE = 256


def reduced(picture: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 -> likewise, shorter side at most 256 pixels (area average), never enlarged."""
    import cv2

    height, width = picture.shape[:2]
    scale = SHORTER_SIDE / min(height, width)
    if scale >= 1:
        return picture
    return cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
