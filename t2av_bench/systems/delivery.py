"""From pictures and samples to a clip on disk with its record, for systems that make them in one piece."""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import FRAME_RATE, Clip
from t2av_bench.scores import library_versions
from t2av_bench.systems import output
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Reason, Request, System
from t2av_bench.systems.inputs import SPEAKER_RATE
from t2av_bench.utils.files import file_sha256

JobT = TypeVar("JobT")


@dataclass(slots=True)
class Product:
    """What a system made of one request.

    audio: (n,) float32 at ``audio_rate``, a whole number of frames unless ``own_lengths``: then sound and picture
        last as long as they do, and nothing is cut or padded.
    pictures: batches (n, H, W, 3) uint8 RGB that last as long; or video: a finished mp4, copied as it is, of ``frames``
        pictures (None: as long as the sound). Neither for ``tts``.
    native: files of a program that pictures or sound were taken from; they are kept beside the clip. edits:
        what was changed of it, as in ``GeneratedClip``. native_seed: what the program got for the request's seed.
    encoder: how they are encoded (see ``media.encode.write_mp4``).
    sound_from, pictures_from: what they are, in words, for the record.
    prefix: folder with the reference that was continued, under the clip's names; prefix_seconds: how long it is.
    inputs: facts about what was read; settings: everything else that moves the result (None: ``record`` says it).
    record: further entries of the clip's record.
    seconds_taken: by stage; delivering adds to ``rendering`` (lazy pictures are made then).
    """

    audio: np.ndarray
    audio_rate: int
    frame_rate: int | Fraction
    pictures: Iterable[np.ndarray] | None = None
    video: Path | None = None
    frames: int | None = None
    own_lengths: bool = False
    native: tuple[Path, ...] = ()
    edits: tuple[Mapping[str, Any], ...] = ()
    native_seed: int | None = None
    encoder: Mapping[str, Any] = field(default_factory=dict)
    stop_reason: str = "given"
    sound_from: str = "generated"
    pictures_from: str | None = None
    prefix: Path | None = None
    prefix_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    inputs: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] | None = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str | None] = field(default_factory=dict)
    libraries: tuple[str, ...] = ("av", "soxr")
    seconds_taken: dict[str, float] = field(default_factory=dict)


def deliver(system: System, request: Request, names: output.Names, folder: Path, product: Product) -> GeneratedClip:
    """Write what was made into the staged ``folder``, and give it its names. Raises GenerationFailed."""
    started = time.monotonic()
    if not len(product.audio):
        raise GenerationFailed("the system made no sound")
    if product.video is not None and names.video is not None:
        try:
            shutil.copyfile(product.video, folder / names.video.name)
        except OSError as error:
            raise GenerationFailed(f"cannot copy {product.video.name}: {error.strerror}") from error
    count = output.write_clip(
        folder, names, product.pictures, product.audio, product.audio_rate, product.frame_rate,
        not product.own_lengths, **product.encoder,
    )  # fmt: skip
    seconds = len(product.audio) / product.audio_rate
    frames = count or (round(seconds * product.frame_rate) if product.frames is None else product.frames)
    drawn_before = product.seconds_taken.get("rendering", 0.0)
    taken = product.seconds_taken | {"rendering": drawn_before + time.monotonic() - started}
    clip = GeneratedClip(
        id=request.id, video=names.video, audio=names.audio, record=names.record, frame_count=frames,
        frame_rate=product.frame_rate, audio_samples=len(product.audio), audio_rate=product.audio_rate,
        seed=request.seed, stop_reason=product.stop_reason,
        real_time_factor=sum(value for stage, value in taken.items() if stage != "reading") / seconds,
        prefix_seconds=product.prefix_seconds, notes=tuple(product.notes), edits=product.edits,
    )  # fmt: skip
    settings = {} if product.settings is None else {"settings": product.settings}
    native: dict[str, Any] = {} if product.native_seed is None else {"native_seed": product.native_seed}
    if product.native:
        native["native_files"] = [file_facts(path) for path in product.native]
    clip.details.update(facts(system, request, clip, product.libraries) | native | settings | {
        "pictures": product.pictures_from,
        "sound": product.sound_from,
        "seconds_taken": {stage: round(value, 3) for stage, value in taken.items()},
        "inputs": product.inputs,
        "weights": product.weights,
    } | product.record)  # fmt: skip
    output.publish(folder, names, clip.details, product.prefix, product.native)
    return clip


def finished(
    video: Path | None, audio: Path | None = None, edits: Sequence[Mapping[str, Any]] = (), **known: Any
) -> Product:
    """Files that a program wrote, measured. Raises Unscorable for what cannot be read, or has no picture or no sound.

    video: with its own sound, or with that of ``audio``; None: sound alone. An mp4 with its own sound stays as it is,
    byte for byte; else the clip is made from it, and it is kept. edits: ``{"crop": [x, y, width, height]}``, in order.
    known: further fields of the product.
    """
    heard = audio or video
    if heard is None:
        raise GenerationFailed("the system wrote no file")
    if not Clip(heard).info.has_audio:
        raise GenerationFailed(f"the system made no sound: {heard.name} holds none")
    rate = Clip(heard).info.audio_rate or SPEAKER_RATE
    sound = Clip(heard).audio(rate)
    if video is None:
        return Product(sound, rate, FRAME_RATE, native=(heard,), **known)
    info = Clip(video).info
    if not info.has_video:
        raise GenerationFailed(f"the system made no picture: {video.name} holds none")
    clip = Clip(video, frame_rate=info.frame_rate or FRAME_RATE, frame_budget=0)
    product = Product(
        sound, rate, clip.frame_rate, frames=clip.frame_count, own_lengths=True, edits=tuple(edits),
        encoder=output.EMBEDDED_ENCODER, **known,
    )  # fmt: skip
    if audio is None and not edits and video.suffix.lower() == ".mp4" and "mp4" in info.format:
        product.video = video
    else:
        product.native = (video,) if audio is None else (video, audio)
        product.pictures = _edited(clip.frames(), edits)
    return product


def _edited(batches: Iterable[np.ndarray], edits: Sequence[Mapping[str, Any]]) -> Iterable[np.ndarray]:
    for pictures in batches:
        for edit in edits:
            match edit:
                case {"crop": [int(x), int(y), int(width), int(height)]} if len(edit) == 1:
                    inside = min(x, y) >= 0 and x + width <= pictures.shape[2] and y + height <= pictures.shape[1]
                    if not inside or min(width, height) < 2 or width % 2 or height % 2:
                        raise GenerationFailed(
                            f"crop {width}x{height} at ({x}, {y}): it has even sides and lies inside of the picture, "
                            f"which is {pictures.shape[2]}x{pictures.shape[1]}"
                        )
                    pictures = pictures[:, y : y + height, x : x + width]
                case _:
                    raise GenerationFailed(f'unknown edit {edit}: expected {{"crop": [x, y, width, height]}}')
        yield pictures


def facts(system: System, request: Request, clip: GeneratedClip, libraries: Sequence[str] = ()) -> dict[str, Any]:
    """What every record says of its clip, JSON-ready; files by name, not by place."""
    from t2av_bench.version import __version__

    rate = Fraction(clip.frame_rate)
    told = {name: value for name in ("scene", "voice_description", "target_seconds")
            if (value := getattr(request, name)) is not None}  # fmt: skip
    return {
        "system": system.id,
        "id": request.id,
        "task": request.task,
        "text": request.text,
        "language": request.language,
        "seed": request.seed,
        "max_seconds": request.max_seconds,
        "stop_reason": clip.stop_reason,
        "seconds": clip.seconds,
        "frames": clip.frame_count,
        "frame_rate": rate.numerator if rate.denominator == 1 else str(rate),
        "audio_samples": clip.audio_samples,
        "audio_rate": clip.audio_rate,
        "files": [path.name for path in (clip.video, clip.audio) if path],
        "real_time_factor": clip.real_time_factor,
        "notes": list(clip.notes),
        "versions": {"t2av-bench": __version__, **library_versions(*libraries)},
        **told,
        **({"edits": [dict(edit) for edit in clip.edits]} if clip.edits else {}),
    }


def file_facts(path: Path) -> dict[str, str]:
    """An input by name and content."""
    return {"file": path.name, "sha256": file_sha256(path)}


def begin(
    requests: Sequence[Request], start: Callable[[Request], JobT]
) -> tuple[dict[int, JobT], dict[int, GeneratedClip | Reason]]:
    """What ``start`` makes of a batch's requests, and the reasons of those that cannot begin, by place in the batch.

    No two of them may write the same clip.
    """
    jobs: dict[int, JobT] = {}
    made: dict[int, GeneratedClip | Reason] = {}
    taken: set[Path] = set()
    for number, request in enumerate(requests):
        try:
            if request.out.resolve() in taken:
                raise GenerationFailed(f"another request of this batch is called {request.out}")
            jobs[number] = start(request)
            taken.add(request.out.resolve())
        except (Unscorable, NotApplicable) as reason:
            made[number] = as_reason(reason)
    return jobs, made


def as_reason(reason: Unscorable | NotApplicable) -> Reason:
    """What reading media raises, as what a system answers."""
    return reason if isinstance(reason, GenerationFailed | NotApplicable) else GenerationFailed(str(reason))
