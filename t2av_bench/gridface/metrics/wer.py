"""Word and character error rate on GridFace's sentences, by a closed grammar: stand-ins, with names of their own.

English sentences have ``wer_gridface``, Mandarin ones ``cer_gridface``; each does not apply to the other's clips. What
a number means depends on what garbage scores, which is far from 1: see ``docs/embedded_speech_metrics.md``.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser
from t2av_bench.gridface.extractors.recogniser import pronunciations, recogniser, sentence_grammar, sentence_pattern
from t2av_bench.metrics.base import Measurement, Pair
from t2av_bench.metrics.text_normalisation import chinese_characters, seed_tts
from t2av_bench.metrics.wer import ErrorRate, error_rate_quantities, item_language
from t2av_bench.scores import Protocol

_LEAST_SECONDS = 0.1


class _GridFace(ErrorRate):
    """One language of the benchmark. language: ISO 639-1. other: id of the other language's metric."""

    paper = "Huggins-Daines et al. 2006, PocketSphinx (ICASSP); sentences after Cooke et al. 2006, the GRID corpus"
    recogniser_class = "t2av_bench.gridface.extractors.recogniser:GridFaceRecogniser"
    stand_in = True
    language: ClassVar[str]
    other: ClassVar[str]

    def _recogniser(self) -> Recogniser:
        return recogniser(self.language)

    def _transcript_protocol(self) -> Protocol:
        base = super()._transcript_protocol()
        closed = {
            "grammar": sentence_grammar(self.language), "pronunciations": pronunciations(self.language),
            "shortest_seconds": _LEAST_SECONDS,
        }  # fmt: skip
        return Protocol(base.id, {**base.parameters, **closed}, base.weights, base.libraries)

    def _normaliser(self, language: str) -> Callable[[str], str]:
        if language != self.language:
            raise NotApplicable(f"{self.id} hears {self.language!r} alone, the text is {language!r}: use {self.other}")
        return self.normalise

    @staticmethod
    @abstractmethod
    def normalise(text: str) -> str:
        """A text as the grammar's sentences are written."""

    def measure(self, pair: Pair) -> Measurement:
        """As ``ErrorRate.measure``; the text must be a sentence of the grammar, and the sound not too short for it."""
        text = pair.require_text()
        normalise = self._normaliser(item_language(pair))
        if not sentence_pattern(self.language).fullmatch(normalise(text)):
            raise NotApplicable(
                f"{text!r} is no sentence of GridFace, and {self.id} can hear no other: "
                f"use {self.id.split('/')[0]}/whisper-large-v3 for other texts"
            )
        seconds = len(pair.generated.audio(SAMPLE_RATE)) / SAMPLE_RATE
        if seconds < _LEAST_SECONDS:
            raise Unscorable(f"the audio is {seconds:.2f} s long, at least {_LEAST_SECONDS:g} s are needed")
        return super().measure(pair)


class WERGridFace(_GridFace):
    """Word error rate on GridFace's English sentences."""

    id = "wer/gridface"
    title = "Word error rate (GridFace, closed grammar)"
    packages = ("jiwer", "pocketsphinx")
    quantities = error_rate_quantities("wer", "WER", "GridFace", "_gridface")
    normalisation = "lower case without punctuation"
    language = "en"
    other = "cer/gridface"

    @staticmethod
    def normalise(text: str) -> str:
        return " ".join(seed_tts(text, "en").split())


class CERGridFace(_GridFace):
    """Character error rate on GridFace's Mandarin sentences, which an English acoustic model hears."""

    id = "cer/gridface"
    title = "Character error rate (GridFace, closed grammar)"
    packages = ("jiwer", "pocketsphinx", "zhconv")
    quantities = error_rate_quantities("cer", "CER", "GridFace", "_gridface")
    characters = True
    normalisation = "NFKC, zh-cn, lower case, letters, marks and digits alone"
    language = "zh"
    other = "wer/gridface"
    normalise = staticmethod(chinese_characters)
