"""What joint models are told: one neutral description and the words, through a template of the specification.

Nobody published how the compared models were prompted, so rows made this way are called "prompted by t2av-bench".
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.external.spec import digests, spec

PROMPTED = "prompted by t2av-bench"
SCENE = "A head-and-shoulders shot of one person in front of a plain background, filmed by a camera that does not move."
VOICE = "one clear, natural voice, no music, no other sounds"
LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "hi": "Hindi",
    "hu": "Hungarian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish",
    "pt": "Portuguese", "ru": "Russian", "tr": "Turkish", "zh": "Chinese",
}  # fmt: skip
_NOT_AS_GIVEN = {"only_in_words": "words", "ignored": "ignored", "no_input": "none"}
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


def template_id(id: str) -> str:
    """The template of the system ``id``, with a short digest of its words; empty for systems without a template."""
    template = spec(id).prompt
    return f"{id} {hashlib.sha256(template.encode()).hexdigest()[:8]}" if template else ""


def record_of(id: str, request: Request, prompt: str, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a clip's record says of how the system ``id`` was asked; tables' notes say it again.

    ``external``: digests of the specification and shim; the fields of the request that were ``only_in_words`` of the
    prompt, ``ignored``, or for which there is ``no_input``; and ``facts``, which go first. With a prompt: itself, and
    whose words it has.
    """
    honours = spec(id).honours
    given = sorted(name for name in honours if getattr(request, name, None))
    found = {
        **{f"{name}_sha256": digest for name, digest in digests(id).items()},
        **{key: [name for name in given if honours[name] == how] for key, how in _NOT_AS_GIVEN.items()},
        **(facts or {}),
    }
    words = {"prompt": prompt, "prompted": PROMPTED, "template": template_id(id)} if prompt else {}
    return {"external": found, **words}


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


def _one_line(text: str) -> str:
    return " ".join(text.split())
