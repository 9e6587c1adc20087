"""What a system is: something that makes a clip from an item. Adding one means one file and one test.

A system module costs nothing to import (no torch or cv2 at its top level); networks are loaded by ``load``. A request
ends in a clip or in a reason: ``GenerationFailed`` (what was given cannot be used, or the system broke down on it) or
``NotApplicable`` (the system cannot be asked this: unsupported task, missing input, missing weights).
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, Self

from t2av_bench.errors import Lack, NotApplicable, Unscorable

Task = Literal["t2av", "a2v", "v2a", "tts"]
TASKS: Mapping[Task, str] = {
    "t2av": "text to speech and picture",
    "a2v": "picture to a given speech",
    "v2a": "speech to a given picture (dubbing)",
    "tts": "text to speech",
}
_OPTION = {"text": "--text", "identity": "--identity FILE", "voice": "--voice FILE",
           "driving_audio": "--driving-audio FILE", "driving_video": "--driving-video FILE",
           "reference": "the item's reference clip", "stranger": "another item's reference clip"}  # fmt: skip
FILES = ("identity", "voice", "driving_audio", "driving_video", "reference", "stranger")
"""Fields of a request that name files."""
SLOT = "T2AV_BENCH_GPU"
"""Environment variable by which a system learns which accelerator it is to use, see ``System.slots``."""
_LARGEST_SEED = (1 << 63) - 1


def item_seed(run_seed: int, row_seed: int, id: str) -> int:
    """0 to 2^63 - 1, by these three alone: another order or subset of items changes no clip."""
    digest = hashlib.sha256(json.dumps([run_seed, row_seed, id]).encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def list_seed(run_seed: int, row_seed: int) -> int:
    """The one seed of all requests of a row, for systems that take one for a whole list; no item's seed equals it."""
    return item_seed(run_seed, row_seed, "")


def native_seed(seed: int) -> int:
    """1 to 2^31 - 2, for programs that take no more: NumPy stops below 2^32, some count in 32 bits, some drop a 0."""
    return 1 + seed % (2**31 - 2)


class GenerationFailed(Unscorable):
    """There is no clip for this request. The message is the reason that the user reads; the item stays counted."""


@dataclass(frozen=True, slots=True)
class Request:
    """One clip to make.

    out: the clip's name, ending in ``.mp4`` (``.wav`` for ``tts``); what else is written stands beside it.
    text: what is spoken: to be said, or for ``a2v`` what the driving audio says. language: ISO 639-1, for systems that
        need to be told. identity: image or video of the person. voice: audio or video with the voice to speak in;
        voice_text: what is said in it, for systems that want to know.
    scene: what is to be seen, in neutral words; voice_description: what the voice is like. For systems that are
        prompted.
    target_seconds: how long the clip is to be, where the task tells (``a2v``: as its audio, ``v2a``: as its video) or
        the system follows a length (see ``System.follows_length``); None: the system decides.
    driving_audio (``a2v``), driving_video (``v2a``): what the generated half follows.
    reference: the item's real clip; stranger: another item's. For anchors alone: a system that read them would know
        the answer.
    seed: 0 to 2^63 - 1; None: that of ``item_seed`` for the id. max_seconds: bound on what is generated.
    """

    id: str
    out: Path
    task: Task = "t2av"
    text: str = ""
    language: str | None = None
    identity: Path | None = None
    voice: Path | None = None
    voice_text: str | None = None
    driving_audio: Path | None = None
    driving_video: Path | None = None
    reference: Path | None = None
    stranger: Path | None = None
    seed: int = None  # type: ignore[assignment]  # never None once made
    max_seconds: float = 30.0
    scene: str | None = None
    voice_description: str | None = None
    target_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seed is None:
            object.__setattr__(self, "seed", item_seed(0, 0, self.id))

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are named: nothing may be written over one of them."""
        return tuple(path for name in FILES if (path := getattr(self, name)))


@dataclass(frozen=True, slots=True)
class GeneratedClip:
    """What a request became; every number is counted, not promised.

    video: H.264 + AAC (None for ``tts``); audio: the same sound, lossless; record: JSON with everything that led here.
    frame_count: at ``frame_rate`` (a Fraction where it is no whole number); audio_samples: at ``audio_rate``. Sound and
        picture of one clip may differ in length.
    edits: what was changed of the file that the system wrote, in order, as ``{"crop": [x, y, width, height]}``.
    stop_reason: why it ended, in the system's own words. real_time_factor: seconds spent per second generated.
    prefix_seconds: reference material that the system continued; it is not part of the clip.
    """

    id: str
    video: Path | None
    audio: Path
    record: Path
    frame_count: int
    frame_rate: int | Fraction
    audio_samples: int
    audio_rate: int
    seed: int
    stop_reason: str
    real_time_factor: float
    prefix_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    edits: tuple[Mapping[str, Any], ...] = ()

    @property
    def seconds(self) -> float:
        """Of the sound."""
        return self.audio_samples / self.audio_rate


Reason = GenerationFailed | NotApplicable


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one request is. done and total count ``unit``; seconds: generated so far; elapsed: spent on it so far."""

    id: str
    stage: Literal["reading", "generating", "rendering"]
    done: int
    total: int
    unit: str
    seconds: float = 0.0
    elapsed: float = 0.0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class NativeFormat:
    """What a system writes before the harness touches it. length: the rule that decides how long a clip is.

    width, height: pixels, None where there is no picture.
    """

    frame_rate: int | Fraction
    width: int | None
    height: int | None
    audio_rate: int
    length: str


class OwnFiles(Protocol):
    """Finds the files that a request's clip alone is made from. Every item asks before anything is made."""

    def of(self, request: Request) -> Mapping[str, Path]:
        """Files by what they are; their contents count, not where they lie. Raises GenerationFailed."""

    def notices(self, ids: Collection[str]) -> Iterable[str]:
        """What the user is told once all items have asked; ids: theirs."""


class System(ABC):
    """A generator. Class attributes are data that ``list`` and the documentation read.

    needs: for each task that is served, the request's fields that must be given.
    native: None where it depends on what the system is loaded with.
    seed_support: ``full`` (same seed, same clip, whatever the batch), ``run`` (one seed for the whole list: requests of
        an experiment get their row's seed, see ``list_seed``), ``global`` (seeds the process) or ``none``.
    follows_length: whether ``target_seconds`` decides how long clips are where nothing but the text would.
    start_seconds: how long a worker may be silent while it loads the system.
    weights: ids in the weights table; licence: the most restrictive licence group among them.
    packages: Python packages outside the core that it imports, by the names under which they are imported.
    extra: the optional dependency group of pyproject.toml that provides them.
    resources: ``num_cpus``, ``num_gpus`` and ``memory`` (GB) that its worker takes of a machine of a cluster, where
        that is not one processor, and one graphics card with ``--device cuda`` or with ``slots``.
    most_together: clips of one batch, beyond which nothing is gained; a kill costs those of a batch. None: no bound.
    places: options of ``load`` that say where things are and not what is made: clips stay where such a value changes.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[Mapping[Task, tuple[str, ...]]]
    native: ClassVar[NativeFormat | None]
    seed_support: ClassVar[Literal["full", "run", "global", "none"]]
    follows_length: ClassVar[bool] = False
    start_seconds: ClassVar[float] = 600.0
    weights: ClassVar[tuple[str, ...]] = ()
    licence: ClassVar[Literal["free", "research", "non-commercial", "gated"]] = "free"
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    places: ClassVar[tuple[str, ...]] = ()
    most_together: ClassVar[int | None] = None
    resources: ClassVar[Mapping[str, float]] = MappingProxyType({})

    @classmethod
    @abstractmethod
    def load(cls, *, device: str = "cpu") -> Self:
        """The system with its weights; further keywords are the system's own options.

        NotApplicable, with the command that fetches them, while weights are missing; ValueError for wrong options.
        """

    @classmethod
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        """Files that move the clips and are not in the weights table, with these options of ``load``.

        Whoever keeps clips for the next run compares their contents; a file that is missing may be left out.
        """
        return []

    @classmethod
    def missing(cls, **options: Any) -> list[Lack]:
        """What ``load`` with these options would not find on this machine, with the commands that bring it.

        As far as that can be told at once: nothing is imported, started, or read as a whole.
        """
        from t2av_bench.weights.needs import lack

        found = lack(cls)
        return [found] if found else []

    @classmethod
    def state(cls, **options: Any) -> Mapping[str, str]:
        """What is at the places that these options of ``load`` name, and moves the clips: name -> commit or digest.

        Clips are made again where a value differs from theirs. A name that only one of the two has is not compared: who
        has the clips alone, and not the system, keeps them.
        """
        return {}

    @classmethod
    def files_of(cls, **options: Any) -> OwnFiles | None:
        """Where each clip is made from files of its own below the paths that the options name: what finds them.

        Then a changed file makes its own clip again and no other. None: whatever the options name moves all clips.
        """
        return None

    @classmethod
    def beside_label(cls, **options: Any) -> str:
        """What of these options of ``load`` stands beside the label of a row, without which it would mislead."""
        return ""

    @classmethod
    def slots(cls, **options: Any) -> tuple[str, ...]:
        """Accelerators, one of which a worker with these options of ``load`` holds alone; none: it runs anywhere.

        A worker finds the name of the one that it got in the environment, as ``T2AV_BENCH_GPU``.
        """
        return ()

    def close(self) -> None:  # noqa: B027  # most systems have nothing to end
        """End what the system started, as processes of its own. Called once, when it is no longer needed."""

    @abstractmethod
    def generate(self, request: Request, on_progress: OnProgress | None = None) -> GeneratedClip:
        """Make one clip. Raises GenerationFailed or NotApplicable, and leaves nothing half-written."""

    def generate_batch(
        self, requests: Sequence[Request], on_progress: OnProgress | None = None
    ) -> list[GeneratedClip | Reason]:
        """Clips, or the reasons why there are none, in order. One request's reason costs the others nothing."""
        made: list[GeneratedClip | Reason] = []
        for request in requests:
            try:
                made.append(self.generate(request, on_progress))
            except (GenerationFailed, NotApplicable) as reason:
                made.append(reason)
        return made

    @classmethod
    def check(cls, request: Request) -> None:
        """Refuse what can be refused without reading a file: NotApplicable or GenerationFailed."""
        if request.task not in TASKS:
            raise NotApplicable(f"unknown task {request.task!r}; there are {', '.join(TASKS)}")
        if request.task not in cls.needs:
            raise NotApplicable(
                f"{cls.id} does not serve the task {request.task} ({TASKS[request.task]}); it serves "
                f"{', '.join(cls.needs)}"
            )
        missing = [name for name in cls.needs[request.task] if name != "text" and getattr(request, name) is None]
        if missing:
            options = " and ".join(_OPTION.get(name, name) for name in missing)
            raise NotApplicable(f"task {request.task} of {cls.id} needs {options}")
        if "text" in cls.needs[request.task] and not request.text.strip():
            what = "what the driving audio says" if request.task == "a2v" else "the words to be spoken"
            raise GenerationFailed(f"the text is empty: give {what} (--text)")
        if not request.text.isascii() and any("\ud800" <= each <= "\udfff" for each in request.text):
            raise GenerationFailed("the text holds bytes that are not UTF-8, or half a character: write it in UTF-8")
        if not 0 <= request.seed <= _LARGEST_SEED:
            raise GenerationFailed(f"the seed is a whole number from 0 to 2^63 - 1, got {request.seed}")
        if not 0 < request.max_seconds < float("inf"):
            raise GenerationFailed(f"max_seconds is a positive number of seconds, got {request.max_seconds}")
        if request.target_seconds is not None and not 0 < request.target_seconds < float("inf"):
            raise GenerationFailed(f"target_seconds is a positive number of seconds, got {request.target_seconds}")


class BatchSystem(System):
    """A system that gains from many requests at once: it makes batches, and one clip is a batch of one."""

    @abstractmethod
    def generate_batch(
        self, requests: Sequence[Request], on_progress: OnProgress | None = None
    ) -> list[GeneratedClip | Reason]:
        """As ``System.generate_batch``."""

    def generate(self, request: Request, on_progress: OnProgress | None = None) -> GeneratedClip:
        (made,) = self.generate_batch([request], on_progress)
        if isinstance(made, Exception):
            raise made
        return made
