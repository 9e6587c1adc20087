"""Lip sync by SyncNet: confidence (Sync-C, LSE-C), distance (Sync-D, LSE-D) and audio-video offset.

``sync/exact`` follows joonson/syncnet_python without its lossy intermediates: decoded frames and PCM, no JPEG, no
re-encoding. Its numbers differ from published ones by what those losses cost, so its columns, and those of
``sync/crop``, have names of their own. Offsets are in frames at 25 fps; positive means that the audio is early, and
delaying the audio by k frames changes the offset by -k. Shifts beyond 15 frames cannot be seen: the confidence falls
to its floor instead.

Confidence, distance and offset are blind to a constant delay, for they look for the best shift and score that one.
``sync_d_zero`` is the distance as the clip is played, at shift 0. ``sync_in_tolerance`` is 1 where the clip's offset
lies inside the tolerance of ITU-R BT.1359-1 (sound up to 45 ms early or 125 ms late), else 0; a clip without
detectable sync (confidence below a tenth of the median distance) counts as outside. Over a set the offset is the
median, printed with its interval and the share of clips at most one frame from 0.
A clip with several face tracks is represented by the longest (ties: larger mean face area); all are kept in ``detail``.
Digital silence is scored like any audio (it gets the lowest confidence).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.extractors import syncnet
from t2av_bench.faces import crop, shots
from t2av_bench.faces.confirmed import WEIGHTS as BLAZEFACE_WEIGHTS
from t2av_bench.faces.confirmed import ConfirmedBlazeFace, confirmed_blazeface
from t2av_bench.faces.detect import S3FD, Detector, Haar, haar, s3fd
from t2av_bench.faces.find import face_tracks, main_track, sparsely
from t2av_bench.faces.track import JOONSON, Track
from t2av_bench.media.clip import PICTURES, SOUND, Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.metrics.base import Curve, Measurement, Pair, Settings
from t2av_bench.metrics.faster import ReducedPrecision
from t2av_bench.metrics.sync_quantities import TOLERANCE, claims, quantities, values
from t2av_bench.scores import Protocol
from t2av_bench.utils.inference import Dtype

PAPER = "Chung & Zisserman 2016, Out of time (ACCV workshop); pipeline joonson/syncnet_python 6efbb1c"
LIBRARIES = ("av", "opencv-contrib-python", "python_speech_features", "syncnet-python", "torch")
CURVE = "sync_distance_curve"
CURVES = (Curve(CURVE, "Sync distance", tuple(range(15, -16, -1)), lowest=True),)


def too_short(frames: int, samples: int) -> str | None:
    """The reason why so many frames and samples (16 kHz) cannot be compared, or None."""
    if syncnet.window_count(frames, samples) >= 1:
        return None
    least = syncnet.WINDOW + 1
    heard = samples // syncnet.SAMPLES_PER_FRAME
    return f"too short: {frames} frames of face and {heard} frames' worth of audio, {least} of both are needed"


def score_crops(crops: Iterable[np.ndarray], read_audio: Callable[[], np.ndarray], network) -> syncnet.SyncResult:
    """Score one face whose crops stream past.

    crops: batches (m, 224, 224, 3) uint8 RGB. read_audio: called when all crops are through, gives (n,) int16 at
    16 kHz that begins with the first crop. Unscorable where fewer than six frames overlap.
    """
    stream, count = network.stream(), 0
    for batch in crops:
        stream.add(batch)
        count += len(batch)
    audio = read_audio()
    reason = too_short(count, len(audio))
    if reason:
        raise Unscorable(reason)
    windows = syncnet.window_count(count, len(audio))
    return syncnet.compare(stream.finish()[:windows], network.embed_audio(syncnet.mfcc(audio), windows))


def score_tracks(
    frames: Iterable[np.ndarray], tracks: Sequence[Track], audio: np.ndarray, network
) -> list[syncnet.SyncResult | str]:
    """Score all tracks of a clip in one pass over its frames; a reason where a track has too little audio.

    frames: the clip's frames in order as (n, H, W, 3) uint8 RGB batches. audio: (n,) int16 at 16 kHz of the clip; a
    track gets the samples between its first frame's start and its last frame's end.
    """
    outcomes: list[_TrackScorer | str] = []
    for track in tracks:
        first, last = int(track.frames[0]), int(track.frames[-1])
        part = audio[first * syncnet.SAMPLES_PER_FRAME : (last + 1) * syncnet.SAMPLES_PER_FRAME]
        reason = too_short(len(track.frames), len(part))
        outcomes.append(reason or _TrackScorer(len(track.frames), part, network))
    for index, batch in crop.crop_tracks(frames, tracks):
        scorer = outcomes[index]
        if isinstance(scorer, _TrackScorer):
            scorer.add(batch)
    return [outcome if isinstance(outcome, str) else outcome.result() for outcome in outcomes]


class _TrackScorer:
    """Embeds one track while its crops stream past; frames that no window needs are left alone."""

    def __init__(self, frames: int, audio: np.ndarray, network) -> None:
        self.windows = syncnet.window_count(frames, len(audio))
        self._needed = self.windows + syncnet.WINDOW - 1
        self._stream = network.stream()
        self._network, self._audio = network, audio

    def add(self, crops: np.ndarray) -> None:
        if self._needed > 0:
            self._stream.add(crops[: self._needed])
            self._needed -= min(self._needed, len(crops))

    def result(self) -> syncnet.SyncResult:
        heard = self._network.embed_audio(syncnet.mfcc(self._audio), self.windows)
        return syncnet.compare(self._stream.finish(), heard)


def measurement(
    tracks: Sequence[Track | None], outcomes: Sequence[syncnet.SyncResult | str], chosen: int, suffix: str = ""
) -> Measurement:
    """The clip's measurement from its tracks' outcomes; Unscorable with the chosen track's reason."""
    result = outcomes[chosen]
    if isinstance(result, str):
        raise Unscorable(result)
    return Measurement(
        values=values(result.offset, result.confidence, result.distance, result.curve, suffix),
        detail={
            "tracks": [_describe(track, outcome) for track, outcome in zip(tracks, outcomes, strict=True)],
            "chosen_track": chosen,
        },
        features={CURVE: result.curve.astype(np.float32)},
    )


def choose(tracks: Sequence[Track], outcomes: Sequence[syncnet.SyncResult | str], clip_value: str = "longest") -> int:
    """Index of the track that stands for the clip: see ``SyncExact``."""
    scored = {i: outcome.confidence for i, outcome in enumerate(outcomes) if not isinstance(outcome, str)}
    if clip_value == "max_c" and scored:
        return max(scored, key=lambda index: scored[index])
    return main_track(tracks)


def _describe(track: Track | None, outcome: syncnet.SyncResult | str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if track is not None:
        width, height = track.mean_size
        facts |= {"first_frame": int(track.frames[0]), "last_frame": int(track.frames[-1])}
        facts |= {"detections": track.detections, "mean_width": round(width, 1), "mean_height": round(height, 1)}
    if isinstance(outcome, str):
        return {**facts, "reason": outcome}
    return {**facts, "sync_c": outcome.confidence, "sync_d": outcome.distance, "sync_offset": outcome.offset}


def clip_audio(clip: Clip) -> np.ndarray:
    """(n,) int16 mono at 16 kHz. MediaError where there is none."""
    return to_int16(clip.audio(syncnet.SAMPLE_RATE))


class _Sync(ReducedPrecision):
    """What the ids without lossy intermediates share."""

    paper = PAPER
    licence = "research"
    packages = ("cv2", "python_speech_features", "scenedetect", "syncnet_python", "torch")
    extra = "sync"
    curves = CURVES
    _suffix: ClassVar[str] = ""

    def _network(self):
        return syncnet.syncnet(self.settings.device, **self.reduced)

    def _protocol(self, parameters: dict[str, Any], *libraries: str) -> Protocol:
        shared = {"decode": "exact", **PICTURES, **SOUND, "syncnet": syncnet.PARAMETERS, "tolerance": TOLERANCE}
        return self.stated({**shared, **parameters, **self.reduced}, *sorted({*LIBRARIES, *libraries}))


class SyncExact(_Sync):
    """S3FD faces, tracks and crops as in the reference pipeline.

    min_track: frames with a detected face that a track must exceed. clip_value: the track that stands for the clip,
    ``longest`` or the one with the highest confidence (``max_c``). detect_every: faces are looked for in every n-th
    frame alone (see ``faces.sparse``). dtype: of the convolutions of SyncNet's mouths and of S3FD. All are part of the
    protocol; the last two make another, faster one, at the price that ``docs/faster.md`` states.
    """

    id = "sync/exact"
    title = "SyncNet lip sync, exact decode"
    weights: ClassVar[tuple[str, ...]] = ("syncnet_v2", "sfd_face")
    quantities = quantities("_exact", " (exact)")
    validity = claims("_exact")
    alternatives: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "detector": ("sync/exact-blazeface", "sync/exact-haar"), "crop rules": ("sync/crop",),
    }  # fmt: skip
    _detector: ClassVar[type[S3FD] | type[ConfirmedBlazeFace] | type[Haar]] = S3FD
    _suffix = "_exact"

    def __init__(
        self,
        settings: Settings | None = None,
        min_track: int = JOONSON.min_track,
        clip_value: Literal["longest", "max_c"] = "longest",
        detect_every: int = 1,
        dtype: Dtype = "float32",
    ) -> None:
        super().__init__(settings, dtype)
        if clip_value not in ("longest", "max_c"):
            raise ValueError(f"clip_value is 'longest' or 'max_c', got {clip_value!r}")
        if not isinstance(min_track, int) or min_track < 1:
            raise ValueError(f"min_track is a number of frames, at least 1, got {min_track!r}")
        if not isinstance(detect_every, int) or detect_every < 1:
            raise ValueError(f"detect_every is a number of frames, at least 1, got {detect_every!r}")
        self.rules, self.clip_value = replace(JOONSON, min_track=min_track), clip_value
        self.detect_every = detect_every

    @property
    def protocol(self) -> Protocol:
        return self._protocol(
            {
                "detector": {"name": self._detector.name, **self._detector.PARAMETERS},
                "shots": {"threshold": shots.THRESHOLD, "min_shot": shots.MIN_SHOT},
                "tracks": self.rules.as_dict(),
                "crop": crop.PARAMETERS,
                "clip_value": self.clip_value,
                **sparsely(self.detect_every),
            },
            "scenedetect",
        )

    def _find(self) -> Detector:
        return s3fd(self.settings.device, **self.reduced)

    def measure(self, pair: Pair) -> Measurement:
        network, detector = self._network(), self._find()
        clip = pair.generated
        if not clip.info.has_audio:
            clip_audio(clip)  # raises the reason, before a detector runs for nothing
        tracks = face_tracks(clip, detector, self.rules, self.detect_every)
        outcomes = score_tracks(clip.frames(), tracks, clip_audio(clip), network)
        return measurement(tracks, outcomes, choose(tracks, outcomes, self.clip_value), self._suffix)


class SyncExactBlazeFace(SyncExact):
    """The same with faces that BlazeFace proposes and the face mesh confirms (see ``faces.confirmed``): free weights
    of 4 MB. The box holds the face from forehead to chin; S3FD's differs, so the columns are its own."""

    id = "sync/exact-blazeface"
    title = "SyncNet lip sync, exact decode, BlazeFace faces"
    weights = ("syncnet_v2", *BLAZEFACE_WEIGHTS)
    quantities = quantities("_blazeface", " (BlazeFace)")
    validity = claims("_blazeface")
    alternatives = {"detector": ("sync/exact", "sync/exact-haar")}
    stand_in = True
    _detector = ConfirmedBlazeFace
    _suffix = "_blazeface"

    def _find(self) -> Detector:
        return confirmed_blazeface()


class SyncExactHaar(SyncExact):
    """The same with OpenCV's bundled frontal-face detector; its boxes differ, so its columns are its own."""

    id = "sync/exact-haar"
    title = "SyncNet lip sync, exact decode, Haar faces"
    weights = ("syncnet_v2",)
    quantities = quantities("_haar", " (Haar)")
    validity = claims("_haar")
    alternatives = {"detector": ("sync/exact", "sync/exact-blazeface")}
    stand_in = True
    _detector = Haar
    _suffix = "_haar"

    def _find(self) -> Detector:
        return haar()


class SyncCrop(_Sync):
    """For clips that are tight face crops already: every whole frame is resized to 224x224, no face is looked for."""

    id = "sync/crop"
    title = "SyncNet lip sync of face crops"
    weights = ("syncnet_v2",)
    quantities = quantities("_crop", " (crop)")
    validity = claims("_crop")
    _suffix = "_crop"

    @property
    def protocol(self) -> Protocol:
        return self._protocol({"detector": None, "resize": "whole frame to 224x224, linear"})

    def measure(self, pair: Pair) -> Measurement:
        network, clip = self._network(), pair.generated
        if not clip.info.has_audio:
            clip_audio(clip)
        # The frames come first: their pass over the file collects the audio as well.
        result = score_crops(crop.whole_frames(clip.frames()), lambda: clip_audio(clip), network)
        return measurement([None], [result], 0, self._suffix)
