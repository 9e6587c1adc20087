"""Normalisers against the published examples, and what makes them usable: variants become equal."""

import string
import unicodedata
from functools import partial
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2av_bench.metrics.text_normalisation import chinese_characters, seed_tts, visible, whisper_basic, whisper_english
from t2av_bench.metrics.wer import error_rate

# Asked for and not imported: zhconv takes seconds, of every process that collects tests.
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("whisper_normalizer", "zhconv"))), reason="whisper-normalizer or zhconv is not installed"
)


@pytest.fixture(autouse=True, scope="module")
def imported():
    """Before any example is timed."""
    return whisper_english("you"), chinese_characters("你")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The colour, of course!", "the color of course"),
        ("Twenty-one dollars", "$21"),
        ("I can't", "i can not"),
        ("I can\u2019t", "I can't"),
        ("um, hello [laughs] (coughs) there", "hello there"),
        ("Mr. Smith's house", "mister smith's house"),
        ("well-known", "well known"),
    ],
)
def test_whisper_english_makes_variants_equal(one, other):
    assert whisper_english(one) == whisper_english(other)


def test_whisper_english_keeps_different_words_different():
    assert whisper_english("the cat sat") != whisper_english("the cat sits")
    assert whisper_english("fifteen") != whisper_english("fifty")


def test_whisper_basic_keeps_letters_of_other_languages():
    assert whisper_basic("Ça va, Füße?") == "ça va füße"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("well-known", "wellknown"),
        ("$5.50", "550"),
        ("Don't stop.", "don't stop"),
        ("don\u2019t", "dont"),
        ("a   b", "a  b"),
        ("a, b - c", "a b c"),
    ],
)
def test_seed_tts_english(raw, expected):
    assert seed_tts(raw, "en") == expected


def test_seed_tts_chinese_separates_characters():
    assert seed_tts("你好\uff0c世界\u3002", "zh") == "你 好 世 界"
    assert seed_tts("\u300a漢語\u300b\uff01", "zh") == "汉 语"


def test_seed_tts_full_stop_of_full_width_ascii_survives():
    # U+FF0E is missing from the upstream constant; a rule that deletes it would not be the published one.
    assert seed_tts("5\uff0e5", "zh") == "5 \uff0e 5"


def test_seed_tts_refuses_other_languages():
    with pytest.raises(ValueError, match="'en' and 'zh'"):
        seed_tts("bonjour", "fr")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("你好\uff0c世界\uff01", "你好 世界"),
        ("漢語轉換", "汉语转换"),
        ("\uff21\uff22\uff23\uff11\uff12\uff13", "abc123"),
        ("\u300c引号\u300d\u2014\u2014与\u2026\u2026省略", "引号与省略"),
        ("你好\u3000世界\t\n", "你好世界"),
        ("AI\u200b模型", "ai模型"),
    ],
)
def test_chinese_characters_makes_variants_equal(one, other):
    assert chinese_characters(one) == chinese_characters(other)


def test_chinese_characters_keeps_tones_of_meaning():
    assert chinese_characters("买") != chinese_characters("卖")
    assert len(chinese_characters("你好\uff0c世界\uff01")) == 4


# --- what nobody speaks -----------------------------------------------------------------------------------------------

regex = pytest.importorskip("regex")  # knows the properties of Unicode that Python's own module lacks
# Interlinear annotations are left out: they end text, see below.
UNSPOKEN = [
    character
    for character in regex.findall(
        r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Me}\p{Cc}\p{Co}]", "".join(map(chr, range(0x110000)))
    )
    if not (character.isspace() or "\ufff9" <= character <= "\ufffb" or unicodedata.category(character) == "Cn")
]
NORMALISERS = {
    "english": (whisper_english, "Don't stop: it's well-known, 21 dollars."),
    "basic": (whisper_basic, "L'été, ça va? Füße пять می خواهم"),
    "chinese": (chinese_characters, "今天真开心，谢谢Ａ１！二零二四年"),
    "seed en": (partial(seed_tts, language="en"), "Don't stop: it is well-known."),
    "seed zh": (partial(seed_tts, language="zh"), "今天真开心，漢語。"),
}


def test_the_sample_of_unspoken_characters_holds_all_kinds():
    kinds = "\ufeff\u00ad\u200b\u200c\u200d\u2060\u202e\u2066\ufe0f\u20e3\u034f\u180b\u180e\u115f\u3164\uffa0"
    kinds += "\u0000\u009b\U000e0061\U000e0100"
    assert set(kinds) <= set(UNSPOKEN)


@given(
    st.sampled_from(sorted(NORMALISERS)), st.lists(st.tuples(st.integers(0, 40), st.sampled_from(UNSPOKEN)), min_size=1)
)
def test_what_nobody_speaks_counts_for_nothing_wherever_it_stands(name, inserted):
    normalise, text = NORMALISERS[name]
    dirty = list(text)
    for place, character in inserted:
        dirty.insert(place, character)
    assert normalise("".join(dirty)) == normalise(text)
    assert visible("".join(dirty)) == text


@pytest.mark.parametrize(
    "emoji", ["❤️", "☺️", "1️⃣".removeprefix("1"), "👩‍👩‍👧", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "㊙️".removeprefix("㊙")]
)
def test_emoji_count_for_nothing(emoji):
    for normalise, text in (
        (whisper_english, "so happy"),
        (whisper_basic, "tout va bien"),
        (chinese_characters, "真开心"),
    ):
        assert normalise(text + emoji) == normalise(text)
        assert normalise(f"{text} {emoji} {text}") == normalise(f"{text} {text}")


@pytest.mark.parametrize("sign", "＇´`‘’‛ʼʻʹ′‵｀՚ꞌ")
def test_apostrophes_of_all_keyboards_are_one(sign):
    for word in ("don't", "it's", "o'clock", "we're"):
        assert whisper_english(word.replace("'", sign)) == whisper_english(word)
    for word in ("l'homme", "п'ять"):
        assert whisper_basic(word.replace("'", sign)) == whisper_basic(word)


def test_quotation_marks_are_no_apostrophes():
    assert whisper_english("the letter ‘s’ here") == "the letter s here"
    assert whisper_english("`quoted` words") == "quoted words"


@pytest.mark.parametrize("space", "\u00a0\u202f\u2003\u3000\u2028\u2029\u0085\t\n\r\x0b\x1c")
def test_any_white_space_parts_words(space):
    for normalise in (whisper_english, whisper_basic, partial(seed_tts, language="en")):
        reference, heard = normalise(f"hello{space}there"), normalise("hello there")
        assert error_rate(reference, heard)["rate"] == 0 and error_rate(reference, heard)["length"] == 2


def test_forms_of_letters_are_folded():
    wide = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)} | {" ": "\u3000"})
    for text in ("I can't, it's fine", "Twenty-one dollars ($21)"):
        assert whisper_english(text.translate(wide)) == whisper_english(text)
    assert whisper_english("the ﬁrst oﬀer") == "the 1st offer"


@pytest.mark.parametrize("zero", "〇○◯零")
def test_zero_among_chinese_numerals(zero):
    assert chinese_characters(f"二{zero}二四年，一百{zero}五") == "二零二四年一百零五"
    assert chinese_characters("圆圈○是图形") == "圆圈是图形"


def test_readings_annotated_to_words_are_not_spoken_twice():
    assert chinese_characters("\ufff9东京\ufffaとうきょう\ufffb大学") == "东京大学"
    assert visible("open\ufffaat the end") == "open"


def test_combining_decoration_of_chinese_counts_for_nothing():
    assert chinese_characters("今\u0336天\u20dd") == "今天"


@given(
    st.lists(st.sampled_from(["Don't", "twenty-one", "colour", "Mr.", "$5", "3rd", "(laughs)", "um", "café", "naïve"]))
)
def test_plain_text_is_normalised_as_the_published_package_does_it(words):
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    text = " ".join(words)
    assert whisper_english(text) == EnglishTextNormalizer()(text).strip()
    assert whisper_basic(text) == BasicTextNormalizer()(text).strip()


@given(st.text(alphabet=string.printable[:95], max_size=60))
def test_ascii_passes_untouched(text):
    assert visible(text) == text


@given(st.text(max_size=60))
def test_no_normaliser_leaves_outer_spaces_or_fails(text):
    for normalise in (whisper_english, whisper_basic, chinese_characters):
        result = normalise(text)
        assert result == result.strip()
    assert " " not in chinese_characters(text)


@given(st.text(alphabet="你好世界漢語\uff0c\u3002\uff01?a1 ", max_size=40))
def test_chinese_characters_is_idempotent(text):
    once = chinese_characters(text)
    assert chinese_characters(once) == once
