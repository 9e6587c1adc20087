"""What a patch is drawn from besides the hidden state (section 3.3): the global condition and the preceding patches."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model import TalkerT2AV
from .plan import Plan


def global_conditions(model: TalkerT2AV, plans: list[Plan]) -> dict[str, Tensor]:
    """``speech``: speaker embeddings ``(B, 256)``; ``motion``: the identities' first motion ``(B, 40)``. Zeros where
    an item draws nothing from it."""
    speaker, identity = [], []
    for plan in plans:
        item, motion = plan.item, plan.given["motion"]
        unknown = torch.zeros(model.config.speaker_dim)
        speaker.append(unknown if item.speaker_embedding is None else item.speaker_embedding.detach().float().cpu())
        if item.first_motion is not None:
            identity.append(item.first_motion.detach().float().cpu())
        else:
            identity.append(motion[0, 0] if len(motion) else torch.zeros(model.config.motion_dim))
    return {"speech": torch.stack(speaker).to(model.device), "motion": torch.stack(identity).to(model.device)}


def prefix_contexts(model: TalkerT2AV, plans: list[Plan]) -> dict[str, Tensor]:
    """The last ``context_patches`` given patches of each modality ``(B, K, C)`` before the first drawn slot, with
    zeros in front where there are fewer."""
    config = model.config
    contexts: dict[str, list[Tensor]] = {"speech": [], "motion": []}
    for plan in plans:
        for name, seen in (("speech", plan.first_slot), ("motion", plan.first_slot - plan.motion_start)):
            frames = plan.given[name][: max(seen, 0)][-config.context_patches :].flatten(0, 1)
            missing = config.context_patches * config.patch_size - len(frames)
            contexts[name].append(F.pad(frames, (0, 0, missing, 0)))
    return {name: torch.stack(rows).to(model.device) for name, rows in contexts.items()}


def moved_on(context: Tensor, patches: Tensor, present: list[bool]) -> Tensor:
    """``context (B, K, C)`` after ``patches (B, P, C)``, which only the ``present`` rows have."""
    if not any(present):
        return context
    moved = torch.cat((context[:, patches.shape[1] :], patches), dim=1)
    if all(present):
        return moved
    return torch.where(torch.tensor(present, device=moved.device)[:, None, None], moved, context)
