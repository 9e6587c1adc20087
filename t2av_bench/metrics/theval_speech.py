"""What the lips do while there is speech, and while there is none: THEval's two measures that listen.

See ``theval`` for what the two forms of a measure are and why neither compares with published values. Speech is where
silero-vad hears it.

Mouth openness against loudness is a weak measure of lip sync, to be read over many clips: a mouth need not open as the
voice swells. Over 69 clips of MoChaBench a shift of 0.12 to 0.6 s raises ``lip_loudness`` from 0.307 to 0.327 … 0.349
and ``theval_lip_sync`` from 0.278 to 0.292 … 0.308; of single clips, two in three have the lower value unshifted.
"""

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import silero_vad
from t2av_bench.extractors.silero_vad import speech_in
from t2av_bench.faces.head_pose import eye_distance
from t2av_bench.faces.landmarks import LANDMARK_WEIGHTS, Landmarks, landmark_protocol
from t2av_bench.faces.mesh_points import LEFT_EYE_INNER, LEFT_EYE_OUTER, RIGHT_EYE_INNER, RIGHT_EYE_OUTER
from t2av_bench.media.clip import FRAME_RATE, SOUND
from t2av_bench.metrics.base import Measurement, Pair
from t2av_bench.metrics.theval import LIP_FRAME, OfLandmarks, stretched, true_ranges
from t2av_bench.scores import Protocol, Quantity, library_versions

SAMPLE_RATE = 16000
# Inner lips from the person's right to left, without the corners: the points of one column face each other.
UPPER = (191, 80, 81, 82, 13, 312, 311, 310)
LOWER = (95, 88, 178, 87, 14, 317, 402, 318)
LEAST_SPEECH = 0.1
# THEval's: loudness in windows of 50 ms; silence that counts lasts at least 300 ms, or 7.5 frames.
LOUDNESS_WINDOW = SAMPLE_RATE // 20
LEAST_SILENCE = 0.3
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE


def lip_gap(landmarks: Landmarks) -> np.ndarray:
    """(n,) mean distance in space between facing points of the inner lips, in interocular distances."""
    points = landmarks.points.astype(np.float64)
    gaps = np.linalg.norm(points[:, UPPER] - points[:, LOWER], axis=2).mean(1)
    return np.asarray(gaps / eye_distance(points))


# Where there is speech ------------------------------------------------------------------------------------------------


def speech_frames(segments: np.ndarray, count: int) -> np.ndarray:
    """(count,) whether the middle of a frame lies in a segment. segments: (k, 2) samples at 16 kHz."""
    middles = (np.arange(count) + 0.5) * SAMPLES_PER_FRAME
    return np.asarray([((segments[:, 0] <= at) & (at < segments[:, 1])).any() for at in middles], bool)


def theval_speech_frames(segments: np.ndarray, count: int) -> np.ndarray:
    """As ``speech_frames``, as THEval has them: ends rounded to 0.1 s, and the frame of the end counts too."""
    found = np.zeros(count, bool)
    for begin, end in np.round(np.asarray(segments) / SAMPLE_RATE, 1):
        found[int(begin * FRAME_RATE) : int(end * FRAME_RATE) + 1] = True
    return found


def silent_frames(speech: np.ndarray) -> np.ndarray:
    """(count,) of those frames without speech that lie in a run of 300 ms or more."""
    found = np.zeros(len(speech), bool)
    for begin, end in true_ranges(~speech):
        found[begin:end] = end - begin >= LEAST_SILENCE * FRAME_RATE
    return found


# Mouth openness against loudness --------------------------------------------------------------------------------------


def theval_loudness(audio: np.ndarray, count: int) -> np.ndarray:
    """(count,) root mean square of windows of 50 ms, centred on every 50 ms, interpolated to the frames' beginnings."""
    steps = 1 + len(audio) // LOUDNESS_WINDOW
    padded = np.zeros(steps * LOUDNESS_WINDOW)
    there = audio[: len(padded) - LOUDNESS_WINDOW // 2]
    padded[LOUDNESS_WINDOW // 2 :][: len(there)] = there
    level = np.sqrt(np.square(padded.reshape(steps, LOUDNESS_WINDOW)).mean(1))
    times = np.arange(steps) * LOUDNESS_WINDOW / SAMPLE_RATE
    return np.asarray(np.interp(np.arange(count) / FRAME_RATE, times, level))


def theval_lip_sync(landmarks: Landmarks, speech: np.ndarray, loudness: np.ndarray) -> float:
    """Mean absolute difference of mouth openness and loudness in frames with speech, both scaled to 0 ... 1 there.

    speech, loudness: (count,). Openness: difference of the mean heights of the upper and the lower inner lip over that
    of the eyes' places across, in a frame that is stretched to a square. Raises Unscorable where less than 10 % of the
    frames hold speech, or fewer than two of them a face.
    """
    _require_speech(speech)
    points = stretched(landmarks, LIP_FRAME)
    eyes = [points[:, [outer, inner], 0].mean(1) for outer, inner in (
        (RIGHT_EYE_OUTER, RIGHT_EYE_INNER), (LEFT_EYE_OUTER, LEFT_EYE_INNER)
    )]  # fmt: skip
    openness = np.abs(points[:, UPPER, 1].mean(1) - points[:, LOWER, 1].mean(1)) / np.abs(eyes[0] - eyes[1])
    heard = speech[landmarks.frames]
    if heard.sum() < 2:
        raise Unscorable("the face is seen in fewer than 2 frames with speech")

    def scaled(values: np.ndarray) -> np.ndarray:
        return (values - values.min()) / (np.ptp(values) + 1e-8)

    return float(np.abs(scaled(openness[heard]) - scaled(loudness[landmarks.frames][heard])).mean())


def lip_loudness(landmarks: Landmarks, speech: np.ndarray, audio: np.ndarray) -> float:
    """Mean absolute difference of the ranks of lip gap and loudness in frames with speech, ranks as shares of all.

    0: the louder, the wider, without exception. 1/3: they have nothing to do with each other. 1/2: the louder, the
    narrower (Spearman's footrule over the number of frames). Loudness is the root mean square of the frame's own
    40 ms. Raises Unscorable as ``theval_lip_sync``, and where one of them never changes.
    """
    from scipy.stats import rankdata

    _require_speech(speech)
    whole = len(audio) // SAMPLES_PER_FRAME
    level = np.sqrt(np.square(audio[: whole * SAMPLES_PER_FRAME].reshape(whole, -1), dtype=np.float64).mean(1))
    heard = (landmarks.frames < whole) & speech[landmarks.frames]
    if heard.sum() < FRAME_RATE:
        raise Unscorable(f"the face is seen in {heard.sum()} frames with speech, at least {FRAME_RATE} are needed")
    gap, loudness = lip_gap(landmarks)[heard], level[landmarks.frames[heard]]
    for what, values in (("the lips never move", gap), ("the loudness never changes", loudness)):
        if not np.ptp(values):
            raise Unscorable(f"{what} in {len(values)} frames with speech")
    return float(np.abs(rankdata(gap) - rankdata(loudness)).mean() / len(gap))


def _require_speech(speech: np.ndarray) -> None:
    if speech.mean() < LEAST_SPEECH:
        raise Unscorable(
            f"speech is heard in {speech.mean():.0%} of the frames, at least {LEAST_SPEECH:.0%} are needed"
        )


# Silent lips ----------------------------------------------------------------------------------------------------------


def theval_silent_lips(landmarks: Landmarks, silent: np.ndarray) -> float:
    """Median absolute deviation of the lip gap around its mean (to the letter) in silent frames.

    Gap: mean difference in height of facing points of the inner lips over the distance of the eyes' outer corners, in a
    frame that is stretched to a square. Raises NotApplicable where fewer than two silent frames show the face.
    """
    points = stretched(landmarks, LIP_FRAME)
    gap = np.abs(points[:, UPPER, 1] - points[:, LOWER, 1]).mean(1)
    gap /= np.linalg.norm(points[:, RIGHT_EYE_OUTER] - points[:, LEFT_EYE_OUTER], axis=1)
    quiet = _in_silence(gap, landmarks, silent)
    return float(np.median(np.abs(quiet - quiet.mean())))


def silent_lips(landmarks: Landmarks, silent: np.ndarray) -> float:
    """Median absolute deviation of ``lip_gap`` around its median in silent frames. Raises as the other."""
    quiet = _in_silence(lip_gap(landmarks), landmarks, silent)
    return float(np.median(np.abs(quiet - np.median(quiet))))


def _in_silence(gap: np.ndarray, landmarks: Landmarks, silent: np.ndarray) -> np.ndarray:
    quiet = gap[silent[landmarks.frames]]
    if len(quiet) < 2:
        raise NotApplicable("no silence of 300 ms or more shows the face")
    return quiet


# The metrics ----------------------------------------------------------------------------------------------------------


class OfSpeakingLandmarks(OfLandmarks):
    weights = (*LANDMARK_WEIGHTS, silero_vad.WEIGHTS)
    packages = ("cv2", "onnxruntime", "scenedetect")

    @property
    def found_by(self) -> Protocol:
        found = landmark_protocol()
        return Protocol(
            found.id,
            found.parameters | SOUND | silero_vad.PARAMETERS,
            found.weights | {silero_vad.WEIGHTS: weights.digest(silero_vad.WEIGHTS)},
            found.libraries | library_versions("onnxruntime", "soxr"),
        )


class LipSync(OfSpeakingLandmarks):
    id = "theval/lip-sync-mesh468"
    title = "Mouth openness against loudness"
    parameters = {
        "frame": LIP_FRAME,
        "loudness_window": LOUDNESS_WINDOW,
        "least_speech": LEAST_SPEECH,
        "least_speech_frames": FRAME_RATE,
    }
    quantities = (
        Quantity("theval_lip_sync", "Lip-sync (THEval, mesh468)", "none", "", (0.0, 1.0)),
        Quantity("lip_loudness", "Lips against loudness (mesh468)", "none", "", (0.0, 0.5)),
    )
    validity = {"lip_loudness": {"container": "same"}, "theval_lip_sync": {"container": "same"}}

    def of_landmarks(self, landmarks: Landmarks, pair: Pair) -> Measurement:
        segments, audio = speech_in(pair.generated), pair.generated.audio(SAMPLE_RATE)
        count = landmarks.count
        theirs = theval_speech_frames(segments, count)
        return Measurement({
            "theval_lip_sync": theval_lip_sync(landmarks, theirs, theval_loudness(audio, count)),
            "lip_loudness": lip_loudness(landmarks, speech_frames(segments, count), audio),
        })  # fmt: skip


class SilentLips(OfSpeakingLandmarks):
    id = "theval/silent-lips-mesh468"
    title = "Stability of silent lips"
    parameters = {"frame": LIP_FRAME, "least_silence": LEAST_SILENCE}
    quantities = (
        Quantity("theval_silent_lips", "Silent lips (THEval, mesh468)", "none", "eye distances", (0.0, None), 4),
        Quantity("silent_lips", "Silent lips (mesh468)", "none", "interocular distances", (0.0, None), 4),
    )
    validity = {"silent_lips": {"container": "same"}, "theval_silent_lips": {"container": "same"}}

    def of_landmarks(self, landmarks: Landmarks, pair: Pair) -> Measurement:
        segments = speech_in(pair.generated)
        theirs, ours = (
            silent_frames(speech(segments, landmarks.count)) for speech in (theval_speech_frames, speech_frames)
        )
        return Measurement({
            "theval_silent_lips": theval_silent_lips(landmarks, theirs), "silent_lips": silent_lips(landmarks, ours),
        })  # fmt: skip
