"""AV-Align: do sound onsets and motion peaks fall together? No lip-sync score: it was made for sounds of things.

It looks at the motion of the whole picture, and counts peaks however small they are. Where a talking face is frozen it
does not fall, and on some clips rises (.17 to .29): of the motion the encoder's noise is left, which peaks often. So
``all`` does not mean it, no default table has it, and it claims to notice nothing.

Definition of TempoTokens (commit bf0b1e3): audio onsets of librosa; motion as the mean magnitude of Farneback's
optical flow between neighbouring frames; its strict local maxima are the motion peaks. An onset is matched when a
motion peak lies less than one frame away. Score = matched / (onsets + peaks - matched), an intersection over union.

The published formula counts onsets, so it passes 1 where several onsets surround one peak; it is kept as it is.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import PICTURES, SOUND
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.reduced import SHORTER_SIDE, reduced
from t2av_bench.metrics.speech_input import SILENCE_PEAK
from t2av_bench.scores import Protocol, Quantity

AUDIO_RATE = 22050  # librosa's default, which TempoTokens keeps
_HOP = 512
_FARNEBACK: dict[str, Any] = {
    "pyr_scale": 0.5,
    "levels": 3,
    "winsize": 15,
    "iterations": 3,
    "poly_n": 5,
    "poly_sigma": 1.2,
    "flags": 0,
}


def small_gray(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (h, w) uint8 gray, shorter side at most 256 pixels (area average), never enlarged."""
    import cv2

    return reduced(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))


def flow_magnitudes(frames: Iterable[np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8 RGB frames, n >= 2 -> (n,) mean flow magnitudes in pixels of the reduced picture.

    Element i belongs to the step from frame i-1 to frame i; element 0 repeats element 1, as in TempoTokens. Two
    frames are held at a time. Raises Unscorable for fewer than three frames, which have no inner maximum.
    """
    import cv2

    magnitudes: list[float] = []
    previous = None
    for frame in frames:
        gray = small_gray(frame)
        if previous is not None:
            flow = cv2.calcOpticalFlowFarneback(previous, gray, None, **_FARNEBACK)
            magnitudes.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean(dtype=np.float64)))
        previous = gray
    if len(magnitudes) < 2:
        raise Unscorable(f"the video has {len(magnitudes) + (previous is not None)} frames, at least 3 are needed")
    return np.array([magnitudes[0], *magnitudes])


def local_maxima(values: np.ndarray) -> np.ndarray:
    """Indices of inner elements that are greater than both neighbours."""
    inner = values[1:-1]
    return np.flatnonzero((inner > values[:-2]) & (inner > values[2:])) + 1


def onset_times(audio: np.ndarray) -> np.ndarray:
    """Audio (n,) at 22,050 Hz -> onset times in seconds, by librosa's defaults."""
    import librosa

    strength = librosa.onset.onset_strength(y=np.asarray(audio, np.float32), sr=AUDIO_RATE, hop_length=_HOP)
    return librosa.frames_to_time(onset_frames(strength), sr=AUDIO_RATE, hop_length=_HOP)


def onset_frames(strength: np.ndarray) -> np.ndarray:
    """Onset strength (n,) at 512 samples a value -> indices of its peaks, as librosa.onset.onset_detect picks them.

    A value is a peak if it is the largest of itself and the one before, exceeds the mean of the values from 4 before
    to 4 after by 0.07 of the range, and is not next to the peak before. librosa's own picker is compiled by numba as a
    generalised function, which now and then crashes the process on its first call.
    """
    values = strength - strength.min()
    top = values.max()
    if not top > 0:
        return np.zeros(0, np.int64)
    values = values / (top + np.finfo(values.dtype).tiny)
    count = len(values)
    low, high = np.maximum(np.arange(count) - 4, 0), np.minimum(np.arange(count) + 5, count)
    means = np.array([values[first:end].mean() for first, end in zip(low, high, strict=True)])
    before = np.concatenate([[-np.inf], values[:-1]])
    candidates = np.flatnonzero((values >= before) & (values >= means + 0.07))
    peaks: list[int] = []
    for candidate in candidates:
        if not peaks or candidate - peaks[-1] > 1:
            peaks.append(int(candidate))
    return np.array(peaks, np.int64)


def intersection_over_union(onsets: np.ndarray, peaks: np.ndarray, frame_rate: float) -> float:
    """Times in seconds -> the published ratio. Raises Unscorable where there is neither onset nor peak."""
    if not len(onsets) and not len(peaks):
        raise Unscorable("there is neither a sound onset nor a motion peak to align")
    near = np.abs(np.subtract.outer(np.asarray(onsets), np.asarray(peaks))) < 1 / frame_rate
    matched = int(near.any(axis=1).sum())
    return matched / (len(onsets) + len(peaks) - matched)


class AVAlign(Metric):
    """On the whole picture at the clip's constant 25 frames per second; flow on a reduced picture (256 pixels).

    Not by default: it does not fall when a talking face freezes.
    """

    id = "av_align/tempotokens"
    title = "AV-Align (sounds of things; no lip-sync score)"
    by_default = False
    paper = "Yariv et al. 2024, Diverse and Aligned Audio-to-Video Generation (TempoTokens, AAAI; arXiv 2309.16429)"
    packages = ("cv2", "librosa")
    extra = "speech"
    quantities = (Quantity("av_align", "AV-Align", "higher", "", (0.0, None), penalty=0.0),)

    @property
    def protocol(self) -> Protocol:
        parameters = {
            **PICTURES, "flow": _FARNEBACK, "shorter_side": SHORTER_SIDE, "picture": "gray, area average, whole frame",
            "audio_rate": AUDIO_RATE, **SOUND, "tolerance_frames": 1,
        }  # fmt: skip
        return self.stated(parameters, "librosa", "opencv-contrib-python")

    def measure(self, pair: Pair) -> Measurement:
        clip = pair.generated
        audio = clip.audio(AUDIO_RATE)
        if np.max(np.abs(audio)) < SILENCE_PEAK:
            raise Unscorable("the audio is silent")
        magnitudes = flow_magnitudes(clip.each_frame())
        frame_rate = float(clip.frame_rate)
        onsets, peaks = onset_times(audio), local_maxima(magnitudes) / frame_rate
        return Measurement(
            values={"av_align": intersection_over_union(onsets, peaks, frame_rate)},
            detail={"onsets": len(onsets), "motion_peaks": len(peaks)},
        )
