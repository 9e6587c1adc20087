"""Text to token ids: what stands before the first patch (section 3.2).

The released checkpoint was trained on a chat: the text is the user's turn, and the assistant's turn is one
placeholder token per slot. In training, patch tokens overwrite the placeholders; in generation the sequence ends
before the first of them. The chat's wording comes from the tokenizer's own template (the release ships
``chat_template.jinja``); :data:`CHAT_TEMPLATE` serves tokenizers that have none.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..utils.transformers import make_transformers_importable

PLACEHOLDER = "<SPEECH_FRAME>"
MAX_TOKENS = 1000
"""Training sequences were cut at this many tokens, text and placeholders together."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
)


class PromptError(ValueError):
    """A text that cannot become a prompt."""


def load_tokenizer(folder: str | Path) -> Any:
    """The tokenizer in a checkpoint folder (``tokenizer.json`` and its configuration). Nothing is downloaded."""
    make_transformers_importable()
    from transformers import AutoTokenizer

    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer_config.json").is_file():
        raise FileNotFoundError(f"no tokenizer.json in {folder}; pass the folder of the checkpoint that holds it")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def text_prompt(tokenizer: Any, text: str) -> Tensor:
    """Token ids ``(L,)`` of everything before the first patch. Raises :class:`PromptError`."""
    return chat_ids(tokenizer, text)[0]


def chat_ids(tokenizer: Any, text: str) -> tuple[Tensor, Tensor]:
    """Token ids of the chat before the first patch ``(L,)``, and after the last one ``(S,)``, which is seen in
    training alone. Raises :class:`PromptError`."""
    marker = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
    if marker is None or marker == tokenizer.unk_token_id:
        raise PromptError(
            f"the tokenizer has no token {PLACEHOLDER!r}: it is not the tokenizer of a Talker-T2AV "
            f"checkpoint; add it with tokenizer.add_tokens([{PLACEHOLDER!r}], special_tokens=True)"
        )
    if not text.strip():
        raise PromptError("the text is empty; give the words to be spoken")
    special = [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()]
    reserved = [token for token in special if token and token in text]
    if reserved:
        raise PromptError(f"the text contains {reserved[0]!r}, which the prompt reserves; remove it")
    chat = [{"role": "user", "content": text}, {"role": "assistant", "content": PLACEHOLDER}]
    template = None if getattr(tokenizer, "chat_template", None) else CHAT_TEMPLATE
    wording = tokenizer.apply_chat_template(
        chat, chat_template=template, tokenize=False, add_generation_prompt=False, enable_thinking=False
    )
    ids = tokenizer(wording, add_special_tokens=False)["input_ids"]
    if ids.count(marker) != 1:
        raise PromptError(f"the chat template kept {ids.count(marker)} of 1 placeholders; it does not fit this model")
    place = ids.index(marker)
    return torch.tensor(ids[:place]), torch.tensor(ids[place + 1 :], dtype=torch.long)
