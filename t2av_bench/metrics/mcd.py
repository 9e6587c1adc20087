"""MCD: mel-cepstral distortion between the generated audio and the reference audio, in dB.

Each variant analyses both with WORLD, pairs frames, and prints 10 sqrt(2) / ln 10 times the mean distance of pairs.
Dynamic time warping (DTW) pairs frames of speech that says the same words at other times, and forgives all timing:
MCD-DTW-SL multiplies by the longer length over the shorter one for that reason. The variants cannot be compared:
their coefficients and their paths differ.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors.mel_cepstrum import PERIOD_MILLISECONDS, SAMPLE_RATE, Analysis, mel_cepstra
from t2av_bench.media.clip import SOUND
from t2av_bench.metrics.base import Measurement, Metric, Pair, Response
from t2av_bench.metrics.overlap import OverlapMetric, require_overlap
from t2av_bench.metrics.speech_input import SILENCE_PEAK, generated_speech, reference_speech
from t2av_bench.scores import Protocol, Quantity
from t2av_bench.utils.optional import require

DECIBELS = 10 * math.sqrt(2) / math.log(10)
_LEAST_SECONDS = 0.1
# Exact warping holds three tables of all pairs of frames: 30 s beside 30 s take 0.7 GB.
_MOST_PAIRS = 6000 * 6000
_HEARD: Mapping[str, Response] = {"low_pass": "up", "sound_noise": "up", "mute": "up", "container": "same"}
_ENDS: Mapping[str, Response] = {**_HEARD, "truncation": "up"}


def distortion(reference: np.ndarray, generated: np.ndarray, path: np.ndarray) -> float:
    """Mean distance in dB of the pairs of a path (k, 2) of frames of two mel-cepstra (n, order), (m, order)."""
    differences = reference[path[:, 0]] - generated[path[:, 1]]
    return float(DECIBELS * np.linalg.norm(differences, axis=1).mean())


def approximate_path(reference: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """(k, 2): FastDTW with radius 1 (Salvador and Chan 2007), which need not find the shortest path."""
    from scipy.spatial.distance import euclidean

    return np.array(require("fastdtw", "speech").fastdtw(reference, generated, dist=euclidean)[1])


def exact_path(reference: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """(k, 2): the path of steps (1, 0), (0, 1), (1, 1) whose sum of distances is least.

    Raises NotApplicable where there are more pairs of frames than memory should be spent on.
    """
    if len(reference) * len(generated) > _MOST_PAIRS:
        seconds = [len(side) * PERIOD_MILLISECONDS / 1000 for side in (reference, generated)]
        raise NotApplicable(
            f"exact time warping takes {seconds[0]:.0f} s beside {seconds[1]:.0f} s, more than 30 s beside 30 s: "
            "cut the clips into sentences"
        )
    librosa = require("librosa", "speech")
    return librosa.sequence.dtw(reference.T, generated.T, metric="euclidean")[1][::-1]


class _MelCepstralDistortion(Metric):
    extra = "speech"
    analysis: Analysis
    pairing: Mapping[str, object]

    @property
    def protocol(self) -> Protocol:
        parameters = {
            **SOUND, "sample_rate": SAMPLE_RATE, "silence": SILENCE_PEAK, "least_seconds": _LEAST_SECONDS,
            "period_milliseconds": PERIOD_MILLISECONDS, "pitch": "dio, stonemask", "envelope": "cheaptrick",
            **asdict(self.analysis), **self.pairing,
        }  # fmt: skip
        return self.stated(parameters, *self.packages)

    def measure(self, pair: Pair) -> Measurement:
        reference = pair.require_reference()
        reference_speech(reference, _LEAST_SECONDS)
        generated_speech(pair, _LEAST_SECONDS)
        return self.compare(reference.audio(SAMPLE_RATE), pair.generated.audio(SAMPLE_RATE))

    @abstractmethod
    def compare(self, reference: np.ndarray, generated: np.ndarray) -> Measurement:
        """Of audio (n,) and (m,) at 22,050 Hz, neither silent."""


class MCDPymcd(_MelCepstralDistortion, OverlapMetric):
    """As the package pymcd, which dubbing papers use, its choices included: WORLD's power spectrum is taken as an
    amplitude, which doubles every distance; pitch below 130 Hz is not followed; the path is FastDTW's over c1 to c13,
    and c0, the level, counts in the distance: a gain of g dB alone adds 1.41 g dB.

    least_overlap: of both clips' time, for the plain MCD.
    """

    id = "mcd/pymcd"
    title = "MCD, MCD-DTW and MCD-DTW-SL (as pymcd)"
    paper = "Chen et al. 2022, V2C (CVPR; arXiv 2111.12890); Kubichek 1993, Mel-cepstral distance (IEEE PACRIM)"
    packages = ("pyworld", "fastdtw")
    quantities = (
        Quantity("mcd_dtw", "MCD-DTW", "lower", "dB", (0.0, None), 2, penalty="worst"),
        Quantity("mcd_dtw_sl", "MCD-DTW-SL", "lower", "dB", (0.0, None), 2, penalty="worst"),
        Quantity("mcd", "MCD", "lower", "dB", (0.0, None), 2, penalty="worst"),
    )
    validity = {"mcd_dtw": _ENDS, "mcd_dtw_sl": _ENDS, "mcd": {**_HEARD, "desync": "up"}}
    analysis = Analysis(fft_size=512, order=13, warping=0.65, exponent=2.0, floor=1e-8)
    pairing = {
        "path": "FastDTW, radius 1, Euclidean over c1 to c13",
        "distance": "Euclidean over c0 to c13",
        "plain": "the shorter one padded with zeros",
    }

    @property
    def protocol(self) -> Protocol:
        stated = super().protocol
        return replace(stated, parameters={**stated.parameters, "least_overlap": self.least_overlap})

    def compare(self, reference: np.ndarray, generated: np.ndarray) -> Measurement:
        one, other = (mel_cepstra(sound, self.analysis) for sound in (reference, generated))
        warped = distortion(one, other, approximate_path(one[:, 1:], other[:, 1:]))
        stretch = max(len(one), len(other)) / min(len(one), len(other))
        found = Measurement({"mcd_dtw": warped, "mcd_dtw_sl": warped * stretch})
        try:
            require_overlap(len(generated) / SAMPLE_RATE, len(reference) / SAMPLE_RATE, self.least_overlap, "sound")
        except Unscorable as reason:
            found.reasons["mcd"] = str(reason)
            return found
        missing = len(reference) - len(generated)
        if missing > 0:
            other = mel_cepstra(np.pad(generated, (0, missing)), self.analysis)
        elif missing < 0:
            one = mel_cepstra(np.pad(reference, (0, -missing)), self.analysis)
        found.values["mcd"] = distortion(one, other, np.repeat(np.arange(len(one))[:, None], 2, axis=1))
        return found


class MCDExact(_MelCepstralDistortion):
    """The textbook's: c1 to c24 of WORLD's envelope, without the level, along the exact path of least sum."""

    id = "mcd/exact"
    title = "MCD-DTW (24 coefficients, exact warping)"
    paper = "Kubichek 1993, Mel-cepstral distance measure (IEEE PACRIM); Tokuda et al. 1994 (ICSLP)"
    packages = ("pyworld", "librosa")
    quantities = (Quantity("mcd_dtw", "MCD-DTW", "lower", "dB", (0.0, None), 2, penalty="worst"),)
    validity = {"mcd_dtw": _ENDS}
    # The warping is that of the mel scale at 22,050 Hz.
    analysis = Analysis(fft_size=1024, order=24, warping=0.455, exponent=1.0, floor=1e-8)
    pairing = {"path": "exact, steps (1, 0), (0, 1), (1, 1), Euclidean over c1 to c24", "most_pairs": _MOST_PAIRS}

    def compare(self, reference: np.ndarray, generated: np.ndarray) -> Measurement:
        one, other = (mel_cepstra(sound, self.analysis)[:, 1:] for sound in (reference, generated))
        return Measurement({"mcd_dtw": distortion(one, other, exact_path(one, other))})
