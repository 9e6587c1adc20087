"""Talker-T2AV on one page: speech and motion of one item, arrangement ``add`` (sections 3.1 to 3.3 and 4.2).

p(A, V | t) = prod_i p(a_i, v_i | a_<i, v_<i, t): the backbone plans joint patch i, one diffusion head per modality
renders it, and what they rendered goes back into the backbone. :mod:`.inference.batched` serves batches, every task and
arrangement, and computes nothing twice; a test holds the two to each other.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .inference.recipes import Recipe
from .inference.types import GenerationItem
from .model import TASK_T2AV, TalkerT2AV
from .modules.diffusion_head import DiffusionHead
from .modules.flow_matching import SamplerSettings, guided, sampler_times


@torch.no_grad()
def generate_one(model: TalkerT2AV, item: GenerationItem, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Speech ``(P, 32)`` and motion ``(P, 40)`` of patch after patch, behind the item's prefix where it has one.

    Raises ValueError for what only the batched loop does: other tasks and arrangements, a prefix of speech alone.
    """
    if item.task != "t2av" or model.config.arrangement != "add" or (item.speech is None) != (item.motion is None):
        raise ValueError("this page tells t2av, add, and prefixes of both modalities; use inference.batched.sampling")
    size, noise, history = model.config.patch_size, item.own_noise(), {}
    for name, prefix in (("speech", item.speech), ("motion", item.motion)):
        prefix = torch.zeros(0, model.channels(name)) if prefix is None else prefix
        history[name] = prefix[None].to(model.device)
    history["motion"] = history["motion"].to(getattr(torch, recipe.motion_reference_dtype)).float()
    first_motion = history["motion"][0, 0] if item.first_motion is None else item.first_motion
    condition = {"speech": item.speaker_embedding[None].to(model.device), "motion": first_motion[None].to(model.device)}

    # 3.2: task tag, text tokens, one token per joint patch.
    text = model.embed_text(item.text_ids[None].to(model.device))
    task = model.task_embedding.weight[TASK_T2AV].to(text.dtype)
    prefix = joint_tokens(model, history).to(text.dtype)
    if recipe.prepends_task(has_prefix=item.speech is not None):
        text = torch.cat((task.expand(1, 1, -1), text), dim=1)
    else:
        prefix[:, :1] += task
    tokens = torch.cat((text, prefix), dim=1)

    memory, votes = None, 0
    for patch in range(item.max_patches):
        # 3.1: plan. The last hidden state, after the final norm, stands for everything before the patch.
        output = model.backbone.model(inputs_embeds=tokens, past_key_values=memory, use_cache=True)
        hidden, memory = output.last_hidden_state[:, -1], output.past_key_values

        # 3.2 and 4.2: the stop predictor ends the clip.
        if recipe.use_stop and patch >= recipe.min_patches:
            probability = model.stop_predictor(hidden).float().sigmoid().item()
            above = probability > recipe.stop_threshold
            votes = votes + 1 if above or (recipe.stop_inclusive and probability == recipe.stop_threshold) else 0
            if votes == recipe.stop_votes:
                return

        # 3.3: render both modalities from the same hidden state.
        drawn = {}
        for name in ("speech", "motion"):
            start = noise.draw(name, (size, model.channels(name)))[None].to(model.device)
            frames = model.config.context_patches * size
            context = F.pad(history[name], (0, 0, frames, 0))[:, -frames:]
            drawn[name] = render(model.head(name), recipe.sampler, start, hidden, context, condition[name])
            history[name] = torch.cat((history[name], drawn[name]), dim=1)
        yield drawn["speech"][0].cpu(), drawn["motion"][0].cpu()
        tokens = joint_tokens(model, drawn).to(tokens.dtype)


def joint_tokens(model: TalkerT2AV, latents: dict[str, Tensor]) -> Tensor:
    """Section 3.2: latents ``(1, N * P, C)`` of both modalities to N tokens, audio plus video patch embedding."""
    tokens = []
    for name in ("speech", "motion"):
        patches = latents[name].unflatten(1, (-1, model.config.patch_size))
        tokens.append(model.encode(name, patches, torch.ones(patches.shape[:3], dtype=torch.bool, device=model.device)))
    return tokens[0] + tokens[1]


def render(
    head: DiffusionHead, settings: SamplerSettings, noise: Tensor, hidden: Tensor, context: Tensor, condition: Tensor
) -> Tensor:
    """Section 3.3: one patch ``(1, P, C)`` by Euler steps from noise (time 1) to data (time 0), with guidance."""
    times, lengths = sampler_times(settings)
    x = settings.temperature * noise
    states = torch.cat((hidden, torch.zeros_like(hidden)))  # without a plan: the unconditional branch
    context, condition = context.expand(2, -1, -1), condition.expand(2, -1)
    for step in range(settings.still_steps, settings.steps):
        time = times[step].to(x.device).expand(2)
        conditional, unconditional = head(x.expand(2, -1, -1), states, time, context, condition).float().chunk(2)
        x = x - lengths[step] * guided(conditional, unconditional, settings.guidance, settings.zero_star)
    return x
