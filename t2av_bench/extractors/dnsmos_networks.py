"""The two DNSMOS networks that the package speechmos bundles, run as it runs them.

Its module imports librosa for mel bands alone, about as long as a clip takes, and starts as many threads as there are
cores. What librosa 0.11 computes is written out here, and tests hold every number to speechmos, bit by bit.
"""

from functools import cache, lru_cache
from typing import Any

import numpy as np

from t2av_bench.utils.inference import onnx_session

SAMPLE_RATE = 16000
QUANTITIES = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808")
_SECONDS = 9.01
_FFT, _HOP, _MELS = 321, 160, 120
# speechmos's polynomials (highest power first) from the network's output to mean opinion scores.
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)


@lru_cache(maxsize=1)
def load_dnsmos(primary: str, p808: str) -> tuple[Any, Any]:
    """Sessions of the two ONNX files, with one thread each: summation order, and with it the last digit, would follow
    the machine."""
    return onnx_session(primary, "speech"), onnx_session(p808, "speech")


def dnsmos(audio: np.ndarray, primary: str, p808: str) -> dict[str, float]:
    """Audio (n,), n >= 1, 16 kHz, in [-1, 1] -> the four scores by quantity name.

    The clip is doubled until it covers one window of 9.01 s; windows follow every second and are averaged.
    """
    primary_session, p808_session = load_dnsmos(primary, p808)
    audio, window = np.asarray(audio, np.float32), int(_SECONDS * SAMPLE_RATE)
    while len(audio) < window:
        audio = np.append(audio, audio)
    scores = []
    for second in range(int(len(audio) // SAMPLE_RATE - _SECONDS) + 1):
        part = audio[second * SAMPLE_RATE : int((second + _SECONDS) * SAMPLE_RATE)]
        if len(part) < window:
            continue
        bands = log_mel(part[:-_HOP]).astype(np.float32)
        p808_score = p808_session.run(None, {"input_1": bands[None]})[0][0][0]
        sig, bak, ovrl = primary_session.run(None, {"input_1": part[None]})[0][0]
        scores.append((np.polyval(_OVRL, ovrl), np.polyval(_SIG, sig), np.polyval(_BAK, bak), p808_score))
    return {name: float(np.mean(each)) for name, each in zip(QUANTITIES, zip(*scores, strict=True), strict=True)}


def log_mel(audio: np.ndarray) -> np.ndarray:
    """Audio (n,) float32 -> (1 + n // 160, 120): decibels below the loudest, not under -80, as (dB + 40) / 40."""
    hann = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, _FFT + 1)[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, _FFT // 2), _FFT)[::_HOP]
    spectrum = np.abs(np.fft.rfft(hann * frames).astype(np.complex64).T) ** 2.0
    power = np.einsum("ft,mf->mt", spectrum, _mel_filters(), optimize=True)
    decibels = 10.0 * np.log10(np.maximum(1e-10, power))
    decibels -= 10.0 * np.log10(np.maximum(1e-10, power.max()))
    return ((np.maximum(decibels, decibels.max() - 80.0) + 40) / 40).T


@cache
def _mel_filters() -> np.ndarray:
    """(120, 161) float32: triangles of equal area over Slaney's mel scale, linear up to 1 kHz, logarithmic above."""
    linear, log_step = 200.0 / 3, np.log(6.4) / 27.0
    mels = np.linspace(0.0, 15.0 + np.log(SAMPLE_RATE / 2 / 1000.0) / log_step, _MELS + 2)
    edges = np.where(mels < 15.0, linear * mels, 1000.0 * np.exp(log_step * (mels - 15.0)))
    ramps, widths = np.subtract.outer(edges, np.fft.rfftfreq(_FFT, 1.0 / SAMPLE_RATE)), np.diff(edges)[:, None]
    filters = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])).astype(np.float32)
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters
