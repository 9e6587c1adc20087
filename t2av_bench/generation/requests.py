"""From a benchmark's items to what systems are asked, and to the manifest that a row is scored by."""

import filecmp
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from t2av_bench.benchmarks.manifest import PATHS, Entry, Item, read_manifest
from t2av_bench.benchmarks.pairing import with_reference_sounds
from t2av_bench.benchmarks.registry import benchmark
from t2av_bench.errors import ItemError, NotApplicable, Unscorable
from t2av_bench.generation.lengths import estimated_seconds, policy, read_rates
from t2av_bench.generation.row import ExperimentRow
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import GenerationFailed, Request, System, item_seed, list_seed
from t2av_bench.utils.files import json_text, link, write_text

_LONGEST_NAME = 240
"""Bytes of a file's name without its suffix; file systems take 255 in all."""


@dataclass(frozen=True, slots=True)
class ItemSet:
    """The items of a row in order. name: of their folder below ``out/items``.

    speakers: item id -> who is heard, where the benchmark knows. rates: characters a second by language, likewise.
    """

    name: str
    folder: Path
    entries: tuple[Entry, ...]
    speakers: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)


def read_items(row: ExperimentRow, manifest: Path) -> ItemSet:
    """The row's items from its manifest (of a benchmark: of its split). Raises ItemError."""
    entries = with_reference_sounds(entry for entry in read_manifest(manifest) if not entry.item.withdrawn)
    if row.items is not None and row.items > len(entries) and row.manifest is not None:
        raise ItemError(f"row {row.name!r}: {manifest} has {len(entries)} items, {row.items} are wanted")
    folder = manifest.parent.resolve()
    count = row.items if row.items is not None else len(entries)
    speakers = {entry.item.id: entry.item.speaker for entry in entries if entry.item.speaker}
    if row.benchmark is not None:
        assert row.split is not None
        speakers |= benchmark(row.benchmark).speakers(row.split)
        name = f"{row.benchmark}-{row.split}"
    else:
        # Manifests are often called alike: the place tells them apart.
        name = f"{manifest.stem}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    return ItemSet(name, folder, tuple(entries[:count]), speakers, read_rates(manifest))


def write_manifest(items: ItemSet, folder: Path, row: ExperimentRow) -> Path:
    """``folder/ROW.jsonl`` with the items' files beside it: a manifest's paths may not leave its folder.

    The files are hard links, or copies where the file system has none. So ``evaluate`` can be repeated by hand. Of an
    item with a broken line the id is left: ``failures.jsonl`` beside the clips says what was wrong with it. Which clip
    the item names, and which sound, is left out where a system makes it.
    """
    rows, left_out = [], {"generated", "audio"} if row.clips is None else set()
    for entry in items.entries:
        fields = entry.item.model_dump(exclude_defaults=True, exclude=left_out)
        if speaker := items.speakers.get(entry.item.id):
            fields["speaker"] = speaker
        for key in PATHS:
            if key in fields:
                source = Path(fields[key])
                fields[key] = f"{items.name}/{source.relative_to(items.folder).as_posix()}"
                _link(source, folder / fields[key])
        rows.append(json_text(fields))
    path, text = folder / f"{row.name}.jsonl", "".join(f"{row}\n" for row in rows)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)
    return path


def _link(source: Path, target: Path) -> None:
    if not source.is_file():
        target.unlink(missing_ok=True)  # scoring says that it is missing
        return
    if target.exists():
        if target.samefile(source) or filecmp.cmp(source, target, shallow=False):
            return
        target.unlink()
    link(source, target)


def strangers(items: ItemSet) -> dict[str, Path]:
    """Item id -> another item's reference: the next one in order that says something else in another voice.

    Where there is none such, the next one that says something else, else the next one; none for an item alone.
    """
    there = [entry for entry in items.entries if not entry.reason and entry.item.reference is not None]
    found = {}
    for position, entry in enumerate(there):
        others = there[position + 1 :] + there[:position]
        best = max(others, key=lambda other: _strangeness(entry.item, other.item, items.speakers), default=None)
        if best is not None and best.item.reference is not None:
            found[entry.item.id] = Path(best.item.reference)
    return found


def _strangeness(item: Item, other: Item, speakers: Mapping[str, str]) -> tuple[bool, bool, bool]:
    """Larger is stranger; ``max`` keeps the first of equals."""
    speaker, another = (speakers.get(each.id, each.reference_voice) for each in (item, other))
    same_language = item.language == other.language
    return other.reference != item.reference, other.text is None or other.text != item.text, same_language and (
        another is None or another != speaker
    )  # fmt: skip


class Requests:
    """Makes requests of a row's items.

    identity: the item's ``identity_image``, else its reference; voice: its ``reference_voice``, else its reference;
    driving audio and video: the item's own, else the reference's. reference and stranger are always named where they
    exist. Lengths that take decoding are not told yet: see ``lengths.with_length``.
    """

    def __init__(self, row: ExperimentRow, run_seed: int, items: ItemSet, kind: type[System], folder: Path,
                 digest: Callable[[Path], str | None]) -> None:  # fmt: skip
        self._row, self._run_seed, self._kind, self._folder = row, run_seed, kind, folder
        self._strangers = strangers(items)
        self._digest = digest
        self.length = policy(row.length, row.task, kind)
        self._rates = items.rates

    def of(self, entry: Entry) -> Request | str:
        """The request, or the reason why there can be none."""
        item, row = entry.item, self._row
        if entry.reason:
            return entry.reason
        if problem := unusable_name(item.id):
            return problem
        reference = _path(item.reference)
        heard = _path(item.reference_audio) or reference
        identity = _path(item.identity_image) or reference
        voice = _path(item.reference_voice) or heard
        given = {
            "identity": identity if row.task in ("t2av", "a2v") else None,
            "voice": voice if row.task in ("t2av", "v2a", "tts") else None,
            "driving_audio": _path(item.driving_audio) or heard if row.task == "a2v" else None,
            "driving_video": _path(item.driving_video) or reference if row.task == "v2a" else None,
            "reference": reference,
            "stranger": self._strangers.get(item.id),
        }
        needed = self._kind.needs[row.task]
        for name, path in given.items():
            if path is not None and self._digest(path) is None:
                if name in needed:
                    return f"{name.replace('_', ' ')}: {why_unreadable(path)}"
                given[name] = None
        for name in needed:
            if given.get(name, item) is None:
                return _missing(name, row.system, row.task)
        if self.length == "reference" and given["reference"] is None:
            return "length = 'reference' needs a real clip, and the item has no 'reference'"
        seed = (
            list_seed(self._run_seed, row.seed)
            if self._kind.seed_support == "run"
            else item_seed(self._run_seed, row.seed, item.id)
        )
        voice_text = item.reference_voice_text if item.reference_voice and given["voice"] else None
        request = Request(
            id=item.id, out=self._folder / f"{item.id}{'.wav' if row.task == 'tts' else '.mp4'}", task=row.task,
            text=item.text or "", language=item.language, seed=seed, max_seconds=row.max_seconds,
            voice_text=voice_text, scene=item.scene or None, voice_description=item.voice_description or None,
            target_seconds=None, **given,
        )  # fmt: skip
        try:
            self._kind.check(request)
            if self.length == "estimate":
                seconds = estimated_seconds(request.text, request.language, self._rates)
                request = replace(request, target_seconds=seconds)
        except (GenerationFailed, NotApplicable) as reason:
            return _missing("text", row.system, row.task) if not request.text.strip() else str(reason)
        return request


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _missing(name: str, system: str, task: str) -> str:
    sources = {
        "text": "no 'text'", "identity": "neither 'identity_image' nor 'reference'",
        "voice": "neither 'reference_voice' nor 'reference'", "stranger": "no other item with a 'reference' beside it",
        "driving_audio": "neither 'driving_audio' nor 'reference'",
        "driving_video": "neither 'driving_video' nor 'reference'",
    }  # fmt: skip
    said = sources.get(name, "no 'reference'")
    return f"{system} needs the {name.replace('_', ' ')} for task {task}, and the item has {said}"


def unusable_name(id: str) -> str | None:
    """Why an item's id cannot name its clip: evaluation looks for it by that name, in the row's folder alone."""
    parts = id.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") for part in parts) or "\\" in id:
        return f"the id {id!r:.80} cannot name a file: no part of it may be empty or begin with a dot"
    if max(len(part.encode()) for part in parts) > _LONGEST_NAME:
        return f"the id {id[:40]!r}… is too long to name a file: {_LONGEST_NAME} bytes at most"
    return None


def why_unreadable(path: Path) -> str:
    """The reason that reading the file gives."""
    try:
        Clip(path).digest  # noqa: B018
    except Unscorable as reason:
        return str(reason)
    return f"{path.name} could not be read a moment ago"
