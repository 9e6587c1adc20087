"""How long systems are told to speak: a row's option ``length``, for tasks where nothing but the text decides.

``estimate``: as long as the text is taken to last, by its letters. ``native``: the system decides. ``reference``: as
long as the item's real clip, which is knowledge that a user does not have, so tables say "told the length".
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from t2av_bench.benchmarks.info import INFO
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.tempo import characters
from t2av_bench.systems.base import Request, System, Task
from t2av_bench.utils.config import read_toml

Length = Literal["estimate", "native", "reference"]

RATES: Mapping[str, float] = {"en": 15.0, "ja": 6.0, "ko": 6.0, "zh": 5.0}
"""Characters a second where a benchmark knows none: rough, at the pace of everyday speech with its pauses.

Where one character is a syllable or more they are few; every other language counts as English.
"""
_OTHERS = "en"
_MARGIN = 0.6
_RATE = 16_000


def policy(given: Length | None, task: Task, kind: type[System]) -> Length:
    """What becomes of a row's option (None: not given, then ``estimate`` for t2av and ``native`` for tts).

    Systems that do not follow a length decide themselves; clips of the other tasks last as long as what drives them.
    """
    if task not in ("t2av", "tts") or not kind.follows_length:
        return "native"
    return given or ("estimate" if task == "t2av" else "native")


def read_rates(manifest: Path) -> dict[str, float]:
    """Characters a second by language, from the ``[rates]`` of the ``benchmark.toml`` beside or above a manifest.

    Empty where there is none. Raises ConfigError for one that cannot be read, or whose rates are no positive numbers.
    """
    for folder in (manifest.parent, manifest.parent.parent):
        if (folder / INFO).is_file():
            rates = read_toml(folder / INFO).get("rates", {})
            if not isinstance(rates, dict) or not all(_is_rate(rate) for rate in rates.values()):
                raise ValueError(f"{folder / INFO}: [rates] are positive numbers of characters a second, by language")
            return rates
    return {}


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def estimated_seconds(text: str, language: str | None, rates: Mapping[str, float] = RATES) -> float:
    """How long a clip of ``text`` should be: 0.6 s + characters / rate of its language.

    rates: characters a second by language (ISO 639-1), silence included; ``RATES`` for languages that are not among
    them. Without a language, Chinese, Japanese and Korean are told by their writing. Characters are letters and digits
    (NFKC), as for the tempo metric. NotApplicable for a text without any.
    """
    found = (language or _written_in(text)).split("-")[0].lower()
    rate = rates.get(found) or RATES.get(found) or rates.get(_OTHERS) or RATES[_OTHERS]
    return _MARGIN + characters(text) / rate


def _written_in(text: str) -> str:
    names = " ".join(unicodedata.name(each, "") for each in text)
    for sign, language in (("HIRAGANA", "ja"), ("KATAKANA", "ja"), ("HANGUL", "ko"), ("CJK UNIFIED", "zh")):
        if sign in names:
            return language
    return _OTHERS


def with_length(request: Request, length: Length = "native") -> Request:
    """Told how long its driving audio or video is, or (``reference``) its real clip; nothing else takes decoding.

    So it is for the clips that are made and not for planning. Raises Unscorable for a real clip that cannot be read.
    """
    try:
        if request.driving_audio is not None:
            return replace(request, target_seconds=_sound(request.driving_audio))
        if request.driving_video is not None:
            return replace(request, target_seconds=_pictures(request.driving_video))
    except Unscorable:  # reading it will give the reason
        return request
    if length == "reference" and request.reference is not None:
        try:
            measure = _pictures if Clip(request.reference).info.has_video else _sound
            return replace(request, target_seconds=measure(request.reference))
        except Unscorable as reason:
            raise Unscorable(f"its length was to be told, but the reference cannot be read: {reason}") from reason
    return request


def _sound(path: Path) -> float | None:
    return len(Clip(path).audio(_RATE)) / _RATE or None


def _pictures(path: Path) -> float | None:
    timeline = Clip(path).timeline
    return float(timeline.pictures / timeline.rate) or None
