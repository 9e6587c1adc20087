"""Faces of a clip: detections and shots in one pass over its frames, then tracks; each computed once per clip.

What a clip does not deliver is a reason that says what was found and what is needed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import Unscorable
from t2av_bench.faces import confirmed, sparse
from t2av_bench.faces.detect import Detector, haar, s3fd
from t2av_bench.faces.shots import MIN_SHOT, THRESHOLD, ShotCutter, shots_in
from t2av_bench.faces.track import JOONSON, Track, TrackRules, find_tracks
from t2av_bench.media.clip import Clip
from t2av_bench.scores import Protocol, library_versions

# Frames a pass; fixed, so that a detector's batches never depend on a setting.
_PASS = 32


@dataclass(frozen=True, slots=True)
class Faces:
    """All that was seen in a clip: per frame (k, 5) boxes with scores, and the shots as half-open frame ranges."""

    detections: list[np.ndarray]
    shots: list[tuple[int, int]]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Flat arrays, as a feature store keeps them."""
        counts = np.array([len(boxes) for boxes in self.detections], np.int64)
        boxes = np.concatenate([np.empty((0, 5)), *self.detections])
        return {"boxes": boxes, "counts": counts, "shots": np.array(self.shots, np.int64).reshape(-1, 2)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Faces":
        ends = np.cumsum(arrays["counts"])
        shots = [(int(first), int(end)) for first, end in arrays["shots"]]
        return cls(np.split(arrays["boxes"], ends)[: len(ends)], shots)


def best_detector(device: str = "cpu") -> Detector:
    """For where no protocol says which: S3FD where its weights are there, else BlazeFace, Haar last."""
    store = weights.configured()

    def here(*ids: str) -> bool:  # a table of one's own need not have them
        return all(id in store.table and store.is_present(id) for id in ids)

    return s3fd(device) if here("sfd_face") else confirmed.confirmed_blazeface() if here(*confirmed.WEIGHTS) else haar()


def detection_protocol(detector: Detector, every: int = 1) -> Protocol:
    """Everything that moves detections and shots; ``every``: see ``faces_in``."""
    return Protocol(
        f"faces/{detector.name}",
        parameters={**detector.parameters, "shot_threshold": THRESHOLD, "min_shot": MIN_SHOT, **sparsely(every)},
        weights=dict(detector.weights),
        libraries=library_versions("opencv-contrib-python", "scenedetect", "syncnet-python", "torch"),
    )


def sparsely(every: int) -> dict[str, Any]:
    """What looking in every n-th frame alone adds to a protocol's parameters; nothing for every frame."""
    return {} if every == 1 else {"detect_every": {"frames": every, "same_face_overlap": sparse.SAME_FACE}}


def look(frames: Iterable[np.ndarray], detector: Detector) -> Faces:
    """Detect faces and cuts in frames that stream past, batches of (n, H, W, 3) uint8 RGB."""
    cutter = ShotCutter()
    detections: list[np.ndarray] = []
    for batch in frames:
        detections += detector.detect(batch)
        cutter.add(batch)
    return Faces(detections, cutter.shots())


def look_sparsely(clip: Clip, detector: Detector, every: int) -> Faces:
    """Detect faces in every n-th frame of each shot (see ``sparse``); a frame between two looks that show the same face
    counts as one where it was detected."""
    shots = shots_in(clip)
    numbers = sparse.looks(shots, every)
    seen = [boxes for batch in sparse.chosen(clip.frames(_PASS), numbers, _PASS) for boxes in detector.detect(batch)]
    return Faces(sparse.fill(numbers, seen, shots), shots)


def faces_in(clip: Clip, detector: Detector, every: int = 1) -> Faces:
    """Detections and shots of a clip at 25 fps, kept across runs where the clip has a feature store.

    every: look in every n-th frame alone.
    """

    def found() -> dict[str, np.ndarray]:
        seen = look(clip.frames(_PASS), detector) if every == 1 else look_sparsely(clip, detector, every)
        return seen.to_arrays()

    return Faces.from_arrays(clip.stored(detection_protocol(detector, every).fingerprint, "faces", found))


def face_tracks(clip: Clip, detector: Detector, rules: TrackRules = JOONSON, every: int = 1) -> list[Track]:
    """The clip's face tracks, in order of detection; at least one. Unscorable with the reason where there is none.

    every: see ``faces_in``.
    """
    return clip.memo(
        ("face tracks", detection_protocol(detector, every).fingerprint, rules),
        lambda: tracks_or_reason(faces_in(clip, detector, every), rules),
    )


def tracks_or_reason(faces: Faces, rules: TrackRules = JOONSON) -> list[Track]:
    """Tracks by ``rules``; Unscorable that names what was found and what is needed where there is none."""
    accepted, rejected = find_tracks(faces.detections, faces.shots, rules)
    if accepted:
        return accepted
    count, needed = len(faces.detections), rules.min_track
    if not rejected:
        raise Unscorable(f"no face found in any of {count} frames")
    if count <= needed:
        raise Unscorable(f"the clip has {count} frames, a face track needs a face in more than {needed}")
    longest = max(rejected, key=lambda track: track.detections)
    if longest.detections > needed:
        sizes = [max(track.mean_size) for track in rejected if track.detections > needed]
        raise Unscorable(
            f"no face is large enough: the largest that lasts more than {needed} frames is {max(sizes):.0f} pixels "
            f"on average, more than {rules.min_face:.0f} are needed"
        )
    raise Unscorable(f"longest face track is {longest.detections} frames, more than {needed} are needed")


def main_track(tracks: Sequence[Track]) -> int:
    """Index of the track that stands for the clip: the longest, ties by larger mean face area, then the first."""
    return max(range(len(tracks)), key=lambda index: (len(tracks[index].frames), tracks[index].mean_area, -index))
