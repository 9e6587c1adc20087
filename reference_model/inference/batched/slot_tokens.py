"""From planned slots to backbone embeddings: known patches, their tokens, the whole prompt."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...model import TASK_T2AV, TASK_TTS, TalkerT2AV, combine
from ..recipes import Recipe
from .plan import Plan, Source


def prompt_embeddings(model: TalkerT2AV, recipe: Recipe, plan: Plan) -> Tensor:
    """Task token, text and the slots that need nothing drawn: ``(tokens, D)``."""
    text = model.embed_text(plan.item.text_ids.to(model.device)[None])
    task = model.task_embedding.weight[TASK_TTS if plan.item.task == "tts" else TASK_T2AV].to(text.dtype)
    parts = [text]
    has_prefix = plan.first_slot > 0 and any(len(plan.given[name]) for name in plan.drawn)
    if recipe.prepends_task(has_prefix):
        parts.insert(0, task.expand(1, 1, -1))
    if plan.first_slot:
        missing = "nothing" if recipe.prefix_contents == "speech" else "encoded_zeros"
        tokens = {}
        for name in ("speech", "motion"):
            sources = [(plan, *plan.source(name, slot)) for slot in range(plan.first_slot)]
            patches, valid = known_patches(model, name, sources)
            kinds = [[kind for _, kind, _ in sources]]
            tokens[name] = patch_tokens(model, name, patches[None], valid[None], kinds, missing, model.encode)
        prefix = combine(model.arrangement, tokens["speech"], tokens["motion"]).to(text.dtype)
        if has_prefix and not recipe.prepends_task(has_prefix):
            prefix[:, 0] += task
        parts.append(prefix)
    return torch.cat(parts, dim=1)[0]


def known_patches(model: TalkerT2AV, name: str, wanted: list[tuple[Plan, Source, int]]) -> tuple[Tensor, Tensor]:
    """Given patches ``(n, P, C)`` on the model's device, zeros elsewhere, and their valid frames ``(n, P)``."""
    shape = len(wanted), model.config.patch_size
    if all(kind != "given" for _, kind, _ in wanted):
        patches = torch.zeros(*shape, model.channels(name), device=model.device)
        return patches, torch.zeros(shape, dtype=torch.bool, device=model.device)
    patches = torch.zeros(*shape, model.channels(name))
    valid = torch.zeros(shape, dtype=torch.bool)
    for row, (plan, kind, index) in enumerate(wanted):
        if kind == "given":
            patches[row], valid[row] = plan.given[name][index], plan.valid[name][index]
    return patches.to(model.device), valid.to(model.device)


def patch_tokens(
    model: TalkerT2AV,
    name: str,
    patches: Tensor,
    valid: Tensor,
    kinds: list[list[Source]],
    missing: str,
    encode: Callable[[str, Tensor, Tensor], Tensor],
) -> Tensor:
    """Tokens ``(B, N, D)`` of patches ``(B, N, P, C)``: encoded, or what stands in for a missing modality.

    ``kinds[b][n]`` is a patch's source; ``missing`` is the recipe's choice for absent motion; ``encode`` is the
    model's, or a faster form of it.
    """
    present = {kind for row in kinds for kind in row}
    padding = model.motion_padding.expand(*valid.shape[:2], -1)
    if present == {"padding"}:
        return padding
    tokens = encode(name, patches, valid)
    if "padding" in present:
        tokens = torch.where(_marks(kinds, "padding", tokens), padding.to(tokens.dtype), tokens)
    if "absent" in present and name == "motion" and missing == "nothing":
        tokens = tokens.masked_fill(_marks(kinds, "absent", tokens), 0.0)
    return tokens


def _marks(kinds: list[list[Source]], wanted: Source, like: Tensor) -> Tensor:
    return torch.tensor([[kind == wanted for kind in row] for row in kinds], device=like.device)[..., None]
