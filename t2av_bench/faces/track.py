"""Face tracks, by the rules of joonson/syncnet_python (commit 6efbb1c), quirks included.

A track is grown greedily: it starts at the first face that is left, and each later face joins when it comes at most
``max_gap`` frames after the track's last face and overlaps it by more than ``min_overlap``. The original removes a
face from the list that it is walking through, so the face listed after one that joined is passed over in that walk.
All state lives inside one call.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class TrackRules:
    """What makes a track.

    min_track: a shot must have at least, and a track more than, this many frames with a detected face.
    max_gap: frames between two detections of one track, at most.
    min_overlap: intersection over union with the track's last box that a face must exceed.
    min_face: pixels that the larger of a track's mean width and mean height must exceed.
    overlap_epsilon: added to the union (syncnet-python: 1e-8).
    stop_at_mismatch: look no further in a frame whose first listed face does not fit (syncnet-python).
    """

    min_track: int = 100
    max_gap: int = 25
    min_overlap: float = 0.5
    min_face: float = 100.0
    overlap_epsilon: float = 0.0
    stop_at_mismatch: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


JOONSON = TrackRules()
SYNCNET_PYTHON = TrackRules(min_track=50, overlap_epsilon=1e-8, stop_at_mismatch=True)


@dataclass(frozen=True, slots=True)
class Track:
    """One face over consecutive frames.

    frames: (n,) int64, consecutive frame numbers.
    boxes: (n, 4) float64 (x1, y1, x2, y2) in pixels; linear between detections.
    detections: number of frames where the face was detected (the rest is interpolated).
    """

    frames: np.ndarray
    boxes: np.ndarray
    detections: int

    @property
    def mean_size(self) -> tuple[float, float]:
        """Mean width and height in pixels."""
        sizes = self.boxes[:, 2:] - self.boxes[:, :2]
        return float(sizes[:, 0].mean()), float(sizes[:, 1].mean())

    @property
    def mean_area(self) -> float:
        """Mean box area in square pixels."""
        return float(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1).mean())


def overlap(boxes: np.ndarray, box: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """Intersection over union of (k, 4) boxes with one box (4,) -> (k,). Corners are points, not pixels."""
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.maximum(0.0, high - low), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return shared / (areas + (box[2] - box[0]) * (box[3] - box[1]) - shared + epsilon)


def link(detections: Sequence[np.ndarray], rules: TrackRules = JOONSON) -> list[tuple[np.ndarray, np.ndarray]]:
    """Link the faces of one shot, before any track is rejected.

    detections: per frame (k, >= 4) boxes. Returns per track its frame numbers (m,) within the shot and the boxes
    (m, 4), in the order in which the tracks were started.
    """
    left = [np.asarray(boxes, np.float64)[:, :4] for boxes in detections]
    tracks: list[tuple[np.ndarray, np.ndarray]] = []
    first = 0
    while True:
        while first < len(left) and not len(left[first]):
            first += 1
        if first == len(left):
            return tracks
        numbers: list[int] = []
        chosen: list[np.ndarray] = []
        for number in range(first, len(left)):
            if numbers and number - numbers[-1] > rules.max_gap:
                break
            left[number] = _take(left[number], number, numbers, chosen, rules)
        tracks.append((np.array(numbers), np.array(chosen)))


def _take(
    boxes: np.ndarray, number: int, numbers: list[int], chosen: list[np.ndarray], rules: TrackRules
) -> np.ndarray:
    """Move the faces of frame ``number`` that fit into the track; returns those that are left."""
    position = 0
    while position < len(boxes):
        if chosen and not overlap(boxes[position:], chosen[-1], rules.overlap_epsilon)[0] > rules.min_overlap:
            if rules.stop_at_mismatch:
                break
        else:
            numbers.append(number)
            chosen.append(boxes[position])
            boxes = np.delete(boxes, position, axis=0)
        # Removing shifted the next face into this position: stepping on passes over it, like the original.
        position += 1
    return boxes


def find_tracks(
    detections: Sequence[np.ndarray], shots: Sequence[tuple[int, int]], rules: TrackRules = JOONSON
) -> tuple[list[Track], list[Track]]:
    """Tracks of a clip -> (accepted in order, rejected for their length or size).

    detections: per frame of the clip (k, >= 4) boxes. shots: half-open frame ranges.
    """
    accepted: list[Track] = []
    rejected: list[Track] = []
    for first, end in shots:
        for numbers, boxes in link(detections[first:end], rules):
            track = interpolate(numbers + first, boxes)
            fits = (
                end - first >= rules.min_track
                and track.detections > rules.min_track
                and max(track.mean_size) > rules.min_face
            )
            (accepted if fits else rejected).append(track)
    return accepted, rejected


def interpolate(numbers: np.ndarray, boxes: np.ndarray) -> Track:
    """Detections at ascending frame ``numbers`` (m,) -> a track without gaps, missing boxes linear in time."""
    # Detectors thin overlapping boxes, so two faces of one frame never join one track; if a foreign detector's
    # did, the first counts.
    numbers, firsts = np.unique(numbers, return_index=True)
    boxes = boxes[firsts]
    frames = np.arange(numbers[0], numbers[-1] + 1)
    filled = np.stack([np.interp(frames, numbers, column) for column in boxes.T], axis=1)
    return Track(frames, filled, len(numbers))
