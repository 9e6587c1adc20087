"""Pairing items with their files: what ``evaluate`` will score, and what it leaves out, said before it measures.

Names pair composed (Unicode NFC), case included. Whatever is named by the manifest, by a generated file or by a
reference is an item; one without a clip has a reason and stays in every denominator.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from t2av_bench.benchmarks.manifest import Entry, Item, Listed, inside, odd_keys, read_manifest
from t2av_bench.benchmarks.names import Nearest, name_of, normal, printable
from t2av_bench.errors import ItemError, MediaError
from t2av_bench.media.probe import probe
from t2av_bench.utils import json_lines
from t2av_bench.utils.text import counted, some

# What suffixes say is used to choose between files of one name, and to tell apart what is certainly no media. Any other
# file is opened: FFmpeg reads more formats than a list can name.
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".gif", ".3gp", ".3g2",
    ".m2ts", ".mts", ".ogv", ".mxf", ".asf", ".vob", ".m2v", ".f4v", ".nut", ".y4m", ".dv", ".rm", ".rmvb",
})  # fmt: skip
AUDIO_SUFFIXES = frozenset({
    ".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".wma", ".aif", ".aiff", ".au", ".amr", ".ac3", ".eac3",
    ".mka", ".caf", ".oga", ".mp2", ".w64",
})  # fmt: skip
_NO_MEDIA = frozenset({
    ".txt", ".md", ".rst", ".pdf", ".html", ".htm", ".log", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".toml",
    ".yaml", ".yml", ".ini", ".cfg", ".xlsx", ".db", ".db-wal", ".db-shm", ".db-journal", ".sqlite", ".sqlite3",
    ".parquet", ".srt", ".vtt", ".ass", ".lrc", ".lab", ".textgrid", ".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif",
    ".tiff", ".svg", ".heic", ".npy", ".npz", ".mat", ".h5", ".pkl", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx",
    ".py", ".pyc", ".sh", ".ipynb", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".md5",
    ".sha1", ".sha256", ".part", ".tmp", ".lock",
})  # fmt: skip
_NO_MEDIA_NAMES = frozenset({"readme", "license", "licence", "notice", "changelog", "makefile"})

FAILURES = "failures.jsonl"
_MEASURED = ("audio", "reference_audio", "reference_voice", "identity_image")


@dataclass
class Folder:
    """What a folder holds. files: name (see ``name_of``) -> the files of that name; left_out: kind -> names."""

    root: Path
    files: dict[str, list[Path]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def nearest(self) -> Nearest:
        return Nearest(self.files)

    def notice(self) -> str | None:
        """What was left out, with numbers and an example of each kind."""
        if not self.left_out:
            return None
        kinds = sorted(self.left_out.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        told = [f"{len(names)} {kind} ({some(sorted(names), 2)})" for kind, names in kinds]
        total = sum(map(len, self.left_out.values()))
        are = "files of {} are" if total > 1 else "file of {} is"
        return f"{total} {are.format(self.root)} left out as no media: {some(told, 8)}"


def survey(folder: Path) -> Folder:
    """What lies below a folder. Raises ItemError where there is none, or one that cannot be read."""
    if not folder.is_dir():
        raise ItemError(f"{folder} is not a folder; expected one that holds media files")
    root = Path(os.path.abspath(folder))
    files: dict[str, list[Path]] = defaultdict(list)
    left_out: dict[str, list[str]] = defaultdict(list)
    for parent, folders, names in os.walk(root, onerror=_refuse):
        for name in sorted(folders):
            kind = "hidden" if name.startswith(".") else "link to a folder" if Path(parent, name).is_symlink() else None
            if kind:
                left_out[kind].append(printable(Path(parent, name).relative_to(root).as_posix()) + "/")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            relative = path.relative_to(root)
            suffix = path.suffix.lower()
            if name.startswith("."):
                left_out["hidden"].append(printable(relative.as_posix()))
            elif suffix in _NO_MEDIA or (not suffix and name.lower() in _NO_MEDIA_NAMES):
                if relative != Path(FAILURES):
                    left_out[suffix or "without a suffix"].append(printable(relative.as_posix()))
            else:
                files[name_of(relative)].append(path)
    return Folder(folder, dict(sorted(files.items())), dict(left_out))


def _refuse(error: OSError) -> None:
    raise ItemError(f"cannot look into the folder {error.filename}: {error.strerror}; its clips would go uncounted")


def choose(name: str, paths: list[Path]) -> Path:
    """The one file meant by a name: a video goes before others beside it. ItemError where two are as good."""
    candidates = paths
    for suffixes in (VIDEO_SUFFIXES, {path.suffix.lower() for path in paths} - AUDIO_SUFFIXES):
        if wanted := [path for path in paths if path.suffix.lower() in suffixes]:
            candidates = wanted
            break
    if len(candidates) > 1:
        shown = ", ".join(printable(path.name) for path in candidates)
        alike = len({normal(path.name) for path in candidates}) == 1
        hint = "; the names differ only in Unicode's normal form" if alike else ""
        raise ItemError(f"{len(candidates)} files are named {name!r}: {shown}{hint}")
    return candidates[0]


class Sounds:
    """Finds the sound of silent videos: the sound file of the same name in the same folder."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, list[Path]]] = {}
        self.silent: list[Path] = []
        self.replaced: list[Path] = []

    def of(self, video: Path, named: str | None) -> str | None:
        """What is heard with ``video`` in place of its own sound: ``named``, else the file beside it where it is
        silent. ItemError where two files beside it are as good."""
        beside = [] if named is not None else self._beside(video)
        if named is None and not beside:
            return None
        try:
            has_audio = probe(video).has_audio
        except MediaError:
            return named  # measuring it says why
        if named is not None:
            self.replaced += [video] * has_audio
            return named
        if has_audio:
            return None
        sound = choose(video.stem, beside)
        self.silent.append(sound)
        return str(sound)

    def _beside(self, video: Path) -> list[Path]:
        folder = video.parent
        if folder not in self._folders:
            found = self._folders[folder] = defaultdict[str, list[Path]](list)
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
                    found[normal(path.stem)].append(path)
        beside = self._folders[folder].get(normal(video.stem), [])
        return [] if video.suffix.lower() in AUDIO_SUFFIXES else beside

    def notices(self) -> Iterator[str]:
        if self.silent:
            yield f"{_videos(self.silent, 'silent ')} scored with the sound beside: {_names(self.silent)}"
        if self.replaced:
            yield (
                f"{_videos(self.replaced, '')} scored with the sound that the manifest names, not with the own one: "
                f"{_names(self.replaced)}"
            )


def _videos(paths: list[Path], kind: str) -> str:
    return f"1 {kind}video is" if len(paths) == 1 else f"{len(paths)} {kind}videos are"


def _names(paths: list[Path]) -> str:
    return some(printable(path.name) for path in paths)


def pair(
    generated: Path, reference: Path | None = None, manifest: Path | None = None, limit: int | None = None
) -> tuple[list[Entry], list[str]]:
    """Plan what to score: the manifest's items, else every name in ``generated`` and ``reference``, in sorted order.

    limit: only the first so many. Returns entries in a fixed order and notices for the user (what was left aside).
    Raises ItemError where nothing can be scored at all.
    """
    made = survey(generated)
    real = survey(reference) if reference else None
    reasons, notices = read_failures(generated)
    notices += [text for folder in (made, real) if folder and (text := folder.notice())]
    if manifest:
        entries = read_manifest(manifest)
        notices += odd_keys(entries)
        if withdrawn := [entry.item.id for entry in entries if entry.item.withdrawn]:
            notices.append(f"{counted(len(withdrawn), 'item')} withdrawn and left out: {some(withdrawn)}")
        entries = [entry for entry in entries if not entry.item.withdrawn]
        if lacking := [entry.item.id for entry in entries if entry.item.text and not entry.item.language]:
            notices.append(f"items with 'text' and no 'language', which word error rates need: {some(lacking)}")
    elif made.files or reasons:
        entries = [Entry(Item(id=name)) for name in sorted({*made.files, *(real.files if real else ()), *reasons})]
    else:
        raise ItemError(f"{generated} holds no media file")
    if not entries:
        raise ItemError(f"every item of {manifest} is withdrawn")
    if real:
        _check_references(made, real, entries if manifest else None, reasons)
    sounds = Sounds()
    planned = _locate(entries, made, real, reasons, sounds)
    notices += [*sounds.notices(), *_unused(planned, made, real), *_absent(planned)]
    if limit is not None and limit < len(planned):
        notices.append(f"the first {limit} of {len(planned)} items are evaluated (--limit)")
        planned = planned[:limit]
    return planned, notices


def located(folder: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Items of a manifest with their clips of a folder, as ``pair`` finds them. Raises ItemError as it does."""
    return _locate(entries, survey(folder), None, read_failures(folder)[0], Sounds())


def with_reference_sounds(entries: Iterable[Entry]) -> list[Entry]:
    """Items of a manifest, with the sound that lies beside a silent reference named."""
    sounds, found = Sounds(), []
    for entry in entries:
        try:
            if entry.item.reference is not None:
                heard = sounds.of(Path(entry.item.reference), entry.item.reference_audio)
                entry = replace(entry, item=entry.item.model_copy(update={"reference_audio": heard}))
        except ItemError:
            pass  # pairing says why
        found.append(entry)
    return found


def _check_references(made: Folder, real: Folder, entries: list[Entry] | None, reasons: dict[str, str]) -> None:
    """ItemError where ``--reference`` was given and pairs with nothing: another folder was meant."""
    if not real.files:
        raise ItemError(f"{real.root} holds no media file")
    names = [entry.item.id for entry in entries] if entries else [*made.files, *reasons]
    if not real.files.keys() & set(names) and not any(entry.item.reference for entry in entries or ()):
        what = "an item of the manifest" if entries else f"one of {made.root}"
        raise ItemError(
            f"no file of {real.root} is named like {what}: {some(real.files)} against {some(names)}; "
            "name them alike, or pair them in a manifest (--manifest items.jsonl)"
        )


def read_failures(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Item id -> why there is no clip of it, as whoever generated the clips says in ``failures.jsonl`` beside them.

    And notices about lines that say nothing of the kind. Raises ItemError where the file cannot be read.
    """
    path = folder / FAILURES
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        raise ItemError(f"cannot read {path}: {error}") from error
    found, broken = {}, []
    for number, line in json_lines.numbered(data):
        try:
            row = json_lines.parse(line)
            found[Item(id=row["id"]).id] = str(row["reason"] or "no reason was given")
        except (ValueError, KeyError):
            broken.append(str(number))
    if not broken:
        return found, []
    expected = '{"id": "…", "reason": "…"}'
    return found, [f"{path}: expected lines {expected}; not understood: line {some(broken)}"]


def _locate(
    entries: Iterable[Entry], made: Folder, real: Folder | None, reasons: dict[str, str], sounds: Sounds
) -> list[Entry]:
    """Entries with their files, or with the reason why one is missing."""
    folder, listed = made.root.resolve(), Listed()
    planned = []
    for entry in entries:
        item = entry.item
        if entry.reason:
            planned.append(entry)
            continue
        # First the reference: an item that has lost its clip still asks for the same as in another run.
        reference, unpaired = None if item.reference is None else Path(item.reference), None
        try:
            if reference is None and real:
                if item.id not in real.files:
                    raise ItemError(f"no reference is named {item.id!r}{real.nearest.hint(item.id)}")
                reference = choose(item.id, real.files[item.id])
            if reference is not None:
                heard = sounds.of(reference, item.reference_audio)
                item = item.model_copy(update={"reference_audio": heard})
        except ItemError as error:
            reference, unpaired = None, str(error)
        try:
            if item.generated is not None:
                generated = inside(item.generated, folder, "generated", listed)
            elif item.id in made.files:
                generated = choose(item.id, made.files[item.id])
            else:
                raise ItemError(
                    reasons.get(item.id)
                    or f"no clip in {made.root.name}/ is named {item.id!r}{made.nearest.hint(item.id)}"
                )
            item = item.model_copy(update={"audio": sounds.of(generated, item.audio)})
        except ItemError as error:
            planned.append(Entry(item, None, reference, str(error)))
            continue
        planned.append(Entry(item, generated, reference, unpaired=unpaired))
    return planned


def _unused(planned: list[Entry], made: Folder, real: Folder | None) -> Iterator[str]:
    """Files that no item looks at. Those of an item that fails need no second word."""
    used = {
        os.path.realpath(path) for entry in planned
        for path in (entry.generated, entry.item.audio, entry.reference, entry.item.reference_audio) if path
    }  # fmt: skip
    failed = {entry.item.id for entry in planned if entry.reason}
    for folder, said in ((made, "scored"), (real, "used")):
        files = {} if folder is None else folder.files
        beside = [
            path for name, paths in files.items() if name not in failed
            for path in paths if os.path.realpath(path) not in used
        ]  # fmt: skip
        if folder is not None and beside:
            are = "files of {} are" if len(beside) > 1 else "file of {} is"
            shown = some(printable(path.name) for path in beside)
            yield f"{len(beside)} {are.format(folder.root)} not {said}: {shown}"


def _absent(planned: list[Entry]) -> Iterator[str]:
    """Files that the manifest names and that are not there: better known now than after hours."""
    named: dict[str, list[str]] = {}
    for entry in planned:
        if not entry.reason:
            files = {"generated": entry.generated if entry.item.generated else None, "reference": entry.reference}
            files |= {key: Path(name) for key in _MEASURED if (name := getattr(entry.item, key)) is not None}
            for key, path in files.items():
                if path and not os.path.exists(path):
                    named.setdefault(key, []).append(entry.item.id)
    for key, ids in named.items():
        yield f"{len(ids)} files that the manifest names as {key!r} do not exist: {some(ids)}"
