"""A step's networks compiled, recorded as CUDA graphs, or with both heads as one. Not measured on a GPU yet.

    networks = Accelerated(model, compile=True, graphs=True)
    results = generate(model, items, recipe, networks=networks)

A step launches about two thousand small kernels; on a GPU their launching, not their work, sets the pace of a small
batch. torch.compile fuses kernels, CUDA graphs replay a step's launches in one go, paired heads halve them. All want
shapes that never change, so finished rows stay in the batch, every draw covers all of it, and attention runs over the
whole cache under a mask.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..inference.batched.networks import DrawInputs, StepNetworks
from ..model import TalkerT2AV
from ..modules.backbone import KeyValueCache, decode
from ..modules.flow_matching import PatchSampler, SamplerSettings
from .cuda_graphs import Recorded
from .paired_heads import PairedSampler

COLUMN_STEP = 128
"""A recorded step serves one size of cache, so sizes are rounded up to this many columns and met again."""

KEPT_CACHES = 4
"""Idle caches, with their recordings, that are kept for later batches."""


class Accelerated(StepNetworks):
    """Serves any number of batches; each new batch size pays for its preparation (seconds for graphs, minutes for
    compilation). Weights must not change afterwards. ``backend`` goes to torch.compile.

    Raises ValueError for graphs of a model that is not on a CUDA device, and where heads of unlike shapes are paired.
    """

    keeps_rows = True

    def __init__(
        self,
        model: TalkerT2AV,
        *,
        compile: bool = False,
        graphs: bool = False,
        pair_heads: bool = False,
        backend: str = "inductor",
    ):
        super().__init__(model)
        if graphs and model.device.type != "cuda":
            raise ValueError(f"CUDA graphs need a model on a CUDA device; this one is on {model.device}")
        # Every batch size gets a version of its own; beyond torch's limit (8 for each function) they run uncompiled.
        compiler = functools.partial(torch.compile, backend=backend, dynamic=False)
        self._compile: Callable = compiler if compile else _as_it_is
        self._record: Callable = Recorded if graphs else _as_it_is
        self._pairs = pair_heads
        self._made: dict[Any, Callable] = {}
        self._idle: list[KeyValueCache] = []

    def draw(self, settings: SamplerSettings, inputs: dict[str, DrawInputs]) -> dict[str, Tensor]:
        names = tuple(inputs)
        groups = [names] if self._pairs and len(names) == 2 else [(name,) for name in names]
        patches: dict[str, Tensor] = {}
        for group in groups:
            sampler = self._once((settings, group), lambda group=group: self._sampler(settings, group))
            drawn = sampler(*(tensor for name in group for tensor in inputs[name]))
            patches |= zip(group, drawn if len(group) == 2 else (drawn,), strict=True)
        return patches

    def _sampler(self, settings: SamplerSettings, names: tuple[str, ...]) -> Callable:
        samplers = [PatchSampler(self.model.head(name), settings) for name in names]
        sampler = PairedSampler(*samplers) if len(samplers) == 2 else samplers[0]
        sampler.network = self._compile(sampler.network)
        return self._record(sampler)

    def encode(self, modality: str, patches: Tensor, valid: Tensor) -> Tensor:
        def make() -> Callable:
            return self._record(self._compile(lambda patches, valid: self.model.encode(modality, patches, valid)))

        return self._once(modality, make)(patches, valid)

    def decode(
        self, cache: KeyValueCache, token: Tensor, cos: Tensor, sin: Tensor, column: int, mask: Tensor | None
    ) -> Tensor:
        def make() -> Callable:
            network = self._once("decode", lambda: self._compile(decode))
            return self._record(
                lambda token, cos, sin, column, mask: network(
                    self.model.backbone, token, cos, sin, cache, column, cache.columns, mask
                )
            )

        # A tensor, so that the step has no number of its own.
        place = torch.tensor([column], device=token.device)
        return self._once(cache, make)(token, cos, sin, place, mask)

    def take_cache(self, batch: int, columns: int) -> KeyValueCache:
        columns = -(-columns // COLUMN_STEP) * COLUMN_STEP
        for cache in self._idle:
            if (cache.batch, cache.columns) == (batch, columns):
                self._idle.remove(cache)
                cache.clear()
                return cache
        return super().take_cache(batch, columns)

    def return_cache(self, cache: KeyValueCache) -> None:
        """Keep it for the next batch of its size; of many sizes, the oldest ones go."""
        self._idle.append(cache)
        for oldest in self._idle[:-KEPT_CACHES]:
            self._made.pop(oldest, None)
        del self._idle[:-KEPT_CACHES]

    def _once(self, key: Any, make: Callable[[], Callable]) -> Callable:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _as_it_is(function: Callable) -> Callable:
    return function
