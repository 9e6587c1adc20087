"""Mouth crops of face tracks: 224x224, as SyncNet wants them (joonson/syncnet_python, commit 6efbb1c).

A frame is cut when it streams past, so that no more than one batch of full frames is alive; nothing is written to
disk and nothing is compressed.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from t2av_bench.faces.track import Track

SIZE = 224
CROP_SCALE = 0.4
SMOOTHING = 13
BORDER = 110
PARAMETERS = {
    "size": SIZE, "crop_scale": CROP_SCALE, "median_filter": SMOOTHING, "border": BORDER, "resize": "linear",
}  # fmt: skip


def smooth(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, 4) boxes -> half side s and centre x, y, each (n,) float64, median-filtered over 13 frames.

    The filter pads with zeros as in the original, which pulls the first and last six values down.
    """
    from scipy.ndimage import median_filter

    side = np.max(boxes[:, 2:] - boxes[:, :2], axis=1) / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half, x, y = median_filter(np.stack([side, *centre.T]), (1, SMOOTHING), mode="constant", cval=0.0)
    return half, x, y


def crop_rectangles(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) track boxes -> (n, 4) int64 rectangles (left, top, right, bottom) in the frame, (n,) int64 borders.

    The border is the width by which the original pads the frame on all sides. Rectangles may reach into it. The box
    extends below the chin; its corners are cut to whole pixels in the coordinates of the padded frame.
    """
    half, x, y = smooth(boxes)
    below = half * (1 + 2 * CROP_SCALE)
    aside = half * (1 + CROP_SCALE)
    border = below.astype(np.int64)
    padded_x, padded_y = x + border, y + border
    corners = (padded_x - aside, padded_y - half, padded_x + aside, padded_y + below)
    return np.stack([corner.astype(np.int64) - border for corner in corners], axis=1), border


def cut(frame: np.ndarray, rectangle: np.ndarray, border: int) -> np.ndarray:
    """One frame (H, W, 3) uint8 -> its (224, 224, 3) uint8 crop.

    Equal to padding the whole frame by ``border`` and slicing: a rectangle that reaches beyond the padded frame is
    clipped there.
    """
    import cv2

    height, width = frame.shape[:2]
    left, top = np.maximum(rectangle[:2], -border)
    right, bottom = min(rectangle[2], width + border), min(rectangle[3], height + border)
    if right - left < 1 or bottom - top < 1:
        # A box whose smoothed centre lies far outside the frame: nothing but border can be seen.
        return np.full((SIZE, SIZE, 3), BORDER, np.uint8)
    inside = frame[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if left < 0 or top < 0 or right > width or bottom > height:
        picture = np.full((bottom - top, right - left, 3), BORDER, np.uint8)
        if inside.size:
            y, x = max(0, top) - top, max(0, left) - left
            picture[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    else:
        picture = inside
    return cv2.resize(picture, (SIZE, SIZE))


def crop_tracks(frames: Iterable[np.ndarray], tracks: Sequence[Track]) -> Iterator[tuple[int, np.ndarray]]:
    """Stream the crops of all tracks.

    frames: the clip's frames in order, as batches (n, H, W, 3) uint8 (RGB or BGR: channels are not touched).
    Yields (index into ``tracks``, (m, 224, 224, 3) uint8 crops); the crops of one track come in frame order.
    """
    plans = [(int(track.frames[0]), *crop_rectangles(track.boxes)) for track in tracks]
    start = 0
    for batch in frames:
        for index, (first, rectangles, border) in enumerate(plans):
            low, high = max(start, first), min(start + len(batch), first + len(rectangles))
            if low < high:
                places = slice(low - first, high - first)
                shown = zip(batch[low - start : high - start], rectangles[places], border[places], strict=True)
                yield index, np.stack([cut(frame, rectangle, width) for frame, rectangle, width in shown])
        start += len(batch)


def whole_frames(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Batches (n, H, W, 3) uint8 -> (n, 224, 224, 3) uint8: every frame as a whole, aspect ratio not kept."""
    import cv2

    for batch in frames:
        yield np.stack([cv2.resize(frame, (SIZE, SIZE)) for frame in batch])
