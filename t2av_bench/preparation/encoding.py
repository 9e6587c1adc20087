"""One clip to one training sample. Imports torch: only workers import this, when they encode."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reference_model.training.samples import Sample
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import FRAME_RATE, Clip
from t2av_bench.media.probe import check_file, probe
from t2av_bench.preparation.clips import ClipFiles
from t2av_bench.preparation.codecs import registry
from t2av_bench.systems.inputs import input_named, read_voice, speech_span
from t2av_bench.systems.latent.portrait import read_portrait_video
from t2av_bench.utils.inference import full_precision

PATCH = 4
"""Frames of the shortest sample: one patch of the model."""
_NO_END = 1 << 40
_UNREADABLE = (
    OSError, ValueError, RuntimeError, TypeError, EOFError, KeyError, pickle.UnpicklingError, SafetensorError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What is left out: sound and motion that differ by more than ``difference`` frames (less: both are cut to the
    shorter one), and texts that leave no room for a patch in ``max_tokens``."""

    difference: int = 5
    max_tokens: int = 1000


class ClipEncoder:
    """Encodes with a codec, by its id. dims: channels of speech, motion and speaker embedding.

    Raises NotApplicable and ValueError as ``Codec.load`` does.
    """

    def __init__(self, codec: str, device: str, limits: Limits) -> None:
        self.parts = registry.class_of(codec).load(device=device)
        self.limits = limits
        if self.parts.frame_rate != FRAME_RATE:
            raise ValueError(f"the codec {codec!r} has {self.parts.frame_rate} frames a second, not {FRAME_RATE}")
        self.dims = {
            "speech_dim": self.parts.audio_codec.latent_dim, "motion_dim": self.parts.motion_codec.latent_dim,
            "speaker_dim": self.parts.speaker_encoder.embedding_dim,
        }  # fmt: skip

    def __call__(self, clip: ClipFiles, alive: Callable[[], None] = lambda: None) -> Sample:
        """Raises Unscorable with the reason why the clip is left out. alive: called now and then."""
        with full_precision():
            return self._encode(clip, alive)

    def _encode(self, clip: ClipFiles, alive: Callable[[], None]) -> Sample:
        assert clip.media is not None
        parts = self.parts
        text_ids = parts.text_ids(clip.text)
        if len(text_ids) >= self.limits.max_tokens:
            raise Unscorable(f"its text has {len(text_ids)} tokens, which leaves no room in sequences of "
                             f"{self.limits.max_tokens} (--max-tokens)")  # fmt: skip
        video = None
        if clip.motion is None and probe(clip.media).has_video:
            video = read_portrait_video(
                clip.media, parts.face_detector(), parts.motion_codec.image_size, _NO_END, parts.framing
            )
            alive()
        audio = Clip(clip.media, sound_path=clip.sound).audio(parts.sample_rate)
        speech_span(audio, parts.sample_rate)  # refuses silence
        codes = None if clip.motion is None else self._codes(clip)
        frames = self._frames(len(audio) // parts.hop, video.frame_count if video else None if codes is None
                              else len(codes))  # fmt: skip
        motion = None
        if video is not None:
            motion = parts.encode_video(video, frames, alive)
        elif codes is not None:
            motion = parts.motion_codec.normalize(codes[:frames].to(parts.device)).float().cpu()
        speech = parts.encode_audio(audio[: frames * parts.hop].copy())[:frames]
        alive()
        with input_named("its voice"):
            voice = read_voice(clip.voice or clip.sound or clip.media, trim=False).audio
            try:
                speaker = parts.encode_voice(voice)
            except ValueError as error:
                raise Unscorable(str(error)) from error
        return Sample(text_ids, speech, speaker, motion, parts.suffix_ids)

    def _codes(self, clip: ClipFiles) -> Tensor:
        """(T, C) raw motion codes of the clip's file, which are what the list says of them."""
        assert clip.motion is not None
        if clip.motion_rate not in (None, FRAME_RATE):
            raise Unscorable(f"its motion has {clip.motion_rate:g} frames a second (fps), expected {FRAME_RATE}")
        codes = read_motion(clip.motion)
        if codes.ndim != 2 or codes.shape[1] != self.dims["motion_dim"]:
            raise Unscorable(f"{clip.motion.name} holds motion of shape {tuple(codes.shape)}, expected (frames, "
                             f"{self.dims['motion_dim']})")  # fmt: skip
        if clip.motion_frames not in (None, len(codes)):
            raise Unscorable(f"{clip.motion.name} has {len(codes)} frames, the list says {clip.motion_frames} "
                             "(pt_length)")  # fmt: skip
        return codes

    def _frames(self, heard: int, seen: int | None) -> int:
        """Frames of the sample. Raises Unscorable for lengths that differ, and for less than a patch."""
        if seen is not None and abs(heard - seen) > self.limits.difference:
            raise Unscorable(f"its sound lasts {heard} frames and its motion {seen}: they differ by more than "
                             f"{self.limits.difference} (--difference)")  # fmt: skip
        frames = heard if seen is None else min(heard, seen)
        if frames < PATCH:
            raise Unscorable(f"it lasts {frames} frames of {1 / FRAME_RATE:g} s, less than a patch of {PATCH}")
        return frames


def read_motion(path: Path) -> Tensor:
    """Motion codes (T, C) as float32: a tensor in a ``.pt``, ``.npy`` or ``.safetensors`` file, or the only one there.

    Nothing that a file holds is run. Raises Unscorable with what is wrong.
    """
    check_file(path)
    found: Any
    try:
        if path.suffix == ".npy":
            found = torch.from_numpy(np.load(path, allow_pickle=False))
        elif path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise Unscorable(f"{path.name} cannot be read as motion: {why:.200}") from error
    if isinstance(found, dict) and len(found) == 1:
        (found,) = found.values()
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = f"a tensor of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
        raise Unscorable(f"{path.name} holds {kind}, expected one tensor of motion codes (frames, channels)")
    return found.float()
