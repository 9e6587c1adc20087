"""Audio driven: a diffusion transformer that draws the motion of given speech (A2V), all positions together.

network = load("audio_driven.safetensors")
clips = sample(network, [Item(speech, first_motion, seed=7)])
clips[0].motion                                         # (T, 16), as long as the speech
"""

from .network import AudioDriven
from .sampling import Item, load, sample

__all__ = ["AudioDriven", "Item", "load", "sample"]
