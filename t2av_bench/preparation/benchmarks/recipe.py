"""What a data set has to say of itself to become a benchmark: a ``Recipe``.

A recipe reads a layout (names, lists, texts) and opens no media. Its constants say what the stages do with the clips.
"""

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from t2av_bench.benchmarks.info import BenchmarkInfo, heads
from t2av_bench.benchmarks.pairing import VIDEO_SUFFIXES
from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.cutting import CutRule
from t2av_bench.preparation.benchmarks.lists import ID
from t2av_bench.utils.registry import Registry

MOST_LETTERS, _MOST_OF_A_NAME = 200, 120
"""Of a clip's id: files are named by it, with a suffix."""
Text = Literal["given", "recognised", "optional", "none"]
Pictures = Literal["crop", "whole", "link"]


class SourceClip(BaseModel):
    """What a set calls a clip, before it is looked at.

    id: unique in the set, made of its own names and never of the order of a list; letters, digits and ``._-/``.
    source: which of the recipe's folders. path: of the clip's media in it (POSIX), None for an item without; sound: of
    the file whose sound belongs to silent pictures, on the same time line; identity (a still), driving_audio, voice: of
    further files in it. start, end: seconds from the first picture, None: whole.
    box: x, y, width and height of the face's square in pixels of pictures that are ``box_height`` high.
    speaker, video: who and which recording, for groups that are not independent; default: the clip itself.
    bin: which share of the draw it belongs to. extra: metadata of its items. reason: why it is left out at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=ID, max_length=MOST_LETTERS)
    source: str
    path: str | None = None
    sound: str | None = None
    identity: str | None = None
    driving_audio: str | None = None
    voice: str | None = None
    voice_text: str | None = None
    start: Annotated[float, Field(ge=0)] | None = None
    end: Annotated[float, Field(gt=0)] | None = None
    box: tuple[float, float, float, float] | None = None
    box_height: int | None = None
    split: str = "test"
    bin: str = ""
    speaker: str | None = None
    video: str | None = None
    language: str | None = None
    text: str | None = None
    scene: str | None = None
    voice_description: str | None = None
    tags: tuple[str, ...] = ()
    extra: dict[str, str | tuple[float, ...]] = {}
    reason: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """What of it are files, by field."""
        named = {key: getattr(self, key) for key in ("path", "sound", "identity", "driving_audio", "voice")}
        return {key: value for key, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file's header says. seconds: None where it does not; rates: frames and samples a second."""

    has_video: bool
    has_audio: bool
    seconds: float | None
    width: int | None
    height: int | None
    frame_rate: float | None
    audio_rate: int | None
    channels: int | None


@dataclass(frozen=True, slots=True)
class Shares:
    """How many items are drawn of each bin, and at most so many of a speaker: the second number where the first leaves
    a bin short. A bin's name is the clip's, with the length's behind it where ``lengths`` has any: ``hdtf short``.

    lengths: name -> the seconds below which it ends, in rising order.
    """

    bins: Mapping[str, int]
    per_speaker: tuple[int, ...] = (1, 2)
    lengths: tuple[tuple[str, float], ...] = ()

    def bin_of(self, bin: str, seconds: float) -> str:
        length = next((name for name, below in self.lengths if seconds < below), self.lengths[-1][0]) if (
            self.lengths
        ) else ""  # fmt: skip
        return " ".join(filter(None, (bin, length)))


class Recipe(ABC):
    """A benchmark's own part of its preparation. Options are keywords of the constructor.

    id: of the benchmark; its head is ``benchmarks/sets/ID.toml``, whose version is that of the recipe.
    sources: name -> what the folder must hold. cut: None: clips are items as they are. pictures: ``crop`` to the face's
    square, ``whole`` at 25 frames/s, or ``link``: the file as it is. text: what is said: as the set has it; as two
    recognisers agree, and no item where they do not; the same, and an item without a text (``optional``). shares: by
    split; a split without takes all. other_voice: an item needs another stretch of its speaker's speech, else its voice
    is its own. one_speaker: all clips are of one person, so that what belongs together are recordings. complete: the
    set itself names its items, so that one that cannot be made stays as a missing one. outputs: its clips are what
    systems made, to be judged (an item's ``generated``), and no references. most: so many clips are looked
    at, the first by hash rank, of sets that are too large for all; those that a list names are looked at anyhow.
    """

    id: ClassVar[str]
    sources: Mapping[str, str]
    cut: ClassVar[CutRule | None] = None
    pictures: ClassVar[Pictures] = "link"
    text: ClassVar[Text] = "given"
    shares: ClassVar[Mapping[str, Shares]] = {}
    other_voice: bool = False
    one_speaker: ClassVar[bool] = False
    complete: bool = False
    outputs: ClassVar[bool] = False
    most: int | None = None

    @abstractmethod
    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        """The clips that the set names or holds, in any order. One that cannot be used has a reason.

        Raises ItemError where a folder is not of the set's layout at all.
        """

    def refuse(self, clip: SourceClip, facts: Mapping[str, Facts]) -> str | None:
        """Why a clip is left out by the headers of its files (by field), if it is."""
        return None

    def published(self, folders: Mapping[str, Path]) -> Mapping[str, str]:
        """Scores that the set's authors published with it: name of a file (CSV) -> its text."""
        return {}

    @property
    def info(self) -> BenchmarkInfo:
        return heads()[self.id]

    @property
    def options(self) -> dict[str, str]:
        """Those that were given, as texts: they are part of what the benchmark is."""
        return {}


registry: Registry[Recipe] = Registry(
    "recipe",
    {
        "chem": "t2av_bench.preparation.benchmarks.recipes.chem:Chem",
        "en-200": "t2av_bench.preparation.benchmarks.recipes.en_200:English200",
        "hdtf-first15": "t2av_bench.preparation.benchmarks.recipes.hdtf_first15:HDTFFirst15",
        "libritts-test-clean": "t2av_bench.preparation.benchmarks.recipes.libritts:LibriTTSTestClean",
        "mocha-panel-80": "t2av_bench.preparation.benchmarks.recipes.mocha_panel:MoChaPanel",
        "mochabench": "t2av_bench.preparation.benchmarks.recipes.mochabench:MoChaBench",
        "talkvid-bench": "t2av_bench.preparation.benchmarks.recipes.talkvid:TalkVidBench",
        "verse-bench": "t2av_bench.preparation.benchmarks.recipes.verse_bench:VerseBench",
        "zh-200": "t2av_bench.preparation.benchmarks.recipes.dh_facevid:Chinese200",
    },
    Recipe,  # type: ignore[type-abstract]
)


def folders_of(recipe: Recipe, given: Iterable[str]) -> dict[str, Path]:
    """Source -> folder from ``NAME=FOLDER``, or ``FOLDER`` where the recipe has one source. Raises ItemError."""
    found: dict[str, Path] = {}
    expected = ", ".join(f"--source {name}=FOLDER ({what})" for name, what in recipe.sources.items())
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals and len(recipe.sources) == 1:
            (name,), folder = recipe.sources, text
        if name not in recipe.sources or name in found:
            raise ItemError(f"--source {text!r}: {recipe.id} takes {expected}")
        found[name] = Path(folder).expanduser()  # a shell leaves NAME=~ as it is
        if not found[name].is_dir():
            raise ItemError(f"--source {text!r}: {folder} is no folder; expected {recipe.sources[name]}")
    if missing := [name for name in recipe.sources if name not in found]:
        raise ItemError(f"{recipe.id} needs the source {' and '.join(missing)}: {expected}")
    return found


def rows_of(path: Path, what: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of a list that are not blank, without a byte order mark. Raises ItemError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ItemError(f"cannot read {path}: {error}; expected {what}") from error
    return ((number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip())


@lru_cache(maxsize=16)
def _names_of(folder: Path, _: int) -> Mapping[str, str]:
    files = [path for path in folder.iterdir() if path.is_file()]
    ordered = sorted(files, key=lambda path: (path.suffix.lower() not in VIDEO_SUFFIXES, path.name), reverse=True)
    return {path.stem: path.name for path in ordered}


def file_called(stem: str, folder: Path) -> str | None:
    """Name of the file in ``folder`` that is called so, whatever its suffix; of several the first video in order, as
    downloaders lay thumbnails, sound and facts beside it."""
    return _names_of(folder, folder.stat().st_mtime_ns).get(stem) if folder.is_dir() else None


def safe(name: str) -> str:
    """A set's own name as part of an id: what an id may not hold becomes an underscore.

    Names of other scripts, and very long ones, end in a digest, as they would be the same name otherwise. They are
    told apart in composed form (NFC), for some systems decompose the names of files.
    """
    name = unicodedata.normalize("NFC", name)
    plain = "".join(each if (each.isascii() and each.isalnum()) or each in "._-" else "_" for each in name).lstrip(".")
    if name.isascii() and len(plain) <= _MOST_OF_A_NAME:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{plain[: _MOST_OF_A_NAME - 9]}-{digest[:8]}"


def foreign_name(path: str) -> str | None:
    """Why a file cannot be a clip's for its name: that of an archive made elsewhere need not be UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename the file"
    return None


def plain(value: Any) -> dict[str, Any]:
    """A clip as JSON without what is not set."""
    return value.model_dump(mode="json", exclude_defaults=True)
