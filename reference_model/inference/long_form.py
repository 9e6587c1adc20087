"""Long texts: passage by passage, joined into one clip, in bounded memory.

Each passage is a sequence of its own: its text, then the last patch of the passage before as prefix, then new
patches. Training never saw sequences beyond 1,000 tokens or 30 s, so passages keep positions and attention where the
model was trained; attention memory is that of the longest passage. The noise generator runs on, so one seed fixes the
whole.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..model import TalkerT2AV
from .batched.sampling import stream
from .recipes import Recipe
from .types import GeneratedPatch, GenerationItem, GenerationResult

SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n")
"""Where a text may be parted: after a full stop and a space, a Chinese full stop, at the end of a line."""
OVERLAP_PATCHES = 1
"""Of a passage, how much the next continues: enough for the heads, which see one patch back, and for a face that does
not jump. The text of a passage does not hold the words of its prefix, so a longer one swallows words: the embedded
model's error rate is 0.07 with one patch, 0.17 with two, 0.48 with four (18 sentences; 0.13 where each starts anew)."""


def split_passages(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Passages of whole sentences, as many in each as fit together; a sentence that fits nowhere stands alone."""
    passages: list[str] = []
    start = end = 0
    for boundary in [*(match.end() for match in SENTENCE_END.finditer(text)), len(text)]:
        if end > start and not fits(text[start:boundary]):
            passages.append(text[start:end])
            start = end
        end = boundary
    return [" ".join(passage.split()) for passage in [*passages, text[start:]] if passage.strip()]


def stream_passages(
    model: TalkerT2AV,
    item: GenerationItem,
    texts: Sequence[Tensor],
    recipe: Recipe,
    passage_patches: int,
) -> Iterator[GeneratedPatch | GenerationResult]:
    """Speak ``texts`` (prompts ``(L,)``, in order) as one clip; events as :func:`.batched.sampling.stream` yields them:
    every patch, then one result of all passages, whose ``passages`` are their numbers of patches.

    ``item`` gives everything else; its own prefix opens the first passage and its ``text_ids`` are not used. Its
    ``max_patches`` bound the whole, ``passage_patches`` each passage. The result's ``stop_reason`` is ``predictor``
    where every passage ended so.
    Raises ValueError for a task that follows a given clip, and a recipe whose prefixes hold no motion.
    """
    if item.task not in ("t2av", "tts"):
        raise ValueError(f"passages need a task that ends by itself, t2av or tts; {item.task} follows a given clip")
    if item.task == "t2av" and recipe.prefix_contents == "speech":
        raise ValueError(
            "this recipe's prefixes hold no motion, so the face would jump at every passage; "
            "use prefix_contents = 'speech_and_motion'"
        )
    tail = OVERLAP_PATCHES * model.config.patch_size
    if item.task == "t2av" and item.first_motion is None and item.motion is not None:
        item = dataclasses.replace(item, first_motion=item.motion[0])
    noise = dataclasses.replace(item, text_ids=torch.cat(list(texts))).own_noise()
    passage = dataclasses.replace(item, noise=noise)
    results: list[GenerationResult] = []
    for text in texts:
        done = sum(result.patches for result in results)
        passage = dataclasses.replace(passage, text_ids=text, max_patches=min(passage_patches, item.max_patches - done))
        if passage.max_patches == 0:
            break
        for event in stream(model, [passage], recipe):
            if isinstance(event, GeneratedPatch):
                event.index += done
                yield event
            else:
                motion = None if event.motion is None else event.motion[-tail:]
                passage = dataclasses.replace(passage, speech=event.speech[-tail:], motion=motion)
                results.append(event)
    yield _joined(results, len(texts))


def _joined(results: Sequence[GenerationResult], wanted: int) -> GenerationResult:
    """One clip: the first passage with its prefix, of the others what is new."""
    first = results[0]
    speech = [first.speech, *(result.speech[result.speech_prefix_frames :] for result in results[1:])]
    motion = None
    if first.motion is not None:
        motion = torch.cat([first.motion, *(result.motion[result.motion_prefix_frames :] for result in results[1:])])
    ended = len(results) == wanted and all(result.stop_reason == "predictor" for result in results)
    passages = [result.patches for result in results]
    return dataclasses.replace(
        first, speech=torch.cat(speech), motion=motion, patches=sum(passages), passages=passages,
        stop_reason="predictor" if ended else "limit",
    )  # fmt: skip
