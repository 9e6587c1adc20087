"""From pictures and samples to a clip on disk with its record, for systems that make them in one piece."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.scores import library_versions
from t2av_bench.systems import output
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Reason, Request, System

JobT = TypeVar("JobT")


@dataclass(slots=True)
class Product:
    """What a system made of one request.

    audio: (n,) float32 at ``audio_rate``, a whole number of frames.
    pictures: batches (n, H, W, 3) uint8 RGB that last as long; or video: a finished mp4, copied as it is. Neither for
        ``tts``. encoder: how they are encoded (see ``media.encode.write_mp4``).
    sound_from, pictures_from: what they are, in words, for the record.
    prefix: folder with the reference that was continued, under the clip's names; prefix_seconds: how long it is.
    inputs: facts about what was read; settings: everything else that moves the result (None: ``record`` says it).
    record: further entries of the clip's record.
    seconds_taken: by stage; delivering adds to ``rendering`` (lazy pictures are made then).
    """

    audio: np.ndarray
    audio_rate: int
    frame_rate: int
    pictures: Iterable[np.ndarray] | None = None
    video: Path | None = None
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
        folder, names, product.pictures, product.audio, product.audio_rate, product.frame_rate, **product.encoder
    )
    seconds = len(product.audio) / product.audio_rate
    frames = count or round(seconds * product.frame_rate)
    drawn_before = product.seconds_taken.get("rendering", 0.0)
    taken = product.seconds_taken | {"rendering": drawn_before + time.monotonic() - started}
    clip = GeneratedClip(
        id=request.id, video=names.video, audio=names.audio, record=names.record, frame_count=frames,
        frame_rate=product.frame_rate, audio_samples=len(product.audio), audio_rate=product.audio_rate,
        seed=request.seed, stop_reason=product.stop_reason,
        real_time_factor=sum(value for stage, value in taken.items() if stage != "reading") / seconds,
        prefix_seconds=product.prefix_seconds, notes=tuple(product.notes),
    )  # fmt: skip
    settings = {} if product.settings is None else {"settings": product.settings}
    clip.details.update(facts(system, request, clip, product.libraries) | settings | {
        "pictures": product.pictures_from,
        "sound": product.sound_from,
        "seconds_taken": {stage: round(value, 3) for stage, value in taken.items()},
        "inputs": product.inputs,
        "weights": product.weights,
    } | product.record)  # fmt: skip
    output.publish(folder, names, clip.details, product.prefix)
    return clip


def facts(system: System, request: Request, clip: GeneratedClip, libraries: Sequence[str] = ()) -> dict[str, Any]:
    """What every record says of its clip, JSON-ready; files by name, not by place."""
    from t2av_bench.version import __version__

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
        "frame_rate": clip.frame_rate,
        "audio_samples": clip.audio_samples,
        "audio_rate": clip.audio_rate,
        "files": [path.name for path in (clip.video, clip.audio) if path],
        "real_time_factor": clip.real_time_factor,
        "notes": list(clip.notes),
        "versions": {"t2av-bench": __version__, **library_versions(*libraries)},
    }


def file_facts(path: Path) -> dict[str, str]:
    """An input by name and content."""
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


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
