"""DD: how differently the generated and the reference speech divide their time among the phonemes of the text.

Both recordings are aligned with the text by StyleTTS2's aligner, silences at the punctuation and at both ends
included; the shares of time are compared by the Kullback-Leibler divergence of the reference's from the generated
one's. Speech that is slower throughout has the same shares: DD hardly sees it, so the error in total length stands
beside it. The text is English. What is and what is not proved about our network: see
``t2av_bench.extractors.styletts2_aligner``.
"""

from typing import ClassVar

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import phonemes
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.speech_input import PARAMETERS, generated_speech, reference_speech
from t2av_bench.metrics.wer import item_language
from t2av_bench.scores import Protocol, Quantity

_SMOOTHING = 0.01
_LEAST_SECONDS = 0.1
# The aligner's attention is a loop over symbols, each looking at all frames.
_LONGEST_SECONDS = 60


def duration_divergence(reference: np.ndarray, generated: np.ndarray) -> float:
    """KL divergence in nats of durations (n,) as shares, of the same n symbols.

    As published: the shortest durations of either side count 1, and 0.01 is added to all. The first of these breaks
    the invariance to tempo a little.
    """
    shares = []
    for side in (reference, generated):
        raised = np.where(side == side.min(), 1.0, side) + _SMOOTHING
        shares.append(raised / raised.sum())
    return float(np.sum(shares[0] * np.log(shares[0] / shares[1])))


class DDEval(Metric):
    """The aligner as it is when it is used: without dropout, every symbol seen. Deterministic."""

    id = "dd/eval"
    title = "Duration divergence (deterministic)"
    paper = "InstructDubber (github.com/ZZDoog/InstructDubber); Li et al. 2023, StyleTTS 2 (NeurIPS; arXiv 2306.07691)"
    weights = ("styletts2_aligner",)
    packages = ("espeakng_loader", "librosa", "torch")
    extra = "speech"
    quantities = (
        Quantity("dd", "DD", "lower", "nats", (0.0, None), 4, penalty="worst"),
        Quantity("length_error", "Length error", "lower", "", (0.0, None), penalty="worst"),
    )
    aliases = {"duration divergence": "dd"}
    validity = {"dd": {"container": "same"}, "length_error": {"truncation": "up", "container": "same"}}
    seed: ClassVar[int | None] = None

    @property
    def protocol(self) -> Protocol:
        from t2av_bench.extractors.styletts2_aligner import PARAMETERS as aligner

        parameters = {
            **PARAMETERS, **phonemes.PARAMETERS, **aligner, "least_seconds": _LEAST_SECONDS,
            "longest_seconds": _LONGEST_SECONDS, "shortest_durations": 1, "smoothing": _SMOOTHING,
            "divergence": "KL(reference, generated)", **self.mode(),
        }  # fmt: skip
        return self.stated(parameters, "espeakng-loader", "librosa", "torch")

    def mode(self) -> dict[str, object]:
        """How the aligner is used."""
        return {"mode": "evaluation, no symbols masked"}

    def device(self) -> str:
        """Where it is computed."""
        return self.settings.device

    def measure(self, pair: Pair) -> Measurement:
        reference, text = pair.require_reference(), pair.require_text()
        if (language := item_language(pair)) != "en":
            raise NotApplicable(f"duration divergence reads English texts, this one is {language!r}")
        reference_speech(reference, _LEAST_SECONDS)
        generated_speech(pair, _LEAST_SECONDS)
        spoken = phonemes.phonemes(text)
        symbols = phonemes.symbol_numbers(spoken)
        if not any(symbol.isalpha() for symbol in spoken):
            raise NotApplicable(f"the text {text[:40]!r} has no word that could be spoken")
        symbols = [0, *symbols, 0]
        try:
            expected = self._durations(reference, symbols)
        except Unscorable as reason:
            raise NotApplicable(f"the reference audio ({reference.path.name}) cannot be used: {reason}") from reason
        found = self._durations(pair.generated, symbols)
        seconds = [len(clip.audio()) for clip in (reference, pair.generated)]
        return Measurement(
            {"dd": duration_divergence(expected, found), "length_error": abs(seconds[1] - seconds[0]) / seconds[0]},
            detail={"phonemes": spoken, "reference_frames": expected, "generated_frames": found},
        )

    def _durations(self, clip: Clip, symbols: list[int]) -> np.ndarray:
        from t2av_bench.extractors import styletts2_aligner as aligner

        audio = clip.audio(aligner.SAMPLE_RATE)
        if (seconds := len(audio) / aligner.SAMPLE_RATE) > _LONGEST_SECONDS:
            raise Unscorable(f"the audio is {seconds:.0f} s long, at most {_LONGEST_SECONDS} s are aligned")
        id = self.weights[0]
        state = aligner.load(weights.path(id), weights.digest(id), self.device())
        try:
            return aligner.durations(state, audio, symbols, self.device(), self.seed)
        except ValueError as error:
            raise Unscorable(f"the audio is too short for its text: {error}") from error


class DDInstructDubber(DDEval):
    """As published: the aligner is left in training mode, with dropout and one symbol in ten masked, drawn after the
    same seed for every recording. The published numbers were drawn on a GPU; these are drawn on a CPU, on any machine.
    """

    id = "dd/instructdubber"
    title = "Duration divergence (as published)"
    seed = 1234

    def mode(self) -> dict[str, object]:
        from t2av_bench.extractors.styletts2_aligner import DROPPED, MASKED

        return {"mode": f"training: dropout {DROPPED}, masked {MASKED}", "seed": self.seed, "device": "cpu"}

    def device(self) -> str:
        return "cpu"
