"""The speech tower alone: text and speaker to speech of a given length."""

from torch import Tensor

from ..diffusion.config import NetworkConfig
from ..diffusion.network import Condition, DiffusionNetwork
from ..diffusion.tower import Tower


class LengthMatchedTTS(DiffusionNetwork):
    """Speech of as many frames as the picture has. Text durations are scaled to that length."""

    family = "length_matched_tts"
    modalities = ("speech",)

    def __init__(self, config: NetworkConfig):
        super().__init__(config)
        self.speech = Tower(config.speech_dim, config.speaker_dim, config, text=True, peer=False)

    def velocity(self, noisy: dict[str, Tensor], time: Tensor, condition: Condition) -> dict[str, Tensor]:
        tokens, state, final = self.speech.enter(noisy["speech"], time, condition.speaker_embedding)
        tokens = tokens + condition.aligned
        for block in self.speech.blocks:
            tokens = block(tokens, state, condition.rope, condition.keys, condition.text)
        return {"speech": self.speech.leave(tokens, final, noisy["speech"], time)}
