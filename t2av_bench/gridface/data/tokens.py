"""Words to token ids: GridFace's vocabulary is closed, so a word is a token."""

import difflib
from functools import cache

import torch
from torch import Tensor

from t2av_bench.gridface.data.corpus import VOCABULARY

SIZE = 80
"""Ids are below this; 0 is padding."""
LONGEST_TEXT = 24
"""Words of the longest text that is taken."""


class UnknownWord(ValueError):
    """A text that GridFace's vocabulary does not hold; the message names the word and its neighbours."""


class WordTokenizer:
    """``encode("bin blue at alpha one now")`` -> (6,) int64. Case and punctuation do not count."""

    vocab_size = SIZE

    def encode(self, text: str) -> Tensor:
        """Raises UnknownWord, and ValueError for an empty text or one above ``LONGEST_TEXT`` words."""
        words = split_words(text)
        if not words:
            raise ValueError("the text is empty: give the words to be spoken, such as 'bin blue at alpha one now'")
        if len(words) > LONGEST_TEXT:
            raise ValueError(f"the text has {len(words)} words, at most {LONGEST_TEXT} are taken: split it")
        return torch.tensor([token_id(word) for word in words])


def split_words(text: str) -> list[str]:
    """English by spaces; Chinese by the vocabulary's words, the longest first."""
    plain = "".join(letter.lower() if letter.isalnum() else " " for letter in text)
    words: list[str] = []
    for piece in plain.split():
        words += [piece] if piece.isascii() else _chinese_words(piece)
    return words


@cache
def _ids() -> dict[str, int]:
    words = [word for slots in VOCABULARY.values() for slot in slots for word in slot]
    return {word: number for number, word in enumerate(words, start=1)}


def token_id(word: str) -> int:
    """Raises UnknownWord."""
    known = _ids()
    if word in known:
        return known[word]
    near = difflib.get_close_matches(word, known, n=3)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    slots = VOCABULARY["en" if word.isascii() else "zh"]
    examples = ", ".join(slot[0] for slot in slots)
    raise UnknownWord(
        f"the embedded models do not know the word {word!r}{hint}. They speak sentences of {len(slots)} words, one "
        f"from each slot, such as {examples} (all words: t2av_bench/gridface/data/vocabulary.toml)"
    )


def _chinese_words(piece: str) -> list[str]:
    known = sorted((word for slot in VOCABULARY["zh"] for word in slot), key=len, reverse=True)
    words = []
    while piece:
        word = next((word for word in known if piece.startswith(word)), piece[:2])
        words.append(word)
        piece = piece[len(word) :]
    return words
