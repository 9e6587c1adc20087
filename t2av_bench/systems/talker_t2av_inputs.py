"""From a request's files to what Talker-T2AV's sampling loop takes.

Imports torch: only :mod:`.talker_t2av` imports this, when it is used.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reference_model.codecs import AudioCodec, MotionCodec
from reference_model.codecs.pixels import uint8_to_frames
from reference_model.generation import GenerationItem
from reference_model.model import TalkerT2AV
from reference_model.plan import make_plan
from reference_model.prompt import MAX_TOKENS, PromptError, text_prompt
from reference_model.recipes import Recipe
from reference_model.speaker import SpeakerEncoder
from t2av_bench.systems.base import GenerationFailed, NotApplicable, Request
from t2av_bench.systems.inputs import CODEC_RATE, LONGEST_VOICE, input_named, read_speech, read_voice
from t2av_bench.systems.output import Names
from t2av_bench.systems.portrait import (
    Portrait,
    PortraitVideo,
    default_detector,
    read_image,
    read_portrait,
    read_portrait_video,
)

if TYPE_CHECKING:
    from t2av_bench.faces.detect import Detector
# The square of a reference that is continued is found in its first 10 s.
_REFERENCE_FRAMES = 250


@dataclass
class Components:
    """The generator with its tokenizer, codecs and speaker encoder, all on ``device`` and in evaluation mode.

    digests: weights id (or file) -> sha256, for the record. detector: finds faces; None takes the best that is here.
    Raises ValueError for parts that do not fit each other.
    """

    model: TalkerT2AV
    tokenizer: Any
    audio_codec: AudioCodec
    motion_codec: MotionCodec
    speaker_encoder: SpeakerEncoder
    device: torch.device | str = "cpu"
    digests: Mapping[str, str | None] = field(default_factory=dict)
    detector: "Detector | None" = None

    def __post_init__(self) -> None:
        config = self.model.config
        wanted = {
            "audio latents": (config.speech_dim, self.audio_codec.latent_dim),
            "motion latents": (config.motion_dim, self.motion_codec.latent_dim),
            "speaker embeddings": (config.speaker_dim, self.speaker_encoder.embedding_dim),
            "audio frames a second": (config.fps, self.audio_codec.frame_rate),
            "motion frames a second": (config.fps, self.motion_codec.frame_rate),
            "audio samples a second": (CODEC_RATE, self.audio_codec.sample_rate),
        }
        for what, (model, part) in wanted.items():
            if model != part:
                raise ValueError(f"the parts do not fit: {what} are {model} for the generator and {part} for its codec")

    @property
    def frame_rate(self) -> int:
        return self.model.config.fps

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        return self.audio_codec.sample_rate // self.frame_rate

    def face_detector(self) -> "Detector":
        if self.detector is None:
            self.detector = default_detector(str(self.device))
        return self.detector

    def encode_audio(self, audio: np.ndarray) -> Tensor:
        """(n,) at 24 kHz -> (T, C) float32 on the CPU."""
        return self.audio_codec.encode(torch.from_numpy(audio)[None].to(self.device))[0].float().cpu()

    def encode_pictures(self, pictures: np.ndarray) -> Tensor:
        """(n, size, size, 3) uint8 RGB -> (n, C) normalised motion latents, float32 on the CPU."""
        frames = uint8_to_frames(torch.from_numpy(np.array(pictures)).to(self.device))
        return self.motion_codec.encode(frames[None])[0].float().cpu()

    def encode_video(self, video: PortraitVideo, frames: int) -> Tensor:
        """The first ``frames`` frames -> (frames, C)."""
        codes: list[Tensor] = []
        for pictures in video.pictures():
            codes.append(self.encode_pictures(pictures[: frames - sum(map(len, codes))]))
            if sum(map(len, codes)) == frames:
                break
        return torch.cat(codes)


@dataclass(slots=True)
class Job:
    """One request on its way: what the model is given, and what its result is put together with."""

    request: Request
    names: Names
    folder: Path
    item: GenerationItem
    source: Tensor | None = None
    video: PortraitVideo | None = None
    driving_audio: np.ndarray | None = None
    was_cut: bool = False
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds_taken: dict[str, float] = field(default_factory=dict)


def read_inputs(request: Request, parts: Components, recipe: Recipe, names: Names, folder: Path) -> Job:
    """Read and encode everything that a checked request names. Raises GenerationFailed and NotApplicable."""
    config = parts.model.config
    try:
        text_ids = text_prompt(parts.tokenizer, request.text)
    except PromptError as error:
        raise GenerationFailed(str(error)) from error
    most_frames = int(request.max_seconds * config.fps)
    if most_frames < config.patch_size:
        raise GenerationFailed(f"max_seconds is {request.max_seconds:g}, less than one patch of "
                               f"{config.patch_size / config.fps:g} s")  # fmt: skip
    item = GenerationItem(text_ids, most_frames // config.patch_size, request.task, seed=request.seed)
    job = Job(request, names, folder, item)
    continued = recipe.prefix_seconds > 0
    if continued and request.task in ("a2v", "v2a"):
        raise NotApplicable(f"a reference prefix cannot be continued in task {request.task}, whose other half is "
                            "given: use --prefix-seconds 0")  # fmt: skip
    _check_length(item, parts, round(recipe.prefix_seconds * config.fps) // config.patch_size)
    if request.voice and "speech" in _drawn(request):
        with input_named("voice"):
            _read_voice(job, parts)
    if request.driving_audio and request.task == "a2v":
        with input_named("driving audio"):
            _read_driving_audio(job, parts)
    if request.driving_video and request.task == "v2a":
        with input_named("driving video"):
            _read_driving_video(job, parts, most_frames)
    if request.identity and "motion" in _drawn(request):
        with input_named("identity"):
            if continued:
                job.video = _read_identity_video(job, parts)
            else:
                _read_identity(job, parts)
    if continued:
        _read_prefix(job, parts, recipe)
    if item.first_motion is not None and recipe.motion_reference_dtype == "bfloat16":
        item.first_motion = item.first_motion.bfloat16().float()
    try:
        make_plan(item, config, recipe, parts.model.arrangement.delay)
    except ValueError as error:
        raise GenerationFailed(str(error)) from error
    return job


def _drawn(request: Request) -> tuple[str, ...]:
    return {"t2av": ("speech", "motion"), "a2v": ("motion",), "v2a": ("speech",), "tts": ("speech",)}[request.task]


def _check_length(item: GenerationItem, parts: Components, prefix_patches: int) -> None:
    """Text and patches must fit the sequences that the model was trained on."""
    per_slot = parts.model.arrangement.tokens_per_slot
    room = MAX_TOKENS - (item.max_patches + prefix_patches) * per_slot
    if len(item.text_ids) > room:
        raise GenerationFailed(
            f"the text is too long: {len(item.text_ids)} tokens, and {max(room, 0)} fit beside the patches of "
            f"{item.max_patches * parts.model.config.patch_size / parts.frame_rate:g} s (the model was trained on at "
            f"most {MAX_TOKENS} in all): shorten the text, split it into several clips, or lower --max-seconds"
        )


def _read_voice(job: Job, parts: Components) -> None:
    path = job.request.voice
    assert path is not None
    voice = read_voice(path)
    samples = torch.from_numpy(voice.speaker_audio)[None].to(parts.device)
    job.item.speaker_embedding = parts.speaker_encoder(samples)[0].float().cpu()
    job.notes += voice.notes
    job.facts["voice"] = _file(path) | {
        "start": round(voice.start, 3), "end": round(voice.end, 3), "speech_seconds": round(voice.speech_seconds, 3),
    }  # fmt: skip


def _read_driving_audio(job: Job, parts: Components) -> None:
    path, most = job.request.driving_audio, job.item.max_patches * parts.model.config.patch_size
    assert path is not None
    audio, job.was_cut = read_speech(path, most / parts.frame_rate)
    if len(audio) < parts.hop:
        raise GenerationFailed(f"{path.name} is shorter than one frame of {1 / parts.frame_rate:g} s")
    if job.was_cut:
        job.notes.append(f"{path.name}: only its first {most / parts.frame_rate:g} s are used (max_seconds)")
    job.driving_audio = audio
    job.item.speech = parts.encode_audio(audio)
    job.facts["driving_audio"] = _file(path) | {"seconds": len(audio) / CODEC_RATE}


def _read_driving_video(job: Job, parts: Components, most_frames: int) -> None:
    path = job.request.driving_video
    assert path is not None
    most = most_frames // parts.model.config.patch_size * parts.model.config.patch_size
    video = read_portrait_video(path, parts.face_detector(), parts.motion_codec.image_size, most)
    if video.was_cut:
        job.notes.append(f"{path.name}: only its first {most / parts.frame_rate:g} s are used (max_seconds)")
    job.video, job.was_cut = video, video.was_cut
    job.item.motion = parts.encode_video(video, video.frame_count)
    job.notes += video.notes
    job.facts["driving_video"] = _file(path) | _framing(video) | {"frames": video.frame_count}


def _read_identity(job: Job, parts: Components) -> None:
    path = job.request.identity
    assert path is not None
    portrait = read_portrait(path, parts.face_detector(), parts.motion_codec.image_size)
    _take_source(job, parts, portrait.picture)
    job.notes += portrait.notes
    job.facts["identity"] = _file(path) | _framing(portrait) | {"frame": portrait.frame}


def _read_identity_video(job: Job, parts: Components) -> PortraitVideo:
    path = job.request.identity
    assert path is not None
    if read_image(path) is not None:
        raise GenerationFailed(f"{path.name} is a still image, and a prefix continues a moving one: give a video, or "
                               "--prefix-seconds 0")  # fmt: skip
    video = read_portrait_video(path, parts.face_detector(), parts.motion_codec.image_size, _REFERENCE_FRAMES)
    _take_source(job, parts, next(video.pictures(1))[0])
    job.notes += video.notes
    job.facts["identity"] = _file(path) | _framing(video) | {"frame": 0}
    return video


def _take_source(job: Job, parts: Components, picture: np.ndarray) -> None:
    job.source = uint8_to_frames(torch.from_numpy(np.array(picture)))[None]
    job.item.first_motion = parts.encode_pictures(picture[None])[0]


def _read_prefix(job: Job, parts: Components, recipe: Recipe) -> None:
    """The reference's first patches of speech and, where motion is drawn, of motion; from the file's very start."""
    config, request = parts.model.config, job.request
    assert request.voice is not None
    with input_named("voice"):
        audio, _ = read_speech(request.voice, LONGEST_VOICE)
    available = len(audio) // parts.hop
    if job.video is not None:
        available = min(available, job.video.frame_count)
    frames = recipe.prefix_frames(available, config.fps, config.patch_size)
    if frames < config.patch_size:
        raise GenerationFailed(f"the reference has {available / config.fps:g} s of sound and picture, too little to "
                               f"continue {recipe.prefix_seconds:g} s of it")  # fmt: skip
    job.item.speech = parts.encode_audio(audio)[:frames]
    if job.video is not None:
        job.item.motion = parts.encode_video(job.video, frames)


def _framing(portrait: Portrait | PortraitVideo) -> dict[str, Any]:
    return {"square": asdict(portrait.square), "face_side": round(portrait.face_side, 1),
            "detector": portrait.detector}  # fmt: skip


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
