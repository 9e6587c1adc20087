"""What one training sample is, and where samples come from.

A *source* knows the lengths of all its samples beforehand (batches are planned from lengths alone) and gives one
sample at a time, read from a file or computed. :class:`FunctionSource` makes a source from any function.
"""

import hashlib
from collections.abc import Callable, Sequence
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


class FunctionSource:
    """Samples computed when they are asked for: ``function(index)`` gives sample ``index``.

    ``lengths`` lists (text tokens, suffix tokens, speech frames, motion frames) of every sample; the function must
    keep to them, and must depend on the index alone. It runs in the data workers, so it must be picklable where
    processes are spawned. ``fingerprint`` should name whatever decides the samples; lengths are always part of it.
    """

    def __init__(
        self,
        function: Callable[[int], Sample],
        lengths: Sequence[Sequence[int]] | np.ndarray,
        name: str = "function",
        fingerprint: str = "",
    ):
        self.function, self.name = function, name
        self.lengths = np.asarray(lengths, dtype=np.int64).reshape(-1, 4)
        content = hashlib.sha256(self.lengths.tobytes())
        content.update(fingerprint.encode())
        self.fingerprint = content.hexdigest()

    def __getitem__(self, index: int) -> Sample:
        return self.function(index)

    def describe(self, index: int) -> str:
        return f"{self.name}, sample {index}"


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
    where = source.describe(index)
    try:
        sample = source[index]
    except SampleError:
        raise
    except Exception as error:  # a source of the user's own may raise anything; say for which sample
        raise SampleError(f"{where}: {type(error).__name__}: {error}") from error
    announced = tuple(int(length) for length in source.lengths[index])
    if sample.lengths != announced:
        raise SampleError(
            f"{where}: its lengths (text, suffix, speech, motion) are {sample.lengths}, but "
            f"{announced} were announced; write the index again"
        )
    _check_latents(where, "speech", sample.speech, shape.speech_dim)
    if sample.motion is not None:
        _check_latents(where, "motion", sample.motion, shape.motion_dim)
    _check_latents(where, "speaker_embedding", sample.speaker_embedding[None], shape.speaker_dim)
    for name in ("text_ids", "suffix_ids"):
        ids = getattr(sample, name)
        if len(ids) and not (0 <= int(ids.min()) and int(ids.max()) < shape.vocab_size):
            raise SampleError(
                f"{where}: {name} go from {int(ids.min())} to {int(ids.max())}, but the model knows "
                f"tokens 0 to {shape.vocab_size - 1}; use the tokenizer that belongs to the model"
            )
    return sample


def random_window(sample: Sample, frames: int, seed: Sequence[int]) -> Sample:
    """``frames`` frames of a longer sample from a place that ``seed`` decides, the same in both modalities.

    The text stays whole, as in the release's training. Where one modality is no longer than the window and the other
    is, the window is the beginning. 0 frames: the whole sample.
    """
    shorter = len(sample.speech) if sample.motion is None else min(len(sample.speech), len(sample.motion))
    start = int(np.random.default_rng(list(seed)).integers(max(0, shorter - frames) + 1)) if frames else 0
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


def _check_latents(where: str, name: str, latents: Tensor, channels: int) -> None:
    if latents.ndim != 2 or latents.shape[1] != channels:
        raise SampleError(f"{where}: {name} has shape {list(latents.shape)}, the model needs {channels} channels")
    if not torch.isfinite(latents).all():
        row = int((~torch.isfinite(latents)).any(dim=1).nonzero()[0])
        raise SampleError(f"{where}: {name} is not finite from frame {row} on; compute this sample again")
