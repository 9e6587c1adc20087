"""Pictures of the embedded benchmark as its extractors take them: 128x128, with a face where GridFace draws it.

There is no face tracking: GridFace's portraits fill the frame in one known way, so places are fractions of the frame.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces.detect import haar
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.paired_frames import segment_centres

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 128
SMALLEST_SIDE = 64
PICTURE_PARAMETERS: dict[str, Any] = {"size": SIZE, "resize": "area when larger, linear when smaller"}

# Haar looks at frames in the middle of this many equal parts of the clip, enlarged twice: it does not find the faces
# at their own size. Its boxes on 240 frames of 60 clips had centres at 0.49 to 0.53 across and 0.46 to 0.51 down, and
# were 0.44 to 0.55 of the frame wide; the margins leave room for systems that place the head worse.
_LOOKS = 5
_ENLARGED = 2 * SIZE
_CENTRE, _CENTRE_MARGIN = (0.5, 0.475), 0.12
_WIDTHS = (0.32, 0.70)
FACE_PARAMETERS: dict[str, Any] = {
    "looks": _LOOKS,
    "size": _ENLARGED,
    "centre": list(_CENTRE),
    "margin": _CENTRE_MARGIN,
    "widths": list(_WIDTHS),
}


def check_square(height: int, width: int) -> None:
    """Unscorable unless frames are square and at least 64x64: no other shape is GridFace's."""
    if height != width or height < SMALLEST_SIDE:
        raise Unscorable(
            f"frames are {width}x{height}: GridFace's pictures are square, {SIZE}x{SIZE} or a multiple, "
            f"{SMALLEST_SIDE}x{SMALLEST_SIDE} at least"
        )


def resized(frames: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(n, H, W, 3) uint8 RGB square frames -> (n, size, size, 3). Raises Unscorable as ``check_square``."""
    import cv2

    check_square(*frames.shape[1:3])
    if frames.shape[1] == size:
        return frames
    how = cv2.INTER_AREA if frames.shape[1] > size else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (size, size), interpolation=how) for frame in frames])


def network_input(pixels: np.ndarray) -> "Tensor":
    """(n, H, W, 3) uint8 RGB -> (n, 3, H, W), or grey ones of any shape as they are: float32 in [-1, 1]."""
    import torch

    if pixels.shape[-1] == 3:
        pixels = pixels.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 127.5 - 1


def check_face(clip: Clip) -> None:
    """Unscorable where none of five frames of the clip shows a face in GridFace's place."""
    clip.memo(("gridface", "face"), lambda: _look(clip))


def _look(clip: Clip) -> None:
    looks = min(_LOOKS, clip.frame_count)
    frames = clip.frames_at(segment_centres(clip.frame_count, looks))
    check_square(*frames.shape[1:3])
    found = haar().detect(resized(frames, _ENLARGED))
    if not any(len(boxes) for boxes in found):
        raise Unscorable(f"no face found in any of the {looks} frames looked at")
    if not any(_in_place(box[:4] / _ENLARGED) for boxes in found for box in boxes):
        left, top, right, bottom = next(boxes[0, :4] / _ENLARGED for boxes in found if len(boxes))
        raise Unscorable(
            f"the face is not where GridFace draws it: it spans {left:.2f} to {right:.2f} of the frame across and "
            f"{top:.2f} to {bottom:.2f} down, about 0.25 to 0.75 and 0.23 to 0.72 are expected"
        )


def _in_place(box: np.ndarray) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    near = abs(x - _CENTRE[0]) <= _CENTRE_MARGIN and abs(y - _CENTRE[1]) <= _CENTRE_MARGIN
    return bool(near and _WIDTHS[0] <= box[2] - box[0] <= _WIDTHS[1])
