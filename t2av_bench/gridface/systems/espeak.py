"""Speech by espeak-ng in one fixed voice: what the embedded benchmark's own recordings were said with.

It cannot clone: a request's ``voice`` is not heard. Sound is made as the benchmark makes it (16 kHz, margins, level,
whole patches), so it says one of the benchmark's sentences, in the benchmark's voice, to the byte as the benchmark.
"""

import re
import time
from collections.abc import Mapping
from typing import Self

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.gridface.speech.synthesizer import SpeechError, Synthesizer, check_settings
from t2av_bench.systems import output
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, NativeFormat, OnProgress, Progress, Request, System
from t2av_bench.systems.delivery import Product, deliver

LANGUAGE_OF: Mapping[str, str] = {"en": "en-us", "zh": "cmn"}
"""ISO 639-1 -> espeak-ng's language; its plain voice is the default one."""
RATE, PITCH = 150, 48
_CHINESE = re.compile("[一-鿿]")


class EmbeddedEspeak(System):
    """espeak-ng (GPL-3, loaded at run time) as a text-to-speech system for English and Mandarin."""

    id = "embedded-espeak"
    title = "espeak-ng"
    paper = "espeak-ng, a formant synthesiser"
    needs = {"tts": ("text",)}
    native = NativeFormat(25, None, None, 16_000, "that of the words, and 0.12 s before and after them")
    seed_support = "full"
    packages = ("espeakng_loader",)
    extra = "demo"

    def __init__(
        self, synthesizer: Synthesizer, *, voice: str | None = None, rate: int = RATE, pitch: int = PITCH
    ) -> None:  # fmt: skip
        """voice: one for all texts (``en-us+f2``) instead of the language's plain one. rate: words a minute, 80 to 400.

        pitch: 0 to 99. Raises ValueError for a voice that espeak-ng does not have.
        """
        check_settings(voice or LANGUAGE_OF["en"], rate, pitch)
        self.synthesizer, self.voice, self.rate, self.pitch = synthesizer, voice, rate, pitch

    @classmethod
    def load(
        cls, *, device: str = "cpu", voice: str | None = None, rate: int = RATE, pitch: int = PITCH
    ) -> Self:  # fmt: skip
        """See the constructor; ``device`` is always the processor."""
        return cls(Synthesizer(), voice=voice, rate=rate, pitch=pitch)

    def generate(self, request: Request, on_progress: OnProgress | None = None) -> GeneratedClip:
        report = on_progress or (lambda _: None)
        self.check(request)
        voice = self._voice(request)
        names = output.names_of(request)
        with output.staged(names) as folder:
            started = time.monotonic()
            report(Progress(request.id, "generating", 0, 1, "texts"))
            audio, was_cut = self._say(request, voice)
            notes = [f"{voice} speaks, not the given voice: espeak-ng cannot clone"] if request.voice else []
            if was_cut:
                notes.append(f"the speech is cut at {request.max_seconds:g} s (max_seconds)")
            report(Progress(request.id, "generating", 1, 1, "texts", len(audio) / 16_000, time.monotonic() - started))
            return deliver(self, request, names, folder, Product(
                audio, 16_000, 25, stop_reason="limit" if was_cut else "end of text", notes=notes,
                settings={"voice": voice, "rate": self.rate, "pitch": self.pitch},
                libraries=("espeakng-loader", "soxr"), seconds_taken={"sampling": time.monotonic() - started},
            ))  # fmt: skip

    def _voice(self, request: Request) -> str:
        if self.voice is not None:
            return self.voice
        language = request.language or ("zh" if _CHINESE.search(request.text) else "en")
        base = re.split("[-_]", language.lower())[0]
        if base not in LANGUAGE_OF:
            raise NotApplicable(f"{self.id} speaks {' and '.join(LANGUAGE_OF)}, not {language!r}")
        return LANGUAGE_OF[base]

    def _say(self, request: Request, voice: str) -> tuple[np.ndarray, bool]:
        """(n,) float32 at 16 kHz in whole patches, and whether the end was cut away."""
        from t2av_bench.gridface.data.corpus import FRAME_RATE, HOP, PATCH, sound

        patch_seconds = PATCH / FRAME_RATE
        most = int(request.max_seconds / patch_seconds + 1e-9) * PATCH * HOP
        if most < 1:
            raise GenerationFailed(f"max_seconds is {request.max_seconds:g}, less than one patch of {patch_seconds} s")
        try:
            said = self.synthesizer.say(request.text.strip(), voice, rate=self.rate, pitch=self.pitch)
        except SpeechError as error:
            raise GenerationFailed(str(error)) from error
        if not said.samples.any():
            raise GenerationFailed(f"{voice} makes no sound of {request.text[:40]!r}: reword it")
        audio = sound(said)
        return audio[:most], len(audio) > most
