"""Speech recognisers behind one interface, and what is worth saying about a transcript.

Input is mono audio at 16 kHz. Utterances are never padded to each other's length, which would move transcripts: a
recogniser hears one at a time, or several in windows of one length.
"""

import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.optional import make_torchvision_importable, require

SAMPLE_RATE = 16000
_COMPRESSION_LIMIT = 2.4  # openai-whisper's sign of a decoder that loops
_REPEAT_LIMIT = 4
_LONGEST_PHRASE = 10
Heard = TypeVar("Heard")


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard.

    text: as the recogniser wrote it, not normalised; empty where nothing was recognised.
    language: ISO 639-1 code of the language the recogniser detected; None where it does not report one.
    flags: remarks of the recogniser on its own output ("stopped at 1024 tokens").
    """

    text: str
    language: str | None = None
    flags: tuple[str, ...] = ()

    def as_arrays(self) -> dict[str, np.ndarray]:
        """The transcript as JSON bytes, the form in which the feature store keeps it."""
        return {"json": np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Transcript":
        fields = json.loads(arrays["json"].tobytes())
        return cls(fields["text"], fields["language"], tuple(fields["flags"]))


class Recogniser(ABC):
    """Speech to text.

    parameters: every constant that can move a transcript, for the protocol fingerprint.
    libraries: distributions whose release can move one.
    """

    parameters: ClassVar[dict[str, Any]]
    libraries: ClassVar[tuple[str, ...]]

    @abstractmethod
    def transcribe(self, audio: np.ndarray, language: str | None = None) -> Transcript:
        """Audio (n,) float32, mono, 16 kHz -> transcript.

        ``language`` (ISO 639-1) is what should have been spoken; recognisers that take no hint ignore it.
        """

    def transcribe_all(
        self, audios: Sequence[np.ndarray], languages: Sequence[str | None]
    ) -> list[Transcript | NotApplicable]:
        """The transcript of each, or why there is none; what one is does not depend on the others."""
        return or_reason(self.transcribe, audios, languages)


def or_reason(
    hear: Callable[[np.ndarray, str | None], Heard], audios: Sequence[np.ndarray], languages: Sequence[str | None]
) -> list[Heard | NotApplicable]:
    """What ``hear`` gives for each audio and its language, or the NotApplicable that it raises."""
    found: list[Heard | NotApplicable] = []
    for audio, language in zip(audios, languages, strict=True):
        try:
            found.append(hear(audio, language))
        except NotApplicable as reason:
            found.append(reason)
    return found


@lru_cache(maxsize=2)
def from_transformers(folder: Path, family: str, dtype: str, device: str, digest: str | None) -> tuple[Any, Any]:
    """Processor and model of a local checkpoint, kept for the next clip and for other recognisers that run it.

    ``family`` begins the names of their classes (``Whisper``); ``digest`` only tells changed files apart. Raises
    NotApplicable where transformers does not know the family, or where the folder holds no checkpoint.
    """
    import torch

    make_torchvision_importable()  # transformers imports torchvision
    transformers = require("transformers", "speech")
    transformers.utils.logging.disable_progress_bar()
    try:
        kinds = [getattr(transformers, f"{family}{part}") for part in ("Processor", "ForConditionalGeneration")]
    except (AttributeError, ImportError) as error:
        raise NotApplicable(
            f"this transformers release does not know {family}: pip install 't2av-bench[speech]'"
        ) from error
    if not (folder / "config.json").is_file():
        raise NotApplicable(
            f"{folder} is not a {family} checkpoint in the transformers layout (config.json is missing)"
        )
    processor = kinds[0].from_pretrained(folder, local_files_only=True)
    model = kinds[1].from_pretrained(folder, local_files_only=True, dtype=getattr(torch, dtype))
    return processor, model.to(device).eval()


def compression_ratio(text: str) -> float:
    """Length of the UTF-8 text over its zlib length, as openai-whisper computes it; 0 for no text."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded)) if encoded else 0.0


def longest_repetition(tokens: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """(times, phrase) of the phrase of at most ten tokens that follows itself most often; (1, ()) for none."""
    times = 1
    phrase: tuple[str, ...] = ()
    for size in range(1, min(_LONGEST_PHRASE, len(tokens) // 2) + 1):
        matching = 0
        for position in range(size, len(tokens)):
            matching = matching + 1 if tokens[position] == tokens[position - size] else 0
            if matching % size == 0 and matching // size + 1 > times:
                times, phrase = matching // size + 1, tuple(tokens[position - size + 1 : position + 1])
    return times, phrase


def loop_flags(hypothesis: Sequence[str], reference: Sequence[str]) -> list[str]:
    """Signs that the recogniser looped, on normalised tokens (words, or characters in Chinese).

    A repetition that the reference asks for is no sign of anything, so it must exceed the reference's own; the
    same holds for the compression ratio.
    """
    flags = []
    separator = " " if any(len(token) > 1 for token in hypothesis) else ""
    times, phrase = longest_repetition(hypothesis)
    if times >= _REPEAT_LIMIT and times > longest_repetition(reference)[0]:
        flags.append(f"{separator.join(phrase)!r} is repeated {times} times")
    ratio = compression_ratio(separator.join(hypothesis))
    if ratio > _COMPRESSION_LIMIT and ratio > compression_ratio(separator.join(reference)):
        flags.append(f"compression ratio {ratio:.1f} is above {_COMPRESSION_LIMIT}")
    return flags
