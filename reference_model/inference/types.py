"""What goes into the sampling loop and what comes out: items, noise, patches, results."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

Task = Literal["t2av", "a2v", "v2a", "tts"]
StopReason = Literal["predictor", "limit", "given"]
"""Why an item ended: the stop predictor said so; ``max_patches`` was reached; the given speech (``a2v``) or motion
(``v2a``) ended. A given clip that ends exactly at ``max_patches`` counts as ``given``."""


class Noise(Protocol):
    """Where the initial noise of patches comes from; asked once per drawn patch, in the order of drawing."""

    def draw(self, modality: str, shape: tuple[int, int]) -> Tensor:
        """Standard normal noise ``(P, C)``, float32, on the CPU."""


class SeededNoise:
    """Noise of one item from its own generator on the CPU: the same on every device and in every batch."""

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, modality: str, shape: tuple[int, int]) -> Tensor:
        return torch.randn(shape, generator=self._generator)


@dataclass
class GenerationItem:
    """One thing to generate.

    ``text_ids (L,)``: all tokens before the first patch (see :mod:`.prompt`).
    ``task``: ``t2av`` draws speech and motion, ``a2v`` motion to a given speech, ``v2a`` (dubbing) speech to a given
    motion, ``tts`` speech alone.
    ``speech (T, 32)`` and ``motion (T, 40)``, normalised, at 25 Hz: for a modality that is drawn, the prefix to
    continue (whole patches; any length in ``tts``); for one that is given, all of it.
    ``max_patches`` bounds what is generated beyond the prefix.
    ``speaker_embedding (256,)`` is needed where speech is drawn; ``first_motion (40,)``, the identity's motion code,
    where motion is drawn (default: the first frame of ``motion``).
    ``seed`` (0 to 2^63 - 1) fixes the noise. Without one it follows from ``id``; without either from the item's inputs,
    bit for bit. So items share no noise unless they are one and the same, and none depends on its batch.
    ``noise`` takes the place of all that.
    """

    text_ids: Tensor
    max_patches: int
    task: Task = "t2av"
    speaker_embedding: Tensor | None = None
    first_motion: Tensor | None = None
    speech: Tensor | None = None
    motion: Tensor | None = None
    seed: int | None = None
    id: str = ""
    noise: Noise | None = None

    def own_noise(self) -> Noise:
        """Where this item's noise comes from, at its beginning (but for a ``noise`` that has been drawn from)."""
        if self.noise is not None:
            return self.noise
        return SeededNoise(self._derived_seed() if self.seed is None else self.seed)

    def _derived_seed(self) -> int:
        digest = hashlib.sha256(self.id.encode())
        if not self.id:
            digest.update(self.task.encode())
            for given in (self.text_ids, self.speaker_embedding, self.first_motion, self.speech, self.motion):
                values = torch.empty(0) if given is None else given
                digest.update(str(tuple(values.shape)).encode())
                digest.update(values.detach().double().cpu().numpy().tobytes())
        return int.from_bytes(digest.digest()[:8]) >> 1


@dataclass
class GeneratedPatch:
    """A finished patch. ``index`` counts this item's generated patches from 0; ``motion (P, 40)`` is None in ``tts``.

    The frames of the last patch of a given modality may be padding; the result says how many count.
    """

    item: int
    index: int
    speech: Tensor
    motion: Tensor | None


@dataclass
class GenerationResult:
    """A finished item: latents at 25 Hz on the CPU in float32, prefix first.

    ``speech (T, 32)``, ``motion (M, 40)`` (None in ``tts``); the first ``speech_prefix_frames`` and
    ``motion_prefix_frames`` of them were given as prefix. Both end at the same frame.
    ``stop_reason`` is a :data:`StopReason`. ``patches`` counts generated patches, ``passages`` those of each passage of
    a long text (:mod:`.long_form`).
    """

    item: int
    speech: Tensor
    motion: Tensor | None
    speech_prefix_frames: int
    motion_prefix_frames: int
    patches: int
    stop_reason: StopReason
    trace: "GenerationTrace | None" = None
    passages: list[int] | None = None


@dataclass
class GenerationTrace:
    """Internals of one item, for comparison with other implementations.

    ``prefill (tokens, D)``: embeddings before the first drawn slot. ``tokens``: each embedding fed back ``(D,)``.
    ``hidden``: hidden states ``(D,)``, row k predicts slot k and the last one follows the last slot.
    ``stop_probability``: one per hidden state; ``checked`` those that could end the item.
    ``drawn_speech``, ``drawn_motion``: every patch, before the end was trimmed.
    """

    prefill: Tensor | None = None
    tokens: list[Tensor] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    stop_probability: list[float] = field(default_factory=list)
    checked: list[float] = field(default_factory=list)
    drawn_speech: list[Tensor] = field(default_factory=list)
    drawn_motion: list[Tensor] = field(default_factory=list)
