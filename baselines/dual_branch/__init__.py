"""Dual branch: two diffusion transformers joined by cross-attention in both directions in every block, as joint
audio-video generators of a fixed length are built. All positions are denoised together; the length is chosen before.

    network = load("dual_branch.safetensors")
    clips = sample(network, [Item(text_ids, speaker_embedding, first_motion, seed=7)])
    clips[0].speech, clips[0].motion                        # (T, 32), (T, 16)
"""

from .network import DualBranch
from .sampling import Item, load, predict_frames, sample

__all__ = ["DualBranch", "Item", "load", "predict_frames", "sample"]
