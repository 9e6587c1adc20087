"""Speaker embeddings: WavLM-Large features and an ECAPA-TDNN head, fine-tuned for speaker verification.

The model conditions its speech head on this embedding (section 3.3), and its cosine is the field's speaker
similarity. See :class:`SpeakerEncoder`.
"""

from .ecapa import EcapaConfig, EcapaHead, ecapa_names
from .encoder import SpeakerEncoder, load_speaker_encoder
from .wavlm import WavLMSize

__all__ = ["EcapaConfig", "EcapaHead", "SpeakerEncoder", "WavLMSize", "ecapa_names", "load_speaker_encoder"]
