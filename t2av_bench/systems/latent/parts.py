"""What every generator in the latents of two codecs shares: its codecs, and how a request's files become latents.

Imports torch: only systems import this, when they are used.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from reference_model.codecs import AudioCodec, MotionCodec, SourceRenderer
from reference_model.codecs.pixels import uint8_to_frames
from reference_model.inference.types import GenerationItem
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.delivery import file_facts
from t2av_bench.systems.inputs import first, input_named, read_speech, read_voice
from t2av_bench.systems.latent.portrait import (
    AROUND_FACE,
    Framing,
    Portrait,
    PortraitVideo,
    read_image,
    read_portrait,
    read_portrait_video,
)
from t2av_bench.systems.output import Names

if TYPE_CHECKING:
    from t2av_bench.faces.detect import Detector
# The square of a moving identity is found in its first 10 s.
_REFERENCE_FRAMES = 250
_DRAWN = {"t2av": ("speech", "motion"), "a2v": ("motion",), "v2a": ("speech",), "tts": ("speech",)}


def torch_device(name: str) -> torch.device:
    """ValueError for a name that is none, or a GPU that is not there."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name} was asked for, but this torch sees no GPU; use --device cpu")
    return device


class VoiceEncoder(Protocol):
    """(B, n) audio at ``inputs.SPEAKER_RATE`` -> (B, embedding_dim)."""

    embedding_dim: int

    def __call__(self, audio: Tensor) -> Tensor: ...


@dataclass(kw_only=True)
class Parts:
    """Everything around a generator, on ``device`` and in evaluation mode.

    prompt: text -> token ids (L,); raises ValueError with what is wrong with the text. suffix_ids: (S,), what follows
    the patches in training (the end of a chat).
    digests: weights id (or file) -> sha256, for the record.
    detector: finds faces; None takes the best whose weights are there (``faces.find``).
    framing: which square of a picture is the portrait. trims_voice: whether the speaker encoder hears a voice without
    the silence around it. longest_seconds: bound on a clip beside the request's own, where the generator has one.
    passage_tokens: of a long text as many sentences are spoken at a time as have so many tokens together.
    renders_at_once: make an identity's renderer when it is read, not when it is needed: for motion codecs that keep
    little for it, and refuse some pictures.
    Raises ValueError for codecs that do not fit each other.
    """

    prompt: Callable[[str], Tensor]
    audio_codec: AudioCodec
    motion_codec: MotionCodec
    speaker_encoder: VoiceEncoder
    suffix_ids: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    device: torch.device | str = "cpu"
    digests: Mapping[str, str | None] = field(default_factory=dict)
    detector: "Detector | None" = None
    framing: Framing = AROUND_FACE
    trims_voice: bool = False
    longest_seconds: float = float("inf")
    passage_tokens: int = 64
    renders_at_once: bool = False

    def __post_init__(self) -> None:
        if self.audio_codec.sample_rate % self.audio_codec.frame_rate:
            raise ValueError(
                f"the audio codec's {self.audio_codec.sample_rate} samples a second are no whole number for each of "
                f"its {self.audio_codec.frame_rate} frames"
            )
        self.check_fit({"motion frames a second": (self.frame_rate, self.motion_codec.frame_rate)}, "audio codec")

    @staticmethod
    def check_fit(wanted: Mapping[str, tuple[int, int]], whose: str = "generator") -> None:
        """``what -> (whose, the codec's)``: ValueError naming the first pair that differs."""
        for what, (generator, part) in wanted.items():
            if generator != part:
                raise ValueError(
                    f"the parts do not fit: {what} are {generator} for the {whose} and {part} for its codec"
                )

    def check_generator(self, *, speech_dim: int, motion_dim: int, speaker_dim: int, frame_rate: int) -> None:
        """ValueError where a generator of these sizes does not fit the codecs."""
        self.check_fit({
            "audio latents": (speech_dim, self.audio_codec.latent_dim),
            "motion latents": (motion_dim, self.motion_codec.latent_dim),
            "speaker embeddings": (speaker_dim, self.speaker_encoder.embedding_dim),
            "audio frames a second": (frame_rate, self.audio_codec.frame_rate),
        })  # fmt: skip

    @property
    def frame_rate(self) -> int:
        return self.audio_codec.frame_rate

    @property
    def sample_rate(self) -> int:
        """Audio samples per second."""
        return self.audio_codec.sample_rate

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        return self.sample_rate // self.frame_rate

    def face_detector(self) -> "Detector":
        if self.detector is None:
            from t2av_bench.faces.find import best_detector

            self.detector = best_detector(str(self.device))
        return self.detector

    def text_ids(self, text: str) -> Tensor:
        """(L,) int64. Raises GenerationFailed with what is wrong with the text."""
        try:
            return self.prompt(text)
        except ValueError as error:
            raise GenerationFailed(str(error)) from error

    def is_a_passage(self, text: str) -> bool:
        """Whether it can be spoken at a time."""
        try:
            return len(self.prompt(text)) <= self.passage_tokens
        except ValueError:
            return False

    def encode_audio(self, audio: np.ndarray) -> Tensor:
        """(n,) at ``sample_rate`` -> (T, C) float32 on the CPU."""
        return self.audio_codec.encode(torch.from_numpy(audio)[None].to(self.device))[0].float().cpu()

    def decode_audio(self, speech: Tensor) -> np.ndarray:
        """(T, C) -> (T * hop,) float32 in [-1, 1]."""
        decoded = self.audio_codec.decode(speech[None].to(self.device))[0]
        return decoded.float().clamp(-1, 1).cpu().numpy()

    def encode_pictures(self, pictures: np.ndarray) -> Tensor:
        """(n, size, size, 3) uint8 RGB -> (n, C) normalised motion latents, float32 on the CPU."""
        frames = uint8_to_frames(torch.from_numpy(np.array(pictures)).to(self.device))
        return self.motion_codec.encode(frames[None])[0].float().cpu()

    def encode_video(self, video: PortraitVideo, frames: int, alive: Callable[[], None] = lambda: None) -> Tensor:
        """The first ``frames`` frames -> (frames, C). alive: called after each batch of pictures."""
        encoded = []
        for pictures in first(video.pictures(), frames):
            encoded.append(self.encode_pictures(pictures))
            alive()
        return torch.cat(encoded)

    def encode_voice(self, audio: np.ndarray) -> Tensor:
        """(n,) at ``inputs.SPEAKER_RATE`` -> (S,) speaker embedding, float32 on the CPU. ValueError as the encoder."""
        return self.speaker_encoder(torch.from_numpy(audio)[None].to(self.device))[0].float().cpu()


@dataclass(slots=True)
class Job:
    """One request on its way: what the generator is given, and what its result is put together with.

    item: text ids, bound, seed and the latents that were read (see ``reference_model.inference.types.GenerationItem``):
        ``speaker_embedding (S,)``, ``first_motion (C,)``, ``speech (T, C)`` for a2v, ``motion (T, C)`` for v2a.
    source: (1, 3, size, size) in [-1, 1], the picture of the person; None where no picture is drawn. renderer: its
        renderer, where it was made already.
    video: the driving video (v2a) or a moving identity. driving_audio: (n,) at the codec's rate (a2v).
    passages: text and ids of each, where a long text is spoken in several; passage_patches bounds each of them.
    was_cut: given speech or picture went on beyond the bound. facts: what was taken of each file, for the record.
    """

    request: Request
    names: Names
    folder: Path
    item: GenerationItem
    source: Tensor | None = None
    renderer: SourceRenderer | None = None
    video: PortraitVideo | None = None
    driving_audio: np.ndarray | None = None
    passages: list[tuple[str, Tensor]] = field(default_factory=list)
    passage_patches: int = 0
    was_cut: bool = False
    record: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds_taken: dict[str, float] = field(default_factory=dict)

    @property
    def drawn(self) -> tuple[str, ...]:
        """The modalities that are generated: of ``speech`` and ``motion``."""
        return _DRAWN[self.request.task]


def new_job(request: Request, parts: Parts, names: Names, folder: Path, patch_size: int) -> Job:
    """A job with its text and its bound, before any file is read. Raises GenerationFailed."""
    text_ids = parts.text_ids(request.text)
    seconds = min(request.max_seconds, parts.longest_seconds)
    patches = int(seconds * parts.frame_rate) // patch_size
    if not patches:
        raise GenerationFailed(f"max_seconds is {request.max_seconds:g}, less than one patch of "
                               f"{patch_size / parts.frame_rate:g} s")  # fmt: skip
    return Job(request, names, folder, GenerationItem(text_ids, patches, request.task, seed=request.seed))


def read_sources(job: Job, parts: Parts, patch_size: int, *, moving_identity: bool = False) -> None:
    """Read and encode every file that the job's task uses. moving_identity: the identity must be a video.

    Raises GenerationFailed naming the input that is wrong.
    """
    request, most = job.request, job.item.max_patches * patch_size
    readers = {
        "voice": (_read_voice, "speech" in job.drawn),
        "driving_audio": (_read_driving_audio, request.task == "a2v"),
        "driving_video": (_read_driving_video, request.task == "v2a"),
        "identity": (_read_identity_video if moving_identity else _read_identity, "motion" in job.drawn),
    }  # fmt: skip
    for name, (read, is_used) in readers.items():
        path = getattr(request, name)
        if path and is_used:
            with input_named(name.replace("_", " ")):
                taken = read(path, job, parts, most)
                job.facts[name] = file_facts(path) | taken


def _read_voice(path: Path, job: Job, parts: Parts, most: int) -> dict[str, Any]:
    """As the others: puts what it reads into the job, at most so many frames, and returns facts for the record."""
    voice = read_voice(path, parts.trims_voice)
    job.item.speaker_embedding = parts.encode_voice(voice.audio)
    job.notes += voice.notes
    return {name: round(getattr(voice, name), 3) for name in ("start", "end", "speech_seconds")}


def _read_driving_audio(path: Path, job: Job, parts: Parts, most: int) -> dict[str, Any]:
    audio, job.was_cut = read_speech(path, most / parts.frame_rate, parts.sample_rate)
    if len(audio) < parts.hop:
        raise GenerationFailed(f"{path.name} is shorter than one frame of {1 / parts.frame_rate:g} s")
    if job.was_cut:
        job.notes.append(_cut_note(path, job, parts, most))
    job.driving_audio = audio
    job.item.speech = parts.encode_audio(audio)
    return {"seconds": len(audio) / parts.sample_rate}


def _read_driving_video(path: Path, job: Job, parts: Parts, most: int) -> dict[str, Any]:
    video = read_portrait_video(path, parts.face_detector(), parts.motion_codec.image_size, most, parts.framing)
    if video.was_cut:
        job.notes.append(_cut_note(path, job, parts, most))
    job.video, job.was_cut = video, video.was_cut
    job.item.motion = parts.encode_video(video, video.frame_count)
    return _framing(job, video) | {"frames": video.frame_count}


def _cut_note(path: Path, job: Job, parts: Parts, most: int) -> str:
    own = parts.longest_seconds < job.request.max_seconds
    why = "the longest clip that this generator makes" if own else "max_seconds"
    return f"{path.name}: only its first {most / parts.frame_rate:g} s are used ({why})"


def _read_identity(path: Path, job: Job, parts: Parts, most: int) -> dict[str, Any]:
    portrait = read_portrait(path, parts.face_detector(), parts.motion_codec.image_size, parts.framing)
    _take_source(job, parts, portrait.picture)
    return _framing(job, portrait) | {"frame": portrait.frame}


def _read_identity_video(path: Path, job: Job, parts: Parts, most: int) -> dict[str, Any]:
    if read_image(path) is not None:
        raise GenerationFailed(f"{path.name} is a still image, and a prefix continues a moving one: give a video, or "
                               "--prefix-seconds 0")  # fmt: skip
    size = parts.motion_codec.image_size
    job.video = read_portrait_video(path, parts.face_detector(), size, _REFERENCE_FRAMES, parts.framing)
    _take_source(job, parts, next(job.video.pictures(1))[0])
    return _framing(job, job.video) | {"frame": 0}


def _take_source(job: Job, parts: Parts, picture: np.ndarray) -> None:
    job.source = uint8_to_frames(torch.from_numpy(np.array(picture)))[None]
    if parts.renders_at_once:
        try:
            job.renderer = parts.motion_codec.source(job.source.to(parts.device))
        except ValueError as error:
            raise GenerationFailed(str(error)) from error
    job.item.first_motion = parts.encode_pictures(picture[None])[0]


def _framing(job: Job, portrait: Portrait | PortraitVideo) -> dict[str, Any]:
    job.notes += portrait.notes
    return {"square": asdict(portrait.square), "face_side": round(portrait.face_side, 1),
            "detector": portrait.detector}  # fmt: skip
