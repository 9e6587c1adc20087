"""The baseline of generation_speed.py: generation written the way the release does it, for one item.

Batch 1. The backbone is transformers' own forward with its DynamicCache, which grows by concatenation, and an all-ones
attention mask that grows with it. The two heads run one after the other; each network evaluation covers both guidance
branches (as in the release), computes its time and condition tokens anew and all of its output tokens. Histories and
results grow by concatenation. The weights and the arithmetic are the reference model's own, so both loops do equal work
and their latents can be compared.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from reference_model.inference.conditions import global_conditions
from reference_model.inference.plan import make_plan
from reference_model.inference.recipes import Recipe
from reference_model.inference.slot_tokens import prompt_embeddings
from reference_model.inference.types import GenerationItem
from reference_model.model import TalkerT2AV
from reference_model.modules.diffusion_head import DiffusionHead
from reference_model.modules.flow_matching import SamplerSettings, guided, time_grid


def plain_patch(
    head: DiffusionHead, settings: SamplerSettings, noise: Tensor, hidden: Tensor, context: Tensor, condition: Tensor
) -> Tensor:
    """One patch ``(1, P, C)`` by Euler steps with guidance."""
    grid = time_grid(settings.steps, settings.sway, noise.device)
    x, time = noise * settings.temperature, grid[0]
    for step in range(settings.steps):
        length = grid[step] - grid[step + 1]
        if step >= settings.still_steps:
            both, states = torch.cat((x, x)), torch.cat((hidden, torch.zeros_like(hidden)))
            contexts, conditions = torch.cat((context, context)), torch.cat((condition, condition))
            first = states.to(head.dtype) + head.time_tokens(time.expand(2), torch.zeros_like(time).expand(2))
            tokens = (
                first[:, None],
                head.condition_tokens(conditions, contexts),
                head.noisy_projection(both.to(head.dtype)),
            )
            output = head.trunk(torch.cat(tokens, dim=1))[:, -x.shape[1] :]
            conditional, unconditional = head.output_projection(output).float().chunk(2)
            x = x - length * guided(conditional, unconditional, settings.guidance, settings.zero_star)
        time = time - length
    return x


def plain_loop(model: TalkerT2AV, item: GenerationItem, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Speech ``(P, 32)`` and motion ``(P, 40)`` of each patch of a T2AV item, ``item.max_patches`` of them."""
    from transformers import DynamicCache

    plan, device, noise = make_plan(item, model.config, recipe, 0), model.device, item.own_noise()
    size, keep = model.config.patch_size, model.config.context_patches * model.config.patch_size
    valid = torch.ones(1, 1, size, dtype=torch.bool, device=device)
    streak, cache = 0, DynamicCache()

    def forward(embeddings: Tensor) -> Tensor:
        mask = torch.ones(1, cache.get_seq_length() + embeddings.shape[1], dtype=torch.long, device=device)
        output = model.backbone.model(
            inputs_embeds=embeddings, attention_mask=mask, past_key_values=cache, use_cache=True
        )
        return output.last_hidden_state[:, -1]

    with torch.no_grad():
        conditions = global_conditions(model, [plan])
        history = {name: plan.given[name].flatten(0, 1)[None].to(device) for name in ("speech", "motion")}
        hidden = forward(prompt_embeddings(model, recipe, plan)[None])
    for step in range(item.max_patches):
        with torch.no_grad():
            if step >= recipe.min_patches:
                probability = float(torch.sigmoid(model.stop_predictor(hidden).float()))
                streak = streak + 1 if probability >= recipe.stop_threshold else 0
                if streak == recipe.stop_votes:
                    return
            token = torch.zeros(1, 1, model.config.backbone.hidden_size, device=device)
            for name in ("speech", "motion"):
                context = history[name][:, -keep:]
                missing = keep - context.shape[1]
                if missing:
                    context = torch.cat((context.new_zeros(1, missing, context.shape[2]), context), dim=1)
                start = noise.draw(name, (size, model.channels(name)))[None].to(device)
                patch = plain_patch(model.head(name), recipe.sampler, start, hidden, context, conditions[name])
                history[name] = torch.cat((history[name], patch), dim=1)
                token = token + model.encode(name, patch[:, None], valid)
            hidden = forward(token.to(model.backbone.model.norm.weight.dtype))
        yield history["speech"][0, -size:].cpu(), history["motion"][0, -size:].cpu()
