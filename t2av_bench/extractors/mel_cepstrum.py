"""Mel-cepstra of speech: WORLD's spectral envelope (Morise et al. 2016), its cepstrum, the all-pass frequency warping.

What SPTK's ``mcep`` gives without iterations: the mel-cepstrum of the envelope itself (Tokuda et al. 1994).
"""

import warnings
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from t2av_bench.utils.optional import require

SAMPLE_RATE = 22050
PERIOD_MILLISECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Analysis:
    """fft_size: of the envelope, in samples at 22,050 Hz; it bounds the pitch that the envelope follows from below, at
    3 * 22050 / (fft_size - 3) Hz. order: of the last coefficient. warping: the all-pass constant. exponent: of the
    power spectrum that is taken as a power spectrum (2 doubles every coefficient). floor: added to it.
    """

    fft_size: int
    order: int
    warping: float
    exponent: float
    floor: float


def vocoder() -> ModuleType:
    """The package pyworld; NotApplicable, with the command that installs it, where it is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for pkg_resources, which warns about itself
        return require("pyworld", "speech")


def warping_matrix(size: int, order: int, warping: float) -> np.ndarray:
    """(size, order + 1): row n is the mel-cepstrum of the cepstrum that is 1 at n and 0 elsewhere.

    The coefficients of ((w + a) / (1 + a w)) ** n in powers of w, where w is the warped unit delay.
    """
    from scipy.signal import lfilter

    rows = [np.eye(1, order + 1)[0]]
    for _ in range(size - 1):
        rows.append(lfilter([warping, 1.0], [1.0, warping], rows[-1]))
    return np.stack(rows)


def mel_cepstra(audio: np.ndarray, analysis: Analysis) -> np.ndarray:
    """(n,) mono at 22,050 Hz -> (frames, order + 1) float64, a frame every 5 ms, the level (c0) first."""
    world = vocoder()
    samples = np.ascontiguousarray(audio, np.float64)
    pitch, times = world.dio(samples, SAMPLE_RATE, frame_period=PERIOD_MILLISECONDS)
    pitch = world.stonemask(samples, pitch, times, SAMPLE_RATE)
    power = world.cheaptrick(samples, pitch, times, SAMPLE_RATE, fft_size=analysis.fft_size)
    # Half the cepstrum of the log power spectrum, both sides folded into one: that of the log amplitude.
    cepstra = np.fft.irfft(np.log(power**analysis.exponent + analysis.floor))[:, : analysis.fft_size // 2 + 1]
    cepstra[:, [0, -1]] /= 2
    return cepstra @ warping_matrix(cepstra.shape[1], analysis.order, analysis.warping)
