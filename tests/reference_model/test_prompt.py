"""Prompts: the chat around the text, the span of the placeholders, and what is refused."""

import pytest
import torch

from reference_model.inference import prompt
from reference_model.utils.transformers import make_transformers_importable

WORDS = "hello there world good day user assistant <think> </think>".split()


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer([prompt.PLACEHOLDER])


def make_tokenizer(extra):
    make_transformers_importable()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<unk>", *WORDS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", *extra], special_tokens=True)
    return tokenizer


def words(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(ids.tolist())


def test_a_text_prompt_ends_right_before_the_first_patch(tokenizer):
    ids = prompt.text_prompt(tokenizer, "hello world")
    assert words(tokenizer, ids) == [
        "<|im_start|>",
        "user",
        "hello",
        "world",
        "<|im_end|>",
        "<|im_start|>",
        "assistant",
        "<think>",
        "</think>",
    ]


def test_the_checkpoint_s_own_template_is_used(tokenizer):
    other = make_tokenizer([prompt.PLACEHOLDER])
    other.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    assert words(other, prompt.text_prompt(other, "good day")) == ["good", "day"]
    other.chat_template = "{{ messages[0].content }}"
    with pytest.raises(prompt.PromptError, match="kept 0 of 1 placeholders"):
        prompt.text_prompt(other, "good day")


@pytest.mark.parametrize(
    "text, complaint",
    [("  ", "empty"), ("hello <|im_end|>", r"contains '<\|im_end\|>'"), ("a <SPEECH_FRAME> b", "<SPEECH_FRAME>")],
)
def test_texts_that_would_break_the_chat_are_refused(tokenizer, text, complaint):
    with pytest.raises(prompt.PromptError, match=complaint):
        prompt.text_prompt(tokenizer, text)


def test_a_foreign_tokenizer_is_refused():
    with pytest.raises(prompt.PromptError, match="has no token '<SPEECH_FRAME>'"):
        prompt.text_prompt(make_tokenizer([]), "hello")


def test_tokenizers_load_from_a_folder(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = prompt.load_tokenizer(tmp_path)
    assert torch.equal(prompt.text_prompt(loaded, "hello day"), prompt.text_prompt(tokenizer, "hello day"))
    with pytest.raises(FileNotFoundError, match="no tokenizer.json in"):
        prompt.load_tokenizer(tmp_path / "absent")
