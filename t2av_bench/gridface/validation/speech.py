"""What ``wer_gridface`` and ``cer_gridface`` are worth: graded noise, and garbage, on clips of the test splits.

``python -m t2av_bench.gridface.validation.speech`` measures it and writes ``docs/embedded_speech_metrics.md``.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.extractors.recogniser import recogniser
from t2av_bench.gridface.metrics.wer import CERGridFace, WERGridFace
from t2av_bench.gridface.validation.report import run, table
from t2av_bench.metrics.wer import error_rate

CLIPS = 100
_SPLITS = {"en": "test-en", "zh": "test-zh"}
_NAMES = {"en": "WER", "zh": "CER"}
_BLOCK = corpus.AUDIO_RATE // 10
_BABBLE_VOICES = 6
_GUESSES = 20

Clips = Sequence[tuple[corpus.Utterance, np.ndarray]]
Damage = Callable[[Clips, int, np.random.Generator], np.ndarray]


@dataclass(slots=True)
class Tally:
    """By voice: errors, and the words (Chinese: characters) that were asked for."""

    errors: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return self.errors.total() / self.units.total()

    def add(self, wanted: corpus.Utterance, heard: str) -> None:
        metric = CERGridFace if wanted.language == "zh" else WERGridFace
        found = error_rate(metric.normalise(wanted.text), metric.normalise(heard), characters=metric.characters)
        self.errors[wanted.voice] += found["substitutions"] + found["deletions"] + found["insertions"]
        self.units[wanted.voice] += found["length"]


def noisy(snr_db: float) -> Damage:
    """White noise at a signal-to-noise ratio over the whole clip."""

    def damage(clips: Clips, index: int, random: np.random.Generator) -> np.ndarray:
        audio = clips[index][1]
        level = np.sqrt(np.mean(np.square(audio, dtype=np.float64)) * 10 ** (-snr_db / 10))
        return (audio + level * random.standard_normal(audio.size)).astype(np.float32)

    return damage


def shuffled(clips: Clips, index: int, random: np.random.Generator) -> np.ndarray:
    """The clip's own sound in blocks of 0.1 s, in random order."""
    audio = clips[index][1]
    whole = audio[: audio.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    return random.permutation(whole).reshape(-1)


def backwards(clips: Clips, index: int, random: np.random.Generator) -> np.ndarray:
    return clips[index][1][::-1].copy()


def babble(clips: Clips, index: int, random: np.random.Generator) -> np.ndarray:
    """Six other clips at once, as long as this one."""
    size = clips[index][1].size
    others = random.choice([each for each in range(len(clips)) if each != index], _BABBLE_VOICES, replace=False)
    voices: list[np.ndarray] = [np.resize(clips[other][1], size) for other in others]
    return np.asarray(sum(voices) / np.float32(_BABBLE_VOICES))


def white_noise(clips: Clips, index: int, random: np.random.Generator) -> np.ndarray:
    return (0.1 * random.standard_normal(clips[index][1].size)).astype(np.float32)


def other_sentence(clips: Clips, index: int, random: np.random.Generator) -> np.ndarray:
    return clips[(index + 1) % len(clips)][1]


CONDITIONS: dict[str, Damage] = {
    "clean": lambda clips, index, _: clips[index][1],
    "white noise, 20 dB": noisy(20),
    "white noise, 10 dB": noisy(10),
    "white noise, 5 dB": noisy(5),
    "white noise, 0 dB": noisy(0),
    "garbage: blocks of 0.1 s in random order": shuffled,
    "garbage: played backwards": backwards,
    "garbage: six other clips at once": babble,
    "garbage: white noise alone": white_noise,
    "another sentence of the split": other_sentence,
}


def measure(clips: Clips, language: str, condition: str) -> Tally:
    """One condition over some clips of one language; the random numbers depend on the condition and the clip alone."""
    tally = Tally()
    place = list(CONDITIONS).index(condition)
    for index, (one, _) in enumerate(clips):
        audio = CONDITIONS[condition](clips, index, np.random.default_rng([0x5EEC, place, index]))
        tally.add(one, recogniser(language).transcribe(audio).text)
    return tally


def guessing(clips: Clips, language: str) -> Tally:
    """What random sentences of the grammar score, without listening."""
    tally = Tally()
    random = np.random.default_rng(0x6E55)
    for one, _ in clips:
        for _ in range(_GUESSES):
            words = [str(random.choice(slot)) for slot in corpus.VOCABULARY[language]]
            tally.add(one, corpus.join_words(words, language))
    return tally


def record(language: str, count: int) -> Clips:
    """The first clips of a language's test split, with their sound at 16 kHz."""
    return [(one, made.audio) for one, made in corpus.recordings(corpus.utterances(_SPLITS[language], count))]


def document(count: int) -> str:
    """The document, measured."""
    clips = {language: record(language, count) for language in _SPLITS}
    rates = {
        condition: {language: measure(clips[language], language, condition) for language in _SPLITS}
        for condition in CONDITIONS
    }
    guesses = {language: guessing(clips[language], language) for language in _SPLITS}
    lowest = {
        language: min(found[language].rate for name, found in rates.items() if name.startswith("garbage"))
        for language in _SPLITS
    }
    conditions = {**rates, "no listening: random sentences of the grammar": guesses}
    heard = table(
        ["what is heard", "wer_gridface (en)", "cer_gridface (zh)"],
        [
            *([name, f"{found['en'].rate:.3f}", f"{found['zh'].rate:.3f}"] for name, found in conditions.items()),
            ["digital silence", *["1.000 (nothing is heard)"] * 2],
        ],
    )
    voices = table(
        ["voice", "clean"],
        [
            [voice, f"{_NAMES[language]} {tally.errors[voice] / units:.3f} ({tally.errors[voice]} of {units})"]
            for language, tally in rates["clean"].items()
            for voice, units in sorted(tally.units.items())
        ],
    )
    return f"""\
# The embedded benchmark's speech metrics

<!-- Written by python -m t2av_bench.gridface.validation.speech; do not edit. -->

`wer_gridface` (English) and `cer_gridface` (Mandarin) are stand-ins: pocketsphinx with a closed grammar of the
benchmark's sentences. They hear one of those sentences or nothing, so **garbage that sounds like speech does not score
1**: read every number between the clean row and the garbage rows. They say nothing about other texts, other languages
or the published recognisers' error rates. Mandarin is heard by the English acoustic model through pronunciations of our
own (`t2av_bench/gridface/extractors/pronunciations.toml`); no two words of the grammar differ in tone alone.

The first {count} clips of `test-en` and of `test-zh`; corpus rates, as in the tables.

{heard}

Garbage scores from {lowest["en"]:.2f} (English) and {lowest["zh"]:.2f} (Mandarin) upwards.

{voices}
"""


if __name__ == "__main__":
    run(__doc__ or "", "docs/embedded_speech_metrics.md", CLIPS, document)
