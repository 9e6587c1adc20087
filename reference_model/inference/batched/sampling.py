"""The sampling loop (sections 3.1 and 4.2): one loop for T2AV, A2V, dubbing, TTS, prefixes and every arrangement.

    for event in stream(model, items, RECIPES["paper"]):       # patches as soon as they exist, then results
    results = generate(model, items, RECIPES["paper"])         # the same, collected

Items of a batch are independent: prompts are padded on the left and masked, positions count an item's own
tokens, noise comes from an item's own generator, and finished rows leave the batch (accelerated, they stay and change
nothing). An item's latents are those of a batch of one, up to the rounding of differently shaped matrix products.
Attention memory is one allocation for the prompt and the longest item.
"""

import functools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ...model import TalkerT2AV
from ..recipes import Recipe
from ..types import GeneratedPatch, GenerationItem, GenerationResult, StopReason
from .conditions import global_conditions, moved_on, prefix_contexts
from .decoding import Decoder
from .networks import DrawInputs, StepNetworks
from .plan import Source
from .results import finished_item, finished_patch
from .sequence_state import SequenceState, first_state
from .slot_tokens import known_patches, patch_tokens, prompt_embeddings


def generate(model: TalkerT2AV, items: Iterable[GenerationItem], recipe: Recipe, **options) -> list[GenerationResult]:
    """Results in the order of ``items``; ``options`` are those of :func:`stream`."""
    events = stream(model, items, recipe, **options)
    results = [event for event in events if isinstance(event, GenerationResult)]
    return sorted(results, key=lambda result: result.item)


@torch.no_grad()
def stream(
    model: TalkerT2AV,
    items: Iterable[GenerationItem],
    recipe: Recipe,
    *,
    networks: StepNetworks | None = None,
    trace: bool = False,
) -> Iterator[GeneratedPatch | GenerationResult]:
    """Generate a batch; yield every patch once both its modalities exist, and a result when an item ends.

    ``networks``: the model's own in a faster form (:class:`reference_model.acceleration.Accelerated`). ``trace`` keeps
    internals in the results. The patches of an item, joined, are its result. Raises ValueError for an item that lacks
    an input, when the first event is asked for.
    """
    items = list(items)
    if items:
        yield from _Loop(model, items, recipe, networks or StepNetworks(model), trace).run()


class _Loop:
    """A batch under way: its rows, and for each of them what the next patch is drawn from."""

    def __init__(
        self, model: TalkerT2AV, items: list[GenerationItem], recipe: Recipe, networks: StepNetworks, trace: bool
    ):
        self.model, self.recipe, self.networks, self.tracing = model, recipe, networks, trace
        self.arrangement = model.arrangement
        self.rows = [first_state(i, item, model, recipe, trace) for i, item in enumerate(items)]
        plans = [row.plan for row in self.rows]
        prompts = [prompt_embeddings(model, recipe, plan) for plan in plans]
        for row, prompt in zip(self.rows, prompts, strict=True):
            if row.trace:
                row.trace.prefill = prompt.float().cpu()
        self.decoder = Decoder(networks, prompts, max(plan.steps for plan in plans) * self.arrangement.tokens_per_slot)
        self.condition, self.context = global_conditions(model, plans), prefix_contexts(model, plans)

    def run(self) -> Iterator[GeneratedPatch | GenerationResult]:
        try:
            while not all(row.finished for row in self.rows):
                yield from self._end_rows()
                if all(row.finished for row in self.rows):
                    return
                yield from self._run_slot()
        finally:
            self.decoder.close()

    def _end_rows(self) -> Iterator[GenerationResult]:
        """Take the rows that end before the present slot out of the batch."""
        ended = self._ended()
        for row, reason in ended:
            row.finished = True
            yield finished_item(row.index, row.plan, row.patches, reason, row.trace)
        going_on = [index for index, row in enumerate(self.rows) if not row.finished]
        if ended and going_on and not self.networks.keeps_rows:
            self.rows = [self.rows[index] for index in going_on]
            self.decoder.keep(going_on)
            self.context = {name: tensor[going_on] for name, tensor in self.context.items()}
            self.condition = {name: tensor[going_on] for name, tensor in self.condition.items()}

    def _ended(self) -> list[tuple[SequenceState, StopReason]]:
        probabilities: list[float] = []
        if self.tracing or any(row.asks_stop for row in self.rows):
            probabilities = self.model.stop_predictor(self.decoder.hidden).float().sigmoid().tolist()
        ended: list[tuple[SequenceState, StopReason]] = []
        for index, row in enumerate(self.rows):
            if row.finished:
                continue
            if row.trace:
                row.trace.hidden.append(self.decoder.hidden[index].float().cpu())
                row.trace.stop_probability.append(probabilities[index])
            if row.step >= row.plan.steps:
                ended.append((row, row.plan.bound))
            elif row.asks_stop and row.votes_to_stop(probabilities[index], self.recipe):
                ended.append((row, "predictor"))
        return ended

    def _run_slot(self) -> Iterator[GeneratedPatch]:
        *earlier, last = self.arrangement.groups
        for group in earlier:
            self._feed(self._slot_tokens(group))
        tokens = self._slot_tokens(last)
        going_on = [row for row in self.rows if not row.finished]
        for row in going_on:
            patch = finished_patch(row.index, row.plan, row.patches, row.slot)
            if patch is not None:
                yield patch
        for row in going_on:
            row.step += 1
        if self.tracing or any(row.step < row.plan.steps for row in going_on):
            self._feed(tokens)

    def _slot_tokens(self, group: tuple[str, ...]) -> Tensor:
        """Draw or look up the patches of one token of the slot; its embedding ``(B, D)``."""
        sources = {name: [row.source(name) for row in self.rows] for name in group}
        drawn = self._draw({name: [kind == "drawn" for kind, _ in sources[name]] for name in group})
        tokens = []
        for name in group:
            kinds = [kind for kind, _ in sources[name]]
            known = [(row.plan, *source) for row, source in zip(self.rows, sources[name], strict=True)]
            patches, valid = known_patches(self.model, name, known)
            if name in drawn:
                mark = torch.tensor([kind == "drawn" for kind in kinds], device=patches.device)[:, None]
                patches, valid = torch.where(mark[..., None], drawn[name], patches), valid | mark
                self._collect(name, patches, kinds)
            present = [kind in ("given", "drawn") for kind in kinds]
            self.context[name] = moved_on(self.context[name], patches, present)
            column, missing = [[kind] for kind in kinds], self.recipe.missing_motion
            encoded = patch_tokens(
                self.model, name, patches[:, None], valid[:, None], column, missing, self.networks.encode
            )
            tokens.append(encoded[:, 0])
        return functools.reduce(torch.add, tokens)

    def _draw(self, wanted: dict[str, list[bool]]) -> dict[str, Tensor]:
        """Patches ``(B, P, C)`` of the modalities that some row draws; they mean nothing in the other rows."""
        rows = {
            name: [index for index, mark in enumerate(marks) if mark or self.networks.keeps_rows]
            for name, marks in wanted.items()
            if any(marks)
        }
        inputs = {name: self._inputs(name, wanted[name], rows[name]) for name in rows}
        drawn = self.networks.draw(self.recipe.sampler, inputs)
        return {name: self._spread(patches, rows[name]) for name, patches in drawn.items()}

    def _inputs(self, name: str, draws: list[bool], rows: list[int]) -> DrawInputs:
        """Noise (none where a row does not draw), hidden state, context and global condition of ``rows``."""
        shape = (self.model.config.patch_size, self.model.channels(name))
        noise = [self.rows[i].noise.draw(name, shape) if draws[i] else torch.zeros(shape) for i in rows]
        hidden, context, condition = self.decoder.hidden, self.context[name], self.condition[name]
        if len(rows) < len(self.rows):
            hidden, context, condition = hidden[rows], context[rows], condition[rows]
        return torch.stack(noise).to(self.model.device), hidden, context, condition

    def _spread(self, patches: Tensor, rows: list[int]) -> Tensor:
        """Patches of ``rows`` at their places in the batch."""
        if len(rows) == len(self.rows):
            return patches
        spread = patches.new_zeros(len(self.rows), *patches.shape[1:])
        spread[rows] = patches
        return spread

    def _collect(self, name: str, patches: Tensor, kinds: list[Source]) -> None:
        """Keep what was drawn, on the CPU."""
        for row, patch, kind in zip(self.rows, patches.cpu(), kinds, strict=True):
            if kind == "drawn":
                row.patches[name].append(patch)
                if row.trace:
                    getattr(row.trace, f"drawn_{name}").append(patch)

    def _feed(self, tokens: Tensor) -> None:
        """One backbone step for every row: ``tokens (B, D)``."""
        tokens = tokens.to(self.model.backbone.model.norm.weight.dtype)
        for row, token in zip(self.rows, tokens, strict=True):
            if row.trace and not row.finished:
                row.trace.tokens.append(token.float().cpu())
        self.decoder.step(tokens)
