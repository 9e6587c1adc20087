"""Length-matched text to speech: dubbing (V2A) by speech of exactly as many frames as the picture, which it does not
see. All positions are drawn together.

    network = load("length_matched_tts.safetensors")
    clips = sample(network, [Item(text_ids, speaker_embedding, frames=64, seed=7)])
    clips[0].speech                                         # (64, 32)
"""

from .network import LengthMatchedTTS
from .sampling import Item, load, sample

__all__ = ["Item", "LengthMatchedTTS", "load", "sample"]
