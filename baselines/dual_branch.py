"""Dual branch: two diffusion transformers joined by cross-attention in both directions in every block, as joint
audio-video generators of a fixed length are built. All positions are denoised together; the length is chosen before.

    network = load_network("dual_branch.safetensors", family="dual_branch")        # baselines.checkpoints
    clips = sample(network, [Item(text_ids, speaker_embedding, first_motion, seed=7)])  # baselines.diffusion.sampling
    clips[0].speech, clips[0].motion                                               # (T, 32), (T, 16)
"""

from torch import Tensor

from .diffusion.config import NetworkConfig
from .diffusion.network import Condition, DiffusionNetwork
from .diffusion.tower import Tower


class DualBranch(DiffusionNetwork):
    """Both modalities at one time, all positions together; in each block each tower attends to the other's tokens
    as they entered the block. The speech tower's global condition is the speaker, the motion tower's the first
    frame."""

    family = "dual_branch"
    modalities = ("speech", "motion")
    reads = ("text_ids", "speaker_embedding", "first_motion")

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
