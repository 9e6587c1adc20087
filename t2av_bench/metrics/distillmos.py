"""DistillMOS: predicted mean opinion score of speech quality; no reference.

Stahl and Gamper 2025; the network of the package distillmos 0.9.1 (see ``t2av_bench.extractors.distillmos``). It was
trained on English speech that was synthesised, sent over telephone lines, or spoiled by noise and its removal, so it
hears noise, bandwidth and artefacts, not wrong words. Other languages score, but were not among its listening tests.
"""

from t2av_bench import weights
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.speech_input import PARAMETERS, generated_speech
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.1


class DistillMOS(Metric):
    """Segments of 7.68 s at most a second apart, averaged; shorter clips are filled up with silence.

    The package's command resamples with torchaudio, we with soxr. The network hears what a resampling does near 8 kHz,
    and 16 bits below quiet speech: storing sound at another rate moved single clips by up to 0.12, the mean of eight by
    0.02.
    """

    id = "distillmos/v7"
    title = "DistillMOS"
    paper = (
        "Stahl and Gamper 2025, Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech "
        "Quality Assessment (arXiv 2502.05356)"
    )
    weights = ("distillmos",)
    packages = ("torch",)
    extra = "speech"
    quantities = (Quantity("distillmos", "DistillMOS", "higher", "MOS", (1.0, 5.0), penalty=1.0),)
    aliases = {"Distill-MOS": "distillmos"}
    validity = {"distillmos": {"sound_noise": "down", "low_pass": "down", "container": "same"}}

    @property
    def protocol(self) -> Protocol:
        parameters = {
            "segment_seconds": 7.68, "longest_hop_seconds": 1, "segments_per_call": 1, "shorter": "zeros after it",
            "level": "loudest sample of a segment at full scale", "least_seconds": _LEAST_SECONDS,
        }  # fmt: skip
        return self.stated({**PARAMETERS, **parameters}, "torch")

    def measure(self, pair: Pair) -> Measurement:
        from t2av_bench.extractors.distillmos import distillmos, load

        (id,) = self.weights
        path = weights.path(id)
        audio = generated_speech(pair, _LEAST_SECONDS)
        network = load(path, weights.digest(id), self.settings.device)
        return Measurement(values={"distillmos": distillmos(network, audio, self.settings.device)})
