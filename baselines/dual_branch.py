"""Two diffusion transformers, of speech and of motion, that read each other in every block."""

from torch import Tensor

from ..diffusion.config import NetworkConfig
from ..diffusion.network import Condition, DiffusionNetwork
from ..diffusion.tower import Tower


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
