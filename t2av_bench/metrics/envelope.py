"""Lip sync without weights: does the mouth move when the sound changes?

Two signals at 25 Hz are compared: how fast the picture of the mouth changes, and how fast the loudness changes. Both
are large at syllable boundaries and small within them, so their best common shift tells the delay between picture and
sound, and the height of that peak how well they go together. Offsets have SyncNet's convention: in frames at 25 fps,
positive where the audio is early; delaying the audio by k frames changes the offset by -k.

It is no lip-sync score of real clips. Where the picture is blurred, or the sound noisy or partly mute, the correlation
need not fall and on some clips rises, so a worse clip can score better: ``all`` does not mean it, and no default table
has it. What it can do is tell a delay of clips whose mouth and sound are in order. Even there it errs by a frame now
and then on clips of a few seconds, it sees nothing of which sound is articulated, and an unrelated sound of five
seconds does not score 0 but about 0.2, because the best of 31 shifts is taken.
"""

from collections.abc import Iterable

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.faces.detect import Detector, Haar, haar
from t2av_bench.faces.find import detection_protocol, face_tracks, main_track
from t2av_bench.faces.track import TrackRules
from t2av_bench.media.clip import FRAME_RATE, PICTURES
from t2av_bench.metrics.base import Curve, Measurement, Metric, Pair
from t2av_bench.metrics.speech_input import PARAMETERS as SPEECH_PARAMETERS
from t2av_bench.metrics.speech_input import SAMPLE_RATE, generated_speech
from t2av_bench.scores import Protocol, Quantity

MAX_SHIFT = 15
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE
LEAST_FRAMES = 50
RULES = TrackRules(min_track=LEAST_FRAMES, min_face=60.0)
CURVE = "envelope_correlation_curve"

# The mouth's place in a Haar face box: fractions of its width and height (left, right, top, bottom; the chin of an
# open mouth lies below the box), and the size at which it is compared.
_REGION = (0.20, 0.80, 0.60, 1.05)
_PATCH = (48, 36)
# Haar boxes jump by some pixels from frame to frame; this many frames (standard deviation) steady them.
_BOX_SMOOTHING = 4.0
# Slower changes than this (frames, standard deviation) are head movement and phrasing, not articulation.
_DETREND = 20.0


def mouth_motion(frames: Iterable[np.ndarray], boxes: np.ndarray) -> np.ndarray:
    """(n,) float64: square root of the mean absolute change of the mouth between the previous and the next frame.

    frames: n frames in order, in batches (m, H, W, 3) uint8 RGB. boxes: (n, 4) face boxes in pixels. The first and the
    last value, which have only one neighbour, repeat the value next to them.
    """
    from scipy.ndimage import gaussian_filter1d

    steady = gaussian_filter1d(np.asarray(boxes, np.float64), _BOX_SMOOTHING, axis=0, mode="nearest")
    motion = np.zeros(len(steady))
    recent: list[np.ndarray] = []
    index = 0
    for batch in frames:
        for frame in batch:
            recent = [*recent[-2:], _mouth(frame, steady[index])]
            if len(recent) == 3:
                motion[index - 1] = np.sqrt(np.abs(recent[2] - recent[0]).mean())
            index += 1
    if index >= 3:
        motion[0], motion[-1] = motion[1], motion[-2]
    return motion


def loudness_change(audio: np.ndarray, frame_count: int) -> np.ndarray:
    """(n,) float64, n <= frame_count: change of the square root of the level between the previous and the next frame.

    audio: (samples,) at 16 kHz. The level of a frame is the root mean square of its 640 samples. Ends as in
    ``mouth_motion``.
    """
    count = min(frame_count, len(audio) // SAMPLES_PER_FRAME)
    parts = audio[: count * SAMPLES_PER_FRAME].reshape(count, SAMPLES_PER_FRAME).astype(np.float64)
    loudness = np.sqrt(np.sqrt((parts**2).mean(1)))
    change = np.zeros(count)
    if count >= 3:
        change[1:-1] = np.abs(loudness[2:] - loudness[:-2])
        change[0], change[-1] = change[1], change[-2]
    return change


def correlation_curve(motion: np.ndarray, change: np.ndarray) -> np.ndarray:
    """(31,) float64 in [-1, 1]: Pearson correlation for offsets -15 to 15, over the frames that both have.

    Raises Unscorable where fewer than ``LEAST_FRAMES`` frames are common or one signal does not vary.
    """
    from scipy.ndimage import gaussian_filter1d

    count = min(len(motion), len(change))
    if count < LEAST_FRAMES:
        raise Unscorable(
            f"too short: {len(motion)} frames of face and {len(change)} frames' worth of audio, "
            f"{LEAST_FRAMES} of both are needed"
        )
    if np.ptp(motion[:count]) < 1e-9:
        raise Unscorable(f"the mouth does not move in any of {count} frames")
    if np.ptp(change[:count]) < 1e-9:
        raise Unscorable(f"the loudness does not change in any of {count} frames")
    seen, heard = (x[:count] - gaussian_filter1d(x[:count], _DETREND, mode="nearest") for x in (motion, change))
    curve = []
    for offset in range(-MAX_SHIFT, MAX_SHIFT + 1):
        # A positive offset means early audio: what is seen in frame i was heard in frame i - offset.
        first, last = max(0, offset), count + min(0, offset)
        curve.append(np.corrcoef(seen[first:last], heard[first - offset : last - offset])[0, 1])
    return np.array(curve)


def _mouth(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(36, 48) float32 grey values of the mouth, cut at fractions of a pixel."""
    import cv2

    x1, y1, x2, y2 = box
    left, right = x1 + _REGION[0] * (x2 - x1), x1 + _REGION[1] * (x2 - x1)
    top, bottom = y1 + _REGION[2] * (y2 - y1), y1 + _REGION[3] * (y2 - y1)
    scale_x, scale_y = (right - left) / _PATCH[0], (bottom - top) / _PATCH[1]
    height, width = frame.shape[:2]
    margin = 2 + int(2 * max(scale_x, scale_y))
    rows = slice(min(max(0, int(top) - margin), height - 1), max(1, min(height, int(bottom) + margin)))
    columns = slice(min(max(0, int(left) - margin), width - 1), max(1, min(width, int(right) + margin)))
    grey = cv2.cvtColor(np.ascontiguousarray(frame[rows, columns]), cv2.COLOR_RGB2GRAY).astype(np.float32)
    if max(scale_x, scale_y) > 1:
        grey = cv2.GaussianBlur(grey, (0, 0), sigmaX=0.5 * scale_x, sigmaY=0.5 * scale_y)
    # Output pixel centre (i + 0.5) lies at left + (i + 0.5) * scale; OpenCV counts from the first pixel's centre.
    backward = np.array(
        [
            [scale_x, 0, left + 0.5 * scale_x - 0.5 - columns.start],
            [0, scale_y, top + 0.5 * scale_y - 0.5 - rows.start],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grey, backward, _PATCH, flags=flags, borderMode=cv2.BORDER_REPLICATE)


class MouthEnvelope(Metric):
    """Mouth motion against the change of loudness; the face by OpenCV's Haar cascade, the longest track counts.

    Not by default: its correlation may rise under blur, noise and muting.
    """

    id = "envelope/haar"
    title = "Mouth motion against loudness (embedded): tells a delay, no lip-sync score"
    paper = "this project; the idea of correlating mouth and audio energy goes back to Hershey & Movellan 1999 (NIPS)"
    packages = ("cv2",)
    extra = "sync"
    stand_in = True
    by_default = False
    validity = {"envelope_offset": {"desync": "down"}}
    curves = (Curve(CURVE, "Mouth–loudness correlation", tuple(range(-15, 16)), lowest=False),)
    quantities = (
        Quantity(
            "envelope_offset", "Offset (envelope)", "none", "frames at 25 fps",
            (-float(MAX_SHIFT), float(MAX_SHIFT)), 1, "median",
        ),
        Quantity("envelope_correlation", "Envelope corr", "higher", "", (-1.0, 1.0), penalty=0.0),
    )  # fmt: skip

    @property
    def protocol(self) -> Protocol:
        parameters = {
            **PICTURES,
            **SPEECH_PARAMETERS,
            "detector": Haar.name,
            "detection": Haar.PARAMETERS,
            "tracking": RULES.as_dict(),
            "region": list(_REGION),
            "patch": list(_PATCH),
            "box_smoothing": _BOX_SMOOTHING,
            "detrend": _DETREND,
            "max_shift": MAX_SHIFT,
            "clip_value": "longest",
        }
        return self.stated(parameters, "av", "opencv-contrib-python", "scipy", "soxr")

    def measure(self, pair: Pair) -> Measurement:
        clip = pair.generated
        audio = generated_speech(pair, LEAST_FRAMES / FRAME_RATE)
        detector: Detector = haar()
        tracks = face_tracks(clip, detector, RULES)
        track = tracks[main_track(tracks)]
        first, last = int(track.frames[0]), int(track.frames[-1])
        motion = clip.memo(
            ("mouth motion", detection_protocol(detector).fingerprint, RULES),
            lambda: mouth_motion(_between(clip.frames(), first, last), track.boxes),
        )
        heard = loudness_change(audio[first * SAMPLES_PER_FRAME :], len(motion))
        curve = correlation_curve(motion, heard)
        best = int(np.argmax(curve))
        return Measurement(
            values={"envelope_offset": float(best - MAX_SHIFT), "envelope_correlation": float(curve[best])},
            detail={"first_frame": first, "last_frame": last, "tracks": len(tracks)},
            features={CURVE: curve.astype(np.float32)},
        )


def _between(batches: Iterable[np.ndarray], first: int, last: int) -> Iterable[np.ndarray]:
    """The frames from ``first`` to ``last`` (included) of frames in batches."""
    start = 0
    for batch in batches:
        part = batch[max(0, first - start) : max(0, last + 1 - start)]
        if len(part):
            yield part
        start += len(batch)
