"""What the embedded benchmark's generators share: its codecs, its words, and pictures that are all portrait.

    name, file, digest = find_checkpoint("dual_branch-seed0")
    parts = load_parts("cpu", {name: digest})
    job = new_job(request, parts, names, folder, PATCH)  # text ids, bound, seed
    read_sources(job, parts, PATCH)  # voice, identity, driving sound or picture, as latents in job.item

A generator is a ``systems.latent.system.LatentSystem`` with these parts; see ``talker``. Imports torch: only systems
import this, when they are used.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from reference_model.codecs import AudioCodec, MotionCodec
from t2av_bench.errors import NotApplicable
from t2av_bench.extractors.mel_cepstrum import vocoder
from t2av_bench.faces.detect import Haar, haar
from t2av_bench.gridface.data.tokens import WordTokenizer
from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.models.loading import digest
from t2av_bench.gridface.models.motion_codec import DrawnMotionCodec
from t2av_bench.gridface.models.voice_encoder import VoiceEncoder
from t2av_bench.gridface.models.world_codec import WorldCodec
from t2av_bench.gridface.systems.options import CODECS
from t2av_bench.systems.base import GenerationFailed
from t2av_bench.systems.latent.parts import Parts, torch_device
from t2av_bench.systems.latent.portrait import Face, Framing, Square
from t2av_bench.utils.files import file_sha256

LONGEST_SECONDS = 12.0
"""Bound on every clip: training clips last 2 to 4 s, and the longest text that is taken has four sentences."""
SENTENCE_WORDS = 6
"""Of every sentence that the models were trained on, one to a clip."""
_ENLARGED = 256


class EnlargedHaar:
    """OpenCV's face cascade on pictures enlarged to 256 pixels.

    Of the drawn persons at 128 pixels the cascade finds half (30 of 60); enlarged, all of 120 with moving faces. Boxes
    are in pixels of the picture that was given.
    """

    name = "haar_enlarged"

    def __init__(self, haar: Haar) -> None:
        self._haar = haar
        self.parameters: dict[str, Any] = {**haar.parameters, "enlarged_to": _ENLARGED, "enlarged_by": "cubic"}
        self.weights: dict[str, str | None] = {}

    def detect(self, frames: np.ndarray) -> list[np.ndarray]:
        """(n, H, W, 3) uint8 RGB -> n arrays (k, 5) float64."""
        import cv2

        height, width = frames.shape[1:3]
        factor = _ENLARGED / min(height, width)
        if factor <= 1:
            return self._haar.detect(frames)
        size = (round(width * factor), round(height * factor))
        large = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in frames])
        scale = np.array([width / size[0], height / size[1]] * 2 + [1.0])
        return [boxes * scale for boxes in self._haar.detect(large)]


def whole_picture(face: Face, width: int, height: int) -> Square:
    """The drawn portrait fills its picture; of an oblong one the middle is taken."""
    side = min(width, height)
    return Square((width - side) // 2, (height - side) // 2, side)


WHOLE_PICTURE = Framing(
    whole_picture, 0.0, "; the embedded models animate GridFace's drawn portraits: t2av-bench data build embedded"
)


class RememberingVoiceEncoder:
    """A voice encoder that hears every voice once: analysing it takes longer than generating a clip."""

    def __init__(self, encoder: VoiceEncoder) -> None:
        self._encoder = encoder
        self._heard: dict[bytes, Tensor] = {}
        self.embedding_dim = encoder.embedding_dim

    def __call__(self, audio: Tensor) -> Tensor:
        """(B, n) at 16 kHz -> (B, 64). Raises GenerationFailed for a voice that it cannot describe."""
        key = hashlib.sha256(audio.cpu().numpy().tobytes() + str(tuple(audio.shape)).encode()).digest()
        if key not in self._heard:
            try:
                self._heard[key] = self._encoder(audio)
            except ValueError as error:
                raise GenerationFailed(str(error)) from error
        return self._heard[key]


def find_checkpoint(checkpoint: str | Path) -> tuple[str, Path, str]:
    """A bundled model's name or a safetensors file: (what the record calls it, where it is, its sha256).

    Raises NotApplicable, with the command that helps, for a bundled model that is missing or damaged; ValueError for
    an unknown name, or a file that is not there.
    """
    file = Path(checkpoint)
    if file.suffix == ".safetensors" or file.is_file():
        if not file.is_file():
            known = ", ".join(checkpoints.names()) or "of trained models (there are none yet)"
            raise ValueError(f"no checkpoint at {file}: expected a safetensors file, or one of the names {known}")
        return file.name, file, file_sha256(file)
    name = str(checkpoint)
    return name, checkpoints.path(name), checkpoints.digest(name)


def load_parts(device: str = "cpu", digests: Mapping[str, str | None] | None = None) -> Parts:
    """The embedded codecs, tokenizer, voice encoder and face check; ``digests`` of the generator's own files.

    The voice encoder hears a voice's whole file, as in training. Raises NotApplicable, with what helps, where a codec's
    file or package is missing; ValueError for a device that is not there.
    """
    vocoder()  # what it needs besides may be missing
    audio_codec, motion_codec, voice_encoder = _codecs(str(torch_device(device)))
    return Parts(
        prompt=WordTokenizer().encode, audio_codec=audio_codec, motion_codec=motion_codec,
        speaker_encoder=voice_encoder, device=device,
        digests={**(digests or {}), **{name: digest(name) for name in CODECS}},
        detector=EnlargedHaar(haar()), framing=WHOLE_PICTURE, trims_voice=False, longest_seconds=LONGEST_SECONDS,
        passage_tokens=SENTENCE_WORDS, renders_at_once=True,
    )  # fmt: skip


@lru_cache(maxsize=2)
def _codecs(device: str) -> "tuple[AudioCodec, MotionCodec, RememberingVoiceEncoder]":
    """Loaded once per process and device: they have no state that a clip could change."""
    try:
        audio_codec = WorldCodec.load()
        motion_codec = DrawnMotionCodec.load(device=device)
    except (OSError, ValueError, KeyError) as error:
        raise NotApplicable(f"an embedded codec does not load: {error}") from error
    # The protocols' attributes may be set, the codecs' may not; nobody sets them.
    return audio_codec, motion_codec, RememberingVoiceEncoder(VoiceEncoder(audio_codec))  # type: ignore[return-value]
