"""Published lip-sync values of known clips, and the set-up that they are to be repeated with.

A reference is a TOML file and a table of clips beside it. Those of the package are chosen by name; a file of one's own,
for other clips or weights, by its path.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from t2av_bench.attestation.loudness import SIGNS
from t2av_bench.utils.config import ConfigError, load_toml, near

_FOLDER = Path(__file__).with_name("references")
_COLUMNS = ("id", "git_blob", "sync_c", "sync_d", "offsets", "loudness", "sound_git_blob", "sound_loudness")


@dataclass(frozen=True, slots=True)
class Published:
    """A clip: its digest (of git's object, SHA-1), published C and D (None without a face), the offset of each of its
    face tracks in frames at 25 fps, and its loudness (see ``loudness.line``; empty where it is not known); digest and
    loudness of the sound file, where the reference has sound files."""

    id: str
    git_blob: str
    sync_c: float | None
    sync_d: float | None
    offsets: tuple[int, ...]
    loudness: str
    sound_git_blob: str
    sound_loudness: str

    @property
    def single(self) -> bool:
        """Whether one face track has given the values: with several, rules differ in which of them counts."""
        return len(self.offsets) == 1 and self.sync_c is not None and self.sync_d is not None


@dataclass(frozen=True, slots=True)
class File:
    """A clip, or the sound file of one: digest of git's object, and loudness."""

    git_blob: str
    loudness: str


class Reference(BaseModel):
    """What is compared with what.

    rows: the table, beside the file. clips, sound: a clip's file and, where it is heard from a file of its own, that
    file, in the source folder, with ``{id}`` in it. tolerance: of C and D, per clip and of their means.
    least_compared: share of the single-track clips that must have been scored. offset_difference: the lowest and the
    highest difference (found less published, frames) that the rules explain. weights: id -> sha256. parameters: those
    of the metric's protocol.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[\w.-]+$")
    title: str
    source: str
    licence: str
    get: str
    rows: str
    clips: str
    sound: str | None = None
    metric: Literal["sync/joonson", "sync/syncnet-python"]
    tolerance: float = Field(gt=0)
    least_compared: float = Field(gt=0, le=1)
    offset_difference: tuple[int, int]
    weights: dict[Literal["syncnet_v2", "sfd_face"], str] = Field(min_length=2)
    parameters: dict[str, dict[str, Any]]
    _file: Path = PrivateAttr()

    @field_validator("clips", "sound")
    @classmethod
    def _named_by_id(cls, given: str | None) -> str | None:
        if given is not None and ("{id}" not in given or Path(given).is_absolute() or ".." in Path(given).parts):
            raise ValueError("a path below the source folder with {id} in it")
        return given

    @property
    def file(self) -> Path:
        """The TOML file."""
        return self._file

    @property
    def table(self) -> Path:
        """The table of clips."""
        return self._file.parent / self.rows

    @cached_property
    def published(self) -> Mapping[str, Published]:
        """Id -> clip, in the table's order. Raises ConfigError where it cannot be read."""
        return {row.id: row for row in _rows(self.table)}

    @cached_property
    def files(self) -> Mapping[str, File]:
        """All files that are read, by their names below the source folder."""
        found = {}
        for id, row in self.published.items():
            found[self.clips.replace("{id}", id)] = File(row.git_blob, row.loudness)
            if self.sound is not None:
                found[self.sound.replace("{id}", id)] = File(row.sound_git_blob, row.sound_loudness)
        return found

    @property
    def folder(self) -> str:
        """The folder of clips below the source folder, which holds no other media."""
        return self.clips.split("{id}")[0].rpartition("/")[0]

    def path(self, source: Path, id: str) -> Path:
        """Where a clip lies."""
        return source / self.clips.replace("{id}", id)

    def sound_path(self, source: Path, id: str) -> Path | None:
        """Where the sound lies; None where it is the clip's own."""
        return None if self.sound is None else source / self.sound.replace("{id}", id)


def names() -> list[str]:
    """References of the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Reference:
    """A reference of the package, or a ``.toml`` file. Raises ConfigError."""
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        listed = ", ".join(names())
        raise ConfigError(f"there is no reference {name!r}{near(name, names())}: expected {listed}, or a .toml file")
    found = load_toml(path, Reference, {})
    found._file = path
    return found


def _rows(path: Path) -> list[Published]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if tuple(reader.fieldnames or ()) != _COLUMNS:
                raise ConfigError(f"{path} has the columns {reader.fieldnames}, expected {', '.join(_COLUMNS)}")
            rows = [_row(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if len({row.id for row in rows}) != len(rows) or not rows:
        raise ConfigError(f"{path} names {'a clip twice' if rows else 'no clip'}")
    return rows


def _row(path: Path, line: int, row: Mapping[str, str]) -> Published:
    try:
        c, d = (float(row[name]) if row[name] else None for name in ("sync_c", "sync_d"))
        heard = row["loudness"], row["sound_loudness"]
        good = all(value is None or math.isfinite(value) for value in (c, d)) and set("".join(heard)) <= set(SIGNS)
        if not (good and row["id"]):
            raise ValueError("no clip's values")
        offsets = tuple(map(int, row["offsets"].split()))
        return Published(row["id"], row["git_blob"], c, d, offsets, heard[0], row["sound_git_blob"], heard[1])
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} line {line}: {error}") from error
