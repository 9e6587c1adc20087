"""Dual branch: two diffusion transformers joined by cross-attention in both directions in every block, as joint
audio-video generators of a fixed length are built. All positions are denoised together; the length is chosen before.

    network = load_network("dual_branch.safetensors", family="dual_branch")  # baselines.checkpoints
    clips = sample(network, [Item(text_ids, speaker_embedding, first_motion, seed=7)])
    clips[0].speech, clips[0].motion                        # (T, 32), (T, 16)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reference_model.modules.flow_matching import SamplerSettings

from .diffusion import sampling
from .diffusion.batch import Batch, texts
from .diffusion.config import NetworkConfig
from .diffusion.items import check_frames, check_text, check_vector
from .diffusion.network import Condition, DiffusionNetwork
from .diffusion.sampling import Generated
from .diffusion.tower import Tower

__all__ = ["DualBranch", "Item", "predict_frames", "sample"]


class DualBranch(DiffusionNetwork):
    """Both modalities at one time, all positions together; in each block each tower attends to the other's tokens
    as they entered the block. The speech tower's global condition is the speaker, the motion tower's the first
    frame."""

    family = "dual_branch"
    modalities = ("speech", "motion")

    def __init__(self, config: NetworkConfig):
        super().__init__(config)
        self.speech = Tower(config.speech_dim, config.speaker_dim, config, text=True, peer=True)
        self.motion = Tower(config.motion_dim, config.motion_dim, config, text=True, peer=True)

    def velocity(self, noisy: dict[str, Tensor], time: Tensor, condition: Condition) -> dict[str, Tensor]:
        rope, keys, text = condition.rope, condition.keys, condition.text
        speech, speech_state, speech_final = self.speech.enter(noisy["speech"], time, condition.speaker_embedding)
        motion, motion_state, motion_final = self.motion.enter(noisy["motion"], time, condition.first_motion)
        speech, motion = speech + condition.aligned, motion + condition.aligned
        for speech_block, motion_block in zip(self.speech.blocks, self.motion.blocks, strict=True):
            speech, motion = (
                speech_block(speech, speech_state, rope, keys, text, motion),
                motion_block(motion, motion_state, rope, keys, text, speech),
            )
        return {
            "speech": self.speech.leave(speech, speech_final, noisy["speech"], time),
            "motion": self.motion.leave(motion, motion_final, noisy["motion"], time),
        }


@dataclass
class Item:
    """``text_ids (L,)``, ``speaker_embedding (64,)``, ``first_motion (16,)``, normalised. ``frames``: the length,
    None to let the network choose it. ``seed`` decides the noise."""

    text_ids: Tensor
    speaker_embedding: Tensor
    first_motion: Tensor
    frames: int | None = None
    seed: int = 0


def sample(network: DualBranch, items: Sequence[Item], settings: SamplerSettings | None = None) -> list[Generated]:
    """Draw every item, in order; an item's latents do not depend on the others. Guidance strengthens the text.

    Raises ValueError for an item that does not fit, naming it.
    """
    if not items:
        return []
    batch = _batch(network, items)
    frames = torch.tensor([item.frames or 0 for item in items])
    if (frames == 0).any():
        frames = torch.where(frames > 0, frames, torch.tensor(predict_frames(network, items)))
    batch.frames = frames
    return sampling.draw(network, batch, [item.seed for item in items], settings or SamplerSettings())


def predict_frames(network: DualBranch, items: Sequence[Item]) -> list[int]:
    """The length that the network chooses for each item's text and speaker, in frames (whole patches)."""
    return sampling.predict_frames(network, _batch(network, items))


def _batch(network: DualBranch, items: Sequence[Item]) -> Batch:
    config = network.config
    for index, item in enumerate(items):
        check_text(index, item.text_ids, config)
        check_vector(index, "speaker_embedding", item.speaker_embedding, config.speaker_dim)
        check_vector(index, "first_motion", item.first_motion, config.motion_dim)
        if item.frames is not None:
            check_frames(index, item.frames)
    return Batch(
        None,
        *texts([item.text_ids for item in items]),
        torch.stack([item.speaker_embedding.float() for item in items]),
        torch.stack([item.first_motion.float() for item in items]),
    )
