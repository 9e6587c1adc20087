"""Length-matched text to speech: dubbing (V2A) by speech of exactly as many frames as the picture, which it does not
see. All positions are drawn together.

    network = load_network("length_matched_tts.safetensors", family="length_matched_tts")  # baselines.checkpoints
    clips = sample(network, [Item(text_ids, speaker_embedding, frames=64, seed=7)])  # baselines.diffusion.sampling
    clips[0].speech                                         # (64, 32)
"""

from torch import Tensor

from .diffusion.config import NetworkConfig
from .diffusion.network import Condition, DiffusionNetwork
from .diffusion.tower import Tower


class LengthMatchedTTS(DiffusionNetwork):
    """Speech of as many frames as the picture has. Text durations are scaled to that length."""

    family = "length_matched_tts"
    modalities = ("speech",)
    reads = ("text_ids", "speaker_embedding")

    def __init__(self, config: NetworkConfig):
        super().__init__(config)
        self.speech = Tower(config.speech_dim, config.speaker_dim, config, text=True, peer=False)

    def velocity(self, noisy: dict[str, Tensor], time: Tensor, condition: Condition) -> dict[str, Tensor]:
        tokens, state, final = self.speech.enter(noisy["speech"], time, condition.speaker_embedding)
        tokens = tokens + condition.aligned
        for block in self.speech.blocks:
            tokens = block(tokens, state, condition.rope, condition.keys, condition.text)
        return {"speech": self.speech.leave(tokens, final, noisy["speech"], time)}
