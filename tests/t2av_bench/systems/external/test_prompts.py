"""Prompts hold the words once and unchanged, and signs of a system's own language are refused."""

from pathlib import Path

import pytest

from t2av_bench.errors import NotApplicable
from t2av_bench.metrics.tempo import characters
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.external import prompts

TEMPLATE = "{scene} They say in {language}: <S>{text}<E> Audio: {voice_description}."


def asked(text="Good morning.", **fields):
    return Request("a", Path("a.mp4"), text=text, **fields)


def test_fields_are_filled_in():
    found = prompts.fill(
        TEMPLATE, asked("早上好。", language="zh", scene="A woman\n in a  garden.", voice_description="A low voice.")
    )
    assert found == "A woman in a garden. They say in Chinese: <S>早上好。<E> Audio: A low voice."


def test_without_a_description_a_neutral_one_is_taken():
    found = prompts.fill(TEMPLATE, asked())
    assert found == f"{prompts.SCENE} They say in their own language: <S>Good morning.<E> Audio: {prompts.VOICE}."


@pytest.mark.parametrize("text", ["{scene}", "a {text} b", "{", "}}", "{0}"])
def test_braces_are_words(text):
    assert f"<S>{text}<E>" in prompts.fill(TEMPLATE, asked(text))


@pytest.mark.parametrize("sign", ["<S>", "<E>", "< e >", "</S>", "<AUDCAP>", "<ENDAUDCAP>", "Audio:"])
@pytest.mark.parametrize("name", ["text", "scene", "voice_description"])
def test_signs_of_the_template_are_refused_in_words(name, sign):
    with pytest.raises(GenerationFailed, match=f"the {name} holds"):
        prompts.fill(TEMPLATE, asked(**{name: f"well {sign} then"}))


def test_signs_that_the_template_does_not_use_are_words():
    assert prompts.fill("{scene} {text}", asked("<S> Audio: x")).endswith("<S> Audio: x")


def test_double_quotes_inside_quoted_speech_become_single():
    assert prompts.fill('They say: "{text}"', asked('She said “no” and "yes".')) == (
        "They say: \"She said 'no' and 'yes'.\""
    )
    assert prompts.fill("<S>{text}<E>", asked('"no"')) == '<S>"no"<E>'


def test_a_template_with_an_unknown_field_is_a_mistake():
    with pytest.raises(ValueError, match="got mood"):
        prompts.fill("{mood} {text}", asked())


def test_templates_of_the_specifications():
    assert "<S>Good morning.<E> Audio: " in prompts.render("ovi", asked(language="en"))
    assert "Good morning" not in prompts.render("universe-1", asked())  # the words have a field of their own
    assert prompts.render("f5-tts", asked()) == ""


def test_planned_seconds():
    rates = {"en": 12.0, "zh": 4.0}
    assert prompts.planned_seconds("Four, and 8 of us!", "en", rates) == pytest.approx(0.6 + 12 / 12)
    assert prompts.planned_seconds("早上好。", "zh", rates) == pytest.approx(0.6 + 3 / 4)


def test_planned_seconds_grow_with_the_text_by_the_rate():
    once, twice = (prompts.planned_seconds("abc" * n, "en", {"en": 5.0}) for n in (1, 2))
    assert twice - once == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    "text", ["It's 12:30, isn't it?", "ｆｕｌｌ width ½", "早上好，世界！", "Ça\u00a0va — naïve", "été"]
)
def test_planned_seconds_count_what_the_tempo_metric_counts(text):
    assert prompts.planned_seconds(text, "en", {"en": 1.0}) == pytest.approx(0.6 + characters(text))


def test_planned_seconds_need_a_rate_and_words():
    with pytest.raises(NotApplicable, match="no rate of speech for 'de', only for en"):
        prompts.planned_seconds("Guten Tag", "de", {"en": 5.0})
    with pytest.raises(NotApplicable, match="no letter"):
        prompts.planned_seconds("…", "en", {"en": 5.0})
    with pytest.raises(ValueError, match="positive"):
        prompts.planned_seconds("Hello", "en", {"en": 0.0})
