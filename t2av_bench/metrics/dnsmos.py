"""DNSMOS P.835 and P.808: predicted mean opinion scores of speech, noise, both, and overall; no reference.

The networks are those of the DNS-Challenge (commit 591184a) as the package speechmos bundles them, on the CPU. They
were trained on noisy and denoised speech: they hear noise and artefacts, not wrong words or flat prosody.
"""

import numpy as np

from t2av_bench import weights
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.speech_input import PARAMETERS, generated_speech
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.1


class DNSMOS(Metric):
    """Windows of 9.01 s every second, averaged; shorter clips are repeated until they fill one window.

    Samples outside [-1, 1] (lossy codecs overshoot) are clipped, as writing the decoded audio to a 16-bit file
    does. Digital silence would score about 1.8; it fails instead.
    """

    id = "dnsmos/p835"
    title = "DNSMOS P.835 and P.808"
    paper = "Reddy et al. 2022, DNSMOS P.835 (ICASSP; arXiv 2110.01763); Reddy et al. 2021, DNSMOS (arXiv 2010.15258)"
    weights = ("dnsmos_p835", "dnsmos_p808")
    packages = ("onnxruntime", "speechmos")
    extra = "speech"
    quantities = (
        Quantity("dnsmos_ovrl", "DNSMOS OVRL", "higher", "MOS", (1.0, 5.0), penalty=1.0),
        Quantity("dnsmos_sig", "DNSMOS SIG", "higher", "MOS", (1.0, 5.0), penalty=1.0),
        Quantity("dnsmos_bak", "DNSMOS BAK", "higher", "MOS", (1.0, 5.0), penalty=1.0),
        Quantity("dnsmos_p808", "DNSMOS P.808", "higher", "MOS", (1.0, 5.0), penalty=1.0),
    )
    validity = {
        "dnsmos_ovrl": {"sound_noise": "down", "low_pass": "down", "container": "same"},
        "dnsmos_sig": {"low_pass": "down", "container": "same"},
        "dnsmos_bak": {"sound_noise": "down", "container": "same"},
        "dnsmos_p808": {"sound_noise": "down", "low_pass": "down", "container": "same"},
    }
    aliases = {
        "OVRL": "dnsmos_ovrl", "OVR": "dnsmos_ovrl", "SIG": "dnsmos_sig", "BAK": "dnsmos_bak",
        "P.808 MOS": "dnsmos_p808",
    }  # fmt: skip

    @property
    def protocol(self) -> Protocol:
        parameters = {"window_seconds": 9.01, "hop_seconds": 1, "outside_range": "clipped", "personalised": False}
        # librosa, though its mel bands are written out here: what was measured with it is the same protocol.
        return self.stated({**PARAMETERS, **parameters}, "speechmos", "onnxruntime", "librosa")

    def measure(self, pair: Pair) -> Measurement:
        from t2av_bench.extractors.dnsmos_networks import dnsmos

        audio = generated_speech(pair, _LEAST_SECONDS)
        primary, p808 = (str(weights.path(id)) for id in self.weights)
        outside = int(np.count_nonzero(np.abs(audio) > 1))
        return Measurement(
            values=dnsmos(np.clip(audio, -1.0, 1.0), primary, p808),
            detail={"clipped_samples": outside} if outside else {},
        )
