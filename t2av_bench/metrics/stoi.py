"""STOI and ESTOI: short-time objective intelligibility of the generated audio against the reference audio.

Both compare sample by sample: unlike PESQ they do not align, so a delay of a few milliseconds lowers them, and
speech that says the same words at other times scores low. A clip that shares less than 90 % of the longer one's time
with its reference fails (option ``least_overlap``).
"""

import warnings

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Measurement, Pair
from t2av_bench.metrics.overlap import OverlapMetric
from t2av_bench.metrics.speech_input import PARAMETERS, SAMPLE_RATE, common_speech
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.4  # thirty frames of 256 samples every 128 at 10 kHz


def stoi_score(reference: np.ndarray, generated: np.ndarray, *, extended: bool) -> float:
    """STOI (or ESTOI) of two (n,) signals at 16 kHz.

    Frames more than 40 dB below the reference's loudest are dropped; Unscorable where fewer than thirty remain, for
    which pystoi answers 1e-5.
    """
    from pystoi import stoi

    # pystoi adds noise of 1e-16 from numpy's global generator, which decides the result where a band is silent.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
            value = float(stoi(reference, generated, SAMPLE_RATE, extended=extended))
    except RuntimeWarning as warning:
        raise Unscorable("fewer than 30 frames (0.4 s) of the reference are louder than -40 dB") from warning
    finally:
        np.random.set_state(state)
    return value


class STOI(OverlapMetric):
    """Both signals at 16 kHz, cut to the common length, no delay compensation; pystoi resamples to 10 kHz."""

    id = "stoi/pystoi"
    title = "STOI and ESTOI"
    paper = "Taal et al. 2011 (STOI, IEEE TASLP 19:7); Jensen and Taal 2016 (ESTOI, IEEE TASLP 24:11)"
    packages = ("pystoi",)
    extra = "speech"
    quantities = (
        Quantity("stoi", "STOI", "higher", "", (-1.0, 1.0), penalty=0.0),
        Quantity("estoi", "ESTOI", "higher", "", (-1.0, 1.0), penalty=0.0),
    )
    validity = {
        "stoi": {"sound_noise": "down", "low_pass": "down", "mute": "down", "desync": "down", "container": "same"},
        "estoi": {"sound_noise": "down", "low_pass": "down", "mute": "down", "desync": "down", "container": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        parameters = {"length": "common", "least_overlap": self.least_overlap, "delay": "not compensated"}
        return self.stated({**PARAMETERS, **parameters}, "pystoi")

    def measure(self, pair: Pair) -> Measurement:
        reference, generated, durations = common_speech(pair, _LEAST_SECONDS, self.least_overlap)
        return Measurement(
            values={name: stoi_score(reference, generated, extended=name == "estoi") for name in ("stoi", "estoi")},
            detail=durations,
        )
