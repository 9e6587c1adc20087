"""Decisions of a preparation that look at rows alone: what is usable, how it is cut, what is drawn, whose voice."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from t2av_bench.errors import ItemError
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.preparation.benchmarks.cutting import CutRule, Seen, given_square, pieces, square, steady_spans
from t2av_bench.preparation.benchmarks.draw import Candidate, draw, rank
from t2av_bench.preparation.benchmarks.lists import ListedItem, Piece
from t2av_bench.preparation.benchmarks.recipe import Facts, Recipe, SourceClip
from t2av_bench.preparation.benchmarks.stages import Row

_POINTER = b"version https://git-lfs.github.com/spec/"
AWAY_SECONDS = 5.0
"""A voice from the same recording is at least so far away."""
WITHDRAWN, EXCLUDED = "withdrawn", "excluded: on a list of what was trained on"


@dataclass(frozen=True, slots=True)
class Kept:
    """A piece that can become an item, or another's voice. heard: what each recogniser wrote; agreement: 0 to 1."""

    piece: Piece
    clip: SourceClip
    text: str | None = None
    heard: tuple[str, ...] = ()
    agreement: float | None = None

    @property
    def words(self) -> str | None:
        return self.clip.text if self.text is None else self.text

    @property
    def speaker(self) -> str:
        return self.clip.speaker or self.video

    @property
    def video(self) -> str:
        return self.clip.video or self.clip.id

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Where it begins and ends in its recording, where the recipe cuts."""
        if self.piece.first is None or self.piece.end is None:
            return None
        start = self.clip.start or 0.0
        return start + self.piece.first / FRAME_RATE, start + self.piece.end / FRAME_RATE


@dataclass(frozen=True, slots=True)
class Named:
    """Ids that are not to be items: excluded (trained on), or withdrawn (consent was taken back)."""

    excluded: frozenset[str] = frozenset()
    withdrawn: frozenset[str] = frozenset()

    @classmethod
    def read(cls, exclude: Sequence[Path], withdrawn: Path | None) -> "Named":
        return cls(
            frozenset(id for path in exclude for id in read_ids(path)),
            frozenset(() if withdrawn is None else read_ids(withdrawn)),
        )

    def unmatched(self, found: Sequence[SourceClip]) -> Iterator[str]:
        known = {name for clip in found for name in _names(clip)}
        for what, ids in (("excluded", self.excluded), ("withdrawn", self.withdrawn)):
            if ids:
                yield f"{len(ids & known)} of {len(ids)} {what} ids name a clip, {len(ids - known)} none"


def read_ids(path: Path) -> set[str]:
    """Ids of a list: one a line, or a table (.csv) with ``sample_id`` or ``video_path`` (whose stem counts), such as
    Talker-T2AV-Data's ``metadata/train.csv``. Raises ItemError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() != ".csv":
                return {line.strip() for line in file if line.strip()}
            reader = csv.DictReader(file, strict=True)
            if not {"sample_id", "video_path"} & set(reader.fieldnames or ()):
                raise ItemError(f"the table {path} has neither a column sample_id nor video_path; it has "
                                f"{', '.join(reader.fieldnames or ()) or 'none'}")  # fmt: skip
            found = set()
            for row in reader:
                found |= {row.get("sample_id") or "", PurePosixPath(row.get("video_path") or "").stem}
            return found - {""}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ItemError(f"cannot read the ids of {path}: {error}; expected one a line, or a table (.csv)") from error


def _names(clip: SourceClip) -> set[str]:
    """What a list may call it: its id, its recording, or its file."""
    return {clip.id, clip.video or clip.id, PurePosixPath(clip.path or clip.id).stem}


def usable(
    found: Sequence[SourceClip], named: Named, listed: set[str] | None, folders: Mapping[str, Path]
) -> tuple[dict[str, SourceClip], dict[str, str]]:
    """Clips that are looked at by id, and of each other why not. found: sorted. listed: ids of a published list."""
    clips: dict[str, SourceClip] = {}
    reasons: dict[str, str] = {}
    for clip in found:
        reason = clip.reason
        if clip.id in clips or clip.id in reasons:
            continue  # the same id again: the first in order counts, whatever the order of the files
        if _names(clip) & named.withdrawn:
            reason = WITHDRAWN
        elif _names(clip) & named.excluded:
            reason = EXCLUDED
        elif listed is not None and clip.id not in listed:
            reason = "not on the list"
        elif reason is None:
            reason = next(filter(None, (_not_there(folders[clip.source] / path) for path in clip.files.values())), None)
        if reason is None:
            clips[clip.id] = clip
        else:
            reasons[clip.id] = reason
    return clips, reasons


def _not_there(path: Path) -> str | None:
    if not path.is_file():
        return "its file is not there"
    try:
        with path.open("rb") as file:
            pointer = file.read(len(_POINTER)) == _POINTER
    except OSError as error:
        return f"its file cannot be read: {error.strerror}"
    return "its file is a pointer of Git LFS: git lfs pull brings the media" if pointer else None


def first_by_rank(
    clips: Mapping[str, SourceClip], most: int | None, name: str
) -> tuple[dict[str, SourceClip], dict[str, str]]:
    """The first so many clips by hash rank, and of the others why they are left out."""
    ranked = sorted(clips, key=lambda id: rank(f"{name}/clips/", id))
    looked_at = set(ranked[:most])
    return (
        {id: clip for id, clip in clips.items() if id in looked_at},
        {id: f"not looked at: {most} clips come before it" for id in clips if id not in looked_at},
    )


def facts_of(row: Row) -> dict[str, Facts]:
    known = [each.name for each in fields(Facts)]
    return {field: Facts(**{name: values[name] for name in known}) for field, values in row["files"].items()}


def pieces_of(clip: SourceClip, probed: Row, seen_row: Row, rule: CutRule) -> tuple[list[Piece], str | None]:
    """The pieces of a clip, or the reason why it has none."""
    seen = Seen.from_json(seen_row)
    frames = min(probed["frames"], seen_row["frames"])
    spans, reason = steady_spans(seen, rule)
    if reason is not None:
        return [], reason
    ranges, reason = pieces(spans, probed["speech"], frames, rule)
    found: list[Piece] = []
    for piece in ranges:
        box = None if clip.box is None else given_square(clip.box, clip.box_height, seen, piece, rule)
        if box is None or isinstance(box, str):  # the set's window was made for other times, or another face
            box = square(seen, piece, rule)
        if isinstance(box, str):
            reason = box
        else:
            found.append(Piece(id=f"{clip.id}-{piece[0]:06d}", clip=clip.id, first=piece[0], end=piece[1], box=box))
    if len(found) > rule.most:  # by rank: the first ones of all clips would be greetings
        found = sorted(sorted(found, key=lambda piece: rank("pieces/", piece.id))[: rule.most], key=lambda one: one.id)
    return found, None if found else reason


def voice_of(id: str, kept: Kept, others: Iterable[tuple[str, Kept]], name: str) -> tuple[str, str] | None:
    """(piece id, relation) of a stretch of the same speaker from another recording, or far enough away; by rank."""
    found: list[tuple[str, str, str]] = []
    for other_id, other in others:
        if other_id == id:
            continue
        if other.video != kept.video:
            found.append((rank(name, f"{id} {other_id}"), other_id, "same speaker, another recording"))
        elif other.clip.id != kept.clip.id and None in (kept.clip.start, other.clip.start):
            continue  # files of one recording that do not say where in it they begin, nor that they show one person
        elif (mine := kept.seconds) and (theirs := other.seconds):
            if max(theirs[0] - mine[1], mine[0] - theirs[1]) >= AWAY_SECONDS:
                relation = f"same speaker and recording, {AWAY_SECONDS:g} s away or more"
                found.append((rank(name, f"{id} {other_id}"), other_id, relation))
    return min(found)[1:] if found else None


def drawn(told: Mapping[str, Kept], recipe: Recipe) -> tuple[list[ListedItem], dict[str, str]]:
    """The items of all splits in the order of their ids, and why the other pieces are none."""
    info = recipe.info
    name = "/".join([info.name, f"v{info.version}", *(f"{key}={value}" for key, value in recipe.options.items()), ""])

    def heard_with(kept: Kept) -> tuple[str, str]:
        return kept.clip.split, "" if recipe.one_speaker else kept.speaker

    by_speaker: dict[tuple[str, str], list[tuple[str, Kept]]] = defaultdict(list)
    for id, kept in told.items():
        by_speaker[heard_with(kept)].append((id, kept))
    voices: dict[str, tuple[str, str]] = {}
    reasons: dict[str, str] = {}
    for id, kept in told.items() if recipe.other_voice else ():
        if voice := voice_of(id, kept, by_speaker[heard_with(kept)], name):
            voices[id] = voice
        else:
            reasons[id] = f"no other speech of the speaker is {AWAY_SECONDS:g} s away"
    by_split: dict[str, list[Candidate]] = defaultdict(list)
    for id, kept in told.items():
        if id not in reasons:
            seconds = kept.seconds
            shares, length = recipe.shares.get(kept.clip.split), 0.0 if seconds is None else seconds[1] - seconds[0]
            bin = shares.bin_of(kept.clip.bin, length) if shares else ""
            by_split[kept.clip.split].append(Candidate(id, kept.speaker, kept.clip.id, bin))
    items: list[ListedItem] = []
    for split, candidates in by_split.items():
        chosen = [each.id for each in candidates]
        if shares := recipe.shares.get(split):
            chosen, refused = draw(candidates, name, shares.bins, shares.per_speaker)
            reasons |= refused
        for id in chosen:
            other, relation = voices.get(id, (None, None))
            items.append(ListedItem(
                id=id, split=split, piece=told[id].piece, voice=told[other].piece if other else None, relation=relation
            ))  # fmt: skip
    return sorted(items, key=lambda item: (item.split, item.id)), reasons
