"""Lip sync through the reference tools' own lossy files, for comparison with numbers that those tools printed.

The ``ffmpeg`` program transcodes the clip to MPEG-4 and MP3 at 25 frames/s, JPEG images of that are searched for
faces, the crops are compressed once more and read back as JPEG (see ``media.legacy``). Shots are found in the AVI as
OpenCV reads it, which is up to two frames shorter than the images, so the last images are never tracked. Two JPEG and
two MPEG-4 generations make C and D depend on the clip's audio rate and codec, and on the ffmpeg version, which is part
of the protocol: compare only clips of one container, codec and rate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import syncnet
from t2av_bench.faces import crop, shots
from t2av_bench.faces.detect import S3FD, s3fd
from t2av_bench.faces.find import Faces, detection_protocol, main_track, tracks_or_reason
from t2av_bench.faces.track import JOONSON, SYNCNET_PYTHON, Track, TrackRules
from t2av_bench.media import legacy
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.sync import CURVES, LIBRARIES, PAPER, measurement, score_crops
from t2av_bench.metrics.sync_quantities import TOLERANCE, claims, in_tolerance, quantities
from t2av_bench.scores import Protocol


class SyncJoonson(Metric):
    """joonson/syncnet_python at commit 6efbb1c (shot threshold 30 of its PySceneDetect 0.5.1).

    The original prints one result a track and defines none for the clip: here the longest track counts.
    """

    id = "sync/joonson"
    title = "SyncNet lip sync, files of joonson/syncnet_python"
    quantities = quantities()
    validity = claims()
    aliases = {
        "LSE-C": "sync_c", "SyncNet confidence": "sync_c", "LSE-D": "sync_d", "SyncNet distance": "sync_d",
        "AV offset": "sync_offset",
    }  # fmt: skip
    paper = PAPER
    weights = ("syncnet_v2", "sfd_face")
    licence = "research"
    packages = ("cv2", "python_speech_features", "scenedetect", "syncnet_python", "torch")
    extra = "sync"
    curves = CURVES
    alternatives: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "implementation": ("sync/syncnet-python", "sync/exact"),
        "detector": ("sync/exact-blazeface", "sync/exact-haar"),
    }  # fmt: skip
    rules: ClassVar[TrackRules] = JOONSON
    shot_threshold: ClassVar[float] = 30.0
    merge_cuts: ClassVar[bool] = False
    clip_value: ClassVar[str] = "longest track"

    @property
    def protocol(self) -> Protocol:
        try:
            program = legacy.ffmpeg_version()
        except NotApplicable:
            program = "absent"
        parameters = {
            "decode": "mpeg4, mp3 and jpeg as the tool writes them",
            "detector": {"name": S3FD.name, **S3FD.PARAMETERS},
            "shots": self._shot_parameters(),
            "tracks": self.rules.as_dict(),
            "crop": crop.PARAMETERS,
            "syncnet": syncnet.PARAMETERS,
            "tolerance": TOLERANCE,
            "clip_value": self.clip_value,
        }
        stated = self.stated(parameters, *LIBRARIES, "scenedetect")
        return replace(stated, libraries={**stated.libraries, "ffmpeg": program})

    def measure(self, pair: Pair) -> Measurement:
        network = syncnet.syncnet(self.settings.device)
        detector = s3fd(self.settings.device)
        clip = pair.generated
        media = self._read(clip)
        try:
            faces = self._faces(clip, media, detector)
            tracks = tracks_or_reason(faces, self.rules)
            outcomes = [_score(media, track, network) for track in tracks]
        finally:
            media.close()
        return self._summarise(tracks, outcomes)

    def _read(self, clip: Clip) -> legacy.LegacyMedia:
        return legacy.joonson(clip)

    def _summarise(self, tracks: Sequence[Track], outcomes: Sequence[syncnet.SyncResult | str]) -> Measurement:
        return measurement(tracks, outcomes, main_track(tracks))

    def _shot_parameters(self) -> dict[str, Any]:
        return {"threshold": self.shot_threshold, "min_shot": shots.MIN_SHOT, "merge": self.merge_cuts}

    def _faces(self, clip: Clip, media: legacy.LegacyMedia, detector: S3FD) -> Faces:
        """Detections in the images and shots of the AVI, kept across runs by everything that moves them."""

        def compute() -> dict[str, np.ndarray]:
            detections = [boxes for batch in media.frames() for boxes in detector.detect(batch)]
            cutter = shots.ShotCutter(self.shot_threshold, self.merge_cuts)
            for frame in _avi_frames(media):
                cutter.add(frame[None])
            return Faces(detections, cutter.shots()).to_arrays()

        seen = detection_protocol(detector)
        protocol = replace(
            seen, id=f"{seen.id}-legacy", parameters={**seen.parameters, "shots": self._shot_parameters()},
            libraries={**seen.libraries, "ffmpeg": legacy.ffmpeg_version()},
        )  # fmt: skip
        return Faces.from_arrays(clip.stored(protocol.fingerprint, "faces", compute))


class SyncSyncnetPython(SyncJoonson):
    """syncnet-python 0.2.3 (also MoChaBench's script): tracks from 50 frames, sound from the clip itself.

    Its clip value is the highest C and the lowest D over all tracks, possibly of different ones, and the first
    track's offset; the distance at shift 0 is that of the track with the highest C. Its frames lag its sound by the
    AVI's whole gap (one or two frames at common audio rates).
    """

    id = "sync/syncnet-python"
    title = "SyncNet lip sync, files of syncnet-python 0.2.3"
    alternatives = {"implementation": ("sync/joonson", "sync/exact")}
    rules = SYNCNET_PYTHON
    shot_threshold = shots.THRESHOLD
    merge_cuts = True
    clip_value = "maximum C, minimum D, offset of the first track"

    def _read(self, clip: Clip) -> legacy.LegacyMedia:
        return legacy.syncnet_python(clip)

    def _summarise(self, tracks: Sequence[Track], outcomes: Sequence[syncnet.SyncResult | str]) -> Measurement:
        scored = {index: result for index, result in enumerate(outcomes) if not isinstance(result, str)}
        if not scored:
            raise Unscorable(str(outcomes[0]))
        surest = max(scored, key=lambda index: scored[index].confidence)
        found = measurement(tracks, outcomes, surest)
        found.values["sync_d"] = min(result.distance for result in scored.values())
        found.values["sync_offset"] = float(scored[min(scored)].offset)
        found.values["sync_in_tolerance"] = in_tolerance(
            found.values["sync_offset"], found.values["sync_c"], found.values["sync_d"]
        )
        return found


def _score(media: legacy.LegacyMedia, track: Track, network) -> syncnet.SyncResult | str:
    """One track through the second generation of losses; a reason where it cannot be scored."""
    crops = np.concatenate([batch for _, batch in crop.crop_tracks(media.frames(), [track])])
    cut = legacy.crop_round_trip(crops, media.audio, int(track.frames[0]))
    try:
        return score_crops(cut.frames(), lambda: cut.audio, network)
    except Unscorable as reason:
        return str(reason)
    finally:
        cut.close()


def _avi_frames(media: legacy.LegacyMedia) -> Iterator[np.ndarray]:
    """The transcoded AVI's frames (H, W, 3) uint8 RGB as OpenCV, and so PySceneDetect, reads them."""
    import cv2

    capture = cv2.VideoCapture(str(media.avi))
    try:
        while True:
            read, picture = capture.read()
            if not read:
                return
            yield picture[:, :, ::-1]
    finally:
        capture.release()
