"""StyleTTS2's text front end: known pronunciations, and the package phonemizer where it is installed."""

import pytest

from t2av_bench.errors import NotApplicable
from t2av_bench.extractors.phonemes import SYMBOLS, phonemes, symbol_numbers
from t2av_bench.utils import espeak

pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")

TEXTS = (
    "the cat", "Hello, world!", "It costs $5 (about 300 yen).",
    '... Well - "no" said déjà vu; Dr. Smith\'s 12 o\'clock!',
    "A [b] c", "what?! yes—no…  ok", "e.g. 1,500 of these 3.5", "Don’t re-enter Über  two   spaces",
)  # fmt: skip


def test_known_words():
    assert phonemes("Hello, world!") == "həlˈoʊ, wˈɜːld! "
    assert phonemes("the\ncat") == "ðə kˈæt "


@pytest.mark.parametrize("text", TEXTS)
def test_as_the_package_phonemizer(text, monkeypatch):
    phonemizer = pytest.importorskip("phonemizer", "3.3")
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    library, data = espeak.installation()
    monkeypatch.setenv("ESPEAK_DATA_PATH", str(data))
    EspeakWrapper.set_library(library)
    backend = phonemizer.backend.EspeakBackend("en-us", preserve_punctuation=True, with_stress=True)
    assert [phonemes(text)] == backend.phonemize([text])


def test_symbols_have_the_published_numbers():
    """StyleTTS2's model has 178; those of '$', of the space and of the last one follow from its README's order."""
    assert len(SYMBOLS) == 178
    assert symbol_numbers("$; Azᵻ") == [0, 1, 16, 17, 68, 177]
    assert symbol_numbers("a(b)c") == symbol_numbers("abc")
    assert symbol_numbers("'") == [176]


def test_what_was_read_before_changes_nothing():
    alone = phonemes(TEXTS[3])
    phonemes("déjà vu")
    assert phonemes(TEXTS[3]) == alone


def test_without_the_package_the_reason_says_what_to_install(monkeypatch):
    def missing():
        raise espeak.SpeechError("the package 'espeakng_loader' is missing: pip install 't2av-bench[speech]'")

    monkeypatch.setattr(espeak, "installation", missing)
    with pytest.raises(NotApplicable, match=r"phonemes: .* pip install 't2av-bench\[speech\]'"):
        phonemes("hello")
