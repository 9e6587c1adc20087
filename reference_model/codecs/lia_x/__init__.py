"""LIA-X: the video autoencoder of Talker-T2AV (Appendix A), a 40-dimensional motion code per 512 x 512 frame.

Written from the papers, LIA (arXiv 2203.09043) and LIA-X (arXiv 2508.09959), and checked against stored numbers.
The published weights carry a non-commercial licence (CC BY-NC 4.0), which governs whatever is rendered with them;
everything behind :class:`reference_model.codecs.MotionCodec` can be replaced by another codec.
"""

from .codec import LIAXCodec, LIAXRenderer, load_lia_x
from .generator import Generator, LIAXConfig
from .names import lia_x_names

__all__ = ["Generator", "LIAXCodec", "LIAXConfig", "LIAXRenderer", "lia_x_names", "load_lia_x"]
