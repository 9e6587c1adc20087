"""Long form: text longer than one sequence, passage by passage, in bounded memory.

Each passage is a sequence of its own: its text, then the last patches of the passage before as prefix, then new
patches. Training never saw sequences beyond 1,000 tokens or 30 s, so passages keep positions and attention
where the model was trained; attention memory is that of the longest passage. The noise generator runs on, so
one seed fixes the whole.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..model import TalkerT2AV
from .recipes import Recipe
from .sampling import stream
from .types import GeneratedPatch, GenerationItem, GenerationResult


def stream_passages(
    model: TalkerT2AV,
    item: GenerationItem,
    texts: Sequence[Tensor],
    recipe: Recipe,
    *,
    overlap_patches: int = 4,
    **options,
) -> Iterator[GeneratedPatch | GenerationResult]:
    """Speak ``texts`` (prompts ``(L,)``, in order) as one clip; events as :func:`.sampling.stream` yields them.

    ``item`` gives everything else; its own prefix opens the first passage and its ``text_ids`` are not used.
    ``max_patches`` bounds each passage. Event fields ``item`` and ``index`` count passages and patches from 0; a
    result holds its passage's prefix first, so new frames begin at ``speech_prefix_frames``. ``options`` go to
    :func:`.sampling.stream`.
    """
    if item.task not in ("t2av", "tts"):
        raise ValueError(f"passages need a task that ends by itself, t2av or tts; {item.task} follows a given clip")
    if item.task == "t2av" and recipe.prefix_contents == "speech":
        raise ValueError(
            "this recipe's prefixes hold no motion, so the face would jump at every passage; "
            "use prefix_contents = 'speech_and_motion'"
        )
    if overlap_patches < 1:
        raise ValueError(f"overlap_patches must be at least 1, got {overlap_patches}")
    tail = overlap_patches * model.config.patch_size
    if item.task == "t2av" and item.first_motion is None and item.motion is not None:
        item = dataclasses.replace(item, first_motion=item.motion[0])
    noise, index = dataclasses.replace(item, text_ids=torch.cat(list(texts))).own_noise(), 0
    for number, text in enumerate(texts):
        passage = dataclasses.replace(item, text_ids=text, noise=noise)
        for event in stream(model, [passage], recipe, **options):
            event.item = number
            if isinstance(event, GeneratedPatch):
                event.index, index = index, index + 1
            else:
                motion = None if event.motion is None else event.motion[-tail:]
                item = dataclasses.replace(item, speech=event.speech[-tail:], motion=motion)
            yield event
