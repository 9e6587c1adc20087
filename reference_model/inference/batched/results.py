"""From collected patches to what the caller gets: finished patches and finished items, trimmed and aligned."""

import torch
from torch import Tensor

from ..types import GeneratedPatch, GenerationResult, GenerationTrace, StopReason
from .plan import Plan

Patches = dict[str, list[Tensor]]
"""Per modality, given and drawn patches ``(P, C)`` in order."""


def finished_patch(index: int, plan: Plan, patches: Patches, slot: int) -> GeneratedPatch | None:
    """The patch that slot ``slot`` completed: both modalities of it exist. None if it completed none (delay)."""
    if plan.item.task == "tts":
        return GeneratedPatch(index, slot - plan.first_slot, patches["speech"][slot], None)
    lead = "speech" if plan.item.task == "v2a" else "motion"
    kind, number = plan.source(lead, slot)
    if kind != "drawn":
        return None
    speech = number + (plan.motion_offset if lead == "motion" else 0)
    return GeneratedPatch(index, number - len(plan.given[lead]), patches["speech"][speech], patches["motion"][number])


def finished_item(
    index: int, plan: Plan, patches: Patches, reason: StopReason, trace: GenerationTrace | None
) -> GenerationResult:
    """Join an item's patches. Both modalities end at the same frame, a given one's length in ``a2v`` and ``v2a``."""
    latents, given = {}, plan.frames
    for name in ("speech", "motion"):
        known = plan.given[name].flatten(0, 1)[: given[name]]
        latents[name] = torch.cat((known, *patches[name][len(plan.given[name]) :]))
    speech, motion = latents["speech"], latents["motion"]
    count = len(patches[plan.drawn[-1]]) - len(plan.given[plan.drawn[-1]])
    if plan.item.task == "tts":
        return GenerationResult(index, speech, None, given["speech"], 0, count, reason, trace)
    if plan.item.task == "t2av":  # with a delay, speech of the last slots lies beyond the last motion patch
        speech = speech[: len(motion) + plan.motion_offset * plan.given["speech"].shape[1]]
        prefix = given["speech"], given["motion"]
    else:
        frames = min(len(speech), len(motion))
        speech, motion = speech[:frames], motion[:frames]
        prefix = given[plan.drawn[0]], given[plan.drawn[0]]
    return GenerationResult(index, speech, motion, *prefix, count, reason, trace)
