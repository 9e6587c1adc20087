"""What is said in a piece: two recognisers, and whether they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from t2av_bench.extractors.recognisers import Transcript
from t2av_bench.metrics.text_normalisation import chinese_characters, whisper_basic, whisper_english
from t2av_bench.utils.optional import require

AGREEMENT = 0.95
"""Share of characters in which two texts must agree after normalisation: 1 - edit distance / length of the longer."""

RECOGNISERS: Mapping[str, tuple[str, str]] = {
    "qwen3-asr-1.7b": ("t2av_bench.extractors.qwen3_recogniser:Qwen3Recogniser", "qwen3_asr_1_7b"),
    "whisper-large-v3": ("t2av_bench.extractors.whisper_recogniser:WhisperRecogniser", "whisper_large_v3"),
    "whisper-base": ("t2av_bench.extractors.whisper_recogniser:WhisperRecogniser", "whisper_base"),
}
"""Name -> class and id of its weights."""
DEFAULT = ("qwen3-asr-1.7b", "whisper-large-v3")


@dataclass(frozen=True, slots=True)
class Agreed:
    """text: as the first recogniser wrote it; others: as the others did. agreement: the least, 0 to 1.

    reason: why the text cannot stand for what is said.
    """

    text: str
    others: tuple[str, ...]
    agreement: float
    reason: str | None


def normalised(text: str, language: str) -> str:
    first = language.partition("-")[0]
    return {"en": whisper_english, "zh": chinese_characters}.get(first, whisper_basic)(text)


def agreement(one: str, other: str, language: str) -> float:
    """1: equal after normalisation; 0: nothing in common."""
    levenshtein = require("rapidfuzz.distance", "speech").Levenshtein
    return float(levenshtein.normalized_similarity(normalised(one, language), normalised(other, language)))


def agreed(heard: Sequence[Transcript], language: str) -> Agreed:
    """heard: what each recogniser wrote, at least one."""
    first, *rest = heard
    text = " ".join(first.text.split())
    others = tuple(" ".join(each.text.split()) for each in rest)
    least = min((agreement(text, other, language) for other in others), default=1.0)
    wanted = language.partition("-")[0]
    foreign = [each.language for each in heard if each.language and each.language.partition("-")[0] != wanted]
    reason = None
    if not any(map(str.isalnum, normalised(text, language))):
        reason = "no words are recognised"
    elif foreign:
        reason = f"the language that is heard is {foreign[0]!r}, expected {wanted!r}"
    elif least < AGREEMENT:
        reason = f"the recognisers agree in less than {AGREEMENT:.0%} of the characters"
    return Agreed(text, others, round(least, 4), reason)
