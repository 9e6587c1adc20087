"""Word error rate and, for Chinese, character error rate: does the clip say the text that was asked for?

The text is the prompt that was given to the generator (the manifest's ``text``), never a transcript of the real
clip. Values are fractions (0.05 is five per cent) and may exceed 1, because insertions count.

Both sides are normalised alike, and characters that nobody speaks count for nothing: byte order marks, joiners, emoji
selectors, enclosing marks, fillers and controls are dropped, any sign that stands for an apostrophe inside a word is
one, and 〇 is 零 (``t2av_bench.metrics.text_normalisation``). Of seed-tts-eval's rules nothing else is changed.

Error rates are of the recogniser as much as of the clip, so each label names it, and numbers of two recognisers never
share a column. ``wer`` and ``cer`` alone mean the best whose weights are present: Qwen3-ASR 1.7B, Whisper large-v3,
then Whisper base (74 million weights). English without any of them is heard by pocketsphinx, a stand-in.

Whisper hears with time stamps, window by window. Without them it may stop after the first clause: a generated Mandarin
clip of known text has a CER of .389 then, and of .083 with them (Whisper base). Decoding is greedy, without the
published temperature fallback, which samples. ``wer/whisper-large-v3-seed-tts`` alone hears as seed-tts-eval does,
without time stamps.

A silent clip says nothing: its hypothesis is empty and its rate 1, without asking a recogniser, for some of them invent
text there. Its detail says ``silent``. In noise and music Whisper writes a sentence. Where it doubts both that somebody
speaks and what it writes, by the published limits, that window has no text, and is flagged. What is repeated over and
over is flagged too, whoever heard it.

Two set values are printed of the same utterance values: ``wer`` weights each clip by its reference words, which
gives the corpus value; ``wer_utterance`` is the plain mean that seed-tts-eval prints. Where a part of a real clip
(a prompt of half a second, say) is kept in the output, its words belong into ``text``.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from t2av_bench import weights
from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser, Transcript, loop_flags
from t2av_bench.media.clip import SOUND
from t2av_bench.metrics.base import Measurement, Metric, Pair, Response, Settings
from t2av_bench.metrics.speech_input import SILENCE_PEAK
from t2av_bench.metrics.text_normalisation import REVISION, chinese_characters, seed_tts, whisper_basic, whisper_english
from t2av_bench.scores import Protocol, Quantity, library_versions

_WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})
SILENT = "the audio is silent"
_JIWER = "Levenshtein alignment of words as in jiwer 4 (Morris et al. 2004, ISCA)"


def error_rate_quantities(name: str, label: str, recogniser: str, suffix: str = "") -> tuple[Quantity, Quantity]:
    """The corpus value and the mean over utterances; their labels name the recogniser, for none hears as another does.

    suffix: of the names, for stand-ins, whose numbers must not share a name with published ones.
    """
    note = f" ({recogniser})"
    return (
        Quantity(f"{name}{suffix}", f"{label}{note}", "lower", interval=(0.0, None), aggregate="weighted", penalty=1.0),
        Quantity(f"{name}_utterance{suffix}", f"{label} (utterance){note}", "lower", interval=(0.0, None), penalty=1.0),
    )


def error_rate(reference: str, hypothesis: str, *, characters: bool = False) -> dict[str, Any]:
    """Normalised texts -> ``rate``, ``hits``, ``substitutions``, ``deletions``, ``insertions``, ``length``.

    rate = (S + D + I) / length of the reference, in words (separated by spaces) or in characters; an empty
    hypothesis scores 1. Raises NotApplicable for a reference without a letter or digit.
    """
    import jiwer

    if not any(character.isalnum() for character in reference):
        raise NotApplicable("nothing is left of the text after normalisation: give a text with words")
    process = jiwer.process_characters if characters else jiwer.process_words
    found = process(reference, hypothesis)
    return {
        "rate": (found.substitutions + found.deletions + found.insertions)
        / (found.hits + found.substitutions + found.deletions),
        "hits": found.hits,
        "substitutions": found.substitutions,
        "deletions": found.deletions,
        "insertions": found.insertions,
        "length": found.hits + found.substitutions + found.deletions,
    }


_CLAIMS: dict[str, Response] = {"mute": "up", "sound_noise": "up", "truncation": "up", "container": "same"}


class ErrorRate(Metric):
    """Recognise, normalise both sides, align, count. Subclasses name the recogniser and the languages."""

    paper = _JIWER
    extra = "speech"
    characters: ClassVar[bool] = False
    normalisation: ClassVar[str]
    recogniser_class: ClassVar[str]  # module:Class

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Whoever listens claims the same."""
        super().__init_subclass__(**keywords)
        cls.validity = {quantity.name: _CLAIMS for quantity in getattr(cls, "quantities", ())}

    @classmethod
    def _recogniser_type(cls) -> Any:
        import importlib

        module, _, name = cls.recogniser_class.partition(":")
        return getattr(importlib.import_module(module), name)

    def _recogniser(self) -> Recogniser:
        """The loaded recogniser; NotApplicable with the command where its weights are missing."""
        (id,) = self.weights
        return self._recogniser_type()(weights.path(id), self.settings.device, weights.digest(id))

    @abstractmethod
    def _normaliser(self, language: str) -> Callable[[str], str]:
        """The function for texts in ``language``; NotApplicable where this metric does not cover it."""

    def _transcript_protocol(self) -> Protocol:
        kind = self._recogniser_type()
        heard = {"sample_rate": SAMPLE_RATE, **SOUND, "silence": f"peak below {SILENCE_PEAK:g}: empty"}
        stated = self.stated({**kind.parameters, **heard}, *kind.libraries)
        return replace(stated, id=f"transcript/{kind.parameters['recogniser']}")

    @property
    def protocol(self) -> Protocol:
        transcript = self._transcript_protocol()
        parameters = {
            "normalisation": self.normalisation, "normalisation_revision": REVISION,
            "unit": "characters" if self.characters else "words",
        }  # fmt: skip
        libraries = library_versions("jiwer", "whisper-normalizer", "zhconv")
        return replace(
            transcript, id=self.id, parameters={**transcript.parameters, **parameters},
            libraries={**transcript.libraries, **libraries},
        )  # fmt: skip

    def measure(self, pair: Pair) -> Measurement:
        text = pair.require_text()
        language = item_language(pair)
        normalise = self._normaliser(language)
        reference = normalise(text)
        if not any(character.isalnum() for character in reference):
            raise NotApplicable(f"nothing is left of the text {text!r} after normalisation: give a text with words")
        transcript = self._transcribe(pair, language)
        hypothesis = normalise(transcript.text)
        counts = error_rate(reference, hypothesis, characters=self.characters)
        rate = counts.pop("rate")
        split = list if self.characters else str.split
        flags = [*transcript.flags, *loop_flags(split(hypothesis), split(reference))]
        if transcript.language is not None and transcript.language != language:
            flags.append(f"the recogniser heard {transcript.language!r}, the text is {language!r}")
        return Measurement(
            values={quantity.name: rate for quantity in self.quantities},
            weight=float(counts["length"]),
            detail={
                "transcript": transcript.text,
                "reference": reference,
                "hypothesis": hypothesis,
                "language": transcript.language,
                "flags": flags,
                "silent": SILENT in transcript.flags,
                **counts,
            },
        )

    def weight_of(self, item: Item) -> float:
        """Words (characters) of the item's text; 0 where this metric does not cover it."""
        if not item.text or not item.language:
            return 0.0
        try:
            reference = self._normaliser(language_of(item))(item.text)
        except NotApplicable:
            return 0.0
        return float(len(reference if self.characters else reference.split()))

    def prepare(self, pairs: Sequence[Pair]) -> None:
        """Transcribes them together; what is not in the languages that the metric covers is left alone."""
        fingerprint, recogniser = self._transcript_protocol().fingerprint, self._recogniser()
        waiting: list[tuple[Pair, str, np.ndarray]] = []
        for pair in pairs:
            try:
                self._normaliser(language := item_language(pair))
                audio = pair.generated.audio(SAMPLE_RATE)
                kept = pair.generated.is_stored(fingerprint, self._choice(language))
            except (Unscorable, NotApplicable):
                continue
            if pair.item.text and not kept and not _silent(audio):
                waiting.append((pair, language, audio))
        audios, languages = [audio for _, _, audio in waiting], [language for _, language, _ in waiting]
        for (pair, language, _), found in zip(waiting, recogniser.transcribe_all(audios, languages), strict=True):
            if isinstance(found, Transcript):
                self._stored(pair, language, partial(replace, found))

    def _transcribe(self, pair: Pair, language: str) -> Transcript:
        """The transcript of the generated clip, computed once per clip and recogniser; empty where it is silent."""
        recogniser = self._recogniser()
        audio = pair.generated.audio(SAMPLE_RATE)
        if _silent(audio):
            return Transcript("", None, (SILENT,))
        return self._stored(pair, language, lambda: recogniser.transcribe(audio, language))

    def _stored(self, pair: Pair, language: str, transcribe: Callable[[], Transcript]) -> Transcript:
        fingerprint = self._transcript_protocol().fingerprint
        arrays = pair.generated.stored(fingerprint, self._choice(language), lambda: transcribe().as_arrays())
        return Transcript.from_arrays(arrays)

    def _choice(self, language: str) -> str:
        """The name of a transcript among those of a clip: it depends on the language where the recogniser is told."""
        return f"transcript-{language if self._recogniser_type().parameters.get('language_hint') == 'item' else 'any'}"


def _silent(audio: np.ndarray) -> bool:
    return float(np.max(np.abs(audio), initial=0.0)) < SILENCE_PEAK


def item_language(pair: Pair) -> str:
    """ISO 639-1 code of the item ("en-US" counts as "en")."""
    if not pair.item.language:
        raise NotApplicable("no language for this item: give 'language' in the manifest ('en', 'zh', ...)")
    return language_of(pair.item)


def language_of(item: Item) -> str:
    """ISO 639-1 code of an item that has a language."""
    assert item.language is not None
    return item.language.replace("_", "-").split("-")[0].lower()


class _Words(ErrorRate):
    normalisation = "whisper: English rules for en, basic rules for other languages"

    def _normaliser(self, language: str) -> Callable[[str], str]:
        if language in _WITHOUT_SPACES:
            raise NotApplicable(f"word error rate needs spaces between words, and {language!r} writes none: use cer")
        return whisper_english if language == "en" else whisper_basic


class _Characters(ErrorRate):
    characters = True
    normalisation = "NFKC, zh-cn, lower case, letters, marks and digits alone"

    def _normaliser(self, language: str) -> Callable[[str], str]:
        if language not in ("zh", "yue"):
            raise NotApplicable(f"character error rate covers Chinese ('zh', 'yue'), the text is {language!r}: use wer")
        return chinese_characters


class _Qwen3(ErrorRate):
    weights = ("qwen3_asr_1_7b",)
    recogniser_class = "t2av_bench.extractors.qwen3_recogniser:Qwen3Recogniser"


class _Whisper(ErrorRate):
    weights = ("whisper_large_v3",)
    recogniser_class = "t2av_bench.extractors.whisper_recogniser:WhisperRecogniser"


class WERQwen3(_Qwen3, _Words):
    """Word error rate of Qwen3-ASR's transcript."""

    id = "wer/qwen3-asr-1.7b"
    title = "Word error rate (Qwen3-ASR 1.7B)"
    paper = "Shi et al. 2026, Qwen3-ASR technical report (arXiv 2601.21337); recogniser of Talker-T2AV"
    packages = ("jiwer", "torch", "transformers", "whisper_normalizer")
    quantities = error_rate_quantities("wer", "WER", "Qwen3-ASR 1.7B")
    alternatives = {"recogniser": ("wer/whisper-large-v3", "wer/whisper-base")}


class CERQwen3(_Qwen3, _Characters):
    """Character error rate of Qwen3-ASR's transcript."""

    id = "cer/qwen3-asr-1.7b"
    title = "Character error rate (Qwen3-ASR 1.7B)"
    paper = WERQwen3.paper
    packages = ("jiwer", "torch", "transformers", "zhconv")
    quantities = error_rate_quantities("cer", "CER", "Qwen3-ASR 1.7B")
    alternatives = {"recogniser": ("cer/whisper-large-v3", "cer/whisper-base")}


class WERWhisper(_Whisper, _Words):
    """Word error rate of Whisper's transcript."""

    id = "wer/whisper-large-v3"
    title = "Word error rate (Whisper large-v3)"
    paper = "Radford et al. 2023, Robust Speech Recognition via Large-Scale Weak Supervision (arXiv 2212.04356)"
    packages = ("jiwer", "torch", "transformers", "whisper_normalizer")
    quantities = error_rate_quantities("wer", "WER", "Whisper large-v3")
    # seed-tts-eval decodes without time stamps; its normalisation differs too.
    alternatives: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "decoding": ("wer/whisper-large-v3-seed-tts",), "recogniser": ("wer/qwen3-asr-1.7b", "wer/whisper-base"),
    }  # fmt: skip


class CERWhisper(_Whisper, _Characters):
    """Character error rate of Whisper's transcript."""

    id = "cer/whisper-large-v3"
    title = "Character error rate (Whisper large-v3)"
    paper = WERWhisper.paper
    packages = ("jiwer", "torch", "transformers", "zhconv")
    quantities = error_rate_quantities("cer", "CER", "Whisper large-v3")
    alternatives: ClassVar[Mapping[str, tuple[str, ...]]] = {"recogniser": ("cer/qwen3-asr-1.7b", "cer/whisper-base")}


class WERWhisperBase(WERWhisper):
    """Word error rate of Whisper base's transcript: 74 million weights, which any processor runs."""

    id = "wer/whisper-base"
    title = "Word error rate (Whisper base)"
    weights = ("whisper_base",)
    quantities = error_rate_quantities("wer", "WER", "Whisper base")
    alternatives: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "decoding": ("wer/whisper-base-no-timestamps",), "recogniser": ("wer/whisper-large-v3", "wer/qwen3-asr-1.7b"),
    }  # fmt: skip


class WERWhisperBaseNoTimestamps(WERWhisperBase):
    """Word error rate of Whisper base's transcript, decoded as seed-tts-eval does: what the decoding alone makes."""

    id = "wer/whisper-base-no-timestamps"
    title = "Word error rate (Whisper base, one window without time stamps)"
    quantities = error_rate_quantities("wer", "WER", "Whisper base, no time stamps")
    recogniser_class = "t2av_bench.extractors.whisper_recogniser:SeedTTSWhisperRecogniser"
    alternatives = {}


class CERWhisperBase(CERWhisper):
    """Character error rate of Whisper base's transcript."""

    id = "cer/whisper-base"
    title = "Character error rate (Whisper base)"
    weights = ("whisper_base",)
    quantities = error_rate_quantities("cer", "CER", "Whisper base")
    alternatives = {"recogniser": ("cer/whisper-large-v3", "cer/qwen3-asr-1.7b")}


class WERWhisperSeedTTS(_Whisper):
    """Word error rate as seed-tts-eval hears and normalises it; English, forced as there. Compare ``wer_utterance``.

    Without time stamps, and 30 s at most. One difference from upstream stays: audio is resampled with soxr, not with
    scipy's FFT.
    """

    id = "wer/whisper-large-v3-seed-tts"
    title = "Word error rate (Whisper large-v3, seed-tts-eval normalisation)"
    paper = "Anastassiou et al. 2024, Seed-TTS (arXiv 2406.02430); seed-tts-eval 752f429"
    packages = ("jiwer", "torch", "transformers")
    quantities = error_rate_quantities("wer", "WER", "Whisper large-v3, seed-tts-eval")
    recogniser_class = "t2av_bench.extractors.whisper_recogniser:SeedTTSWhisperRecogniser"
    normalisation = "seed-tts-eval, en"

    def _normaliser(self, language: str) -> Callable[[str], str]:
        if language != "en":
            raise NotApplicable(f"seed-tts-eval uses Whisper for English alone, the text is {language!r}")
        return partial(seed_tts, language="en")


class WERPocketsphinx(_Words):
    """Word error rate of pocketsphinx' transcript: English, and a stand-in (see its module for its limits).

    grammar: JSGF text of the sentences that can occur; the recogniser's own vocabulary where None. It is part of
    the fingerprint, as closed and open vocabularies must not meet in a column.
    """

    id = "wer/pocketsphinx"
    title = "Word error rate (pocketsphinx, bundled model)"
    paper = "Huggins-Daines et al. 2006, PocketSphinx (ICASSP)"
    packages = ("jiwer", "pocketsphinx", "whisper_normalizer")
    quantities = error_rate_quantities("wer", "WER", "pocketsphinx", "_pocketsphinx")
    recogniser_class = "t2av_bench.extractors.pocketsphinx_recogniser:PocketsphinxRecogniser"
    normalisation = "whisper: English rules"
    stand_in = True

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        grammar: str | None = None,
        pronunciations: dict[str, str] | None = None,
    ) -> None:
        super().__init__(settings)
        self.grammar = grammar
        self.pronunciations = pronunciations or {}

    def _transcript_protocol(self) -> Protocol:
        base = super()._transcript_protocol()
        vocabulary = {"grammar": self.grammar or "open vocabulary", "pronunciations": self.pronunciations}
        return replace(base, parameters={**base.parameters, **vocabulary})

    def _normaliser(self, language: str) -> Callable[[str], str]:
        if language != "en":
            raise NotApplicable(f"the bundled pocketsphinx model knows English alone, the text is {language!r}")
        return super()._normaliser(language)

    def _recogniser(self) -> Recogniser:
        from t2av_bench.extractors.pocketsphinx_recogniser import PocketsphinxRecogniser

        return PocketsphinxRecogniser(self.grammar, self.pronunciations)
