"""What one training sample is, and where samples come from.

A *source* knows the lengths of all its samples beforehand (batches are planned from lengths alone) and gives one
sample at a time, read from a file or computed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

TEXT, SUFFIX, SPEECH, MOTION = range(4)
"""Columns of a source's ``lengths``: tokens before and after the patches, speech frames, motion frames."""


class SampleError(ValueError):
    """A sample, or the file that holds it, cannot be trained on; the message says which and why."""


@dataclass
class Sample:
    """One clip in latents, 25 frames a second.

    ``text_ids (L,)``: tokens before the first patch; ``suffix_ids (S,)``: tokens after the last (a chat's end).
    ``speech (T, 32)``; ``motion (M, 40)``, normalised, or None where there is no video; ``speaker_embedding (256,)``.
    """

    text_ids: Tensor
    speech: Tensor
    speaker_embedding: Tensor
    motion: Tensor | None = None
    suffix_ids: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    @property
    def lengths(self) -> tuple[int, int, int, int]:
        """In the order of :data:`TEXT`, :data:`SUFFIX`, :data:`SPEECH`, :data:`MOTION`."""
        return (
            len(self.text_ids),
            len(self.suffix_ids),
            len(self.speech),
            0 if self.motion is None else len(self.motion),
        )


class SampleSource(Protocol):
    """``lengths (N, 4)`` int64 (columns: :data:`TEXT` ...); ``fingerprint`` changes when the samples do."""

    lengths: np.ndarray
    fingerprint: str

    def __getitem__(self, index: int) -> Sample: ...

    def describe(self, index: int) -> str:
        """Where sample ``index`` comes from, in words for an error message."""
        ...


@dataclass(frozen=True)
class SampleShape:
    """What the model expects of every sample: channels and the number of text tokens it knows."""

    speech_dim: int
    motion_dim: int
    speaker_dim: int
    vocab_size: int


def read_sample(source: SampleSource, index: int, shape: SampleShape) -> Sample:
    """Sample ``index``, checked: lengths as announced, channels as the model's, finite, token ids in range.

    Raises :class:`SampleError` that names the sample's place.
    """
    try:
        sample = source[index]
    except SampleError:
        raise
    except Exception as error:  # a source of the user's own may raise anything; say for which sample
        raise SampleError(f"{source.describe(index)}: {type(error).__name__}: {error}") from error
    announced = tuple(int(length) for length in source.lengths[index])
    problem = next(problems(sample, shape), None)
    if sample.lengths != announced:
        problem = (
            f"its lengths (text, suffix, speech, motion) are {sample.lengths}, but "
            f"{announced} were announced; write the index again"
        )
    if problem:
        raise SampleError(f"{source.describe(index)}: {problem}")
    return sample


def problems(sample: Sample, shape: SampleShape) -> Iterator[str]:
    """What is wrong with a sample, however long it is."""
    for name, latents, channels in (
        ("speech", sample.speech, shape.speech_dim),
        ("motion", sample.motion, shape.motion_dim),
        ("speaker_embedding", sample.speaker_embedding[None], shape.speaker_dim),
    ):
        if latents is None:
            continue
        if latents.ndim != 2 or latents.shape[1] != channels:
            yield f"{name} has shape {list(latents.shape)}, expected {channels} channels"
        if not torch.isfinite(latents).all():
            row = int((~torch.isfinite(latents)).any(dim=1).nonzero()[0])
            yield f"{name} is not finite from frame {row} on"
    for name in ("text_ids", "suffix_ids"):
        ids = getattr(sample, name)
        if len(ids) and not (0 <= int(ids.min()) and int(ids.max()) < shape.vocab_size):
            yield (
                f"{name} go from {int(ids.min())} to {int(ids.max())}, but the model knows "
                f"tokens 0 to {shape.vocab_size - 1}; use the tokenizer that belongs to the model"
            )


def random_window(sample: Sample, frames: int, seed: Sequence[int]) -> Sample:
    """``frames`` frames of a longer sample from a place that ``seed`` decides, the same in both modalities.

    The text stays whole, as in the release's training. Where one modality is no longer than the window and the other
    is, the window is the beginning. 0 frames: the whole sample.
    """
    shorter = len(sample.speech) if sample.motion is None else min(len(sample.speech), len(sample.motion))
    start = int(np.random.default_rng(list(seed)).integers(shorter - frames + 1)) if 0 < frames < shorter else 0
    window = slice(start, start + frames if frames else None)
    motion = None if sample.motion is None else sample.motion[window]
    return replace(sample, speech=sample.speech[window], motion=motion)


def check_lengths(source: SampleSource, name: str, max_tokens: int) -> None:
    """Refuse, before training starts, samples that no sequence can hold. Raises :class:`SampleError`."""
    lengths = source.lengths
    if not len(lengths):
        raise SampleError(f"{name} has no samples")
    for bad, problem in (
        (lengths[:, SPEECH] < 1, "has no speech frames"),
        (lengths[:, TEXT] < 1, "has no text tokens"),
        (lengths[:, TEXT] >= max_tokens, f"has a text that leaves no room in data.max_tokens = {max_tokens}"),
    ):
        if bad.any():
            index = int(np.argmax(bad))
            raise SampleError(
                f"{source.describe(index)} {problem} ({int(bad.sum())} samples of {name} do); leave "
                f"such samples out when writing the data"
            )
