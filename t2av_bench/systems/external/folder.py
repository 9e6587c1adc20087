"""Systems whose clips somebody else makes: files of a folder become clips, measured as they are.

``folder.ID`` is the class of the specification ``ID``. An mp4 stays as it is, byte for byte; of another container, an
edited picture or a sound that is joined with the item's own video a clip is made, and the file is kept beside it.
Nothing is padded or cut: where a dubbed sound and its video differ in length, the clip's record says so.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.systems import output
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, OnProgress, Request
from t2av_bench.systems.delivery import Product, deliver, file_facts, finished
from t2av_bench.systems.external.clip_folder import ClipFiles, ClipFolder, is_silent
from t2av_bench.systems.external.of_spec import SpecifiedSystem, class_of
from t2av_bench.systems.external.prompts import record_of
from t2av_bench.systems.external.spec import Spec, spec, spec_file

_Edits = list[dict[Literal["crop"], tuple[int, int, int, int]]]


class FolderSystem(SpecifiedSystem):
    """A system of a specification with the carrier ``folder``."""

    places = ("clips", "names")

    def __init__(self, clips: ClipFolder, edits: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
        self._clips, self._edits, self._options = clips, tuple(edits), dict(options)

    @classmethod
    def load(cls, *, device: str = "cpu", **options: Any) -> Self:
        """clips: the folder; names: a table of whose its files are; rule: how they are called (see ``clip_folder``).

        edits: of all pictures, as in ``GeneratedClip``. The specification's own options are said of the clips, no more.
        ValueError for a folder or table that cannot be read.
        """
        clips = cls.files_of(**options)
        if clips.trouble:
            raise ValueError(clips.trouble)
        return cls(clips, options.get("edits") or (), cls._said(options))

    @classmethod
    def files_of(cls, **options: Any) -> ClipFolder:
        return ClipFolder(options["clips"], options.get("names"), options.get("rule") or cls.spec.defaults.get("rule"))

    @classmethod
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        return [spec_file(cls.id)]

    @classmethod
    def beside_label(cls, **options: Any) -> str:
        """The options that the specification requires, as in ``setting 2``."""
        return ", ".join(f"{name} {value}" for name, value in cls._said(options).items())

    @classmethod
    def _said(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: options.get(name) for name, each in cls.spec.options.items() if each.required}

    def generate(self, request: Request, on_progress: OnProgress | None = None) -> GeneratedClip:
        self.check(request)
        names = output.names_of(request)
        try:
            product = self._product(request, self._clips.files(request))
            with output.staged(names) as folder:
                return deliver(self, request, names, folder, product)
        except MediaError as reason:
            raise GenerationFailed(str(reason)) from reason
        except ValueError as error:  # of the encoder: an odd number of lines
            raise GenerationFailed(f"{error} (option edits)") from error

    def _product(self, request: Request, found: ClipFiles) -> Product:
        video, sound, task = found.video, found.sound, request.task
        joined = task == "v2a" and video is None
        notes = [f"{name} {value}: {self.spec.options[name].help}" for name, value in self._options.items()]
        if task == "tts":
            video, sound = None, sound or video
        elif joined:
            video = request.driving_video
        elif video is None:
            assert sound is not None
            raise GenerationFailed(f"{sound.name} is a sound, and task {task} makes a video")
        elif task == "a2v" and sound is None and request.driving_audio and is_silent(video):
            sound = request.driving_audio
            notes.append("the file is silent: its sound is the driving audio")
        if self._edits and (joined or video is None):
            raise GenerationFailed("edits are of pictures, and the folder holds a sound alone")
        product = finished(video, sound, self._edits)
        if product.native:  # what was the item's own is no file of the system
            product.native = tuple(path for path in (found.video, found.sound) if path)
        if joined:
            product.pictures_from = "the driving video"
        product.notes += [*notes, *_lengths(request, product)]
        files = {"video": found.video, "sound": found.sound, "driving_audio": request.driving_audio,
                 "driving_video": request.driving_video}  # fmt: skip
        product.inputs = {name: file_facts(path) for name, path in files.items() if path}
        product.settings = {"options": self._options}
        product.record = {**record_of(self.id, request, ""), "real_time_factor": None}
        return product


def _lengths(request: Request, product: Product) -> Iterator[str]:
    """Where a dubbed clip and its video differ by more than a picture."""
    if request.task != "v2a" or request.driving_video is None:
        return
    line = Clip(request.driving_video).timeline
    wanted, picture = float(line.pictures / line.rate), float(1 / line.rate)
    lasts = {"sound lasts": len(product.audio) / product.audio_rate}
    if product.frames is not None:
        lasts["pictures last"] = float(product.frames / product.frame_rate)
    for what, seconds in lasts.items():
        if abs(seconds - wanted) > picture:
            yield f"its {what} {seconds:.2f} s, the video to be dubbed {wanted:.2f} s; nothing was padded or cut"


@cache
def _class_of(id: str) -> type[FolderSystem]:
    found = spec(id)
    doc = f"{found.title}, in files that somebody made."
    return class_of(FolderSystem, found, "folder", _parameters(found), __doc__=doc)


def _parameters(found: Spec) -> Iterator[inspect.Parameter]:
    needed = inspect.Parameter.empty
    own: dict[str, tuple[Any, Any]] = {
        "device": ("cpu", str), "clips": (needed, Path), "names": (None, Path | None), "rule": (None, str | None),
        "edits": (None, _Edits | None),
    }  # fmt: skip
    for name, option in found.options.items():
        kind: Any = Literal[option.choices] if option.choices else Any if option.required else type(option.default)
        own[name] = (needed if option.required else option.default, kind)
    for name, (default, kind) in own.items():
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def __getattr__(name: str) -> type[FolderSystem]:
    try:
        return _class_of(name)
    except KeyError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error.args[0]}") from error
