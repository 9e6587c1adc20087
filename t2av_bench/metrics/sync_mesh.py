"""Lip sync on real faces by a network of our own, which anyone may run anywhere.

A face mesh sees the mouth, log-mel energies are the sound, and a small network, trained on clips under Apache-2.0,
makes unit vectors of both (see ``t2av_bench.mesh_sync``). How it was made, how well it agrees with SyncNet, what its
values mean and where it fails, `docs/lip_sync.md` says.

The distance of mouth and sound is taken at shifts of up to 0.6 s either way, as SyncNet's is. ``sync_d_mesh`` is the
lowest, 0 to 2. ``sync_c_mesh`` says how far it lies below the median of all shifts, each second of the clip being read
where the *other half* is in sync: so it is about 0, whatever the clip's length, where nothing is in sync.
``sync_offset_mesh`` is where the lowest is, in milliseconds, positive where the audio is early. ``sync_d_zero_mesh``
is the distance as the clip is played. ``sync_in_tolerance_mesh`` is 1 where the offset lies inside the tolerance of
ITU-R BT.1359-1 (sound up to 45 ms early or 125 ms late), else 0; a clip without detectable sync counts as outside.
None of these may be compared with SyncNet's.

A clip is not judged, and its reason has the numbers, where face and sound overlap for less than 2 s, or where too
little speech (silero-vad) is heard while the face is seen. SyncNet judges such clips, and gives silence its lowest
confidence; here they stay in the count without a score. A face that stands still while somebody speaks is judged.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import Unscorable
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.metrics.base import Curve, Measurement, Metric, Pair
from t2av_bench.metrics.sync_quantities import EARLY_MS, FRAME_MS, LATE_MS, MAX_SHIFT, claims, inside
from t2av_bench.metrics.theval_speech import speech_frames
from t2av_bench.scores import Protocol, Quantity

if TYPE_CHECKING:
    from t2av_bench.mesh_sync.score import MeshSyncScore

CURVE = "sync_mesh_distance_curve"
FRAMES = "sync_mesh_frame_distances"
# Chosen on training clips (docs/lip_sync.md): with less speech, clips in sync are hardly told from others; and three in
# four clips with a stranger's sound lie below this confidence, so that four in a hundred are in tolerance by chance.
LEAST_SPEECH = 2.0
LEAST_CONFIDENCE = 0.06
_SHIFT_MS = MAX_SHIFT * FRAME_MS


def require_speech(seen: np.ndarray, speech: np.ndarray) -> float:
    """Seconds of speech that are heard while the face is seen. Raises Unscorable where they are too few.

    seen: (T,) bool, frames at 25 fps with the face. speech: (k, 2) samples at 16 kHz of ``silero_vad.speech_in``.
    """
    heard = speech_frames(speech, len(seen))
    both = int((heard & seen).sum())
    if both < LEAST_SPEECH * FRAME_RATE:
        raise Unscorable(
            f"too little speech: {both / FRAME_RATE:.2f} s are heard while the face is seen, at least {LEAST_SPEECH:g} "
            f"s are needed ({heard.sum() / FRAME_RATE:.2f} s of speech, {seen.sum() / FRAME_RATE:.2f} s of face in "
            f"{len(seen) / FRAME_RATE:.2f} s)"
        )
    return both / FRAME_RATE


def values(found: "MeshSyncScore") -> dict[str, float]:
    """Quantity name -> value of one clip."""
    in_sync = found.confidence >= LEAST_CONFIDENCE
    return {
        "sync_c_mesh": found.confidence,
        "sync_d_mesh": found.distance,
        "sync_d_zero_mesh": found.distance_zero,
        "sync_in_tolerance_mesh": float(in_sync and inside(found.offset_ms)),
        "sync_offset_mesh": found.offset_ms,
    }


class SyncMesh(Metric):
    """The packaged network on the whole clip's main face."""

    id = "sync/mesh"
    title = "Lip sync by face mesh and sound"
    paper = (
        "this project; definitions of Chung & Zisserman 2016, Out of time (ACCV workshop); "
        "landmarks of Kartynnik et al. 2019 (arXiv 1907.06724)"
    )
    weights = (*LANDMARK_WEIGHTS, "silero_vad")
    packages = ("cv2", "onnxruntime", "python_speech_features", "scenedetect")
    extra = "sync"
    curves = (Curve(CURVE, "Sync distance (mesh)", tuple(range(MAX_SHIFT, -MAX_SHIFT - 1, -1)), lowest=True),)
    quantities = (
        Quantity("sync_c_mesh", "Sync-C (mesh)", "higher", "", (-2.0, 2.0), penalty=0.0),
        Quantity("sync_d_mesh", "Sync-D (mesh)", "lower", "", (0.0, 2.0), penalty="worst"),
        Quantity("sync_d_zero_mesh", "Sync-D at 0 (mesh)", "lower", "", (0.0, 2.0), penalty="worst"),
        Quantity("sync_in_tolerance_mesh", "In tolerance (mesh)", "higher", "", (0.0, 1.0), penalty=0.0),
        Quantity("sync_offset_mesh", "Offset (mesh)", "none", "ms", (-_SHIFT_MS, _SHIFT_MS), 0, "median"),
    )
    # The source's own clock is kept, so neither of the two moves anything.
    validity = {name: {**each, "container": "same", "frame_rate": "same"} for name, each in claims("_mesh").items()}

    @property
    def protocol(self) -> Protocol:
        from t2av_bench.extractors.silero_vad import PARAMETERS as voice_activity
        from t2av_bench.mesh_sync.features import feature_protocol
        from t2av_bench.mesh_sync.network import digest
        from t2av_bench.mesh_sync.score import PARAMETERS as scoring

        seen = feature_protocol()
        parameters: dict[str, Any] = {
            **seen.parameters, **voice_activity, **scoring, "least_speech_seconds": LEAST_SPEECH, "network": digest(),
            "tolerance": {"standard": "ITU-R BT.1359-1", "early_ms": EARLY_MS, "late_ms": LATE_MS,
                          "least_confidence": LEAST_CONFIDENCE},
        }  # fmt: skip
        return self.stated(parameters, *seen.libraries, "onnxruntime", "python_speech_features", "soxr")

    def measure(self, pair: Pair) -> Measurement:
        from t2av_bench.extractors.silero_vad import speech_in
        from t2av_bench.mesh_sync.features import mesh_sync_features
        from t2av_bench.mesh_sync.network import load
        from t2av_bench.mesh_sync.score import score

        for id in self.weights:  # where they are missing, no clip is to blame
            weights.path(id)
        network, clip = load(), pair.generated
        features = mesh_sync_features(clip)
        seconds = require_speech(features.seen, speech_in(clip))
        found = score(features, network)
        return Measurement(
            values=values(found),
            detail={
                "standard_error_c": found.error, "windows": found.windows, "face_share": features.share,
                "speech_seconds": seconds,
            },
            features={
                CURVE: found.curve.astype(np.float32),
                FRAMES: np.stack([found.frames, found.frames_zero], axis=1),
            },
        )  # fmt: skip
