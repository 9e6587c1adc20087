"""The portrait that a generator animates: a square around the face, resized to the model's picture size.

By default (``AROUND_FACE``) the square's side is ``FACE_TO_SQUARE`` times the face's, and the face's centre lies
``FACE_HEIGHT`` of the side below its top: the framing of HDTF clips and of the released Talker-T2AV reference, where
faces (OpenCV's Haar boxes; BlazeFace with the mesh gives 0.9 to 1.1 of their side) measure 0.53 to 0.60 of the side
with their centres 0.50 to 0.57 from the top; such clips stay as they are. Where the square would leave the picture it
moves inwards, and where it is larger than the picture it shrinks to the shorter side. Pixels are never stretched and
nothing is padded. One square serves all frames of a video: the head moves in it, not with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from t2av_bench.faces.detect import Detector
from t2av_bench.media.clip import Clip
from t2av_bench.media.probe import check_file, check_size
from t2av_bench.systems.base import GenerationFailed

FACE_TO_SQUARE = 1.9
FACE_HEIGHT = 0.56
SMALLEST_FACE = 100
FRAME_RATE = 25
# A face is looked for in every 5th frame: heads move little in 0.2 s, and detection costs more than decoding.
FRAME_STEP = 5
_MOST_FRAMES_WITHOUT_FACE = 10 * FRAME_RATE
# Frames kept between passes; longer clips are decoded again.
_FRAME_BUDGET = 1 << 28


@dataclass(frozen=True, slots=True)
class Square:
    """Whole pixels of the upright picture with square pixels."""

    left: int
    top: int
    side: int


@dataclass(frozen=True, slots=True)
class Face:
    """The largest face of a picture: centre and the longer side of its box in pixels; faces: how many there are."""

    x: float
    y: float
    side: float
    faces: int


@dataclass(frozen=True, slots=True)
class Framing:
    """How a generator wants its pictures: ``square(face, width, height)``, and the smallest face in pixels.

    advice: ends the message of a picture without a face; None says what the detector needs.
    """

    square: Callable[[Face, int, int], Square]
    smallest_face: float
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Portrait:
    """picture: (size, size, 3) uint8 RGB. frame: index at 25 fps in a video, 0 for an image."""

    picture: np.ndarray
    square: Square
    face_side: float
    frame: int
    detector: str
    notes: tuple[str, ...] = ()


class PortraitVideo:
    """A video cut to one square around its main face.

    frame_count: frames used, at 25 fps; was_cut: whether the file has more of them.
    """

    def __init__(self, clip: Clip, square: Square, face_side: float, size: int, frame_count: int, was_cut: bool,
                 detector: str, notes: tuple[str, ...]) -> None:  # fmt: skip
        self._clip, self._size = clip, size
        self.square, self.face_side, self.frame_count, self.was_cut = square, face_side, frame_count, was_cut
        self.detector, self.notes = detector, notes

    def pictures(self, batch: int = 8) -> Iterator[np.ndarray]:
        """(n, size, size, 3) uint8 RGB, n <= batch, in order; decodes again where the clip is long."""
        frames = (cut(frame, self.square, self._size) for frame in islice(_frames(self._clip), self.frame_count))
        while pictures := list(islice(frames, batch)):
            yield np.stack(pictures)


def square_around(face: Face, width: int, height: int) -> Square:
    """The square of this module's rule in a picture of ``width`` x ``height`` pixels."""
    side = min(round(FACE_TO_SQUARE * face.side), width, height)
    left = min(max(round(face.x - side / 2), 0), width - side)
    top = min(max(round(face.y - FACE_HEIGHT * side), 0), height - side)
    return Square(left, top, side)


AROUND_FACE = Framing(square_around, SMALLEST_FACE)


def cut(picture: np.ndarray, square: Square, size: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3) uint8: the square, resampled by Lanczos (antialiased); 1:1 unchanged."""
    from PIL import Image

    rows, columns = slice(square.top, square.top + square.side), slice(square.left, square.left + square.side)
    inside = picture[rows, columns]
    if square.side == size:
        return inside
    return np.asarray(Image.fromarray(np.ascontiguousarray(inside)).resize((size, size), Image.Resampling.LANCZOS))


def largest_face(picture: np.ndarray, detector: Detector) -> Face | None:
    """The largest face of one (H, W, 3) uint8 RGB picture; None without one."""
    boxes = detector.detect(picture[None])[0]
    if not len(boxes):
        return None
    x1, y1, x2, y2 = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))[:4]
    return Face((x1 + x2) / 2, (y1 + y2) / 2, float(max(x2 - x1, y2 - y1)), len(boxes))


def read_portrait(path: Path, detector: Detector, size: int = 512, framing: Framing = AROUND_FACE) -> Portrait:
    """The portrait in an image, or in the first frame of a video (looked at every 0.2 s) that shows a face.

    Raises GenerationFailed: no face, or a face that is too small. Raises MediaError for an unusable file.
    """
    still = read_image(path)
    pictures = [still] if still is not None else _frames(Clip(path, frame_rate=FRAME_RATE, frame_budget=0))
    looked_at = 0
    for index, picture in enumerate(islice(pictures, _MOST_FRAMES_WITHOUT_FACE)):
        if index % FRAME_STEP:
            continue
        looked_at += 1
        face = largest_face(picture, detector)
        if face is not None:
            square = _checked_square(face, picture, path, framing)
            notes = [] if index == 0 else [f"{path.name}: the first face is in frame {index}, which is taken"]
            if face.faces > 1:
                notes.append(f"{path.name}: {face.faces} faces, the largest ({face.side:.0f} pixels) is taken")
            return Portrait(cut(picture, square, size), square, face.side, index, detector.name, tuple(notes))
    where = "" if still is not None else f" in any of {looked_at} frames looked at (every {FRAME_STEP}th)"
    raise GenerationFailed(f"no face found in {path.name}{where}{_advice(detector, framing)}")


def read_portrait_video(
    path: Path, detector: Detector, size: int, max_frames: int, framing: Framing = AROUND_FACE
) -> PortraitVideo:
    """The first ``max_frames`` frames of a video, to be cut to the median square of its largest faces.

    Raises GenerationFailed: an image, no face in half of the frames looked at, a face that is too small. Raises
    MediaError for an unusable file.
    """
    if read_image(path) is not None:
        raise GenerationFailed(f"{path.name} is a still image, a video is needed here")
    clip = Clip(path, frame_rate=FRAME_RATE, frame_budget=_FRAME_BUDGET)
    faces: list[Face] = []
    count = looked_at = 0
    picture = None
    for picture in islice(_frames(clip), max_frames + 1):
        if count < max_frames and count % FRAME_STEP == 0:
            looked_at += 1
            faces += [face] if (face := largest_face(picture, detector)) is not None else []
        count += 1
    if picture is None:
        raise GenerationFailed(f"{path.name} has no frame")
    if 2 * len(faces) < looked_at or not faces:
        found = f"a face in only {len(faces)}" if faces else "no face"
        raise GenerationFailed(
            f"{found} of {looked_at} frames looked at in {path.name} (every {FRAME_STEP}th){_advice(detector, framing)}"
        )
    x, y, side = np.median([(face.x, face.y, face.side) for face in faces], axis=0)
    middle = Face(float(x), float(y), float(side), max(face.faces for face in faces))
    notes: tuple[str, ...] = ()
    if middle.faces > 1:
        notes = (f"{path.name}: up to {middle.faces} faces in a frame, the largest of each frame is followed",)
    square = _checked_square(middle, picture, path, framing)
    frame_count, was_cut = min(count, max_frames), count > max_frames
    return PortraitVideo(clip, square, middle.side, size, frame_count, was_cut, detector.name, notes)


def read_image(path: Path) -> np.ndarray | None:
    """A still image, upright, as (H, W, 3) uint8 RGB (transparency is dropped); None for any other media file.

    Raises MediaError for a file that cannot be opened, GenerationFailed for a damaged or oversized image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    check_file(path)
    try:
        with Image.open(path) as image:
            if getattr(image, "is_animated", False):
                return None
            check_size(image.width, image.height, path)
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        return None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise GenerationFailed(f"the image {path.name} cannot be read: {error}") from error


def _frames(clip: Clip) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 RGB with square pixels."""
    from PIL import Image

    ratio = clip.info.sample_aspect_ratio
    for batch in clip.frames(batch=1):
        frame = batch[0]
        if ratio != 1:
            size = (round(frame.shape[1] * ratio), frame.shape[0])
            frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
        yield frame


def _checked_square(face: Face, picture: np.ndarray, path: Path, framing: Framing) -> Square:
    if face.side < framing.smallest_face:
        raise GenerationFailed(
            f"the face in {path.name} is too small: {face.side:.0f} pixels, at least {framing.smallest_face:g} are "
            "needed: use a picture in higher resolution"
        )
    height, width = picture.shape[:2]
    return framing.square(face, width, height)


def _advice(detector: Detector, framing: Framing) -> str:
    if framing.advice is not None:
        return framing.advice
    if detector.name == "haar":
        from t2av_bench.faces.confirmed import WEIGHTS
        from t2av_bench.weights import entry
        from t2av_bench.weights.entry import fetch_command

        return (
            "; the bundled detector sees upright frontal faces of 80 pixels or more: use such a picture, or fetch a "
            f"better one: {fetch_command(*map(entry, WEIGHTS))}"
        )
    return "; use a picture with one clearly visible face"
