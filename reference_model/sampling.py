"""The sampling loop (sections 3.1 and 4.2): one loop for T2AV, A2V, dubbing, TTS, prefixes and every arrangement.

    for event in stream(model, items, RECIPES["paper"]):       # patches as soon as they exist, then results
    results = generate(model, items, RECIPES["paper"])         # the same, collected

Items of a batch are independent: prompts are padded on the left and masked, positions count an item's own
tokens, noise comes from an item's own generator, and finished rows leave the batch. An item's latents are
those of a batch of one, up to the rounding of differently shaped matrix products.

Attention memory is one allocation of ``prompt + min(window, longest item)`` columns. With a ``window`` of W
slots every generated token sees the whole prompt (task, text, prefix) and the last W slots, its own included;
positions keep counting. Without a window it sees everything.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .backbone import KeyValueCache, RotaryTable, decode
from .flow_matching import PatchSampler
from .generation import (
    GeneratedPatch,
    GenerationItem,
    GenerationResult,
    GenerationTrace,
    Noise,
    SeededNoise,
    StopReason,
)
from .model import TalkerT2AV
from .paired_heads import PairedSampler, can_pair
from .plan import Plan, Source, make_plan
from .recipes import Recipe
from .results import finished_item, finished_patch
from .slot_tokens import known_patches, patch_tokens, prompt_embeddings


def generate(
    model: TalkerT2AV,
    items: Iterable[GenerationItem],
    recipe: Recipe,
    *,
    window: int | None = None,
    trace: bool = False,
    autocast: torch.dtype | None = None,
    pair_heads: bool | None = None,
) -> list[GenerationResult]:
    """Results in the order of ``items``; see :func:`stream`."""
    events = stream(model, items, recipe, window=window, trace=trace, autocast=autocast, pair_heads=pair_heads)
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
    The patches of an item, joined, are its result. Raises ValueError for an item that lacks an input.
    """
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1 slot, got {window}")
    items = list(items)
    if items:
        yield from _Loop(model, items, recipe, window, trace, autocast, pair_heads).run()


@dataclass
class _Row:
    """One item inside the batch."""

    index: int
    plan: Plan
    noise: Noise
    trace: GenerationTrace | None
    asks_stop: bool
    first_test: int
    step: int = 0
    votes: int = 0
    patches: dict[str, list[Tensor]] = field(default_factory=dict)

    @property
    def slot(self) -> int:
        return self.plan.first_slot + self.step


class _Loop:
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
        self.rows = [self._row(index, item, trace) for index, item in enumerate(items)]
        with self._context():
            self.samplers = {name: PatchSampler(model.head(name), recipe.sampler) for name in ("speech", "motion")}
            heads = model.head("speech"), model.head("motion")
            if pair_heads is None:
                pair_heads = model.device.type == "cuda" and can_pair(*heads)
            self.paired = PairedSampler(*heads, recipe.sampler) if pair_heads else None
            self._prefill(window)

    def _row(self, index: int, item: GenerationItem, trace: bool) -> _Row:
        try:
            plan = make_plan(item, self.model.config, self.recipe, self.arrangement.delay)
        except ValueError as error:
            raise ValueError(f"item {index}: {error}") from None
        joint = item.task == "t2av"
        row = _Row(
            index,
            plan,
            item.noise or SeededNoise(item.seed),
            GenerationTrace() if trace else None,
            asks_stop=self.recipe.use_stop and (joint or item.task == "tts"),
            first_test=max(self.recipe.min_patches, self.arrangement.delay + 1 if joint else 0),
        )
        row.patches = {name: list(plan.given[name]) for name in ("speech", "motion")}
        return row

    @contextlib.contextmanager
    def _context(self):
        """No gradients, and autocast if asked for; never held across a yield, where it would leak."""
        device = self.model.device.type
        with torch.no_grad(), torch.autocast(device, dtype=self.autocast, enabled=self.autocast is not None):
            yield

    # -- before the first drawn slot ---------------------------------------------------------------------

    def _prefill(self, window: int | None) -> None:
        model, rows = self.model, self.rows
        prompts = [prompt_embeddings(model, self.recipe, row.plan) for row in rows]
        for row, prompt in zip(rows, prompts, strict=True):
            if row.trace:
                row.trace.prefill = prompt.float().cpu()
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        longest = int(lengths.max())
        per_slot = self.arrangement.tokens_per_slot
        generated = max(row.plan.steps for row in rows) * per_slot
        self.ring = generated if window is None else min(generated, window * per_slot)
        self.prompt_columns, self.fed = longest, 0
        dtype = self.autocast or prompts[0].dtype
        self.cache = KeyValueCache(
            model.backbone, len(rows), longest + max(self.ring, 1), dtype, compiled=model.compiled_decode is not None
        )
        self.rotary = RotaryTable.of(model.backbone, longest + generated)

        pad = (longest - lengths).to(model.device)
        column = torch.arange(longest + max(self.ring, 1), device=model.device)
        self.padded = bool((pad > 0).any())
        self.visible = column >= pad[:, None]
        self.position = lengths.to(model.device)
        embeddings = torch.stack(
            [torch.nn.functional.pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts]
        )
        token = column[:longest]
        causal = (token[None, :] <= token[:, None]) & self.visible[:, None, :longest]
        causal = causal | torch.eye(longest, dtype=torch.bool, device=model.device)
        positions = (token - pad[:, None]).clamp_min(0)
        self.hidden = decode(model.backbone, embeddings, self.rotary.at(positions), self.cache, 0, longest, causal)
        self._set_conditions()

    def _set_conditions(self) -> None:
        """Global conditions and the contexts that the prefixes leave behind."""
        config, device = self.model.config, self.model.device
        speaker, identity = [], []
        history: dict[str, list[Tensor]] = {"speech": [], "motion": []}
        for row in self.rows:
            item, plan = row.plan.item, row.plan
            speaker.append(
                torch.zeros(config.speaker_dim)
                if item.speaker_embedding is None
                else item.speaker_embedding.detach().float().cpu()
            )
            motion = plan.given["motion"]
            identity.append(
                item.first_motion.detach().float().cpu()
                if item.first_motion is not None
                else motion[0, 0]
                if len(motion)
                else torch.zeros(config.motion_dim)
            )
            for name, seen in (("speech", plan.first_slot), ("motion", plan.first_slot - plan.motion_start)):
                patches = plan.given[name][: max(seen, 0)][-config.context_patches :]
                frames = patches.flatten(0, 1)
                missing = config.context_patches * config.patch_size - len(frames)
                history[name].append(torch.nn.functional.pad(frames, (0, 0, missing, 0)))
        self.condition = {"speech": torch.stack(speaker).to(device), "motion": torch.stack(identity).to(device)}
        self.history = {name: torch.stack(rows).to(device) for name, rows in history.items()}

    # -- slot by slot ------------------------------------------------------------------------------------

    def run(self) -> Iterator[GeneratedPatch | GenerationResult]:
        while self.rows:
            with self._context():
                finished = self._finished()
            for row, reason in finished:
                yield finished_item(row.index, row.plan, row.patches, reason, row.trace)
            if finished:
                self._keep([i for i, row in enumerate(self.rows) if row not in [done for done, _ in finished]])
            if not self.rows:
                return
            *earlier, last = self.arrangement.groups
            with self._context():
                for group in earlier:
                    self._feed(self._slot_tokens(group))
                tokens = self._slot_tokens(last)
            for row in self.rows:
                patch = finished_patch(row.index, row.plan, row.patches, row.slot)
                if patch is not None:
                    yield patch
            for row in self.rows:
                row.step += 1
            tracing = self.rows[0].trace is not None
            if tracing or any(row.step < row.plan.steps for row in self.rows):
                with self._context():
                    self._feed(tokens)

    def _finished(self) -> list[tuple[_Row, StopReason]]:
        rows = self.rows
        probabilities = None
        if rows[0].trace is not None or any(row.asks_stop for row in rows):
            probabilities = self.model.stop_predictor(self.hidden).float().sigmoid().tolist()
        finished: list[tuple[_Row, StopReason]] = []
        for index, row in enumerate(rows):
            if row.trace:
                row.trace.hidden.append(self.hidden[index].float().cpu())
                row.trace.stop_probability.append(probabilities[index])
            if row.step >= row.plan.steps:
                finished.append((row, row.plan.bound))
            elif row.asks_stop and row.step >= row.first_test and self._votes(row, probabilities[index]):
                finished.append((row, "predictor"))
        return finished

    def _votes(self, row: _Row, probability: float) -> bool:
        if row.trace:
            row.trace.checked.append(probability)
        threshold = self.recipe.stop_threshold
        vote = probability > threshold or (self.recipe.stop_inclusive and probability == threshold)
        row.votes = row.votes + 1 if vote else 0
        return row.votes >= self.recipe.stop_votes

    def _slot_tokens(self, group: tuple[str, ...]) -> Tensor:
        """Draw or look up the patches of one token of the slot; its embedding ``(R, D)``."""
        kinds, known, rows = {}, {}, {}
        for name in group:
            sources = [(row.plan, *row.plan.source(name, row.slot)) for row in self.rows]
            kinds[name] = [kind for _, kind, _ in sources]
            known[name] = known_patches(self.model, name, sources)
            rows[name] = [i for i, kind in enumerate(kinds[name]) if kind == "drawn"]
        drawn = self._draw(rows)
        total: Tensor | None = None
        for name in group:
            patches, valid = known[name]
            if rows[name]:
                patches[rows[name]] = drawn[name]
                valid[rows[name]] = True
            self._remember(name, patches, kinds[name])
            tokens = patch_tokens(
                self.model,
                name,
                patches[:, None],
                valid[:, None],
                [[kind] for kind in kinds[name]],
                self.recipe.missing_motion,
            )[:, 0]
            total = tokens if total is None else total + tokens
        return total

    def _draw(self, rows: dict[str, list[int]]) -> dict[str, Tensor]:
        """Patches ``(n, P, C)`` of each modality for its rows; in one network where the rows are the same."""
        arguments = {name: self._conditioned(name, chosen) for name, chosen in rows.items() if chosen}
        if self.paired and len(arguments) == 2 and rows["speech"] == rows["motion"]:
            noises, hidden, contexts, conditions = zip(arguments["speech"], arguments["motion"], strict=True)
            speech, motion = self.paired(noises, hidden[0], contexts, conditions)
            return {"speech": speech, "motion": motion}
        return {name: self.samplers[name](*values) for name, values in arguments.items()}

    def _conditioned(self, name: str, rows: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Noise, hidden state, context and global condition of the rows that draw ``name``."""
        shape = (self.model.config.patch_size, self.model.channels(name))
        noise = torch.stack([self.rows[i].noise.draw(name, shape) for i in rows]).to(self.model.device)
        state = self.hidden, self.history[name], self.condition[name]
        if len(rows) < len(self.rows):
            state = tuple(tensor[rows] for tensor in state)
        return noise, *state

    def _remember(self, name: str, patches: Tensor, kinds: list[Source]) -> None:
        """Move contexts on and keep drawn patches."""
        size = self.model.config.patch_size
        moved = torch.cat((self.history[name][:, size:], patches), dim=1)
        present = [kind in ("given", "drawn") for kind in kinds]
        if all(present):
            self.history[name] = moved
        elif any(present):
            mask = torch.tensor(present, device=moved.device)[:, None, None]
            self.history[name] = torch.where(mask, moved, self.history[name])
        if "drawn" in kinds:
            kept = patches.cpu()
            for row, patch, kind in zip(self.rows, kept, kinds, strict=True):
                if kind == "drawn":
                    row.patches[name].append(patch)
                    if row.trace:
                        getattr(row.trace, f"drawn_{name}").append(patch)

    def _feed(self, tokens: Tensor) -> None:
        """One backbone step for every row: ``tokens (R, D)``."""
        tokens = tokens.to(self.model.backbone.model.norm.weight.dtype)
        for row, token in zip(self.rows, tokens, strict=True):
            if row.trace:
                row.trace.tokens.append(token.float().cpu())
        column = self.prompt_columns + self.fed % max(self.ring, 1)
        visible = self.prompt_columns + min(self.fed + 1, max(self.ring, 1))
        positions = self.rotary.at(self.position[:, None])
        run, mask = decode, self.visible[:, None, :visible] if self.padded else None
        if self.model.compiled_decode is not None:
            run = self.model.compiled_decode
            mask = (self.visible & (torch.arange(self.cache.columns, device=tokens.device) < visible))[:, None]
            column, visible = torch.tensor([column], device=tokens.device), self.cache.columns
        self.hidden = run(self.model.backbone, tokens[:, None], positions, self.cache, column, visible, mask)
        self.position = self.position + 1
        self.fed += 1

    def _keep(self, rows: list[int]) -> None:
        self.rows = [self.rows[row] for row in rows]
        self.cache.keep(rows)
        self.hidden, self.visible, self.position = self.hidden[rows], self.visible[rows], self.position[rows]
        self.history = {name: tensor[rows] for name, tensor in self.history.items()}
        self.condition = {name: tensor[rows] for name, tensor in self.condition.items()}
