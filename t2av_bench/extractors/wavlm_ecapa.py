"""The speaker encoder of Seed-TTS' similarity: WavLM Large with an ECAPA-TDNN head (UniSpeech), from a checkpoint."""

from functools import lru_cache
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.utils.inference import full_precision
from t2av_bench.utils.optional import make_torchvision_importable

SAMPLE_RATE = 16000
# Attention grows with the square of the duration: one minute takes about 1 GB, ten would take a hundred.
LONGEST_SECONDS = 60
PARAMETERS = {
    "encoder": "WavLM Large + ECAPA-TDNN, 256 d",
    "dtype": "float32",
    "longest_seconds": LONGEST_SECONDS,
    "input": "zero mean, unit variance",
}


@lru_cache(maxsize=1)
def load_wavlm_ecapa(path: str, digest: str | None, device: str) -> Any:
    """The encoder, kept for the next clip. Loading is strict: without its head every cosine would be near zero.

    Raises NotApplicable where the file is not such a checkpoint. ``digest`` only tells changed files apart.
    """

    make_torchvision_importable()  # transformers imports torchvision
    from reference_model.speaker import load_speaker_encoder
    from reference_model.utils.strict_loading import CheckpointError

    try:
        return load_speaker_encoder(path, device=device)
    except CheckpointError as error:
        raise NotApplicable(f"the speaker encoder does not load: {error}") from error


def voice_embedding(audio: np.ndarray, path: str, digest: str | None, device: str = "cpu") -> np.ndarray:
    """Audio (n,) at 16 kHz, not silent -> (256,) float32, not normalised; what lies beyond a minute is ignored.

    Raises Unscorable where the encoder finds no signal (a constant).
    """
    import torch

    encoder = load_wavlm_ecapa(path, digest, device)
    waveform = torch.from_numpy(np.array(audio[: LONGEST_SECONDS * SAMPLE_RATE], np.float32))
    try:
        with full_precision():
            embedding = encoder(waveform[None].to(device))[0]
    except ValueError as error:
        raise Unscorable(f"no voice embedding: {error}") from error
    return embedding.float().cpu().numpy()
