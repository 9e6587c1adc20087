"""The networks that one step of the sampling loop calls, as functions of tensors: plain, compiled or recorded.

A step launches about two thousand small kernels; on a GPU their launching, not their work, sets the pace of a small
batch. Two remedies, apart or together: torch.compile fuses kernels, CUDA graphs replay a step's launches in one go.
Both want shapes that never change, so with either of them finished rows stay in the batch, every draw covers all of
it, and attention runs over the whole cache under a mask.

    accelerate(model, compile=True, graphs=True)      # see .acceleration; plain functions need no preparation
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..model import TalkerT2AV
from ..modules.backbone import KeyValueCache, decode
from ..modules.flow_matching import PatchSampler, SamplerSettings
from .cuda_graphs import Recorded
from .paired_heads import PairedSampler

COLUMN_STEP = 128
"""Recorded steps serve one size of cache, so sizes are rounded up to this many columns and met again."""

KEPT_CACHES = 4
"""Idle caches, with their recordings, that are kept for later batches."""


class StepFunctions:
    """Makes each function once and keeps it. ``compiler`` turns a function into a compiled one, ``recorder`` into one
    that is recorded per input shape; None leaves it as it is. Weights must not change afterwards."""

    def __init__(
        self, model: TalkerT2AV, compiler: Callable | None = None, recorder: type[Recorded] | None = None
    ) -> None:
        self.model, self._compiler, self._recorder = model, compiler, recorder
        self.constant_shapes = compiler is not None or recorder is not None
        self._made: dict[Any, Callable] = {}
        self._idle: list[KeyValueCache] = []

    def sampler(self, modality: str, settings: SamplerSettings) -> Callable[..., Tensor]:
        """``(noise, hidden, context, condition)`` to patches: see :class:`..modules.flow_matching.PatchSampler`."""
        build = functools.partial(PatchSampler, self.model.head(modality), settings)
        return self._once((modality, settings), lambda: self._sampler(build()))

    def paired_sampler(self, settings: SamplerSettings) -> Callable[..., tuple[Tensor, Tensor]]:
        """Both modalities from one batched network: see :class:`.paired_heads.PairedSampler`."""
        build = functools.partial(PairedSampler, self.model.speech_head, self.model.motion_head, settings)
        return self._once(settings, lambda: self._sampler(build()))

    def encode(self, modality: str, patches: Tensor, valid: Tensor) -> Tensor:
        """What :meth:`.model.TalkerT2AV.encode` does."""
        encode = functools.partial(self.model.encode, modality)
        return self._once(modality, lambda: self._recorded(self._compiled(encode)))(patches, valid)

    def decode_step(self, cache: KeyValueCache) -> Callable[..., Tensor]:
        """``(token (B, 1, D), cos, sin, column (1,), mask (B, 1, columns))`` to hidden states ``(B, D)``."""

        def make() -> Callable:
            network = self._once("decode", lambda: self._compiled(decode))

            def step(token: Tensor, cos: Tensor, sin: Tensor, column: Tensor, mask: Tensor) -> Tensor:
                return network(self.model.backbone, token, cos, sin, cache, column, cache.columns, mask)

            return self._recorded(step)

        return self._once(cache, make)

    def take_cache(self, batch: int, columns: int, dtype: torch.dtype) -> KeyValueCache:
        """A cache of at least ``columns`` columns that nobody else uses."""
        if not self.constant_shapes:
            return KeyValueCache(self.model.backbone, batch, columns, dtype)
        columns = -(-columns // COLUMN_STEP) * COLUMN_STEP
        for index, cache in enumerate(self._idle):
            if (cache.batch, cache.columns, cache.dtype) == (batch, columns, dtype):
                del self._idle[index]
                cache.clear()
                return cache
        return KeyValueCache(self.model.backbone, batch, columns, dtype)

    def return_cache(self, cache: KeyValueCache) -> None:
        """Keep a cache for the next batch of its size; of many sizes, the oldest ones go."""
        if self.constant_shapes:
            self._idle.append(cache)
            for oldest in self._idle[:-KEPT_CACHES]:
                self._made.pop(oldest, None)
            del self._idle[:-KEPT_CACHES]

    def _sampler(self, sampler: PatchSampler | PairedSampler) -> Callable:
        sampler.network = self._compiled(sampler.network)
        return self._recorded(sampler)

    def _once(self, key: Any, make: Callable[[], Callable]) -> Callable:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _compiled(self, function: Callable) -> Callable:
        return self._compiler(function) if self._compiler else function

    def _recorded(self, function: Callable) -> Callable:
        return self._recorder(function) if self._recorder else function
