"""What a sample costs and counts, from its lengths alone: tokens, flow-matching rows, stop labels.

Losses are means over a whole batch. Knowing every count before any latent is read lets a part of the batch (a
micro-batch, a process) divide by the whole batch's counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arrangement import Arrangement
from ..config import ModelConfig
from ..modules.stop_predictor import IGNORED, positive_weight, stop_labels
from .samples import MOTION, SPEECH, SUFFIX, TEXT

MODALITIES = ("speech", "motion")


@dataclass(frozen=True)
class Layout:
    """The sequence of one sample, task token not counted.

    ``tokens`` in all, of which [``start``, ``end``) belong to patches; ``patches`` that each head is trained on,
    before repetition.
    """

    tokens: int
    start: int
    end: int
    patches: dict[str, int]

    @classmethod
    def of(cls, tokens: int, start: int, end: int, frames: dict[str, int], config: ModelConfig) -> "Layout":
        """For a clip of so many ``frames`` of each modality.

        A patch is predicted from the token before its own, so where the sequence is cut, one more patch is trained
        than there are tokens. A single patch is not trained on, as in the release.
        """
        arrangement = Arrangement.parse(config.arrangement)
        patches = {}
        for name in MODALITIES:
            predicted = (end - start - arrangement.token(name, 0)) // arrangement.tokens_per_slot + 1
            count = min(-(-frames[name] // config.patch_size), predicted)
            patches[name] = count if count >= 2 else 0
        return cls(tokens, start, end, patches)


def layout(lengths: Sequence[int], config: ModelConfig, max_tokens: int) -> Layout:
    """The layout of a sample with ``lengths`` (see :mod:`.samples`), cut at ``max_tokens``."""
    text, suffix, speech, motion = (int(lengths[column]) for column in (TEXT, SUFFIX, SPEECH, MOTION))
    arrangement, size = Arrangement.parse(config.arrangement), config.patch_size
    end = text + arrangement.slots(-(-speech // size), -(-motion // size)) * arrangement.tokens_per_slot
    frames = {"speech": speech, "motion": motion}
    return Layout.of(min(end + suffix, max_tokens), text, min(end, max_tokens), frames, config)


def labels_of(layouts: Sequence[Layout], config: ModelConfig) -> Tensor:
    """Stop labels ``(B, 1 + T)``, task token included: a cut sequence ends with its last whole slot."""
    per_slot = Arrangement.parse(config.arrangement).tokens_per_slot
    return stop_labels(
        torch.tensor([item.start + 1 for item in layouts]),
        torch.tensor([(item.end - item.start) // per_slot for item in layouts]),
        1 + max(item.tokens for item in layouts),
        patch_size=config.patch_size,
        fps=config.fps,
        tokens_per_slot=per_slot,
    )


@dataclass(frozen=True)
class Totals:
    """Counts of a whole batch: patches of each head, stop labels, and the weight of stop labels that are 1."""

    patches: dict[str, int]
    labels: int
    stop_weight: float


def totals(layouts: Iterable[Layout], config: ModelConfig, stop_positive_factor: float) -> Totals:
    layouts = list(layouts)
    labels = labels_of(layouts, config)
    return Totals(
        {name: sum(item.patches[name] for item in layouts) for name in MODALITIES},
        int((labels != IGNORED).sum()),
        float(positive_weight(labels)) * stop_positive_factor,
    )
