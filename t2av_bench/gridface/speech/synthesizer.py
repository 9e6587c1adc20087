"""Speech for the embedded benchmark: espeak-ng, with phoneme times, the same to the byte every time.

Conventions: 22,050 samples a second, mono, int16; times in seconds from the first sample.
Promise: the same version of the library gives the same bytes for the same arguments, whatever was said before, in
whatever order, from however many processes.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.utils.config import nearest
from t2av_bench.utils.espeak import SAMPLE_RATE, Espeak, SpeechError, installation

PAUSE = ""
LONGEST_TEXT = 1000

# What each language's voices can say. Other scripts are not an error to espeak-ng: it reads out the names of the
# characters ("chinese letter"), which no transcript would contain.
_SAYABLE = {
    "en-us": (re.compile(r"[A-Za-z0-9\s.,;:!?'\"()\-–—’‘“”&%]"), re.compile(r"[A-Za-z0-9]"), "Latin letters"),
    "cmn": (re.compile(r"[一-鿿0-9\s，。！？、；：“”‘’（）,.!?]"), re.compile(r"[一-鿿0-9]"), "Chinese characters"),
}
LANGUAGES = tuple(_SAYABLE)


@dataclass(frozen=True, slots=True)
class Phoneme:
    """One speech sound: IPA with stress marks, or ``PAUSE``; start and end in seconds.

    For voiceless stops espeak-ng times the burst: the silence of the closure lies before ``start``.
    """

    symbol: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """samples: (n,) int16 at ``SAMPLE_RATE``; phonemes follow each other without gaps and end with the samples."""

    samples: np.ndarray
    phonemes: tuple[Phoneme, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SAMPLE_RATE


class Synthesizer(Espeak):
    """Says texts."""

    def say(
        self, text: str, voice: str = "en-us", *, rate: int = 150, pitch: int = 50, pitch_range: int = 50
    ) -> Utterance:
        """Speak ``text``.

        voice: ``LANGUAGE`` or ``LANGUAGE+VARIANT`` (``en-us``, ``en-us+f2``, ``cmn+m3``); see ``voices``.
        rate: words a minute, 80 to 400. pitch, pitch_range: 0 to 99.
        Raises SpeechError for what cannot be said, naming the argument and what is possible.
        """
        request = _checked_request(text, voice, rate, pitch, pitch_range)
        header, audio = self.ask(request)
        return _utterance(text, voice, header["phonemes"], np.frombuffer(audio, "<i2").astype(np.int16))


def voices(language: str) -> list[str]:
    """All voice names of one language (``en-us`` or ``cmn``): the plain one and its variants."""
    _check_language(language)
    return [language, *(f"{language}+{variant}" for variant in _variants())]


def _variants() -> list[str]:
    return sorted(path.name for path in (installation()[1] / "voices" / "!v").iterdir() if path.is_file())


def _check_language(language: str) -> None:
    if language not in LANGUAGES:
        raise SpeechError(f"unknown voice language {language!r}: expected one of {', '.join(LANGUAGES)}")


def check_settings(voice: str, rate: int, pitch: int, pitch_range: int = 50) -> None:
    """Raises SpeechError for what ``Synthesizer.say`` cannot take, whatever the text."""
    language, plus, variant = voice.partition("+")
    _check_language(language)
    if plus and variant not in _variants():
        near = nearest(variant, _variants()) or _variants()[:3]
        shown = ", ".join(f"{language}+{name}" for name in near)
        raise SpeechError(
            f"unknown voice variant {voice!r}: there are for example {shown} (voices({language!r}) lists all)"
        )
    allowed = (("rate", rate, 80, 400), ("pitch", pitch, 0, 99), ("pitch_range", pitch_range, 0, 99))
    for name, value, lowest, highest in allowed:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise SpeechError(f"{name} must be a whole number from {lowest} to {highest}, got {value!r}")


def _checked_request(text: str, voice: str, rate: int, pitch: int, pitch_range: int) -> dict[str, Any]:
    check_settings(voice, rate, pitch, pitch_range)
    sayable, sound, script = _SAYABLE[voice.partition("+")[0]]
    for position, character in enumerate(text):
        if not sayable.match(character):
            raise SpeechError(
                f"voice {voice} cannot say {character!r} (character {position + 1} of {text[:40]!r}): "
                f"it takes {script}, digits and punctuation"
            )
    if not sound.search(text):
        raise SpeechError(f"nothing to say in {text!r}: expected {script} or digits")
    if len(text) > LONGEST_TEXT:
        raise SpeechError(f"the text has {len(text)} characters; at most {LONGEST_TEXT} are spoken at a time: split it")
    return {"text": text, "voice": voice, "rate": rate, "pitch": pitch, "pitch_range": pitch_range}


def _utterance(text: str, voice: str, events: list[tuple[str, int]], samples: np.ndarray) -> Utterance:
    for symbol, _ in events:
        if symbol.startswith("("):  # "(en)": the library changed to another language for a part of the text
            raise SpeechError(f"voice {voice} has no pronunciation for a part of {text!r}: reword it")
    starts = [sample for _, sample in events] + [len(samples)]
    phonemes = (
        Phoneme(symbol, start / SAMPLE_RATE, end / SAMPLE_RATE)
        for (symbol, _), start, end in zip(events, starts, starts[1:], strict=False)
        if end > start
    )
    return Utterance(samples, tuple(phonemes))
