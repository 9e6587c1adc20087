"""Prompts hold the words once and unchanged, and signs of a system's own language are refused."""

from pathlib import Path

import pytest

from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.external import prompts
from t2av_bench.systems.external.spec import spec

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


def test_records_say_whose_words_the_prompt_has_and_what_did_not_arrive_as_given(tmp_path):
    request = Request("a", tmp_path / "a.mp4", text="Hi", language="en", identity=tmp_path / "i.png",
                      voice=tmp_path / "v.wav")  # fmt: skip
    found = prompts.record_of("ovi", request, "a prompt", {"peak_memory": 3})
    honours = spec("ovi").honours
    external = found.pop("external")
    assert found == {"prompt": "a prompt", "prompted": prompts.PROMPTED, "template": prompts.template_id("ovi")}
    told = {"text", "language", "identity", "voice", "seed"}
    by_how = {"words": external["only_in_words"], "ignored": external["ignored"], "none": external["no_input"]}
    assert {how: sorted(name for name in told if honours[name] == how) for how in by_how} == by_how
    assert "voice" in external["no_input"] and external["peak_memory"] == 3
    assert {"spec_sha256", "shim_sha256"} < external.keys()
    assert "prompted" not in prompts.record_of("sonic", request, ""), "nobody wrote a prompt"


def test_a_template_goes_by_its_words(monkeypatch):
    before = prompts.template_id("ovi")
    monkeypatch.setattr(prompts, "spec", lambda id: spec(id).model_copy(update={"prompt": spec(id).prompt + " Hum."}))
    assert before.startswith("ovi ") and prompts.template_id("ovi") != before
    assert prompts.template_id("ovi").startswith("ovi ")
