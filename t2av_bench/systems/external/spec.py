"""What is known of a system of other people: ``specs/ID.toml``, read into ``Spec``.

``ID.harvest.toml`` beside it, where there is one, goes on with what was harvested from the pinned commit.

``T2AV_BENCH_SPECS`` may name a further folder of such files; an id in it comes before the package's own.
"""

import math
import os
import tomllib
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2av_bench.systems.base import TASKS, NativeFormat, Task
from t2av_bench.utils.files import file_sha256

FOLDER = Path(__file__).parent / "specs"
SHIMS = Path(__file__).parent / "shims"
VARIABLE = "T2AV_BENCH_SPECS"
FRAMES_OFF = 1
"""How many frames a clip may be longer or shorter than the rule of its length."""
HARVESTED = ".harvest.toml"
_PLACES = {"device", "python", "checkout", "weights", "gpus", "command", "item_seconds"}
_TAKEN = {"worker": _PLACES, "lib": _PLACES, "folder": {"device", "clips", "names", "edits"}}
"""Names of options that a carrier has itself."""

Honoured = Literal["yes", "words", "ignored", "none"]
HONOURS = ("text", "language", "identity", "voice", "voice_text", "driving_audio", "driving_video", "target_seconds",
           "seed", "scene", "voice_description")  # fmt: skip


def _rate(text: str) -> str:
    if Fraction(text) <= 0:
        raise ValueError(f"a frame rate is a positive number, as in '25' or '30000/1001', got {text!r}")
    return text


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Native(_Data):
    """What the system writes. frame_rate: frames a second, maybe a fraction. length: the rule, in words."""

    frame_rate: Annotated[str, AfterValidator(_rate)] = "25"
    width: int | None = None
    height: int | None = None
    audio_rate: int = 16000
    length: str = ""


class Length(_Data):
    """How many frames a clip has: ``step * round((fps * seconds - shift) / step) + offset``.

    source: whose seconds they are: the driving audio's or video's, those that were asked for; ``fixed``: always
    ``frames``; ``free``: nobody knows before.
    """

    source: Literal["audio", "video", "asked", "fixed", "free"] = "free"
    step: int = Field(default=1, ge=1)
    shift: float = 0
    offset: int = 0
    round: Literal["up", "down"] = "down"
    frames: int | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.source == "fixed") != (self.frames is not None):
            raise ValueError("'frames' belongs to source = 'fixed', and to it alone")
        return self

    def expected(self, seconds: float | None, frame_rate: Fraction) -> int | None:
        """Frames of a clip of so many seconds; None where the rule does not say."""
        if self.source == "free" or (self.source != "fixed" and seconds is None):
            return None
        if self.frames is not None:
            return self.frames
        # A length that is whole up to floating point is whole.
        steps = round(float(frame_rate) * (seconds or 0.0) - self.shift, 6) / self.step
        return self.step * (math.ceil(steps) if self.round == "up" else math.floor(steps)) + self.offset


class Weight(_Data):
    """A file or folder of weights. path: below the folder of weights. source: where it comes from."""

    role: str
    path: str
    bytes: int | None = None
    sha256: str | None = None
    source: str = ""


class Environment(_Data):
    """What the system's own interpreter needs. python: a specifier; index: of torch's wheels, as in ``cu121``.

    requirements: files of the checkout. after: further pip lines. programs: executables. extra: of pyproject.toml.
    """

    python: str = ">=3.8"
    python_version: str = "3.10"
    torch: tuple[str, ...] = ()
    index: str = ""
    packages: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    extra: str = ""


class Harvest(_Data):
    """Signatures and options of one file of the checkout, as ``harvest`` reads them."""

    file: str
    git_blob: str = ""
    callables: Mapping[str, tuple[str, ...]] = {}
    options: tuple[str, ...] = ()


class Use(_Data):
    """What the shim passes. callable: empty where the file is run as a script."""

    file: str
    callable: str = ""
    names: tuple[str, ...] = ()


class Option(_Data):
    """An option of ``load`` that the shim gets in ``params``.

    Of finished clips (``folder``) it is what is said of them: required, without a default, it stands beside the row's
    label in tables; choices: the values that it may have, if not all.
    """

    default: Any = None
    help: str = ""
    required: bool = False
    choices: tuple[Any, ...] = ()

    @model_validator(mode="after")
    def _has_no_needless_default(self) -> Self:
        if self.required and self.default is not None:
            raise ValueError("a required option has no default")
        if self.choices and not self.required:
            raise ValueError("'choices' are those of a required option")
        return self


class Spec(_Data):
    """See the fields' classes.

    carrier: ``worker`` (a shim in the system's own interpreter), ``lib`` (in this one), ``folder`` (finished files).
    repository: owner/name; commit: the full hash that the shim was written for. licences: in words.
    tasks: for each the request's fields that must be given. honours: what becomes of a field of the request: ``yes``,
    only through ``words`` of the prompt, ``ignored``, or there is ``none`` such input. prompt: a template.
    needs_face: a picture without a face is not given to it: it would break down, or make a clip of it and say nothing.
    audio_rate_in: Hz of the wav that it is given. variables: of its environment. notes: known traps.
    """

    id: str
    title: str
    paper: str
    carrier: Literal["worker", "lib", "folder"]
    repository: str = ""
    commit: str = ""
    licence: Literal["free", "research", "non-commercial", "gated"] = "free"
    licences: tuple[str, ...] = ()
    tasks: Mapping[Task, tuple[str, ...]]
    seed_support: Literal["full", "run", "global", "none"]
    start_seconds: float = Field(default=600, gt=0)
    item_seconds: float = Field(default=3600, gt=0)
    native: Native = Native()
    length: Length = Length()
    audio_rate_in: int = Field(default=16000, gt=0)
    needs_face: bool = False
    honours: Mapping[str, Honoured] = {}
    prompt: str = ""
    notes: tuple[str, ...] = ()
    options: Mapping[str, Option] = {}
    weights: tuple[Weight, ...] = ()
    environment: Environment = Environment()
    variables: Mapping[str, str] = {}
    working_directory: Literal["checkout", "private"] = "checkout"
    harvest: tuple[Harvest, ...] = ()
    uses: tuple[Use, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if strange := set(self.tasks) - set(TASKS):
            raise ValueError(f"unknown tasks {sorted(strange)}; there are {', '.join(TASKS)}")
        needed = {name for names in self.tasks.values() for name in names}
        if unknown := needed - set(HONOURS):
            raise ValueError(f"'tasks' need unknown fields {sorted(unknown)}; there are {', '.join(HONOURS)}")
        if unknown := set(self.honours) - set(HONOURS):
            raise ValueError(f"'honours' has unknown fields {sorted(unknown)}; there are {', '.join(HONOURS)}")
        if self.carrier != "folder" and (odd := [name for name, each in self.options.items() if each.required]):
            raise ValueError(f"options {odd}: 'required' is for the carrier folder; give them a default")
        if taken := set(self.options) & _TAKEN[self.carrier]:
            raise ValueError(f"options {sorted(taken)} have these names already")
        return self

    @property
    def frame_rate(self) -> Fraction:
        return Fraction(self.native.frame_rate)

    @property
    def native_format(self) -> NativeFormat:
        rate = self.frame_rate
        whole: Any = rate.numerator if rate.denominator == 1 else rate
        return NativeFormat(whole, self.native.width, self.native.height, self.native.audio_rate, self.native.length)

    @property
    def defaults(self) -> dict[str, Any]:
        """The options with their defaults."""
        return {name: option.default for name, option in self.options.items()}


def spec_file(id: str) -> Path:
    """KeyError for an unknown id."""
    found = _files().get(id)
    if found is None:
        raise KeyError(f"there is no specification of {id!r}; there are {', '.join(_files()) or 'none'}")
    return found


def shim_file(id: str) -> Path:
    """A shim stands beside its specification where that is not the package's own."""
    folder = spec_file(id).parent
    return (SHIMS if folder == FOLDER else folder) / f"{id}.py"


def spec_ids() -> list[str]:
    return sorted(_files())


def spec(id: str) -> Spec:
    """KeyError for an unknown id, ValueError for a file that is no specification."""
    file = spec_file(id)
    return _read(file, file.stat().st_mtime_ns)


def digests(id: str) -> dict[str, str]:
    """sha256 of the specification (``spec``) and, where it has one, of its ``shim``."""
    files = {"spec": spec_file(id), "shim": shim_file(id)}
    return {name: file_sha256(file) for name, file in files.items() if file.is_file()}


@lru_cache(maxsize=64)
def _read(file: Path, _: int) -> Spec:
    try:
        parts = [part for part in (file, file.with_name(f"{file.stem}{HARVESTED}")) if part.is_file()]
        found = Spec.model_validate(tomllib.loads("\n".join(part.read_text(encoding="utf-8") for part in parts)))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ValueError(f"{file}: {error}") from error
    if found.id != file.stem:
        raise ValueError(f"{file}: its id is {found.id!r}, which belongs in {found.id}.toml")
    return found


def _files() -> dict[str, Path]:
    folders = [FOLDER, *([Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else [])]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.toml"))
            if not file.name.endswith(HARVESTED)}  # fmt: skip
