"""PESQ, wide and narrow band (ITU-T P.862.2 and P.862.1), of the generated audio against the reference audio.

Only meaningful where both say the same words at the same time: a vocoder, a codec, a lossy channel. PESQ aligns
delays itself, so a constant delay costs little. Signals are scored whole, as the published numbers are, up to the
limits of the ITU's code (about 50 utterances, or 90 s); longer ones are cut at pauses, and the mean of the parts is
taken, weighted by length. ITU-T P.862.3 recommends 8 to 20 s.

A clip that shares less than 90 % of the longer one's time with its reference fails (option ``least_overlap``).
"""

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics import pesq_parts
from t2av_bench.metrics.base import Measurement, Pair
from t2av_bench.metrics.overlap import OverlapMetric
from t2av_bench.metrics.speech_input import PARAMETERS, SAMPLE_RATE, common_speech
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.25


def pesq_score(reference: np.ndarray, generated: np.ndarray, mode: str) -> float:
    """MOS-LQO of two (n,) signals at 16 kHz; ``mode`` ``wb`` or ``nb``.

    A signal that the package cannot take at once (see ``pesq_parts``) is cut at pauses of the reference; the mean of
    the parts counts, weighted by their lengths. Parts in which the reference holds no speech are left out. Raises
    NotApplicable where no part holds any, Unscorable where the generated signal is digital silence in a part that
    should hold speech.
    """
    from pesq import NoUtterancesError, pesq

    scores, lengths = [], []
    for start, end in pesq_parts.parts(reference):
        clean, degraded = reference[start:end], generated[start:end]
        if not np.any(clean):
            continue
        if not np.any(degraded):
            raise Unscorable(
                f"the audio is digital silence from {start / SAMPLE_RATE:.1f} to {end / SAMPLE_RATE:.1f} s"
            )
        try:
            scores.append(float(pesq(SAMPLE_RATE, clean, degraded, mode)))
        except NoUtterancesError:
            continue
        lengths.append(end - start)
    if not scores:
        raise NotApplicable("PESQ finds no utterance in the reference audio: it needs speech of 0.2 s or more")
    return float(np.average(scores, weights=lengths))


class PESQ(OverlapMetric):
    """Both signals at 16 kHz, cut to the common length; pesq divides them by their common peak."""

    id = "pesq/itu"
    title = "PESQ, wide band and narrow band"
    paper = "Rix et al. 2001, PESQ (ICASSP); ITU-T P.862.1 (narrow band), P.862.2 (wide band)"
    packages = ("pesq",)
    extra = "speech"
    quantities = (
        Quantity("pesq_wb", "PESQ-WB", "higher", "MOS-LQO", (1.0, 4.644), penalty="worst"),
        Quantity("pesq_nb", "PESQ-NB", "higher", "MOS-LQO", (1.0, 4.549), penalty="worst"),
    )
    validity = {
        "pesq_wb": {"sound_noise": "down", "low_pass": "down", "mute": "down", "container": "same"},
        "pesq_nb": {"sound_noise": "down", "low_pass": "down", "mute": "down", "container": "same"},
    }
    aliases = {"WB-PESQ": "pesq_wb", "NB-PESQ": "pesq_nb"}

    @property
    def protocol(self) -> Protocol:
        parameters = {
            "length": "common", "least_overlap": self.least_overlap, "delay": "PESQ's own alignment",
            "parts": f"whole up to {pesq_parts.SAFE_SECONDS:g} s or {pesq_parts.MOST_UTTERANCES} utterances in "
            f"{pesq_parts.LONGEST_SECONDS:g} s; else cut at pauses, mean weighted by length",
        }  # fmt: skip
        return self.stated({**PARAMETERS, **parameters}, "pesq")

    def measure(self, pair: Pair) -> Measurement:
        reference, generated, durations = common_speech(pair, _LEAST_SECONDS, self.least_overlap)
        return Measurement(
            values={f"pesq_{mode}": pesq_score(reference, generated, mode) for mode in ("wb", "nb")},
            detail=durations,
        )
