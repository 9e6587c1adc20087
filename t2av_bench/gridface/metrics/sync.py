"""Lip sync of the embedded benchmark's clips, by a tiny network of our own: a stand-in, on its own scale.

Confidence, distance and offset are defined as in the published protocol (``sync/exact``): over offsets of 15 frames
each way, the distance is the smallest mean distance of mouth and sound embeddings, the confidence the median minus the
smallest, the offset positive where the audio is early. Embeddings have unit length, so distances lie between 0 and 2;
means take the windows that picture and sound both have, so the clip's length does not matter. The mouth is cut at a
fixed place of the frame, after a look whether there is a face in GridFace's place. The network knows GridFace's
drawing and espeak-ng's voices alone and is close to saturation on them: see ``docs/embedded_metrics.md``.
"""

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.extractors.syncnet import SAMPLE_RATE
from t2av_bench.faces.detect import Haar
from t2av_bench.gridface.extractors import pictures as gridface_pictures
from t2av_bench.gridface.extractors import sync as gridface_sync
from t2av_bench.gridface.models.loading import digest
from t2av_bench.media.clip import PICTURES
from t2av_bench.metrics.base import Curve, Measurement, Metric, Pair
from t2av_bench.metrics.speech_input import PARAMETERS as SPEECH_PARAMETERS
from t2av_bench.metrics.speech_input import check_speech
from t2av_bench.metrics.sync_quantities import TOLERANCE, claims, quantities, values
from t2av_bench.scores import Protocol, library_versions

CURVE = "sync_gridface_distance_curve"


class SyncGridFace(Metric):
    """GridFace's lip-sync network on the whole clip."""

    id = "sync/gridface"
    title = "Lip sync of GridFace clips (embedded)"
    paper = "this project; definitions of Chung & Zisserman 2016, Out of time (ACCV workshop)"
    packages = ("cv2", "python_speech_features", "torch")
    extra = "sync"
    stand_in = True
    curves = (Curve(CURVE, "Sync distance (GridFace)", tuple(range(15, -16, -1)), lowest=True),)
    quantities = quantities("_gridface", " (GridFace)", 2.0)
    validity = claims("_gridface")

    @property
    def protocol(self) -> Protocol:
        parameters = {
            **SPEECH_PARAMETERS,
            **PICTURES,
            **gridface_pictures.PICTURE_PARAMETERS,
            "face": {"detector": Haar.name, **Haar.PARAMETERS, **gridface_pictures.FACE_PARAMETERS},
            "sync": gridface_sync.PARAMETERS,
            "tolerance": TOLERANCE,
            "checkpoint": digest(gridface_sync.CHECKPOINT),
        }
        libraries = library_versions("av", "opencv-contrib-python", "python_speech_features", "soxr", "torch")
        return Protocol(self.id, parameters, {}, libraries)

    def measure(self, pair: Pair) -> Measurement:
        clip = pair.generated
        if not clip.info.has_audio:
            clip.audio(SAMPLE_RATE)  # raises the reason, before anything runs for nothing
        least, count = gridface_sync.LEAST_FRAMES, clip.frame_count
        audio = check_speech(clip.audio(SAMPLE_RATE), 0)
        heard = len(audio) // gridface_sync.SAMPLES_PER_FRAME
        if min(count, heard) < least:
            raise Unscorable(
                f"too short: {count} frames and {heard} frames' worth of audio, {least} of both are needed"
            )
        gridface_pictures.check_face(clip)
        pictures = clip.memo(("gridface", "mouths"), lambda: gridface_sync.stream_mouths(clip.frames()))
        result = gridface_sync.load_sync(self.settings.device).score(pictures, audio)
        return Measurement(
            values=values(result.offset, result.confidence, result.distance, result.curve, "_gridface"),
            detail={"frames": count, "audio_frames": heard},
            features={CURVE: result.curve.astype(np.float32)},
        )
