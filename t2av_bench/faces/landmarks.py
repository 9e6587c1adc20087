"""Landmarks of a clip's main face, frame by frame.

A face is detected at the start of a shot, every 8th frame after it and where one was lost; in between it is looked for
where its points were in the frame before. Nothing is carried across a cut. The main face is the one found in most
frames, ties the larger mean area, then the earlier.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import Unscorable
from t2av_bench.faces.confirmed import SAME_FACE, WEIGHTS, ConfirmedBlazeFace, confirmed_blazeface
from t2av_bench.faces.mesh import Region, box_of
from t2av_bench.faces.mesh_points import POINTS
from t2av_bench.faces.shots import MIN_SHOT, THRESHOLD, shots_in
from t2av_bench.faces.track import overlap
from t2av_bench.media.clip import PICTURES, Clip
from t2av_bench.scores import Protocol, library_versions

LANDMARK_WEIGHTS = WEIGHTS
DETECT_EVERY = 8
MAX_GAP = 25
MOST_FACES = 4
PARAMETERS: dict[str, Any] = {
    "detect_every": DETECT_EVERY,
    "max_gap": MAX_GAP,
    "most_faces": MOST_FACES,
    "main_face": "most frames, then largest",
    "shots": {"threshold": THRESHOLD, "min_shot": MIN_SHOT},
}


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The mesh of one face over a clip at 25 fps (``faces.mesh_points`` names its points).

    frames: (n,) int64, ascending numbers of the frames in which the face was found; there may be gaps.
    points: (n, 468, 3) float32: x to the right, y down in pixels of the frame, z in the same unit, smaller is nearer.
    presence: (n,) float32, the network's probability that there is a face where it looked.
    count: frames of the whole clip. size: (width, height) of the frames in pixels.
    shots: half-open ranges of frames between cuts; all ``frames`` lie in one of them.
    """

    frames: np.ndarray
    points: np.ndarray
    presence: np.ndarray
    count: int
    size: tuple[int, int]
    shots: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class MeshTrack:
    """One face of one shot while it is followed: frame numbers, points (468, 3) and presences so far."""

    frames: list[int] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    presence: list[float] = field(default_factory=list)

    def add(self, number: int, points: np.ndarray, presence: float) -> None:
        self.frames.append(number)
        self.points.append(points)
        self.presence.append(presence)

    @property
    def box(self) -> np.ndarray:
        """(4,) float64: where the face was last."""
        return box_of(self.points[-1])

    @property
    def mean_area(self) -> float:
        """Mean area of the box around the points, in square pixels."""
        return float(np.mean([np.prod(np.ptp(points[:, :2], axis=0)) for points in self.points]))


def follow(
    frames: Iterable[np.ndarray], shots: Sequence[tuple[int, int]], detector: ConfirmedBlazeFace
) -> list[MeshTrack]:
    """All faces of a clip, in order of their first frames.

    frames: batches (n, H, W, 3) uint8 RGB that stream past. shots: half-open frame ranges that cover them.
    """
    starts = {first for first, _ in shots}
    ended: list[MeshTrack] = []
    live: list[MeshTrack] = []
    start = number = 0
    for batch in frames:
        for frame in batch:
            if number in starts:
                ended, live, start = ended + live, [], number
            ended += [track for track in live if number - track.frames[-1] > MAX_GAP]
            live = [track for track in live if number - track.frames[-1] <= MAX_GAP]
            _step(frame, number, live, detector, (number - start) % DETECT_EVERY == 0)
            number += 1
    return sorted(ended + live, key=lambda track: track.frames[0])


def main_face(tracks: Sequence[MeshTrack]) -> MeshTrack:
    """The one that stands for the clip; an empty one where there is none."""
    return max(tracks, key=lambda track: (len(track.frames), track.mean_area, -track.frames[0]), default=MeshTrack())


def _step(frame: np.ndarray, number: int, live: list[MeshTrack], detector: ConfirmedBlazeFace, due: bool) -> None:
    """Look for every live face in its place and, where that is due or one was lost just now, for all faces."""
    lost = False
    for track in live:
        points, presence = detector.mesh.look(frame, Region.of_points(track.points[-1]))
        # Two tracks that slide onto one face: it stays with the one that was there first.
        taken = any(_same(box_of(points), other, number) for other in live)
        if presence >= detector.parameters["presence"] and not taken:
            track.add(number, points, presence)
        else:
            lost = lost or track.frames[-1] == number - 1
    if not (due or lost):
        return
    largest_first = sorted(detector.faces(frame), key=lambda face: -np.prod(face.box[2:] - face.box[:2]))
    for face in largest_first[:MOST_FACES]:
        if any(_same(face.box, track, number) for track in live):
            continue
        near = [
            track for track in live if track.frames[-1] < number and overlap(track.box[None], face.box)[0] > SAME_FACE
        ]
        if near:
            near[0].add(number, face.points, face.presence)
        elif len(live) < MOST_FACES:
            live.append(MeshTrack([number], [face.points], [face.presence]))


def _same(box: np.ndarray, track: MeshTrack, number: int) -> bool:
    return track.frames[-1] == number and bool(overlap(track.box[None], box)[0] > SAME_FACE)


def landmark_protocol() -> Protocol:
    """Everything that moves landmarks: a metric on them merges this into its own protocol."""
    return Protocol(
        "faces/landmarks",
        parameters={**PICTURES, "detector": {"name": ConfirmedBlazeFace.name, **ConfirmedBlazeFace.PARAMETERS}}
        | PARAMETERS,
        weights={id: weights.digest(id) for id in LANDMARK_WEIGHTS},
        libraries=library_versions("av", "opencv-contrib-python", "scenedetect"),
    )


def landmarks_in(clip: Clip) -> Landmarks:
    """Landmarks of the main face of a clip at 25 fps, kept across runs where the clip has a feature store.

    Unscorable where there is no face; NotApplicable with the command where weights are missing.
    """
    detector = confirmed_blazeface()
    arrays = clip.stored(landmark_protocol().fingerprint, "landmarks", lambda: _look(clip, detector))
    count, width, height = (int(value) for value in arrays["clip"])
    if not len(arrays["frames"]):
        raise Unscorable(f"no face found in any of {count} frames")
    shots = tuple((int(first), int(end)) for first, end in arrays["shots"])
    return Landmarks(arrays["frames"], arrays["points"], arrays["presence"], count, (width, height), shots)


def _look(clip: Clip, detector: ConfirmedBlazeFace) -> dict[str, np.ndarray]:
    shots = shots_in(clip)
    tracks = follow((frame[None] for frame in clip.each_frame()), shots, detector)
    main = main_face(tracks)
    height, width = next(clip.each_frame()).shape[:2]
    return {
        "frames": np.array(main.frames, np.int64),
        "points": np.array(main.points, np.float32).reshape(-1, POINTS, 3),
        "presence": np.array(main.presence, np.float32),
        "shots": np.array(shots, np.int64).reshape(-1, 2),
        "clip": np.array([clip.frame_count, width, height], np.int64),
    }
