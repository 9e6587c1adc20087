"""Items, and the manifest that lists them: JSON Lines, one item a line.

A broken line does not cost the others: it becomes an entry with a reason, and stays in every denominator.
"""

import codecs
import difflib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from t2av_bench.benchmarks.names import LONGEST, normal, printable
from t2av_bench.errors import ItemError
from t2av_bench.utils import json_lines

PATHS = (
    "audio", "reference", "reference_audio", "reference_voice", "identity_image", "driving_audio", "driving_video",
)  # fmt: skip
"""Keys that name files relative to the manifest's folder."""


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _as_label(value: Any) -> Any:
    """Data sets number their speakers and videos: a number is as good a label as a word."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _none_if_empty(value)


def _as_tags(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _language(value: Any) -> Any:
    """``zh_CN`` and ``EN`` are how others write ``zh-CN`` and ``en``."""
    if not isinstance(value, str):
        return value
    first, dash, rest = value.replace("_", "-").partition("-")
    return (first.lower() + dash + rest) or None


_Label = Annotated[str | None, BeforeValidator(_as_label)]
_File = Annotated[str | None, BeforeValidator(_none_if_empty)]


class Item(BaseModel):
    """One thing to generate and judge. Keys that are not listed here are kept as they are (``model_extra``).

    id: unique within a run; names the clip in tables and files. Kept composed (Unicode NFC).
    text: what should be spoken, in the language's own script.
    language: ISO 639-1 code (``en``, ``zh``), for whatever reads or hears ``text``.
    generated: media file, relative to the folder given as ``--generated`` (default: the file named like the id).
    reference: media file, relative to the manifest's folder (default: the file named like the id in ``--reference``).
    audio, reference_audio: what is heard in place of the own sound of ``generated`` and of ``reference``, relative to
        the manifest's folder (default: of a silent video the sound file of its name beside it).
    reference_voice: audio of the speaker to compare with (default: the reference clip's audio); reference_voice_text:
        what is said in it.
    identity_image: the portrait that drove generation (default: the reference clip's first frame).
    driving_audio, driving_video: what a generated half follows (default: the reference clip).
    scene: what is to be seen, in neutral words; voice_description: how the voice is to sound. For systems that are
        asked in words. seconds: how long the clip is to last.
    speaker: who is seen or heard; video: the recording that the item was cut from. Items that share one are not
        independent, and statistics may treat them as a cluster.
    dataset, tags (categories), licence: where the item comes from, and what may be done with it.
    withdrawn: the item is left out of everything (consent was taken back).
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    id: Annotated[str, AfterValidator(normal)] = Field(min_length=1, max_length=LONGEST, pattern=r"^[^\x00-\x1f]+$")
    text: str | None = None
    language: Annotated[
        Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")] | None, BeforeValidator(_language)
    ] = None
    generated: _File = None
    audio: _File = None
    reference: _File = None
    reference_audio: _File = None
    reference_voice: _File = None
    reference_voice_text: str | None = None
    identity_image: _File = None
    driving_audio: _File = None
    driving_video: _File = None
    scene: str | None = None
    voice_description: str | None = None
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    speaker: _Label = None
    video: _Label = None
    dataset: _Label = None
    tags: Annotated[tuple[str, ...], BeforeValidator(_as_tags)] = ()
    licence: _Label = None
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a plan: an item with its files (absolute paths), or the reason why it cannot be scored.

    unpaired: why references were given and there is none for this item.
    """

    item: Item
    generated: Path | None = None
    reference: Path | None = None
    reason: str | None = None
    unpaired: str | None = None


def read_manifest(path: Path) -> list[Entry]:
    """Read a manifest; paths of references become absolute, ``generated`` stays as written.

    Raises ItemError where the file cannot be read or holds no line. Broken lines come back as entries with reasons.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ItemError(f"cannot read the manifest {path}: {error}; expected JSON Lines, one item a line") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ItemError(f"the manifest {path} is written in UTF-16; save it as UTF-8")
    folder = path.parent.resolve()
    listed: Listed = {}
    read = [(number, *_read_line(line, number, folder, listed)) for number, line in json_lines.numbered(data)]
    if not read:
        raise ItemError(f'the manifest {path} holds no items; expected lines such as {{"id": "clip_1", "text": "…"}}')
    taken = {id for _, id, _, _ in read if id is not None}
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for number, id, item, reason in read:
        if id is None:
            id = _invented(printable(path.name), f" line {number}", taken)
        elif id in seen:
            item, reason = None, f"id {id!r:.80} is already used on line {seen[id]}"
            id = _invented(id, f" (line {number})", taken)
        else:
            seen[id] = number
        entries.append(Entry(item or Item(id=id), reason=reason))
    return entries


def _read_line(line: bytes, number: int, folder: Path, listed: "Listed") -> tuple[str | None, Item | None, str | None]:
    """(id where that part is sound, item, reason): a line has an item or a reason."""
    try:
        record = json_lines.parse(line)
    except json_lines.LineError as error:
        return _id(error.record), None, f"line {number} {error}"
    try:
        item = Item.model_validate(record)
        files = {
            key: str(inside(name, folder, key, listed)) for key in PATHS if (name := getattr(item, key)) is not None
        }
    except ValidationError as error:
        return _id(record), None, f"line {number}: " + "; ".join(_explain(error))
    except ItemError as error:
        return _id(record), None, f"line {number}: {error}"
    return item.id, item.model_copy(update=files), None


def _id(record: dict[str, Any] | None) -> str | None:
    """A broken line's id where that part is sound, so that the reason is found under the clip's own name."""
    try:
        return Item(id=(record or {})["id"]).id
    except (KeyError, ValidationError):
        return None


def _invented(stem: str, ending: str, taken: set[str]) -> str:
    """A name for an item that has none of its own; nobody else's."""
    for tries in count(1):
        last = ending if tries == 1 else f"{ending} [{tries}]"
        name = stem[: LONGEST - len(last)] + last
        if name not in taken:
            taken.add(name)
            return name
    raise AssertionError("there is always another number")


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            yield f"{key!r} is missing"
        else:
            yield f"{key!r}: {problem['msg']}, got {problem['input']!r:.60}"


def odd_keys(entries: Iterable[Entry]) -> list[str]:
    """What to tell the user about keys that are kept as metadata and look like misspelt ones; each key once."""
    counts = Counter(key for entry in entries for key in entry.item.model_extra or {})
    found = []
    for key, lines in counts.items():
        folded = key.strip().casefold().replace("-", "_").replace(" ", "_")
        if near := difflib.get_close_matches(folded, Item.model_fields, n=1, cutoff=0.7):
            where = f"{lines} line{'s' if lines > 1 else ''}"
            found.append(f"unknown key {key!r:.80} on {where}; did you mean {near[0]!r}? It is kept as metadata")
    return found


Listed = dict[Path, dict[str, str]]
"""What folders hold, as far as that was looked at: the composed form of a name -> the name."""


def inside(name: str, folder: Path, key: str, listed: Listed) -> Path:
    """``name`` below ``folder`` (absolute); ItemError where it is absolute or climbs out, also by a symbolic link.

    A file whose name on disk is in another Unicode normal form is found; ``listed`` is filled on the way.
    """
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or PureWindowsPath(name).drive:
        raise ItemError(f"{key!r} is an absolute path ({name!r:.80}); expected one relative to {folder.name}/")
    if "\x00" in name:
        raise ItemError(f"{key!r} holds a null character")
    path = folder / name
    if not name.isascii() and not os.path.lexists(path):
        path = _in_another_form(folder, PurePosixPath(name).parts, listed)
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ItemError(f"{key!r} cannot be followed: {error}") from error
    if not resolved.is_relative_to(folder):
        raise ItemError(f"{key!r} leaves its folder ({name!r:.80}); expected a path inside {folder.name}/")
    return path


def _in_another_form(folder: Path, parts: Sequence[str], listed: Listed) -> Path:
    for part in parts:
        if not part.isascii() and not os.path.lexists(folder / part):
            if folder not in listed:
                try:
                    listed[folder] = {normal(name): name for name in os.listdir(folder)}
                except OSError:
                    listed[folder] = {}
            part = listed[folder].get(normal(part), part)
        folder = folder / part
    return folder
