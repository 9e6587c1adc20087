"""Length-matched text to speech: dubbing (V2A) by speech of exactly as many frames as the picture, which it does not
see. All positions are drawn together.

    network = load_network("length_matched_tts.safetensors", family="length_matched_tts")  # baselines.checkpoints
    clips = sample(network, [Item(text_ids, speaker_embedding, frames=64, seed=7)])
    clips[0].speech                                         # (64, 32)
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

__all__ = ["Item", "LengthMatchedTTS", "sample"]


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


@dataclass
class Item:
    """``text_ids (L,)``, ``speaker_embedding (64,)``, ``frames``: the length at 25 Hz. ``seed`` decides the noise."""

    text_ids: Tensor
    speaker_embedding: Tensor
    frames: int
    seed: int = 0


def sample(
    network: LengthMatchedTTS, items: Sequence[Item], settings: SamplerSettings | None = None
) -> list[Generated]:
    """Draw every item, in order; an item's latents do not depend on the others. Guidance strengthens the text.

    Raises ValueError for an item that does not fit, naming it.
    """
    if not items:
        return []
    config = network.config
    for index, item in enumerate(items):
        check_text(index, item.text_ids, config)
        check_vector(index, "speaker_embedding", item.speaker_embedding, config.speaker_dim)
        check_frames(index, item.frames)
    batch = Batch(
        torch.tensor([item.frames for item in items]),
        *texts([item.text_ids for item in items]),
        torch.stack([item.speaker_embedding.float() for item in items]),
    )
    return sampling.draw(network, batch, [item.seed for item in items], settings or SamplerSettings())
