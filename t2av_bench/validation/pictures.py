"""Damage to pictures. All of it is seeded, and streams: no more than a few frames of a clip are held.

Batches are (n, H, W, 3) uint8 RGB, frames (H, W, 3); percentages are of the clip's time or of full scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors.arcface import similarity_transform
from t2av_bench.faces.detect import haar
from t2av_bench.faces.find import face_tracks, main_track
from t2av_bench.faces.landmarks import landmarks_in
from t2av_bench.faces.mesh_points import LIPS_OUTER, NOSE_BASE, RIGID
from t2av_bench.faces.track import TrackRules
from t2av_bench.media.clip import Clip
from t2av_bench.utils.optional import require

# Room around the lips (left, top, right, bottom), in widths of the mouth: the jaw moves with it.
_AROUND_LIPS = (-0.3, -0.25, 0.3, 0.5)
# The mouth in a Haar face box, as fractions of its width and height: the lower third, and the chin below the box.
_MOUTH = (0.2, 2 / 3, 0.8, 1.05)
# Haar boxes jump from frame to frame; so many frames (standard deviation) steady them.
_STEADY = 4.0
_RULES = TrackRules(min_track=12, min_face=40.0)
_FEATHER = 0.12  # of the mouth's size, over which the pasted mouth fades into the face
_ZOOM = 1.5


@dataclass(frozen=True, slots=True)
class Source:
    """A clip to damage, and another of the set (None: there is none)."""

    clip: Clip
    other: Clip | None = None

    def frames(self) -> Iterator[np.ndarray]:
        """One by one, of even width and height, which is what can be written."""
        for batch in self.clip.frames():
            yield from batch[:, : batch.shape[1] // 2 * 2, : batch.shape[2] // 2 * 2]

    def first(self, percent: float) -> int:
        """The frame from which on the last ``percent`` of the clip's time are damaged."""
        return round(self.clip.frame_count * (1 - percent / 100))


def blur(frames: np.ndarray, sigma: float) -> np.ndarray:
    """A batch under Gaussian blur, ``sigma`` in pixels."""
    cv2 = require("cv2", "video")

    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def grain(frames: np.ndarray, sigma: float, random: np.random.Generator | None = None) -> np.ndarray:
    """A batch with Gaussian noise for each pixel and colour; ``sigma`` as a fraction of full scale.

    Batch after batch, one ``random`` gives the noise that it gives of all at once; without it the seed is fixed.
    """
    random = random or np.random.default_rng([0, 1])
    noise = random.standard_normal(frames.shape, dtype=np.float32)
    return np.clip(frames + 255 * sigma * noise + 0.5, 0, 255).astype(np.uint8)


def blurred(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """``percent``: the blur's standard deviation, of the shorter side."""
    for frame in source.frames():
        yield blur(frame[None], percent / 100 * min(frame.shape[:2]))


def noisy(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    for frame in source.frames():
        yield grain(frame[None], percent / 100, random)


def frozen(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The picture stands from some time on; of all the time it is the first one."""
    first, held = max(1, source.first(percent)), None
    for index, frame in enumerate(source.frames()):
        held = frame if index < first or held is None else held
        yield held


def dropped(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames drawn at random show the one before; those that a lower grade drops are among them."""
    held = None
    for frame in source.frames():
        held = frame if random.random() >= percent / 100 or held is None else held
        yield held


def flickering(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Each frame is brighter or darker, by up to ``percent``."""
    for frame in source.frames():
        gain = 1 + percent / 100 * random.uniform(-1, 1)
        yield np.clip(frame * gain + 0.5, 0, 255).astype(np.uint8)


def cut(source: Source, cuts: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Hard cuts at equal distances between the picture and its middle, enlarged and mirrored: another camera."""
    cv2 = require("cv2", "video")

    length = source.clip.frame_count / (cuts + 1)
    for index, frame in enumerate(source.frames()):
        if int(index / length) % 2:
            height, width = frame.shape[:2]
            rows, columns = round(height / _ZOOM), round(width / _ZOOM)
            top, left = (height - rows) // 2, (width - columns) // 2
            frame = cv2.resize(frame[top : top + rows, left : left + columns][:, ::-1], (width, height))
        yield frame


def jittered(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """As if the crop had been made elsewhere: a window smaller by ``percent``, at a place drawn once, enlarged."""
    cv2 = require("cv2", "video")

    across, down = random.random(2)
    for frame in source.frames():
        height, width = frame.shape[:2]
        rows, columns = (max(1, round(side * (1 - percent / 100))) for side in (height, width))
        top, left = round(down * (height - rows)), round(across * (width - columns))
        yield cv2.resize(frame[top : top + rows, left : left + columns], (width, height))


def swapped(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """From some time on another clip's pictures, of its beginning, scaled and cut to this one's size."""
    other = source.other
    if other is None:
        raise Unscorable("no other clip to take another person from: give at least two clips")
    # Over and over, should it be the shorter one.
    first, batches = source.first(percent), chain.from_iterable(other.frames() for _ in count())
    strangers = chain.from_iterable(batches)
    for index, frame in enumerate(source.frames()):
        yield frame if index < first else _fitted(next(strangers), *frame.shape[:2])


def shortened(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The clip ends early; the sound is cut with the pictures."""
    first = max(1, source.first(percent))
    return (frame for frame, _ in zip(source.frames(), range(first), strict=False))


def mouth_frozen(source: Source, percent: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """From some time on the mouth is a picture of itself, which moves, turns and grows with the head alone."""
    cv2 = require("cv2", "video")

    heads, mouths = heads_and_mouths(source.clip)
    held = max(1, source.first(percent)) - 1
    back = [_moved(mouth, _carried(head, heads[held])) for head, mouth in zip(heads, mouths, strict=True)]
    corners = np.concatenate(back[held:])
    picture = mask = None
    for index, frame in enumerate(source.frames()):
        if index == held:
            picture, mask = frame, _patch(frame.shape[:2], corners.min(axis=0), corners.max(axis=0))
        if index > held:
            place = (_carried(heads[held], heads[index]), frame.shape[1::-1])
            weight = cv2.warpAffine(mask, *place)[..., None]
            pasted = cv2.warpAffine(picture, *place, borderMode=cv2.BORDER_REPLICATE)
            frame = (weight * pasted + (1 - weight) * frame + 0.5).astype(np.uint8)
        yield frame


def heads_and_mouths(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Of each frame, in pixels: (T, k, 2) points that move with the head, (T, 4, 2) corners of the mouth's box.

    The last point of a head is next to the mouth: where the head turns away, the mouth goes as far as that point.
    Frames without a face have those of the nearest one with. By the face mesh; without its weights, by the Haar box
    and its lower third. Unscorable without a face.
    """
    try:
        landmarks = landmarks_in(clip)
    except NotApplicable:
        frames, boxes = _haar_boxes(clip)
        heads = _corners(boxes)
        heads = np.concatenate([heads, heads.mean(axis=1, keepdims=True)], axis=1)
        mouths = _corners(np.tile(boxes[:, :2], 2) + np.array(_MOUTH) * np.tile(boxes[:, 2:] - boxes[:, :2], 2))
    else:
        points = landmarks.points[..., :2].astype(np.float64)
        frames, lips = landmarks.frames, points[:, LIPS_OUTER]
        below_nose = points[:, NOSE_BASE].mean(axis=1, keepdims=True)
        heads = np.concatenate([points[:, RIGID], below_nose], axis=1)
        low, high = lips.min(axis=1), lips.max(axis=1)
        mouths = _corners(np.concatenate([low, high], axis=1) + np.outer(high[:, 0] - low[:, 0], _AROUND_LIPS))
    nearest = np.abs(np.subtract.outer(np.arange(clip.frame_count), frames)).argmin(axis=1)
    return heads[nearest], mouths[nearest]


def _haar_boxes(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the frames of the longest face track, and its boxes (n, 4)."""
    from scipy.ndimage import gaussian_filter1d

    tracks = face_tracks(clip, haar(), _RULES)
    track = tracks[main_track(tracks)]
    return track.frames, gaussian_filter1d(track.boxes.astype(np.float64), _STEADY, axis=0, mode="nearest")


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) boxes (left, top, right, bottom) -> (n, 4, 2) corners."""
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


def _carried(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(2, 3) matrix that turns and scales as one head's points go to another's, and puts the last point in place."""
    matrix = similarity_transform(source[:-1], target[:-1])
    matrix[:, 2] += target[-1] - _moved(source[-1], matrix)
    return matrix


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _patch(shape: tuple[int, int], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(H, W) float32 weights: 1 inside of the box from ``low`` to ``high`` (x, y), falling to 0 at its edges."""
    sides = []
    for length, first, last in zip(shape[::-1], low, high, strict=True):
        at = np.arange(length) + 0.5
        sides.append(np.clip(np.minimum(at - first, last - at) / ((last - first) * _FEATHER), 0, 1))
    return np.outer(sides[1], sides[0]).astype(np.float32)


def _fitted(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame scaled to cover a size, and cut to it around its middle."""
    cv2 = require("cv2", "video")

    scale = max(height / frame.shape[0], width / frame.shape[1])
    size = (max(width, round(frame.shape[1] * scale)), max(height, round(frame.shape[0] * scale)))
    found = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return found[top : top + height, left : left + width]
