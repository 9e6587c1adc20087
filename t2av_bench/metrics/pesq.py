"""PESQ, wide and narrow band (ITU-T P.862.2 and P.862.1), of the generated audio against the reference audio.

Only meaningful where both say the same words at the same time: a vocoder, a codec, a lossy channel. PESQ aligns
delays itself, so a constant delay costs little.
"""

import math

import numpy as np

from t2av_bench.metrics.base import Measurement, Metric, NotApplicable, Pair, Unscorable, require
from t2av_bench.metrics.speech_input import PARAMETERS, SAMPLE_RATE, common_speech
from t2av_bench.scores import Protocol, Quantity, library_versions

# The ITU reference code behind the package keeps utterances in arrays of fifty and writes past their end: with more
# speech bursts it crashes or answers from overwritten memory. A burst and its pause last at least 0.4 s together,
# so twenty seconds, the longest material that ITU-T P.862.3 recommends, always fit.
LONGEST_PART_SECONDS = 20
_LEAST_SECONDS = 0.25


def pesq_score(reference: np.ndarray, generated: np.ndarray, mode: str) -> float:
    """MOS-LQO of two (n,) signals at 16 kHz; ``mode`` ``wb`` or ``nb``.

    Signals longer than 20 s are cut into equal parts whose mean counts; parts in which the reference holds no
    speech are left out. Raises NotApplicable where no part holds any, Unscorable where the generated signal is
    digital silence in a part that should hold speech.
    """
    from pesq import NoUtterancesError, pesq

    count = max(1, math.ceil(len(reference) / (LONGEST_PART_SECONDS * SAMPLE_RATE)))
    scores, start = [], 0
    for clean, degraded in zip(np.array_split(reference, count), np.array_split(generated, count), strict=True):
        begin, start = start / SAMPLE_RATE, start + len(clean)
        if not np.any(clean):
            continue
        if not np.any(degraded):
            raise Unscorable(f"the audio is digital silence from {begin:.1f} to {start / SAMPLE_RATE:.1f} s")
        try:
            scores.append(float(pesq(SAMPLE_RATE, clean, degraded, mode)))
        except NoUtterancesError:
            continue
    if not scores:
        raise NotApplicable("PESQ finds no utterance in the reference audio: it needs speech of 0.2 s or more")
    return float(np.mean(scores))


class PESQ(Metric):
    """Both signals at 16 kHz, cut to the common length; pesq divides them by their common peak."""

    id = "pesq/itu"
    title = "PESQ, wide band and narrow band"
    paper = "Rix et al. 2001, PESQ (ICASSP); ITU-T P.862.1 (narrow band), P.862.2 (wide band)"
    extra = "speech"
    quantities = (
        Quantity("pesq_wb", "PESQ-WB", "higher", "MOS-LQO", (1.0, 4.644), penalty="worst"),
        Quantity("pesq_nb", "PESQ-NB", "higher", "MOS-LQO", (1.0, 4.549), penalty="worst"),
    )

    @property
    def protocol(self) -> Protocol:
        parameters = {"length": "common", "longest_part_seconds": LONGEST_PART_SECONDS, "delay": "PESQ's own alignment"}
        return Protocol(self.id, {**PARAMETERS, **parameters}, {}, library_versions("pesq"))

    def measure(self, pair: Pair) -> Measurement:
        require("pesq", "speech")
        reference, generated, durations = common_speech(pair.require_reference(), pair, _LEAST_SECONDS)
        return Measurement(
            values={f"pesq_{mode}": pesq_score(reference, generated, mode) for mode in ("wb", "nb")},
            detail=dict(durations),
        )
