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


@dataclass(frozen=True)
class Layout:
    """The sequence of one sample, task token not counted.

    ``tokens`` in all, of which [``start``, ``end``) are patches in ``slots`` slots; ``patches`` that each head is
    trained on (section 3.4: none for a single patch), before repetition.
    """

    tokens: int
    start: int
    end: int
    slots: int
    patches: dict[str, int]


def layout(lengths: Sequence[int], config: ModelConfig, max_tokens: int) -> Layout:
    """The layout of a sample with ``lengths`` (see :mod:`.samples`), cut at ``max_tokens``."""
    text, suffix, speech, motion = (int(lengths[column]) for column in (TEXT, SUFFIX, SPEECH, MOTION))
    arrangement, size = Arrangement.parse(config.arrangement), config.patch_size
    wanted = arrangement.slots(-(-speech // size), -(-motion // size)) * arrangement.tokens_per_slot
    end = min(text + wanted, max_tokens)
    slots = max(0, end - text) // arrangement.tokens_per_slot
    counts = {"speech": min(-(-speech // size), slots), "motion": min(-(-motion // size), slots - arrangement.delay)}
    return Layout(
        min(text + wanted + suffix, max_tokens),
        text,
        end,
        slots,
        {name: count if count >= 2 else 0 for name, count in counts.items()},
    )


def labels_of(layouts: Sequence[Layout], config: ModelConfig, tokens: int) -> Tensor:
    """Stop labels ``(B, tokens)``, task token included."""
    start, slots = (
        torch.tensor(column) for column in zip(*((item.start + 1, item.slots) for item in layouts), strict=True)
    )
    return stop_labels(
        start,
        slots,
        tokens,
        patch_size=config.patch_size,
        fps=config.fps,
        tokens_per_slot=Arrangement.parse(config.arrangement).tokens_per_slot,
    )


@dataclass(frozen=True)
class Totals:
    """Counts of a whole batch: patches of each head, stop labels, and the weight of stop labels that are 1."""

    patches: dict[str, int]
    labels: int
    stop_weight: float


def totals(layouts: Iterable[Layout], config: ModelConfig, stop_positive_factor: float) -> Totals:
    layouts = list(layouts)
    labels = labels_of(layouts, config, 1 + max(item.tokens for item in layouts))
    return Totals(
        {name: sum(item.patches[name] for item in layouts) for name in ("speech", "motion")},
        int((labels != IGNORED).sum()),
        float(positive_weight(labels)) * stop_positive_factor,
    )
