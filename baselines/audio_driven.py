"""Audio driven: a diffusion transformer that draws the motion of given speech (A2V), all positions together.

network = load_network("audio_driven.safetensors", family="audio_driven")      # baselines.checkpoints
clips = sample(network, [Item(speech=speech, first_motion=first_motion, seed=7)])  # baselines.diffusion.sampling
clips[0].motion                                                                # (T, 16), as long as the speech
"""

import torch
from torch import Tensor, nn

from reference_model.modules.transformer import Block, RMSNorm

from .diffusion.batch import Batch
from .diffusion.config import NetworkConfig
from .diffusion.network import Condition, DiffusionNetwork
from .diffusion.text import Text
from .diffusion.tower import Tower


class AudioDriven(DiffusionNetwork):
    """Motion to given speech. Patches of speech and motion share their positions: speech is added to the motion
    tower's input, and attended to. Its global condition is the first frame of motion; text is not read."""

    family = "audio_driven"
    modalities = ("motion",)
    reads = ("speech", "first_motion")

    def __init__(self, config: NetworkConfig):
        super().__init__(config)
        width = config.width
        self.speech_projection = nn.Linear(config.patch_size * config.speech_dim, width)
        self.speech_blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.condition_layers))
        self.speech_norm = RMSNorm(width)
        self.null = nn.Parameter(torch.randn(width))
        self.motion = Tower(config.motion_dim, config.motion_dim, config, text=False, peer=True)

    def condition(self, batch: Batch, text: Text | None, keep: Tensor, length: int) -> Condition:
        condition = super().condition(batch, text, keep, length)
        speech = batch.speech * condition.mask[..., None]
        x = self.speech_projection(speech.unflatten(1, (-1, self.config.patch_size)).flatten(2))
        for block in self.speech_blocks:
            x = block(x, condition.rope, condition.keys)
        condition.peer = torch.where(keep[:, None, None], self.speech_norm(x), self.null)
        return condition

    def velocity(self, noisy: dict[str, Tensor], time: Tensor, condition: Condition) -> dict[str, Tensor]:
        tokens, state, final = self.motion.enter(noisy["motion"], time, condition.first_motion)
        tokens = tokens + condition.peer
        for block in self.motion.blocks:
            tokens = block(tokens, state, condition.rope, condition.keys, peer=condition.peer)
        return {"motion": self.motion.leave(tokens, final, noisy["motion"], time)}
