"""Items, and pairing files with them.

An item is one thing to generate and judge. A manifest is JSON Lines, one item a line. A broken line does not cost the
others: it becomes an entry with a reason, and stays in every denominator.
"""

import difflib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".flv", ".wmv"})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus"})

FAILURES = "failures.jsonl"


class ItemError(ValueError):
    """A manifest or a folder that cannot be used at all; the message says what to type next."""


class Item(BaseModel):
    """One thing to generate and judge.

    id: unique within a run; names the clip in tables and files.
    text: what should be spoken, in the language's own script.
    language: ISO 639-1 code (``en``, ``zh``), needed wherever ``text`` is.
    generated: media file, relative to the folder given as ``--generated`` (default: the file named like the id).
    reference: media file, relative to the manifest's folder (default: the file named like the id in ``--reference``).
    reference_voice: audio of the speaker to compare with (default: the reference clip's audio).
    identity_image: the portrait that drove generation (default: the reference clip's first frame).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]+$")
    text: str | None = None
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    generated: str | None = None
    reference: str | None = None
    reference_voice: str | None = None
    identity_image: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a plan: an item with its files (absolute paths), or the reason why it cannot be scored."""

    item: Item
    generated: Path | None = None
    reference: Path | None = None
    reason: str | None = None


def read_manifest(path: Path) -> list[Entry]:
    """Read a manifest; paths of references become absolute, ``generated`` stays as written.

    Raises ItemError where the file cannot be read or holds no line. Broken lines come back as entries with reasons.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ItemError(f"cannot read the manifest {path}: {error}; expected JSON Lines, one item a line") from error
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        entry = _read_line(line, number, path)
        name = entry.item.id
        if name in seen:
            entry = Entry(
                Item(id=f"{name} (line {number})"), reason=f"id {name!r} is already used on line {seen[name]}"
            )
        seen.setdefault(name, number)
        entries.append(entry)
    if not entries:
        raise ItemError(f'the manifest {path} holds no items; expected lines such as {{"id": "clip_1", "text": "…"}}')
    return entries


def _read_line(line: str, number: int, manifest: Path) -> Entry:
    nameless = Item(id=f"{manifest.name} line {number}")
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        return Entry(nameless, reason=f"line {number} is not JSON: {error}")
    if not isinstance(record, dict):
        return Entry(nameless, reason=f"line {number} holds {type(record).__name__}, expected an object with an 'id'")
    try:
        item = Item.model_validate(record)
        references = {
            key: str(_inside(getattr(item, key), manifest.parent.resolve(), key))
            for key in ("reference", "reference_voice", "identity_image")
            if getattr(item, key) is not None
        }
    except ValidationError as error:
        return Entry(_named(record, nameless), reason=f"line {number}: " + "; ".join(_explain(error)))
    except ItemError as error:
        return Entry(_named(record, nameless), reason=f"line {number}: {error}")
    if item.text and not item.language:
        return Entry(Item(id=item.id), reason=f"line {number}: 'text' needs a 'language' (such as \"en\" or \"zh\")")
    return Entry(item.model_copy(update=references))


def _named(record: dict, nameless: Item) -> Item:
    """Keep a broken line's id where that part is sound, so that the reason is found under the clip's own name."""
    try:
        return Item(id=record["id"])
    except (KeyError, ValidationError):
        return nameless


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, Item.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(Item.model_fields)}"
            yield f"unknown key {key!r}; {hint}"
        elif problem["type"] == "missing":
            yield f"{key!r} is missing"
        else:
            yield f"{key!r}: {problem['msg']}, got {problem['input']!r:.60}"


def _inside(name: str, folder: Path, key: str) -> Path:
    """``name`` below ``folder``; ItemError where it is absolute or climbs out, also by a symbolic link."""
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or PureWindowsPath(name).drive:
        raise ItemError(f"{key!r} is an absolute path ({name!r:.80}); expected one relative to {folder.name}/")
    if "\x00" in name:
        raise ItemError(f"{key!r} holds a null character")
    try:
        resolved = (folder / name).resolve()
    except (OSError, RuntimeError) as error:
        raise ItemError(f"{key!r} cannot be followed: {error}") from error
    if not resolved.is_relative_to(folder):
        raise ItemError(f"{key!r} leaves its folder ({name!r:.80}); expected a path inside {folder.name}/")
    return folder / name


def scan(folder: Path) -> dict[str, list[Path]]:
    """Media files below a folder, by name: the relative path without its suffix. Links to folders are not followed.

    Raises ItemError where there is no such folder.
    """
    if not folder.is_dir():
        raise ItemError(f"{folder} is not a folder; expected one that holds media files")
    found: dict[str, list[Path]] = defaultdict(list)
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent) / name
            if path.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES and not name.startswith("."):
                found[_printable(path.relative_to(folder).with_suffix("").as_posix())].append(path)
    return dict(sorted(found.items()))


def _printable(name: str) -> str:
    """A file name as an id: control characters and bytes that are not UTF-8 become escapes."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(character if character >= " " else f"\\x{ord(character):02x}" for character in name)


def choose(name: str, paths: list[Path]) -> Path:
    """The one file meant by a name: a video goes before an audio file beside it. ItemError where two are as good."""
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    candidates = videos or paths
    if len(candidates) > 1:
        raise ItemError(f"{len(candidates)} files are named {name!r}: {', '.join(path.name for path in candidates)}")
    return candidates[0]


def pair(generated: Path, reference: Path | None = None, manifest: Path | None = None) -> tuple[list[Entry], list[str]]:
    """Plan what to score: every manifest entry, or every media file of ``generated``, with its reference.

    Returns entries in a fixed order and notices for the user (files left aside). Raises ItemError where nothing can be
    scored at all.
    """
    files = scan(generated)
    references = scan(reference) if reference else {}
    if manifest:
        entries = read_manifest(manifest)
    elif files:
        entries = [Entry(Item(id=name)) for name in files]
    else:
        raise ItemError(f"{generated} holds no media file ({', '.join(sorted(VIDEO_SUFFIXES | AUDIO_SUFFIXES))})")
    reasons = read_failures(generated)
    planned = [_locate(entry, generated, files, references, reasons) for entry in entries]
    used = {path for entry in planned for path in (entry.generated, entry.reference) if path}
    notices = []
    beside = [path for paths in files.values() for path in paths if path not in used]
    if beside:
        notices.append(f"{len(beside)} files of {generated} are not scored: {some(path.name for path in beside)}")
    if reference and not any(entry.reference for entry in planned):
        raise ItemError(
            f"no file of {reference} is named like one of {generated}: {some(references)} against {some(files)}; "
            "name them alike, or pair them in a manifest (--manifest items.jsonl)"
        )
    return planned, notices


def read_failures(folder: Path) -> dict[str, str]:
    """Item id -> why there is no clip of it, as whoever generated the clips says in ``failures.jsonl`` beside them."""
    try:
        lines = (folder / FAILURES).read_text(encoding="utf-8").splitlines()
        return {str(row["id"]): str(row["reason"]) for row in map(json.loads, filter(str.strip, lines))}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ItemError(
            f'cannot read {folder / FAILURES}: {error}; expected lines {{"id": "…", "reason": "…"}}, or remove it'
        ) from error


def _locate(
    entry: Entry, folder: Path, files: dict[str, list[Path]], references: dict[str, list[Path]], reasons: dict[str, str]
) -> Entry:
    if entry.reason:
        return entry
    item = entry.item
    try:
        if item.generated is not None:
            generated = _inside(item.generated, folder.resolve(), "generated")
        elif item.id in files:
            generated = choose(item.id, files[item.id])
        elif item.id in reasons:
            raise ItemError(reasons[item.id])
        else:
            near = difflib.get_close_matches(item.id, files, n=1)
            hint = f"; the nearest name is {near[0]!r}" if near else ""
            raise ItemError(f"no generated file is named {item.id!r}{hint}")
        reference = Path(item.reference) if item.reference is not None else None
        if reference is None and item.id in references:
            reference = choose(item.id, references[item.id])
    except ItemError as error:
        return replace(entry, reason=str(error))
    return replace(entry, generated=generated, reference=reference)


def some(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
