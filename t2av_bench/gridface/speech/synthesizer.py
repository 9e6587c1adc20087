"""Speech for the embedded benchmark: espeak-ng, with phoneme times, the same to the byte every time.

espeak-ng (GPL-3) comes from the package ``espeakng_loader``; it is loaded at run time, in a process of its own, and
never bundled. Conventions: 22,050 samples a second, mono, int16; times in seconds from the first sample.
Promise: the same version of the library gives the same bytes for the same arguments, whatever was said before, in
whatever order, from however many processes.
"""

import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.utils.config import nearest

SAMPLE_RATE = 22050
PAUSE = ""
LONGEST_TEXT = 1000

# What each language's voices can say. Other scripts are not an error to espeak-ng: it reads out the names of the
# characters ("chinese letter"), which no transcript would contain.
_SAYABLE = {
    "en-us": (re.compile(r"[A-Za-z0-9\s.,;:!?'\"()\-–—’‘“”&%]"), re.compile(r"[A-Za-z0-9]"), "Latin letters"),
    "cmn": (re.compile(r"[一-鿿0-9\s，。！？、；：“”‘’（）,.!?]"), re.compile(r"[一-鿿0-9]"), "Chinese characters"),
}
LANGUAGES = tuple(_SAYABLE)

# The library copies its data path into a buffer of 160 characters and appends file names to it.
_LONGEST_DATA_PATH = 100


class SpeechError(ValueError):
    """The text, the voice or the installation does not allow speech; the message says what would."""


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


class Synthesizer:
    """Says texts. One process behind it, started at the first ``say``; use as a context manager or call ``close``.

    Safe to share between threads (utterances queue) and to inherit through a fork (the child starts its own process).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._link: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Synthesizer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(
        self, text: str, voice: str = "en-us", *, rate: int = 150, pitch: int = 50, pitch_range: int = 50
    ) -> Utterance:
        """Speak ``text``.

        voice: ``LANGUAGE`` or ``LANGUAGE+VARIANT`` (``en-us``, ``en-us+f2``, ``cmn+m3``); see ``voices``.
        rate: words a minute, 80 to 400. pitch, pitch_range: 0 to 99.
        Raises SpeechError for what cannot be said, naming the argument and what is possible.
        """
        request = _checked_request(text, voice, rate, pitch, pitch_range)
        with self._lock:
            header, audio = self._ask(request)
        if "error" in header:
            raise SpeechError(header["error"])
        return _utterance(text, voice, header["phonemes"], np.frombuffer(audio, "<i2").astype(np.int16))

    def close(self) -> None:
        """End the process behind this object. Speaking again starts a new one."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            if process.stdin:
                # An empty line, because end-of-file does not arrive while a forked relative still holds the pipe.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(b"\n")
                    process.stdin.close()
            process.wait(timeout=10)
            if process.stdout:
                process.stdout.close()
        if self._link is not None and self._owner == os.getpid():
            self._link.cleanup()
        self._link = None

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            return self._read()
        except BrokenPipeError as error:
            raise SpeechError("the espeak-ng process ended unexpectedly; say the text again") from error

    def _read(self) -> tuple[dict[str, Any], bytes]:
        (length,) = struct.unpack("<Q", self._read_bytes(8))
        header = json.loads(self._read_bytes(length))
        return header, self._read_bytes(header["bytes"])

    def _read_bytes(self, count: int) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        data = self._process.stdout.read(count)
        if len(data) < count:
            self._process = None
            raise SpeechError("the espeak-ng process ended in the middle of an answer; say the text again")
        return data

    def _start(self) -> None:
        if not hasattr(os, "fork"):
            raise SpeechError("synthetic speech needs a system that can fork (Linux, macOS or WSL)")
        library, data = _installation()
        self._owner = os.getpid()
        if len(os.fsencode(data)) > _LONGEST_DATA_PATH:
            self._link = tempfile.TemporaryDirectory(prefix="espeak-")
            link = Path(self._link.name) / "espeak-ng-data"
            link.symlink_to(data, target_is_directory=True)
            data = link
        worker = Path(__file__).with_name("espeak_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(worker), str(library), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        header, _ = self._read()
        if header["sample_rate"] != SAMPLE_RATE:
            self.close()
            raise SpeechError(
                f"espeak-ng does not start with its data in {data}: pip install --force-reinstall espeakng-loader"
            )


def voices(language: str) -> list[str]:
    """All voice names of one language (``en-us`` or ``cmn``): the plain one and its variants."""
    _check_language(language)
    return [language, *(f"{language}+{variant}" for variant in _variants())]


def _installation() -> tuple[Path, Path]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise SpeechError("the package 'espeakng_loader' is missing: pip install 't2av-bench[demo]'") from error
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def _variants() -> list[str]:
    return sorted(path.name for path in (_installation()[1] / "voices" / "!v").iterdir() if path.is_file())


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
