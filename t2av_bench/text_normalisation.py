"""Text normalisation before words or characters are counted: one pure function per published convention.

Both sides of a comparison go through the same function. Numbers are where conventions differ most:
``whisper_english`` writes number words as digits, the other functions leave both as they are.
"""

import string
import unicodedata
import warnings
from collections.abc import Callable
from functools import cache

# Ranges of the "Chinese punctuation" that seed-tts-eval deletes (the constant of the package zhon 2).
_CHINESE_PUNCTUATION_RANGES = (
    (0x00B7, 0x00B7), (0x2013, 0x2014), (0x2018, 0x2019), (0x201B, 0x201F), (0x2026, 0x2027),
    (0x3000, 0x3003), (0x3008, 0x3011), (0x3014, 0x301F), (0x3030, 0x3030), (0x303E, 0x303F),
    (0xFE4F, 0xFE4F), (0xFE51, 0xFE51), (0xFE54, 0xFE54), (0xFF01, 0xFF0D), (0xFF0F, 0xFF0F),
    (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF64),
)  # fmt: skip
_SEED_TTS_DELETED = (
    {chr(code) for first, last in _CHINESE_PUNCTUATION_RANGES for code in range(first, last + 1)}
    | set(string.punctuation)
) - {"'"}
_SEED_TTS_TABLE = str.maketrans(dict.fromkeys(_SEED_TTS_DELETED, ""))
_TYPOGRAPHIC_APOSTROPHES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})


@cache
def _whisper_normalizer(language: str) -> Callable[[str], str]:
    if language == "en":
        from whisper_normalizer.english import EnglishTextNormalizer

        return EnglishTextNormalizer()
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer()


@cache
def _chinese_converter() -> Callable[[str, str], str]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        from zhconv import convert
    return convert


def whisper_english(text: str) -> str:
    """English as in the Whisper paper (appendix C): lower case, no fillers, bracketed remarks or punctuation,
    contractions expanded, British spelling made American, number words written as digits.

    Typographic apostrophes become ASCII ones first: the published rules know only that form, and a prompt
    typed as "can\u2019t" would otherwise count as two wrong words.
    """
    return _whisper_normalizer("en")(text.translate(_TYPOGRAPHIC_APOSTROPHES)).strip()


def whisper_basic(text: str) -> str:
    """Other languages that write spaces, as in the Whisper paper: lower case, no punctuation or brackets."""
    return _whisper_normalizer("other")(text).strip()


def chinese_characters(text: str) -> str:
    """Chinese as a string of characters to be compared one by one.

    Compatibility forms folded (NFKC: full-width digits and letters), traditional characters made simplified
    (zh-cn, the mainland's words), Latin letters lower case; no punctuation, symbols, control characters or
    spaces. Digits are not spelled out: write numbers in the text as they are spoken.
    """
    folded = _chinese_converter()(unicodedata.normalize("NFKC", text), "zh-cn").lower()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LMN")


def seed_tts(text: str, language: str) -> str:
    """The rules of seed-tts-eval (BytedanceSpeech, commit 752f429), its quirks included.

    Chinese and ASCII punctuation is deleted, not replaced by a space ("well-known" -> "wellknown",
    "$5.50" -> "550"); the ASCII apostrophe alone stays; one pass replaces two spaces by one, so longer runs
    survive; English becomes lower case; Chinese becomes zh-cn characters separated by spaces.

    Upstream converts only what was recognised to zh-cn; here both sides are, which matters for prompts in
    traditional characters alone. Raises ValueError for any language but ``en`` and ``zh``.
    """
    if language not in ("en", "zh"):
        raise ValueError(f"seed-tts-eval has rules for 'en' and 'zh', not for {language!r}")
    if language == "zh":
        text = _chinese_converter()(text, "zh-cn")
    stripped = text.translate(_SEED_TTS_TABLE).replace("  ", " ")
    return " ".join(stripped) if language == "zh" else stripped.lower()
