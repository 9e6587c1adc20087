"""Which file of a folder is whose clip: by a rule of names, or by a table that somebody wrote.

A rule such as ``wav_pred_{name}.wav`` says how files are called; ``{name}`` is the last part of the item's id, whose
other parts are folders. A rule without a suffix takes any. A table (CSV, UTF-8) has a column ``item`` and either
``file``, paths below the folder, or ``name``, what stands for ``{name}``; then only its rows count.

Where several files have one name: a sound goes first in dubbing and speech, which are sounds; elsewhere a video, with
the sound beside it if it is silent.
"""

import csv
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from t2av_bench.benchmarks.manifest import Listed, inside
from t2av_bench.benchmarks.names import Nearest, name_of, normal, printable
from t2av_bench.benchmarks.pairing import AUDIO_SUFFIXES, VIDEO_SUFFIXES, Folder, choose, read_failures, survey
from t2av_bench.errors import ItemError, MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.utils.text import some

_NAME = "{name}"


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """video, sound: what is heard in place of its own sound; at least one of both."""

    video: Path | None = None
    sound: Path | None = None


@dataclass(frozen=True)
class Names:
    """A table of names. rows: item -> lines with what they say; column: what that is. ownerless: lines of no item."""

    path: Path
    column: Literal["file", "name"]
    rows: Mapping[str, tuple[tuple[int, str], ...]]
    ownerless: tuple[int, ...] = ()

    def of(self, id: str) -> str:
        """What the table says of an item, with one meaning. Raises ItemError."""
        rows = self.rows.get(id, ())
        if not rows:
            raise ItemError(f"{self.path.name} has no row of the item {id!r}{self._nearest.hint(id)}")
        if len(rows) > 1:
            raise ItemError(f"{self.path.name}: the item {id!r} stands on {_lines(line for line, _ in rows)}")
        ((line, value),) = rows
        if not value:
            raise ItemError(f"{self.path.name} line {line}: the column '{self.column}' is empty")
        if len(sharing := self._by_value[_plain(value)]) > 1:
            raise ItemError(f"{self.path.name}: {_lines(sharing)} name the same {self.column} {value!r}")
        return value

    @cached_property
    def _nearest(self) -> Nearest:
        return Nearest(self.rows)

    @cached_property
    def _by_value(self) -> Mapping[str, Sequence[int]]:
        found = defaultdict(list)
        for rows in self.rows.values():
            for line, value in rows:
                found[_plain(value)].append(line)
        return found


def read_names(path: Path) -> Names:
    """Raises ItemError for a file that is no such table."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        # Whatever a spreadsheet ends lines with.
        lines = csv.reader(re.split("\r\n|\r|\n", text))
        header = [cell.strip().casefold() for cell in next(lines, [])]
        columns = [name for name in ("file", "name") if name in header]
        if "item" not in header or len(columns) != 1:
            raise ItemError(f"{path}: expected the columns item,file or item,name, got {','.join(header)[:80]!r}")
        places = header.index("item"), header.index(columns[0])
        rows: dict[str, list[tuple[int, str]]] = defaultdict(list)
        ownerless = []
        for cells in lines:
            item, value = (cells[place].strip() if place < len(cells) else "" for place in places)
            if item:
                rows[normal(item)].append((lines.line_num, value))
            elif any(cell.strip() for cell in cells):
                ownerless.append(lines.line_num)
    except OSError as error:
        raise ItemError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ItemError(f"{path} is not UTF-8: save it as 'CSV UTF-8'") from error
    except csv.Error as error:
        raise ItemError(f"{path} is no CSV: {error}") from error
    column: Literal["file", "name"] = "file" if columns == ["file"] else "name"
    return Names(path, column, {item: tuple(found) for item, found in rows.items()}, tuple(ownerless))


class ClipFolder:
    """The files of a folder by request; it is read once, when it is first asked. See ``System.files_of``."""

    def __init__(self, clips: Path | str, names: Path | str | None = None, rule: str | None = None) -> None:
        self._clips, self._names, self._rule = Path(clips), Path(names) if names else None, rule or _NAME
        self._asked_for: set[str] = set()
        self._listed: Listed = {}

    @cached_property
    def trouble(self) -> str | None:
        """Why nothing can be found here at all."""
        try:
            _ = self._pattern, self._files, self._table, self._failures
        except ItemError as error:
            return str(error)
        return None

    def files(self, request: Request) -> ClipFiles:
        """The files of a request's clip; nothing but headers is read. Raises GenerationFailed."""
        if self.trouble:
            raise GenerationFailed(self.trouble)
        try:
            name, meant, beside = self._named(request.id)
            sounds = [path for path in meant if _is_sound(path)]
            if sounds and (request.task in ("v2a", "tts") or len(sounds) == len(meant)):
                return ClipFiles(sound=choose(name, sounds))
            video = choose(name, [path for path in meant if path not in sounds])
            heard = [path for path in beside if _is_sound(path)]
            return ClipFiles(video, choose(name, heard) if heard and is_silent(video) else None)
        except ItemError as error:
            raise GenerationFailed(str(error)) from error

    def of(self, request: Request) -> dict[str, Path]:
        """The same by role. Only the kind of a file counts beside its contents, not what it is called."""
        found = self.files(request)
        return {f"{role}{path.suffix.lower()}": path
                for role, path in (("video", found.video), ("sound", found.sound)) if path}  # fmt: skip

    @property
    def ids(self) -> list[str]:
        """Items that have a file, as far as names tell. Raises ItemError."""
        if self._table:
            return list(self._table.rows)
        found = []
        head, _, tail = self._pattern[0].partition(_NAME)
        for name in self._files.files:
            folder, slash, last = name.rpartition("/")
            if last.startswith(head) and last.endswith(tail) and len(last) > len(head) + len(tail):
                found.append(f"{folder}{slash}{last[len(head) : len(last) - len(tail)]}")
        return found

    def notices(self, ids: Collection[str]) -> Iterator[str]:
        """What no item uses, once all have asked. ids: of the items."""
        if self.trouble:
            return
        if self._table:
            strange = sorted(self._table.rows.keys() - set(ids))
            if strange:
                are = "1 row is" if len(strange) == 1 else f"{len(strange)} rows are"
                yield f"{self._table.path.name}: {are} of no item here: {some(strange)}"
            if self._table.ownerless:
                yield f"{self._table.path.name}: no item is named on {_lines(self._table.ownerless)}"
        unused = sorted(self._files.files.keys() - self._asked_for)
        if unused:
            are = "1 name in {} is" if len(unused) == 1 else f"{len(unused)} names in {{}} are"
            yield f"{are.format(self._clips)} no item's: {some(unused)}"

    @cached_property
    def _files(self) -> Folder:
        return survey(self._clips)

    @cached_property
    def _root(self) -> Path:
        return self._files.root.resolve()

    @cached_property
    def _table(self) -> Names | None:
        return None if self._names is None else read_names(self._names)

    @cached_property
    def _failures(self) -> Mapping[str, str]:
        return read_failures(self._clips)[0]

    @cached_property
    def _pattern(self) -> tuple[str, str]:
        """The rule without its suffix, and the suffix (lower case, or empty)."""
        if self._rule.count(_NAME) != 1:
            raise ItemError(f"the rule of names holds {_NAME} once, as in 'wav_pred_{_NAME}.wav', got {self._rule!r}")
        if "/" in self._rule:
            raise ItemError(f"the rule of names is that of a file, without folders, got {self._rule!r}")
        suffix = PurePosixPath(self._rule).suffix
        if suffix.lower() not in VIDEO_SUFFIXES | AUDIO_SUFFIXES:
            return self._rule, ""
        return self._rule.removesuffix(suffix), suffix.lower()

    def _named(self, id: str) -> tuple[str, list[Path], list[Path]]:
        """A name, the files that it means, and all that stand beside them under it. Raises ItemError."""
        given = self._table.of(id) if self._table else id
        if self._table and self._table.column == "file":
            path = self._exactly(given, self._table.path.name)
            name = name_of(Path(os.path.normpath(path)).relative_to(self._root))
            self._asked_for.add(name)
            return name, [path], self._files.files.get(name, [])
        stem, suffix = self._pattern
        folder, slash, last = given.rpartition("/")
        name = printable(f"{folder}{slash}{stem.replace(_NAME, last)}")
        self._asked_for.add(name)
        found = self._files.files.get(name, [])
        meant = [path for path in found if suffix in ("", path.suffix.lower())]
        if meant:
            return name, meant, found
        if id in self._failures:
            raise ItemError(self._failures[id])
        wanted, where = f"{name}{suffix}", self._clips.name
        if found:
            raise ItemError(f"{where}/ holds {found[0].name}, and no {wanted}; option 'rule' says how files are called")
        raise ItemError(f"no clip in {where}/ is named {wanted!r}{self._files.nearest.hint(name)}")

    def _exactly(self, given: str, table: str) -> Path:
        """The file that the table names. Raises ItemError."""
        path = inside(given, self._root, "file", self._listed)
        if path.is_file():
            return path
        hint = self._files.nearest.hint(name_of(PurePosixPath(given)))
        raise ItemError(f"{table}: there is no file {given!r} in {self._clips.name}/{hint}")


def is_silent(video: Path) -> bool:
    """Whether a file is known to hold no sound; what cannot be read is not."""
    try:
        return not Clip(video).info.has_audio
    except MediaError:
        return False


def _is_sound(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES


def _plain(name: str) -> str:
    return os.path.normpath(normal(name))


def _lines(numbers: Iterable[int]) -> str:
    told = [str(number) for number in numbers]
    return f"line {told[0]}" if len(told) == 1 else f"lines {', '.join(told[:-1])} and {told[-1]}"
