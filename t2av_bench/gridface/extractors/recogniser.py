"""pocketsphinx with a closed grammar of GridFace's sentences: what ``wer_gridface`` and ``cer_gridface`` hear with.

It knows which words can stand where, and so hears a sentence of the benchmark or nothing at all: garbage that sounds
like speech does not score 1.0 but about what guessing would (measured in ``docs/embedded_speech_metrics.md``).

Mandarin is heard by the English acoustic model through pronunciations written in English phones. It works because
the sentences are closed and avoid contrasts of tone; it is no recogniser of Mandarin.
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from t2av_bench.extractors.pocketsphinx_recogniser import PocketsphinxRecogniser

LANGUAGES = ("en", "zh")


@lru_cache(maxsize=len(LANGUAGES))
def sentence_grammar(language: str) -> str:
    """The JSGF grammar of a language's sentences: one word from each slot of the vocabulary."""
    from t2av_bench.gridface.data.corpus import VOCABULARY

    slots = " ".join(f"({' | '.join(slot)})" for slot in VOCABULARY[language])
    return f"#JSGF V1.0;\ngrammar gridface;\npublic <sentence> = {slots};\n"


@lru_cache(maxsize=len(LANGUAGES))
def sentence_pattern(language: str) -> re.Pattern[str]:
    """Matches the normalised sentences of a language: words are parted by spaces in English, by nothing in Chinese."""
    from t2av_bench.gridface.data.corpus import VOCABULARY, join_words

    return re.compile(join_words([f"(?:{'|'.join(slot)})" for slot in VOCABULARY[language]], language))


@lru_cache(maxsize=len(LANGUAGES))
def pronunciations(language: str) -> dict[str, str]:
    """ARPABET phones by word for words that the bundled dictionary lacks; further ways are ``word(2)``, ``word(3)``."""
    file = Path(__file__).with_name("pronunciations.toml")
    found = tomllib.loads(file.read_text(encoding="utf-8")).get(language, {})
    return {
        word if place == 1 else f"{word}({place})": phones
        for word, ways in found.items()
        for place, phones in enumerate(ways, start=1)
    }


class GridFaceRecogniser(PocketsphinxRecogniser):
    """GridFace's sentences in one language (``en`` or ``zh``); see ``recogniser`` for one that is kept."""

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ValueError(f"GridFace has sentences in {' and '.join(LANGUAGES)}, not in {language!r}")
        super().__init__(sentence_grammar(language), pronunciations(language))
        self._kept: Any = None

    def _decoder(self) -> Any:
        """One decoder for all clips: loading the acoustic model takes longer than hearing a clip.

        Its noise removal keeps estimates from clip to clip; making the front end anew each time forgets them.
        """
        if self._kept is None:
            self._kept = super()._decoder()
        self._kept.reinit_feat()
        return self._kept


@lru_cache(maxsize=len(LANGUAGES))
def recogniser(language: str) -> GridFaceRecogniser:
    """The recogniser of a language, one a process."""
    return GridFaceRecogniser(language)
