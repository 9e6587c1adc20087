"""Closed-grammar error rates: heard right on clean speech, worse with noise, honest about garbage and silence."""

import numpy as np
import pytest
from speech_factory import RATE, pair, with_noise

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.metrics.wer import CERGridFace, WERGridFace
from t2av_bench.gridface.validation import speech as speech_validity
from t2av_bench.metrics.wer import WERPocketsphinx

pytest.importorskip("pocketsphinx")
METRICS = {"en": WERGridFace, "zh": CERGridFace}
NAMES = {"en": "wer_gridface", "zh": "cer_gridface"}


@pytest.fixture(scope="module")
def clips():
    """language -> [(utterance, audio)], eight of each test split."""
    pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")
    from t2av_bench.gridface.speech.synthesizer import Synthesizer

    with Synthesizer() as synthesizer:
        return {
            language: [(one, corpus.record(one, synthesizer).audio) for one in corpus.utterances(f"test-{language}", 8)]
            for language in METRICS
        }


def measure(folder, language, text, audio):
    return METRICS[language]().measure(pair(folder, audio, text=text, language=language))


def rate(folder, language, text, audio):
    return measure(folder, language, text, audio).values[NAMES[language]]


@pytest.mark.parametrize("language", METRICS)
def test_clean_sentences_are_understood(clips, language, tmp_path):
    assert np.mean([rate(tmp_path, language, one.text, audio) for one, audio in clips[language]]) <= 0.05


@pytest.mark.parametrize("language", METRICS)
def test_more_noise_is_never_understood_better(clips, language, tmp_path):
    def heard(snr_db):
        return np.mean(
            [rate(tmp_path, language, one.text, with_noise(audio, snr_db)) for one, audio in clips[language]]
        )

    light, heavy = heard(20), heard(-5)
    assert light < 0.2 < 0.5 < heavy


@pytest.mark.parametrize("language", METRICS)
def test_another_sentence_scores_what_differs(clips, language, tmp_path):
    """Words (Chinese: characters at one place) that two sentences do not share, counted without the metric."""
    (one, _), (other, audio) = clips[language][:2]
    unit = (lambda each: each.text) if language == "zh" else (lambda each: each.words)
    differing = sum(left != right for left, right in zip(unit(one), unit(other), strict=True))
    found = rate(tmp_path, language, one.text, audio)
    assert found == pytest.approx(differing / len(unit(one))) and found > 0.3


@pytest.mark.parametrize("language", METRICS)
def test_no_clip_moves_what_is_heard_of_the_next(clips, language):
    """The decoder is kept, and its front end remembers noise: likelihoods show that before any word changes."""
    from t2av_bench.gridface.extractors.recogniser import GridFaceRecogniser

    noise = np.random.default_rng(1).normal(0, 0.3, 2 * RATE).astype(np.float32)

    def heard(recogniser, audio):
        transcript = recogniser.transcribe(audio)
        return transcript, recogniser._kept.hyp().score

    used = GridFaceRecogniser(language)
    for _, audio in clips[language][:3]:
        used.transcribe(noise)
        assert heard(used, audio) == heard(used, audio) == heard(GridFaceRecogniser(language), audio)


@pytest.mark.parametrize("language", METRICS)
def test_silence_says_no_word_and_too_little_is_a_failure_with_a_reason(tmp_path, language):
    text = corpus.utterances(f"test-{language}", 1)[0].text
    found = measure(tmp_path, language, text, np.zeros(RATE, np.float32))
    assert set(found.values.values()) == {1.0} and found.detail["silent"] and found.detail["hypothesis"] == ""
    with pytest.raises(Unscorable, match=r"0.05 s long, at least 0.1 s"):
        measure(tmp_path, language, text, np.full(RATE // 20, 0.1, np.float32))


def test_garbage_scores_about_what_guessing_would(clips):
    """The reason for the warning in every caption. Guessing a slot of k words is wrong in 1 - 1/k of all cases."""
    slots = corpus.VOCABULARY["en"]
    guessing = 1 - np.mean([1 / len(slot) for slot in slots])
    assert speech_validity.guessing(clips["en"], "en").rate == pytest.approx(guessing, abs=0.04)
    shuffled = speech_validity.measure(clips["en"], "en", "garbage: blocks of 0.1 s in random order")
    assert 0.5 < shuffled.rate < 0.95 and shuffled.units.total() == 6 * len(clips["en"])
    assert shuffled.units.keys() == {one.voice for one, _ in clips["en"]}


def test_damage_does_what_its_name_says(clips):
    audio = clips["en"][2][1]
    random = np.random.default_rng(3)
    shuffled = speech_validity.shuffled(clips["en"], 2, random)
    assert np.array_equal(np.sort(shuffled), np.sort(audio[: shuffled.size])) and not np.array_equal(shuffled, audio)
    noise = speech_validity.noisy(10)(clips["en"], 2, random) - audio
    assert 10 * np.log10(np.mean(audio**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.3)
    assert np.array_equal(speech_validity.backwards(clips["en"], 2, random)[::-1], audio)
    assert speech_validity.babble(clips["en"], 2, random).shape == audio.shape
    assert np.array_equal(speech_validity.other_sentence(clips["en"], 7, random), clips["en"][0][1])


def test_what_the_grammar_cannot_hear_does_not_apply(tmp_path):
    audio = np.full(RATE, 0.1, np.float32)
    with pytest.raises(NotApplicable, match=r"'hello world' is no sentence of GridFace.*use wer/whisper"):
        measure(tmp_path, "en", "hello world", audio)
    english, chinese = (corpus.utterances(f"test-{language}", 1)[0].text for language in METRICS)
    with pytest.raises(NotApplicable, match=r"hears 'en' alone, the text is 'zh': use cer/gridface"):
        WERGridFace().measure(pair(tmp_path, audio, text=chinese, language="zh"))
    with pytest.raises(NotApplicable, match=r"hears 'zh' alone, the text is 'en': use wer/gridface"):
        CERGridFace().measure(pair(tmp_path, audio, text=english, language="en-US"))
    with pytest.raises(NotApplicable, match="give 'language' in the manifest"):
        WERGridFace().measure(pair(tmp_path, audio, text=english))


def test_spelling_of_the_text_does_not_matter(clips, tmp_path):
    one, audio = clips["en"][0]
    assert rate(tmp_path, "en", one.text.capitalize() + ".", audio) == rate(tmp_path, "en", one.text, audio)
    one, audio = clips["zh"][0]
    assert rate(tmp_path, "zh", one.text + "。", audio) == rate(tmp_path, "zh", one.text, audio)


def test_weights_make_the_corpus_rate(clips, tmp_path):
    one, audio = clips["en"][0]
    assert measure(tmp_path, "en", one.text, audio).weight == len(one.words)
    one, audio = clips["zh"][0]
    assert measure(tmp_path, "zh", one.text, audio).weight == sum(map(len, one.words))


def test_every_word_has_a_pronunciation_that_the_model_knows():
    from t2av_bench.gridface.extractors.recogniser import GridFaceRecogniser, pronunciations

    chinese = {word for slot in corpus.VOCABULARY["zh"] for word in slot}
    assert {word.split("(")[0] for word in pronunciations("zh")} == chinese
    decoder = GridFaceRecogniser("zh")._decoder()
    assert all(decoder.lookup_word(word) == phones for word, phones in pronunciations("zh").items())
    english = GridFaceRecogniser("en")._decoder()
    assert all(english.lookup_word(word) for slot in corpus.VOCABULARY["en"] for word in slot)


def test_sentences_stay_as_they_are_under_normalisation():
    """A word that a rule rewrote (traditional forms, number words) could never be heard right."""
    from t2av_bench.gridface.extractors.recogniser import sentence_pattern

    for language, metric in METRICS.items():
        for word in (word for slot in corpus.VOCABULARY[language] for word in slot):
            assert metric.normalise(word) == word
        for one in corpus.utterances(f"test-{language}"):
            assert sentence_pattern(language).fullmatch(metric.normalise(one.text))


def test_closed_and_open_vocabularies_never_share_a_column():
    fingerprints = {metric().protocol.fingerprint for metric in (WERGridFace, CERGridFace, WERPocketsphinx)}
    assert len(fingerprints) == 3
    quantities = {quantity.name for metric in METRICS.values() for quantity in metric.quantities}
    assert quantities == {"wer_gridface", "wer_utterance_gridface", "cer_gridface", "cer_utterance_gridface"}
    assert WERGridFace.stand_in and CERGridFace.stand_in
