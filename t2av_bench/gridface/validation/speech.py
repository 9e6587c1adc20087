"""What ``wer_gridface`` and ``cer_gridface`` are worth: graded noise, and garbage, on clips of the test splits.

``python -m t2av_bench.gridface.validation.speech`` measures it again and writes the document.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from t2av_bench.gridface.data import corpus
from t2av_bench.utils.files import write_text

DOCUMENT = Path("docs/embedded_speech_metrics.md")
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
    """Errors over the words (Chinese: characters) that were asked for."""

    errors: int = 0
    units: int = 0
    by_voice: dict[str, "Tally"] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.errors / self.units

    def add(self, errors: int, units: int, voice: str = "") -> None:
        self.errors += errors
        self.units += units
        if voice:
            self.by_voice.setdefault(voice, Tally()).add(errors, units)


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


def measure(clips: Clips, language: str, condition: str, heard_seconds: list[float] | None = None) -> Tally:
    """One condition over some clips of one language; the random numbers depend on the condition and the clip alone."""
    from t2av_bench.gridface.extractors.recogniser import recogniser

    tally = Tally()
    place = list(CONDITIONS).index(condition)
    for index, (one, _) in enumerate(clips):
        audio = CONDITIONS[condition](clips, index, np.random.default_rng([0x5EEC, place, index]))
        start = time.process_time()
        text = recogniser(language).transcribe(audio).text
        if heard_seconds is not None:
            heard_seconds.append(time.process_time() - start)
        tally.add(*_errors(language, one.text, text), one.voice)
    return tally


def guessing(clips: Clips, language: str) -> Tally:
    """What random sentences of the grammar score, without listening."""
    tally = Tally()
    random = np.random.default_rng(0x6E55)
    for one, _ in clips:
        for _ in range(_GUESSES):
            words = [str(random.choice(slot)) for slot in corpus.VOCABULARY[language]]
            tally.add(*_errors(language, one.text, corpus.join_words(words, language)))
    return tally


def record(language: str, count: int) -> list[tuple[corpus.Utterance, np.ndarray]]:
    """The first clips of a language's test split, with their sound at 16 kHz."""
    from t2av_bench.gridface.speech.synthesizer import Synthesizer

    with Synthesizer() as synthesizer:
        return [
            (one, corpus.record(one, synthesizer).audio) for one in corpus.utterances(_SPLITS[language], count)
        ]  # fmt: skip


def _errors(language: str, wanted: str, heard: str) -> tuple[int, int]:
    from t2av_bench.gridface.metrics.wer import CERGridFace, WERGridFace
    from t2av_bench.metrics.wer import error_rate

    metric = CERGridFace if language == "zh" else WERGridFace
    found = error_rate(metric.normalise(wanted), metric.normalise(heard), characters=metric.characters)
    return found["substitutions"] + found["deletions"] + found["insertions"], found["length"]


def document(count: int, notice: Callable[[str], None]) -> str:
    """The document, measured."""
    rates: dict[str, dict[str, Tally]] = {condition: {} for condition in CONDITIONS}
    guesses, speeds, seconds = {}, {}, {}
    for language in _SPLITS:
        clips = record(language, count)
        seconds[language] = sum(audio.size for _, audio in clips) / corpus.AUDIO_RATE
        guesses[language] = guessing(clips, language)
        for condition in CONDITIONS:
            notice(f"{language}: {condition}")
            spent: list[float] = []
            rates[condition][language] = measure(clips, language, condition, spent)
            if condition == "clean":
                speeds[language] = seconds[language] / sum(spent[1:] or spent)
    return "\n".join(_lines(rates, guesses, speeds, count)) + "\n"


def _lines(
    rates: dict[str, dict[str, Tally]], guesses: dict[str, Tally], speeds: dict[str, float], count: int
) -> Iterator[str]:
    garbage = {
        language: [found[language].rate for name, found in rates.items() if name.startswith("garbage")]
        for language in _SPLITS
    }
    yield "# The embedded benchmark's speech metrics"
    yield ""
    yield "<!-- Written by python -m t2av_bench.gridface.validation.speech; do not edit. -->"
    yield ""
    yield (
        "`wer_gridface` (English) and `cer_gridface` (Mandarin) are stand-ins: pocketsphinx with a closed grammar of "
        "the benchmark's sentences. They hear one of those sentences or nothing, so **garbage that sounds like speech "
        "does not score 1**: read every number between the clean row and the garbage rows. They say nothing about "
        "other texts, other languages or the published recognisers' error rates. Mandarin is heard by the English "
        "acoustic model through pronunciations of our own (`t2av_bench/gridface/extractors/pronunciations.toml`); no "
        "two words of the grammar differ in tone alone."
    )
    yield ""
    yield f"The first {count} clips of `test-en` and of `test-zh`; corpus rates, as in the tables."
    yield ""
    yield "| what is heard | wer_gridface (en) | cer_gridface (zh) |"
    yield "|---|---:|---:|"
    for condition, found in rates.items():
        yield f"| {condition} | {found['en'].rate:.3f} | {found['zh'].rate:.3f} |"
    yield f"| no listening: random sentences of the grammar | {guesses['en'].rate:.3f} | {guesses['zh'].rate:.3f} |"
    yield "| digital silence | 1.000 (nothing is heard) | 1.000 (nothing is heard) |"
    yield ""
    lowest = {language: f"{min(found):.2f}" for language, found in garbage.items()}
    yield f"Garbage scores from {lowest['en']} (English) and {lowest['zh']} (Mandarin) upwards."
    yield ""
    yield "| voice | clean |"
    yield "|---|---:|"
    for language, tally in rates["clean"].items():
        for voice, mine in sorted(tally.by_voice.items()):
            yield f"| {voice} | {_NAMES[language]} {mine.rate:.3f} ({mine.errors} of {mine.units}) |"
    yield ""
    yield (
        f"Hearing takes one second of a core for {speeds['en']:.0f} s of English or {speeds['zh']:.0f} s of Mandarin "
        "sound, once the acoustic model is loaded (on the machine that wrote this, with other work beside it)."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS, help=f"clips of each split (default {CLIPS})")
    parser.add_argument("--out", type=Path, default=DOCUMENT, help=f"file to write (default {DOCUMENT})")
    chosen = parser.parse_args(arguments)
    write_text(chosen.out, document(chosen.clips, lambda text: print(text, file=sys.stderr)))
    print(chosen.out)


if __name__ == "__main__":
    main()
