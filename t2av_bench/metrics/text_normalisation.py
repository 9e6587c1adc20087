"""Text normalisation before words or characters are counted: one pure function per published convention.

Both sides of a comparison go through the same function. Numbers are where conventions differ most:
``whisper_english`` writes number words as digits, the other functions leave both as they are.

Every function first takes out what nobody speaks (``visible``): a prompt that was copied from a web page carries byte
order marks, soft hyphens, joiners and emoji selectors, which no recogniser writes.
"""

import re
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
# Signs that keyboards and web pages put in the place of an apostrophe, where letters or digits stand on both sides.
_APOSTROPHES = (
    "`\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u02f4\u055a\u05f3\u07f4\u07f5\u1fbd\u1fbf\u1fef\u1ffd\u1ffe"
    "\u2018\u2019\u201b\u2032\u2035\u275b\u275c\ua78b\ua78c\uff07\uff40"
)
_APOSTROPHE = re.compile(rf"(?<=\w)[{_APOSTROPHES}](?=\w)")
# Signs that Unicode calls default ignorable (DerivedCoreProperties.txt) although their category is that of a letter, a
# mark or nothing: fillers, joiners, variation selectors, and code points that are reserved for such.
_IGNORABLE_RANGES = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF),
)  # fmt: skip
_IGNORABLE = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _IGNORABLE_RANGES) + "]")
# Besides: control and format characters, enclosing marks, and code points that no standard gives a sound.
_UNSPOKEN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Me"})
# U+FFF9 text U+FFFA reading U+FFFB: the reading says the same words again.
_ANNOTATION = re.compile("\ufffa[^\ufffa\ufffb]*(?:\ufffb|$)")
# Circles typed for the character of zero, among Chinese numerals.
_NUMERALS = "零〇○◯一二三四五六七八九十百千万萬亿億年"
_ZERO = re.compile(f"〇|(?<=[{_NUMERALS}])[○◯]|[○◯](?=[{_NUMERALS}])")
REVISION = 2
"""Of what is taken out and folded here; part of the protocols that use these functions."""


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


def visible(text: str) -> str:
    """The text without characters that nobody speaks, and with one kind of space.

    Dropped: control and format characters (byte order mark, soft hyphen, joiners, direction and tag characters),
    variation selectors, enclosing marks, fillers, private characters, and readings annotated to words. Joiners are
    dropped in all scripts: what they join or part is written alike by no two recognisers. All white space, line and
    paragraph ends included, becomes spaces. Emoji and other symbols stay, for each convention to treat.
    """
    if text.isascii() and text.isprintable():
        return text
    found = []
    for character in _IGNORABLE.sub("", _ANNOTATION.sub("", text)):
        if character.isspace():
            found.append(" ")
        elif unicodedata.category(character) not in _UNSPOKEN_CATEGORIES:
            found.append(character)
    return "".join(found)


def _plain(text: str) -> str:
    """What is visible, with ASCII apostrophes inside words and compatibility forms (ligatures, full width) folded."""
    return unicodedata.normalize("NFKC", _APOSTROPHE.sub("'", visible(text)))


def whisper_english(text: str) -> str:
    """English as in the Whisper paper (appendix C): lower case, no fillers, bracketed remarks or punctuation,
    contractions expanded, British spelling made American, number words written as digits.

    Typographic apostrophes inside words become ASCII ones first: the published rules know only that form, and a prompt
    typed as "can\u2019t" would otherwise count as two wrong words. Full-width letters become plain ones before the
    rules look at them.
    """
    return _whisper_normalizer("en")(_plain(text)).strip()


def whisper_basic(text: str) -> str:
    """Other languages that write spaces, as in the Whisper paper: lower case, no punctuation or brackets.

    What stands for an apostrophe inside a word parts it like one, whichever sign it is.
    """
    return _whisper_normalizer("other")(_plain(text)).strip()


def chinese_characters(text: str) -> str:
    """Chinese as a string of characters to be compared one by one.

    Compatibility forms folded (NFKC: full-width digits and letters), traditional characters made simplified
    (zh-cn, the mainland's words), Latin letters lower case, \u3007 written as 零; no punctuation, symbols, marks,
    control characters or spaces. Digits are not spelled out: write numbers in the text as they are spoken.
    """
    folded = _chinese_converter()(_ZERO.sub("零", _plain(text)), "zh-cn").lower()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LN")


def seed_tts(text: str, language: str) -> str:
    """The rules of seed-tts-eval (BytedanceSpeech, commit 752f429), its quirks included.

    Chinese and ASCII punctuation is deleted, not replaced by a space ("well-known" -> "wellknown",
    "$5.50" -> "550"); the ASCII apostrophe alone stays; one pass replaces two spaces by one, so longer runs
    survive; English becomes lower case; Chinese becomes zh-cn characters separated by spaces. Apostrophes of other
    forms and the character 〇 stay as upstream treats them; only invisible characters are dropped before (``visible``).

    Upstream converts only what was recognised to zh-cn; here both sides are, which matters for prompts in
    traditional characters alone. Raises ValueError for any language but ``en`` and ``zh``.
    """
    if language not in ("en", "zh"):
        raise ValueError(f"seed-tts-eval has rules for 'en' and 'zh', not for {language!r}")
    text = visible(text)
    if language == "zh":
        text = _chinese_converter()(text, "zh-cn")
    stripped = text.translate(_SEED_TTS_TABLE).replace("  ", " ")
    return " ".join(stripped) if language == "zh" else stripped.lower()
