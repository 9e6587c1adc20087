"""The clips that a folder or a list names, with their texts: a clip that cannot be used has a reason.

- a folder: every media file, and the text in the file of its name that ends in ``.txt``;
- a manifest (``.jsonl``, see ``benchmarks.manifest``): ``reference`` is the clip, else the file named like the id;
- a table (``.csv``) with the columns of Talker-T2AV's data set, see ``COLUMNS``.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from t2av_bench.benchmarks.manifest import Entry, Item, Listed, inside, odd_keys, read_manifest
from t2av_bench.benchmarks.names import name_of
from t2av_bench.benchmarks.pairing import located, survey, with_reference_sounds
from t2av_bench.errors import ItemError
from t2av_bench.utils.config import nearest
from t2av_bench.utils.text import some

COLUMNS = (
    "sample_id", "dataset_source", "split", "text", "wav_path", "motion_pt_path", "video_path", "pt_length", "fps",
    "speaker",
)  # fmt: skip
"""``text``, and ``video_path`` or ``wav_path`` (with ``motion_pt_path``: raw motion codes; without: speech alone), are
needed; ``fps`` and ``pt_length`` are those of the motion file, ``speaker`` says whose voice it is."""
Voice = Literal["own", "other"]


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """One clip before it is encoded.

    media: picture and sound, or the sound alone. sound: what is heard in place of the own one. motion: raw motion
    codes, in place of the picture; motion_frames, motion_rate: what the list says of them. voice: the file in which the
    speaker is heard (None: the clip itself). reason: why it is left out.
    """

    id: str
    text: str = ""
    media: Path | None = None
    sound: Path | None = None
    motion: Path | None = None
    motion_frames: int | None = None
    motion_rate: float | None = None
    speaker: str | None = None
    voice: Path | None = None
    reason: str | None = None

    def identity(self, root: Path) -> dict[str, Any]:
        """What the clip's latents depend on, JSON-ready; files relative to ``root``."""
        values = {key: value for key, value in asdict(self).items() if key not in ("reason", "speaker")}
        return {
            key: value.relative_to(root).as_posix() if isinstance(value, Path) and value.is_relative_to(root)
            else str(value) if isinstance(value, Path) else value
            for key, value in values.items()
        }  # fmt: skip


def read_clips(
    source: Path, media: Path | None = None, split: str | None = None, voice: Voice = "own"
) -> tuple[list[ClipFiles], list[str]]:
    """The clips of ``source`` in a fixed order, and notices for the user.

    media: what a list's file names are relative to (default: its own folder). split: of a table, the rows of this
    split alone. voice: ``own``, the clip itself; ``other``, the manifest's ``reference_voice``, else another clip of
    the same ``speaker``. Raises ItemError for a source that cannot be used at all.
    """
    if not source.exists():
        raise ItemError(f"there is no {source}: expected a folder of clips, a manifest (.jsonl) or a table (.csv)")
    if source.is_dir():
        if media is not None or split is not None:
            raise ItemError(f"{source} is a folder: --media and --split belong to a list (.jsonl or .csv)")
        clips, notices = _of_folder(source)
    elif source.suffix.lower() == ".csv":
        clips, notices = _of_table(source, media or source.parent, split)
    else:
        if split is not None:
            raise ItemError(f"{source} is a manifest: --split belongs to a table (.csv)")
        clips, notices = _of_manifest(source, media or source.parent)
    clips = [replace(clip, reason=clip.reason or _without_text(clip)) for clip in clips]
    return _with_voices(clips) if voice == "other" else [replace(clip, voice=None) for clip in clips], notices


def _without_text(clip: ClipFiles) -> str | None:
    return None if clip.text.strip() else "there is no text: a clip is trained with the words that are spoken in it"


def _of_folder(folder: Path) -> tuple[list[ClipFiles], list[str]]:
    found = survey(folder)
    if not found.files:
        raise ItemError(f"{folder} holds no media file")
    texts = found.left_out.pop(".txt", [])
    notices = [notice] if (notice := found.notice()) else []
    if alone := [name for name in texts if name_of(PurePath(name)) not in found.files]:
        notices.append(f"{len(alone)} texts have no clip of their name: {some(alone)}")
    entries = located(folder, [Entry(Item(id=name)) for name in found.files])
    return [_with_text_beside(_of_entry(entry, entry.generated)) for entry in entries], notices


def _with_text_beside(clip: ClipFiles) -> ClipFiles:
    if clip.media is None:
        return clip
    path = clip.media.with_suffix(".txt")
    try:
        return replace(clip, text=" ".join(path.read_text(encoding="utf-8-sig").split()))
    except FileNotFoundError:
        return replace(clip, reason=f"there is no text: {path.name} is not beside it")
    except (OSError, UnicodeDecodeError) as error:
        return replace(clip, reason=f"its text {path.name} cannot be read: {error}")


def _of_manifest(path: Path, media: Path) -> tuple[list[ClipFiles], list[str]]:
    entries = with_reference_sounds(read_manifest(path))
    entries = [entry for entry in entries if not entry.item.withdrawn]
    found = iter(located(media, [entry for entry in entries if not entry.item.reference]))
    clips = [
        _of_entry(entry, Path(entry.item.reference)) if entry.item.reference
        else _of_entry(placed := next(found), placed.generated) for entry in entries
    ]  # fmt: skip
    return clips, odd_keys(entries)


def _of_entry(entry: Entry, media: Path | None) -> ClipFiles:
    item = entry.item
    sound = item.reference_audio if item.reference else item.audio
    return ClipFiles(
        item.id, item.text or "", media, Path(sound) if sound else None, speaker=item.speaker,
        voice=Path(item.reference_voice) if item.reference_voice else None, reason=entry.reason,
    )  # fmt: skip


def _of_table(path: Path, media: Path, split: str | None) -> tuple[list[ClipFiles], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or ())
            _check_columns(path, columns)
            rows = [(reader.line_num, row) for row in reader if split is None or row.get("split") == split]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ItemError(f"cannot read the table {path}: {error}; expected CSV in UTF-8 with a line of names") from error
    if not rows:
        raise ItemError(f"the table {path} has no row" + (f" of the split {split!r}" if split is not None else ""))
    clips, listed, seen = [], Listed(), set()
    for number, row in rows:
        clip = _of_row(row, number, media.resolve(), listed)
        if clip.id in seen:
            clip = replace(
                clip, id=f"{clip.id} (line {number})", reason=f"the id {clip.id!r} stands on an earlier line"
            )
        seen.add(clip.id)
        clips.append(clip)
    unknown = [name for name in columns if name not in COLUMNS]
    return clips, [f"columns that nothing reads: {some(unknown)}"] if unknown else []


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    """ItemError naming what is missing, and the columns that were probably meant."""
    needed = ["text"] if {"wav_path", "video_path"} & set(columns) else ["text", "wav_path"]
    for name in needed:
        if name not in columns:
            near = nearest(name, [each for each in columns if each not in COLUMNS])
            meant = f"; did you mean it by {' or '.join(map(repr, near))}?" if near else ""
            raise ItemError(f"the table {path} has no column {name!r}{meant}; it has {', '.join(columns) or 'none'}, "
                            f"and may have {', '.join(COLUMNS)}")  # fmt: skip
    near = nearest("motion_pt_path", [each for each in columns if each not in COLUMNS])
    if "motion_pt_path" not in columns and near:  # without this, all of it would become speech without a picture
        raise ItemError(f"the table {path} has a column {near[0]!r}; did you mean motion_pt_path?")


def _of_row(row: dict[str, str | None], number: int, media: Path, listed: Listed) -> ClipFiles:
    cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    files: dict[str, Path] = {}
    id = cells.get("sample_id") or Path(cells.get("wav_path") or cells.get("video_path") or f"line {number}").stem
    try:
        if None in row or None in row.values():
            raise ValueError(f"line {number} has another number of fields than the line of names")
        for name in ("wav_path", "motion_pt_path", "video_path"):
            if cells.get(name):
                files[name] = inside(cells[name], media, name, listed)
        rate = _number(cells, "fps")
        frames = _number(cells, "pt_length")
        if "motion_pt_path" in files and "wav_path" not in files:
            raise ValueError("motion_pt_path names a file and wav_path none")
        if not files.keys() & {"wav_path", "video_path"}:
            raise ValueError("neither wav_path nor video_path names a file")
    except ValueError as error:
        return ClipFiles(id, cells.get("text", ""), reason=str(error))
    media_file = files["wav_path"] if "motion_pt_path" in files or "video_path" not in files else files["video_path"]
    sound = files.get("wav_path") if media_file is not files.get("wav_path") else None
    return ClipFiles(
        id, cells.get("text", ""), media_file, sound, files.get("motion_pt_path"),
        None if frames is None else int(frames), rate, cells.get("speaker") or None,
    )  # fmt: skip


def _number(cells: dict[str, str], name: str) -> float | None:
    try:
        return float(cells[name]) if cells.get(name) else None
    except ValueError:
        raise ValueError(f"{name} is {cells[name]!r}, expected a number") from None


def _with_voices(clips: Sequence[ClipFiles]) -> list[ClipFiles]:
    """Each clip with the next one of its speaker as its voice, in the list's order and round again."""
    by_speaker: dict[str, list[ClipFiles]] = defaultdict(list)
    for clip in clips:
        if clip.speaker and not clip.reason:
            by_speaker[clip.speaker].append(clip)
    after = {
        one.id: other for group in by_speaker.values()
        for one, other in zip(group, [*group[1:], group[0]], strict=True) if one is not other
    }  # fmt: skip

    def voiced() -> Iterator[ClipFiles]:
        for clip in clips:
            if clip.voice or clip.reason:
                yield clip
            elif clip.id in after:
                yield replace(clip, voice=after[clip.id].sound or after[clip.id].media)
            else:
                who = f"of the speaker {clip.speaker!r}" if clip.speaker else "(no 'speaker' is named)"
                yield replace(clip, reason=f"there is no other clip {who} to take the voice from: --voice own")

    return list(voiced())
