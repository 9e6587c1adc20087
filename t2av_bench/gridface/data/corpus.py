"""GridFace: what the embedded benchmark's clips say and show. Everything here is decided by names and numbers alone.

A sentence takes one word from each slot of ``vocabulary.toml``. Splits share no sentence, no person, and no setting of
a voice's pitch and rate between training and the rest. ``record`` makes sound and motion; pictures are drawn from the
motion by :class:`.portrait.Portrait`.
"""

import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from t2av_bench.gridface.speech import visemes
from t2av_bench.gridface.speech.synthesizer import SAMPLE_RATE, Synthesizer
from t2av_bench.gridface.speech.synthesizer import Utterance as Speech
from t2av_bench.media.encode import fit
from t2av_bench.media.resample import resample
from t2av_bench.utils.config import near

NAME, VERSION = "gridface", "1"
"""Code that makes other bytes is another version, and is built anew; ``digests.toml`` holds the code to that."""
AUDIO_RATE = 16_000
FRAME_RATE = visemes.FRAME_RATE
HOP = AUDIO_RATE // FRAME_RATE
"""Samples per frame."""
SIZE = 128
PATCH = 4
"""Frame counts are multiples of this: the models' patch."""
LEVEL = 0.7
"""Largest sample of every clip."""
_LEAD_SECONDS = _TAIL_SECONDS = 0.12

VOCABULARY: Mapping[str, tuple[tuple[str, ...], ...]] = {
    language: tuple(map(tuple, slots))
    for language, slots in tomllib.loads(
        Path(__file__).with_name("vocabulary.toml").read_text(encoding="utf-8")
    ).items()
}
"""Language -> slots -> words."""
VOICES = {"en": ("en-us", "en-us+f2", "en-us+m3"), "zh": ("cmn", "cmn+f2")}


@dataclass(frozen=True, slots=True)
class _Split:
    """count clips in these languages, shared out in turn; the persons are ``identities``."""

    count: int
    languages: tuple[str, ...]
    identities: range


_TRAINING = "train"
_SPLITS = {
    "train": _Split(2400, ("en", "en", "zh"), range(0, 200)),
    "val": _Split(96, ("en", "en", "zh"), range(200, 220)),
    "test-en": _Split(200, ("en",), range(220, 260)),
    "test-zh": _Split(200, ("zh",), range(260, 300)),
    "dub": _Split(100, ("en",), range(300, 320)),
    "codec": _Split(100, ("en",), range(320, 340)),
}
SPLITS: Mapping[str, int] = {name: split.count for name, split in _SPLITS.items()}
"""Split -> number of clips."""
TEST_SPLITS = ("test-en", "test-zh", "dub", "codec")

# Pitch (0 to 99) and rate (words a minute) of the synthesiser; what is evaluated was not heard in training.
_PITCHES = {True: (38, 42, 46, 50, 54, 58, 62), False: (40, 48, 56)}
_RATES = {True: (135, 145, 155, 165), False: (140, 150, 160)}


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip before it is made. identity: seed of the person; seed: of blinks, gaze and head motion."""

    id: str
    split: str
    language: str
    words: tuple[str, ...]
    voice: str
    rate: int
    pitch: int
    identity: int
    seed: int

    @property
    def text(self) -> str:
        return join_words(self.words, self.language)

    @property
    def speaker(self) -> str:
        """Who is heard: two clips with the same value differ in words alone."""
        return f"{self.voice}/{self.pitch}/{self.rate}"


@dataclass(frozen=True, slots=True)
class Recording:
    """audio: (T * 640,) float32 at 16 kHz, largest sample 0.7; motion: (T, 16) float32 in ``visemes.MOTION_NAMES``."""

    audio: np.ndarray
    motion: np.ndarray


def join_words(words: tuple[str, ...] | list[str], language: str) -> str:
    return ("" if language == "zh" else " ").join(words)


def identities(split: str) -> range:
    """Seeds of the persons of a split; splits share none."""
    return _split(split).identities


def utterances(split: str, count: int | None = None) -> list[Utterance]:
    """The first ``count`` clips of a split (all by default): the same on every machine, a prefix of a larger count.

    Raises ValueError for an unknown split, or a count that it does not have.
    """
    chosen = _split(split)
    count = chosen.count if count is None else count
    if not 1 <= count <= chosen.count:
        raise ValueError(f"{NAME} {split} has 1 to {chosen.count} clips, {count} were asked for")
    return [_utterance(split, chosen, index) for index in range(count)]


def voice_sample(utterance: Utterance) -> Utterance:
    """Another sentence in the same voice: what a system may hear of the speaker. There are two for each speaker."""
    sentences = _sentences(utterance.language)
    # The sentences of no split start where those of all splits end.
    first = sum(_language_count(split, utterance.language) for split in _SPLITS.values())
    spare = len(sentences) - first
    name = f"{utterance.speaker}/{zlib.crc32(utterance.id.encode()) % 2}"
    words = _words(utterance.language, int(sentences[first + zlib.crc32(name.encode()) % spare]))
    return Utterance(
        f"voice-{name}", utterance.split, utterance.language, words, utterance.voice, utterance.rate, utterance.pitch,
        utterance.identity, zlib.crc32(name.encode()),
    )  # fmt: skip


def record(utterance: Utterance, synthesizer: Synthesizer) -> Recording:
    """Say it and move the face: bytes are the same for the same libraries, whatever was made before.

    Raises SpeechError where espeak-ng is missing.
    """
    said = synthesizer.say(utterance.text, utterance.voice, rate=utterance.rate, pitch=utterance.pitch)
    audio = sound(said)
    motion = visemes.motion(visemes.shift(said.phonemes, _LEAD_SECONDS), len(audio) // HOP, utterance.seed)
    return Recording(audio, motion)


def sound(said: Speech) -> np.ndarray:
    """(T * 640,) float32 at 16 kHz: what was said, with 0.12 s before and after it, in whole patches, at ``LEVEL``."""
    count = int(np.ceil((_LEAD_SECONDS + said.duration + _TAIL_SECONDS) * FRAME_RATE / PATCH)) * PATCH
    speech = said.samples.astype(np.float32)
    lead = np.zeros(round(_LEAD_SECONDS * SAMPLE_RATE), np.float32)
    audio = fit(resample(np.concatenate([lead, speech]), SAMPLE_RATE, AUDIO_RATE), count * HOP)
    return (audio * np.float32(LEVEL / np.abs(audio).max())).astype(np.float32)


def recordings(utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, Recording]]:
    """Each of them with its sound and motion, as :func:`record` makes them."""
    with Synthesizer() as synthesizer:
        for utterance in utterances:
            yield utterance, record(utterance, synthesizer)


def _split(name: str) -> _Split:
    if name not in _SPLITS:
        raise ValueError(f"{NAME} has no split {name!r}{near(name, _SPLITS)}")
    return _SPLITS[name]


def _utterance(name: str, split: _Split, index: int) -> Utterance:
    language = split.languages[index % len(split.languages)]
    before = list(_SPLITS.values())[: list(_SPLITS).index(name)]
    place = sum(_language_count(other, language) for other in before) + _earlier(split, language, index)
    words = _words(language, int(_sentences(language)[place]))
    id = f"{name}-{index:04d}"
    random = np.random.default_rng([0x6F1D, zlib.crc32(id.encode())])
    training = name == _TRAINING
    return Utterance(
        id, name, language, words,
        voice=str(random.choice(VOICES[language])),
        rate=int(random.choice(_RATES[training])),
        pitch=int(random.choice(_PITCHES[training])),
        identity=split.identities[index % len(split.identities)],
        seed=int(random.integers(1 << 31)),
    )  # fmt: skip


def _earlier(split: _Split, language: str, index: int) -> int:
    """Clips of the language before clip ``index``."""
    whole, rest = divmod(index, len(split.languages))
    return whole * split.languages.count(language) + split.languages[:rest].count(language)


def _language_count(split: _Split, language: str) -> int:
    return _earlier(split, language, split.count)


@cache
def _sentences(language: str) -> np.ndarray:
    """All sentences of a language, by number, in a fixed random order."""
    total = int(np.prod([len(slot) for slot in VOCABULARY[language]]))
    return np.random.default_rng([0x5E27, len(VOCABULARY[language])]).permutation(total)


def _words(language: str, number: int) -> tuple[str, ...]:
    words = []
    for slot in VOCABULARY[language]:
        number, choice = divmod(number, len(slot))
        words.append(slot[choice])
    return tuple(words)
