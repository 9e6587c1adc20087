"""One decoded picture to RGB.

- Pixels are delivered as stored: no scaling, also where the sample aspect ratio is not 1 (the reference tools read
  images and ignore it too), and no deinterlacing.
- Rotation and mirroring metadata is applied, as players, ffmpeg and OpenCV do.
- YUV becomes RGB with the matrix and range that the frame declares; undeclared means BT.601, limited range (ffmpeg's
  default). Transfer curves and primaries are left alone (no tone mapping of HDR). Alpha is dropped.
"""

from typing import Any

import numpy as np

from t2av_bench.errors import MediaError

_UNIT = 1 << 16


class PictureReader:
    """Turns frames of one stream into RGB arrays; keeps the conversion set up between frames."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._rotation: int | None = None
        self._matrix: np.ndarray | None = None

    def read(self, frame: Any) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright, of an ``av.VideoFrame``; rows may be padded in memory."""
        converted = self._reformatter.reformat(frame, format="rgb24", interpolation="BICUBIC", threads=1)
        plane = converted.planes[0]
        picture: np.ndarray
        if plane.line_size >= 3 * frame.width:
            # A view of the converted frame, which it keeps alive: saves one copy of every picture.
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
                : frame.height, : 3 * frame.width
            ]
            picture = rows.reshape(frame.height, frame.width, 3)
        else:
            picture = converted.to_ndarray()
        if frame.rotation != self._rotation:
            # Asking a frame for its side data ties it to itself: its memory would wait for the garbage collector, which
            # counts objects, not megabytes. So one frame is asked, and those whose rotation (a cheap question) differs.
            self._rotation, self._matrix = frame.rotation, display_matrix(frame)
        return picture if self._matrix is None else orient(picture, self._matrix)


def display_matrix(frame: Any) -> np.ndarray | None:
    """(3, 3) int32 display matrix of a frame (16.16 fixed point), or None where it has none."""
    from av.sidedata.sidedata import Type

    try:
        entries = frame.side_data
    except ValueError:
        # PyAV refuses all side data of a frame where it does not know one kind (EXIF); a rotation is told separately.
        if frame.rotation:
            raise MediaError(
                f"the picture is stored turned by {frame.rotation} degrees, beside metadata that cannot be read: "
                "save it upright"
            ) from None
        return None
    for entry in entries:
        if entry.type == Type.DISPLAYMATRIX:
            return np.frombuffer(bytes(entry), dtype=np.int32).reshape(3, 3)
    return None


def orient(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a display matrix made of quarter turns and mirrors to an (H, W, C) picture.

    A stored point (p, q) is shown at x = a p + c q, y = b p + d q with [[a, b], [c, d]] the upper left of ``matrix``.
    """
    (a, b), (c, d) = np.asarray(matrix, dtype=np.int64)[:2, :2]
    turned = _is_unit(b) and _is_unit(c) and _is_zero(a) and _is_zero(d)
    straight = _is_unit(a) and _is_unit(d) and _is_zero(b) and _is_zero(c)
    if not (turned or straight):
        raise MediaError(
            "the video's display matrix is not a quarter turn or mirror "
            f"([[{a / _UNIT:g}, {b / _UNIT:g}], [{c / _UNIT:g}, {d / _UNIT:g}]]): re-encode it upright"
        )
    if turned:
        picture, along_x, along_y = picture.swapaxes(0, 1), c, b
    else:
        along_x, along_y = a, d
    return np.ascontiguousarray(picture[:: np.sign(along_y), :: np.sign(along_x)])


def _is_unit(value: int) -> bool:
    return abs(abs(int(value)) - _UNIT) <= 2


def _is_zero(value: int) -> bool:
    return abs(int(value)) <= 2
