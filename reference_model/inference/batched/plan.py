"""The plan of one item: which patch sits in which slot, and whether it is given, drawn or absent.

Tasks, prefixes and delays all reduce to this table, so that the loop itself knows none of them:

* a modality's given patches fill its first slots, drawn ones follow;
* motion patch 0 sits in slot ``motion_start`` (the delay, plus the prefix where that holds speech alone), and
  a recipe may hold back the first drawn motion patch (``motion_gap`` slots);
* the slots before ``first_slot`` need nothing drawn and are fed in one go.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...config import ModelConfig
from ...model import to_patches
from ..recipes import Recipe
from ..types import GenerationItem, StopReason

Source = Literal["given", "drawn", "absent", "padding"]
DRAWN = {"t2av": ("speech", "motion"), "a2v": ("motion",), "v2a": ("speech",), "tts": ("speech",)}


@dataclass
class Plan:
    """``slots`` counts all slots of the item if it runs to its bound; ``given`` holds patches ``(n, P, C)`` and
    ``valid`` their real frames ``(n, P)``."""

    item: GenerationItem
    drawn: tuple[str, ...]
    given: dict[str, Tensor]
    valid: dict[str, Tensor]
    frames: dict[str, int]
    motion_start: int
    motion_offset: int
    motion_gap: int
    first_slot: int
    slots: int
    speech_end: int
    bound: StopReason

    @property
    def steps(self) -> int:
        """Slots to generate at most."""
        return self.slots - self.first_slot

    def source(self, modality: str, slot: int) -> tuple[Source, int]:
        """Where slot ``slot`` gets its patch of ``modality``, and that patch's index."""
        if modality == "motion" and self.item.task == "tts":
            return "padding", -1
        index = slot - (self.motion_start if modality == "motion" else 0)
        if modality == "motion" and self.motion_gap and slot >= self.first_slot:
            index -= self.motion_gap
            if index < len(self.given["motion"]):
                return "absent", -1
        if index < 0:
            return "absent", -1
        if index < len(self.given[modality]):
            return "given", index
        if modality not in self.drawn or (modality == "speech" and slot >= self.speech_end):
            return "absent", -1
        return "drawn", index


def make_plan(item: GenerationItem, config: ModelConfig, recipe: Recipe, delay: int) -> Plan:
    """Check the item and lay out its slots. Raises ValueError that says what is missing or of a wrong shape."""
    if item.task not in DRAWN:
        raise ValueError(f"unknown task {item.task!r}; expected one of {', '.join(DRAWN)}")
    drawn = DRAWN[item.task]
    _check(item, config, drawn)
    size = config.patch_size
    given, valid, frames = {}, {}, {}
    for modality, channels in (("speech", config.speech_dim), ("motion", config.motion_dim)):
        latents = getattr(item, modality)
        latents = torch.zeros(0, channels) if latents is None else latents.detach().float().cpu()
        if modality == "motion" and recipe.motion_reference_dtype == "bfloat16":
            latents = latents.bfloat16().float()
        frames[modality] = len(latents)
        count = -(-len(latents) // size)
        given[modality] = to_patches(latents[None], count, size)[0]
        valid[modality] = (torch.arange(count * size) < len(latents)).unflatten(0, (count, size))

    speech, motion = len(given["speech"]), len(given["motion"])
    speech_only = item.task == "t2av" and recipe.prefix_contents == "speech"
    offset = speech if speech_only else 0
    start = delay + offset
    bound: StopReason = "limit"
    gap = 0
    if item.task == "t2av":
        slots, first = motion + item.max_patches + start, min(speech, motion + start)
        if recipe.delay_restarts:
            gap = max(0, first + delay - motion - start)
            slots += gap
    elif item.task == "a2v":
        bound = "given" if speech <= motion + item.max_patches else "limit"
        slots = min(speech, motion + item.max_patches) + start
        first = min(motion + start, slots)
    elif item.task == "v2a":
        bound = "given" if motion <= speech + item.max_patches else "limit"
        slots, first = min(motion, speech + item.max_patches), speech
    else:
        slots, first = speech + item.max_patches, speech
    speech_end = slots
    if item.task == "t2av" and recipe.missing_motion == "encoded_zeros":
        speech_end = slots - delay
    return Plan(item, drawn, given, valid, frames, start, offset, gap, first, slots, speech_end, bound)


def _check(item: GenerationItem, config: ModelConfig, drawn: tuple[str, ...]) -> None:
    def wrong(name: str, value: Tensor | None, shape: str) -> ValueError:
        got = "nothing" if value is None else f"shape {tuple(value.shape)}"
        return ValueError(f"task {item.task} needs {name} {shape}, got {got}")

    if item.max_patches < 1:
        raise ValueError(f"max_patches must be at least 1, got {item.max_patches}")
    if item.text_ids.ndim != 1 or len(item.text_ids) == 0:
        raise wrong("text_ids", item.text_ids, "(L,) with at least one token")
    for modality, channels in (("speech", config.speech_dim), ("motion", config.motion_dim)):
        latents = getattr(item, modality)
        if modality not in drawn and item.task != "tts" and (latents is None or len(latents) == 0):
            raise wrong(modality, latents, f"latents (T, {channels}) to follow")
        if latents is None:
            continue
        if latents.ndim != 2 or latents.shape[1] != channels:
            raise wrong(modality, latents, f"latents (T, {channels})")
        if modality in drawn and item.task != "tts" and len(latents) % config.patch_size:
            raise ValueError(
                f"the {modality} prefix has {len(latents)} frames; it must be whole patches of "
                f"{config.patch_size}: cut it to {len(latents) - len(latents) % config.patch_size}"
            )
    if item.task == "tts" and item.motion is not None:
        raise ValueError("task tts takes no motion; use t2av to continue a clip, or v2a to dub one")
    if "speech" in drawn and (item.speaker_embedding is None or item.speaker_embedding.shape != (config.speaker_dim,)):
        raise wrong("speaker_embedding", item.speaker_embedding, f"({config.speaker_dim},)")
    if "motion" in drawn:
        if item.first_motion is None and (item.motion is None or len(item.motion) == 0):
            raise wrong("first_motion", None, f"({config.motion_dim},), or a motion prefix")
        if item.first_motion is not None and item.first_motion.shape != (config.motion_dim,):
            raise wrong("first_motion", item.first_motion, f"({config.motion_dim},)")
