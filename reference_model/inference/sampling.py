"""The sampling loop (sections 3.1 and 4.2): one loop for T2AV, A2V, dubbing, TTS, prefixes and every arrangement.

    for event in stream(model, items, RECIPES["paper"]):       # patches as soon as they exist, then results
    results = generate(model, items, RECIPES["paper"])         # the same, collected

Items of a batch are independent: prompts are padded on the left and masked, positions count an item's own
tokens, noise comes from an item's own generator, and finished rows leave the batch (in an accelerated model they
stay, and change nothing). An item's latents are those of a batch of one, up to the rounding of differently shaped
matrix products.

Attention memory is one allocation of ``prompt + min(window, longest item)`` columns. With a ``window`` of W
slots every generated token sees the whole prompt (task, text, prefix) and the last W slots, its own included;
positions keep counting. Without a window it sees everything.
"""

import contextlib
import functools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..acceleration.paired_heads import can_pair
from ..acceleration.step_functions import StepFunctions
from ..model import TalkerT2AV
from .conditions import global_conditions, moved_on, prefix_contexts
from .decoding import Decoder
from .plan import Source
from .recipes import Recipe
from .results import finished_item, finished_patch
from .sequence_state import SequenceState, first_state
from .slot_tokens import known_patches, patch_tokens, prompt_embeddings
from .types import GeneratedPatch, GenerationItem, GenerationResult, StopReason


def generate(model: TalkerT2AV, items: Iterable[GenerationItem], recipe: Recipe, **options) -> list[GenerationResult]:
    """Results in the order of ``items``; ``options`` are those of :func:`stream`."""
    events = stream(model, items, recipe, **options)
    results = [event for event in events if isinstance(event, GenerationResult)]
    return sorted(results, key=lambda result: result.item)


def stream(
    model: TalkerT2AV,
    items: Iterable[GenerationItem],
    recipe: Recipe,
    *,
    window: int | None = None,
    trace: bool = False,
    autocast: torch.dtype | None = None,
    pair_heads: bool | None = None,
) -> Iterator[GeneratedPatch | GenerationResult]:
    """Generate a batch; yield every patch once both its modalities exist, and a result when an item ends.

    ``window``: slots that attention remembers beyond the prompt (None: all). ``trace`` keeps internals in the
    results. ``autocast`` runs float32 weights in that precision; converting the model is faster. ``pair_heads``
    draws both modalities of a summed token in one batched network (None: on CUDA, where it helps).
    The patches of an item, joined, are its result. Raises ValueError for an item that lacks an input, when the first
    event is asked for.
    """
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1 slot, got {window}")
    items = list(items)
    if items:
        yield from _Loop(model, items, recipe, window, trace, autocast, pair_heads).run()


class _Loop:
    """A batch under way: its rows, and for each of them what the next patch is drawn from."""

    def __init__(
        self,
        model: TalkerT2AV,
        items: list[GenerationItem],
        recipe: Recipe,
        window: int | None,
        trace: bool,
        autocast: torch.dtype | None,
        pair_heads: bool | None,
    ):
        self.model, self.recipe, self.autocast = model, recipe, autocast
        self.arrangement = model.arrangement
        if autocast is not None and model.step_functions is not None:
            raise ValueError("an accelerated model keeps its own precision: convert it instead of using autocast")
        self.functions = model.step_functions or StepFunctions(model)
        if pair_heads is None:
            pair_heads = model.device.type == "cuda" and can_pair(model.speech_head, model.motion_head)
        self.pair_heads = pair_heads
        rows = [first_state(i, item, model.config, recipe, self.arrangement, trace) for i, item in enumerate(items)]
        self.rows, self.tracing = rows, trace
        with self._context():
            self.decoder = self._prefill(window)
            self.condition = global_conditions(model, [row.plan for row in rows])
            self.context = prefix_contexts(model, [row.plan for row in rows])

    @contextlib.contextmanager
    def _context(self):
        """No gradients, and autocast if asked for; never held across a yield, where it would leak."""
        device = self.model.device.type
        with torch.no_grad(), torch.autocast(device, dtype=self.autocast, enabled=self.autocast is not None):
            yield

    def _prefill(self, window: int | None) -> Decoder:
        prompts = [prompt_embeddings(self.model, self.recipe, row.plan) for row in self.rows]
        for row, prompt in zip(self.rows, prompts, strict=True):
            if row.trace:
                row.trace.prefill = prompt.float().cpu()
        per_slot = self.arrangement.tokens_per_slot
        most = max(row.plan.steps for row in self.rows) * per_slot
        ring = most if window is None else min(most, window * per_slot)
        return Decoder(self.functions, prompts, most, ring, self.autocast or prompts[0].dtype)

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
        with self._context():
            ended = self._ended()
        for row, reason in ended:
            row.finished = True
            yield finished_item(row.index, row.plan, row.patches, reason, row.trace)
        going_on = [index for index, row in enumerate(self.rows) if not row.finished]
        if ended and going_on and not self.functions.constant_shapes:
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
        with self._context():
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
            with self._context():
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
            tokens.append(self._encoded(name, patches, valid, kinds))
        return functools.reduce(torch.add, tokens)

    def _encoded(self, name: str, patches: Tensor, valid: Tensor, kinds: list[Source]) -> Tensor:
        patches, valid, column = patches[:, None], valid[:, None], [[kind] for kind in kinds]
        encode, missing = self.functions.encode, self.recipe.missing_motion
        return patch_tokens(self.model, name, patches, valid, column, missing, encode)[:, 0]

    def _draw(self, wanted: dict[str, list[bool]]) -> dict[str, Tensor]:
        """Patches ``(B, P, C)`` of the modalities that some row draws; they mean nothing in the other rows."""
        rows: dict[str, list[int]] = {}
        inputs: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
        for name, marks in wanted.items():
            if any(marks):
                everyone = self.functions.constant_shapes
                rows[name] = [index for index, mark in enumerate(marks) if mark or everyone]
                inputs[name] = self._inputs(name, marks, rows[name])
        settings = self.recipe.sampler
        if self.pair_heads and len(inputs) == 2 and rows["speech"] == rows["motion"]:
            (noise, hidden, *speech), (other_noise, _, *motion) = inputs["speech"], inputs["motion"]
            paired = self.functions.paired_sampler(settings)(hidden, noise, *speech, other_noise, *motion)
            patches = dict(zip(("speech", "motion"), paired, strict=True))
        else:
            patches = {name: self.functions.sampler(name, settings)(*values) for name, values in inputs.items()}
        return {name: self._spread(drawn, rows[name]) for name, drawn in patches.items()}

    def _inputs(self, name: str, draws: list[bool], rows: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
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
