"""UTMOS: predicted mean opinion score of speech naturalness; no reference.

Saeki et al. 2022, the strong learner of tarepan/SpeechMOS v1.2.0 (ed25eac), which most papers use. What is and what
is not proved about our network: see ``t2av_bench.extractors.utmos``.

The network was trained on listening tests of studio-like speech (VoiceMOS Challenge 2022). Noise scores about 2, so 2
is its floor rather than "poor speech", and real web video may score low: always print the row of the real clips.
"""

from t2av_bench import weights
from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.speech_input import PARAMETERS, generated_speech
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.1


class UTMOS(Metric):
    """One score a clip, over its whole 16 kHz audio at the level it has.

    The reference resamples with torchaudio's sinc filter, we with soxr; expect differences in the third decimal where
    the clip is not at 16 kHz.
    """

    id = "utmos/strong-v1"
    title = "UTMOS (2022, strong learner)"
    paper = "Saeki et al. 2022, UTMOS (Interspeech; arXiv 2204.02152)"
    weights = ("utmos22_strong",)
    packages = ("torch", "transformers")
    extra = "speech"
    quantities = (Quantity("utmos", "UTMOS", "higher", "MOS", (None, None), penalty=1.0),)
    validity = {"utmos": {"sound_noise": "down", "low_pass": "down", "container": "same"}}
    aliases = {"UTMOS22": "utmos"}

    @property
    def protocol(self) -> Protocol:
        parameters = {
            "level": "unchanged", "utterances_per_call": 1, "aggregation": "mean over frames",
            "least_seconds": _LEAST_SECONDS,
        }  # fmt: skip
        return self.stated({**PARAMETERS, **parameters}, "torch", "transformers")

    def measure(self, pair: Pair) -> Measurement:
        from t2av_bench.extractors import utmos as utmos_extractor

        path = weights.path(self.weights[0])
        audio = generated_speech(pair, _LEAST_SECONDS)
        network = utmos_extractor.load(path, weights.digest(self.weights[0]), self.settings.device)
        score = utmos_extractor.utmos(network, audio, self.settings.device)
        if score != score or abs(score) == float("inf"):
            raise Unscorable("the network gives no finite score for this audio")
        return Measurement(values={"utmos": score})
