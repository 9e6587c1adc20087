"""What joint models are told: one neutral description and the words, through a template of the specification.

Nobody published how the compared models were prompted, so rows made this way are called "prompted by t2av-bench".
"""

import re
import unicodedata
from collections.abc import Mapping

from t2av_bench.errors import NotApplicable
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.external.spec import spec

PROMPTED = "prompted by t2av-bench"
SCENE = "A head-and-shoulders shot of one person in front of a plain background, filmed by a camera that does not move."
VOICE = "one clear, natural voice, no music, no other sounds"
LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "hi": "Hindi",
    "hu": "Hungarian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish",
    "pt": "Portuguese", "ru": "Russian", "tr": "Turkish", "zh": "Chinese",
}  # fmt: skip
FIELDS = ("text", "scene", "voice_description", "language")

_FIELD = re.compile(r"\{(\w*)\}")
_TAG = re.compile(r"</?\s*(?:S|E|AUDCAP|ENDAUDCAP)\s*>", re.IGNORECASE)
_SECTION = re.compile(r"\bAudio:", re.IGNORECASE)
_DOUBLE_QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»', "'"))


def render(template_id: str, request: Request) -> str:
    """The prompt of the system ``template_id`` for a request; empty for systems without a template.

    GenerationFailed where the request's words would be read as the system's own signs.
    """
    template = spec(template_id).prompt
    return fill(template, request) if template else ""


def fill(template: str, request: Request) -> str:
    """``template`` with ``{text}``, ``{scene}``, ``{voice_description}`` and ``{language}`` filled in.

    Braces in the request's words stay as they are. Double quotes become single ones where the template puts the text
    in double quotes. ValueError for a field that does not exist.
    """
    language = request.language or ""
    values = {
        "text": _one_line(request.text),
        "scene": _one_line(request.scene or "") or SCENE,
        # The template ends the sentence.
        "voice_description": _one_line(request.voice_description or "").rstrip(".") or VOICE,
        "language": LANGUAGES.get(language.split("-")[0].lower(), language) or "their own language",
    }
    if unknown := set(_FIELD.findall(template)) - set(FIELDS):
        raise ValueError(f"a prompt has the fields {', '.join(FIELDS)}, got {', '.join(sorted(unknown))}")
    for name, value in values.items():
        for signs in (_TAG, _SECTION):
            found = signs.search(value)
            if found and signs.search(template):
                raise GenerationFailed(
                    f"the {name} holds {found[0]!r}, a sign of this system's prompts: write it otherwise"
                )
    if '"{text}"' in template:
        values["text"] = values["text"].translate(_DOUBLE_QUOTES)
    return _FIELD.sub(lambda field: values[field[1]], template)


def planned_seconds(text: str, language: str, rates: Mapping[str, float]) -> float:
    """How long a clip of ``text`` should be, by its letters alone: 0.6 s + characters / rate.

    rates: characters per second of each language (ISO 639-1), silence included, as a benchmark's references have them.
    Characters are letters and digits (NFKC), as for the tempo metric.
    NotApplicable where the language has no rate or the text no character.
    """
    rate = rates.get(language)
    if rate is None:
        raise NotApplicable(
            f"there is no rate of speech for {language!r}, only for {', '.join(sorted(rates)) or 'no language'}: "
            "give the length that is wanted"
        )
    if not 0 < rate < float("inf"):
        raise ValueError(f"a rate is a positive number of characters a second, got {rate}")
    count = sum(map(str.isalnum, unicodedata.normalize("NFKC", text)))
    if not count:
        raise NotApplicable(f"the text {text!r} has no letter and no digit: give a text with words")
    return 0.6 + count / rate


def _one_line(text: str) -> str:
    return " ".join(text.split())
