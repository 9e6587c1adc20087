"""A data set to a benchmark's folder, in stages; the same call continues.

    index   what the set's own names and lists say                                     recipe
    clips   without those that are named twice, excluded, withdrawn, or not in a list  pure
    probe   headers, digests, speech                                                   a worker a clip
    faces   faces and cuts, where pieces are cut                                       a worker a clip
    filter  which pieces of which clips can be used, and why the others cannot         pure
    text    what is said in them: two recognisers, or the set's own text               a worker a piece
    draw    which of them are items, and with whose voice                              pure
    write   files, items.jsonl, benchmark.toml, NAME.list.json                         a worker an item

``prepare.jsonl`` has one row a source clip: its items, or the reason why it has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.info import INFO
from t2av_bench.errors import ItemError
from t2av_bench.extractors.recognisers import Transcript
from t2av_bench.preparation.benchmarks import choosing
from t2av_bench.preparation.benchmarks.choosing import EXCLUDED, WITHDRAWN, Kept
from t2av_bench.preparation.benchmarks.finishing import made_by, write_folder
from t2av_bench.preparation.benchmarks.lists import ListedItem, Piece, PublishedList, read_list, text_digest
from t2av_bench.preparation.benchmarks.looking import (
    NetworkTools,
    Probe,
    Stretch,
    check_tools,
    faces_task,
    probe_task,
    text_task,
)
from t2av_bench.preparation.benchmarks.recipe import Recipe, SourceClip, plain
from t2av_bench.preparation.benchmarks.stages import FOLDER, Job, Row, Stages
from t2av_bench.preparation.benchmarks.text import DEFAULT, agreed
from t2av_bench.preparation.benchmarks.writing import Writing, write_task
from t2av_bench.preparation.clip_work import process_count
from t2av_bench.utils import memory as machine_memory
from t2av_bench.utils.alone import alone_in
from t2av_bench.utils.files import file_sha256, json_text, remove_unfinished, write_text
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.ray_engine import chosen_engine
from t2av_bench.utils.text import some
from t2av_bench.utils.worker_pool import WorkerPool

RECOGNISED = ("recognised", "optional")
VERSION = 1
"""Raised when the stages make other items of the same clips."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """splits: items by split. left_out: (source clip, reason). missing: id -> reason of chosen items without files.

    differing: ids of a list's items whose pictures, sound or words are not those of the list, and what differs.
    """

    folder: Path
    splits: Mapping[str, int]
    left_out: list[tuple[str, str]]
    missing: Mapping[str, str]
    differing: list[tuple[str, str]]


def prepare(
    recipe: Recipe, folders: Mapping[str, Path], out: Path, *, exclude: Sequence[Path] = (),
    withdrawn: Path | None = None, follow: Path | None = None, recognisers: Sequence[str] = DEFAULT,
    detector: str = "s3fd", device: str = "cpu", workers: int | None = None, timeout: float = 1800.0,
    memory: float | None = None, engine: str = "local", address: str | None = None, ship: bool = False,
    on_step: OnStep = lambda step: None, notice: Notice = lambda text: None,
    tools: tuple[Callable[..., Any], tuple[Any, ...]] | None = None,
) -> Preparation:  # fmt: skip
    """exclude, withdrawn: lists of ids, see ``choosing.read_ids``. follow: a published list to make again.

    recognisers: names of ``text.RECOGNISERS``, first the one whose writing counts. engine, address,
    ship: see ``utils.ray_engine.chosen_engine``. tools: in place of the networks.
    Raises ItemError and ValueError for what cannot be used, NotApplicable for missing weights, OSError for a full disk.
    """
    info = recipe.info
    if out.exists() and any(out.iterdir()) and not any((out / name).exists() for name in (INFO, FOLDER)):
        raise ItemError(f"{out} holds something else than a benchmark: choose another folder (--out)")
    for name, folder in folders.items():
        mine, theirs = out.resolve(), folder.resolve()
        if mine.is_relative_to(theirs) or theirs.is_relative_to(mine):
            raise ItemError(f"the benchmark's folder {out} and the data of {name} in {folder} lie in each other: made "
                            "files would be taken for data; choose another folder (--out)")  # fmt: skip
    if (made := made_by(out)) is not None and made != (recipe.id, recipe.options):
        raise ItemError(f"{out} holds {made[0]} with the options {made[1]}, wanted {recipe.id} with {recipe.options}: "
                        "choose another folder (--out)")  # fmt: skip
    if tools is None:
        if recipe.cut is not None or recipe.text in RECOGNISED:
            check_tools(detector, recognisers)
        tools = NetworkTools, (detector, tuple(recognisers), device)
    listed = None if follow is None else read_list(follow, recipe.id, info.version, recipe.options)
    if workers is None:
        workers = process_count(device, engine)
    most = None if memory is None else memory * machine_memory.GB
    with (
        alone_in(out, ItemError, f"{FOLDER}/lock"),
        chosen_engine(
            engine, address, device, most or machine_memory.WORKER_BYTES, ship, [out], [*folders.values()]
        ) as places,
        WorkerPool(places) as pool,
    ):
        for folder in (out, out / FOLDER):
            remove_unfinished(folder)
        stages = Stages(out, pool, *tools, workers=workers, timeout=timeout, on_step=on_step,
                        memory=most)  # fmt: skip
        run = _Run(recipe, folders, out, stages, listed, tuple(recognisers), detector, notice,
                   None if follow is None else file_sha256(follow))  # fmt: skip
        return run(choosing.Named.read(exclude, withdrawn))


class _Run:
    """One call of ``prepare``: what its stages hand on to each other."""

    def __init__(
        self, recipe: Recipe, folders: Mapping[str, Path], out: Path, stages: Stages, listed: PublishedList | None,
        recognisers: tuple[str, ...], detector: str, notice: Notice, list_digest: str | None,
    ) -> None:  # fmt: skip
        self.recipe, self.folders, self.out, self.stages, self.listed = recipe, folders, out, stages, listed
        self.recognisers, self.detector, self.notice = recognisers, detector, notice
        self.list_digest = list_digest
        self.all: list[str] = []
        self.splits: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        """Source clip -> why it has no item."""

    def __call__(self, named: choosing.Named) -> Preparation:
        clips = self._clips(named)
        probed = self._probe(clips)
        seen = self._faces(clips, probed)
        kept = self._filter(clips, probed, seen)
        told = self._text(kept)
        chosen = self._draw(told)
        return self._write(clips, probed, told, chosen)

    def _clips(self, named: choosing.Named) -> dict[str, SourceClip]:
        """Those that go on; index and clips."""
        found = sorted(self.recipe.index(self.folders), key=lambda clip: (clip.id, json_text(plain(clip))))
        if not found:
            raise ItemError(f"{self.recipe.id}: no clip is found in {', '.join(map(str, self.folders.values()))}; "
                            f"expected {', '.join(self.recipe.sources.values())}")  # fmt: skip
        self.stages.write("index", map(plain, found))
        clips, reasons = choosing.usable(found, named, None if self.listed is None else self.listed.clips, self.folders)
        if again := [one.id for one, other in pairwise(found) if one.id == other.id]:
            self.notice(f"{len(again)} clips have the id of another, of which the first in order counts: {some(again)}")
        for text in named.unmatched(found):
            self.notice(text)
        if self.listed is None and self.recipe.most is not None:
            clips, beyond = choosing.first_by_rank(
                clips, self.recipe.most, f"{self.recipe.id}/v{self.recipe.info.version}"
            )
            reasons |= beyond
        self.reasons |= reasons
        self.splits = {clip.id: clip.split for clip in found}
        self.all = list(self.splits)
        self.stages.write(
            "clips", ({"id": id, **({"reason": reasons[id]} if id in reasons else {})} for id in self.all)
        )
        return clips

    def _stretch(self, clip: SourceClip) -> Stretch | None:
        if clip.path is None:
            return None
        sound = None if clip.sound is None else self._file(clip, clip.sound)
        return Stretch(self._file(clip, clip.path), clip.start, clip.end, sound)

    def _file(self, clip: SourceClip, path: str) -> Path:
        return self.folders[clip.source] / path

    def _probe(self, clips: Mapping[str, SourceClip]) -> dict[str, Row]:
        jobs = []
        for clip in clips.values():
            files = {field: self._file(clip, path) for field, path in clip.files.items()}
            there = {field: [path.stat().st_size, path.stat().st_mtime_ns] for field, path in files.items()}
            listen = self._stretch(clip) if self.recipe.cut is not None else None
            jobs.append(Job(clip.id, probe_task, Probe(files, listen), [VERSION, plain(clip), there]))
        rows = self._without_reasons(self.stages.run("probe", jobs))
        for id, row in [*rows.items()]:
            if reason := self.recipe.refuse(clips[id], choosing.facts_of(row)):
                self.reasons[id] = reason
                del rows[id]
        return rows

    def _without_reasons(self, rows: Mapping[str, Row]) -> dict[str, Row]:
        self.reasons |= {id: row["reason"] for id, row in rows.items() if "reason" in row}
        return {id: row for id, row in rows.items() if "reason" not in row}

    def _faces(self, clips: Mapping[str, SourceClip], probed: Mapping[str, Row]) -> dict[str, Row]:
        rule = self.recipe.cut
        if rule is None or self.listed is not None:
            return {}
        jobs = []
        for id, row in probed.items():
            if not row["speech"]:
                self.reasons[id] = "no speech is heard"
                continue
            stretch = self._stretch(clips[id])
            made_from = [VERSION, row["files"]["path"]["sha256"], clips[id].start, clips[id].end, self.detector,
                         rule.look]  # fmt: skip
            jobs.append(Job(id, faces_task, (stretch, rule), made_from))
        return self._without_reasons(self.stages.run("faces", jobs))

    def _filter(
        self, clips: Mapping[str, SourceClip], probed: Mapping[str, Row], seen: Mapping[str, Row]
    ) -> dict[str, Kept]:
        """Pieces by id, as the rule, the list, or the set itself cuts them."""
        found: dict[str, Kept] = {}
        if self.listed is not None:
            pieces = [piece for item in self.listed.items for piece in (item.piece, item.voice) if piece is not None]
            found = {piece.id: Kept(piece, clips[piece.clip]) for piece in pieces if piece.clip in probed}
        elif self.recipe.cut is None:
            found = {id: Kept(Piece(id=id, clip=id), clips[id]) for id in probed}
        else:
            for id, row in seen.items():
                got, reason = choosing.pieces_of(clips[id], probed[id], row, self.recipe.cut)
                found |= {piece.id: Kept(piece, clips[id]) for piece in got}
                if reason is not None:
                    self.reasons[id] = reason
        self.stages.write("filter", (found[id].piece.model_dump(mode="json") for id in sorted(found)))
        return found

    def _text(self, kept: Mapping[str, Kept]) -> dict[str, Kept]:
        """Pieces with what is said in them; those whose words are not sure go, but for a list's and optional ones."""
        if self.recipe.text not in RECOGNISED:
            return dict(kept)
        optional = self.recipe.text == "optional"
        jobs, told = [], dict(kept) if optional else {}
        for id, each in kept.items():
            if optional and each.clip.language is None:
                continue  # told that it is some language, a recogniser would translate
            stretch = self._stretch(each.clip)
            assert stretch is not None
            if each.piece.first is not None and each.piece.end is not None:
                stretch = stretch.part(each.piece.first, each.piece.end)
            language = each.clip.language or self.recipe.info.languages[0]
            there = (stretch.sound or stretch.path).stat()
            made_from = [VERSION, each.clip.source, each.clip.sound or each.clip.path, there.st_size, there.st_mtime_ns,
                         stretch.start, stretch.end, language, self.recognisers]  # fmt: skip
            jobs.append(Job(id, text_task, (stretch, language), made_from))
        for id, row in self.stages.run("text", jobs).items():
            each, reason = kept[id], row.get("reason")
            if reason is None:
                heard = [Transcript(one["text"], one["language"], tuple(one["flags"])) for one in row["heard"]]
                found = agreed(heard, each.clip.language or self.recipe.info.languages[0])
                reason = found.reason
                if reason is None or (self.listed is not None and not optional):
                    told[id] = replace(
                        each, text=found.text, heard=(found.text, *found.others), agreement=found.agreement
                    )
            if reason is not None and id not in told:
                self.reasons.setdefault(each.clip.id, reason)
        return told

    def _draw(self, told: dict[str, Kept]) -> list[ListedItem]:
        """The items. Of a complete set also those that cannot be made, whose pieces leave ``told``."""
        if self.listed is not None:
            items = list(self.listed.items)
        else:
            items, reasons = choosing.drawn(told, self.recipe)
            for piece, reason in reasons.items():
                self.reasons.setdefault(told[piece].clip.id, reason)
            if self.recipe.complete:
                refused = [id for id in self.all if self.reasons.get(id) not in (None, WITHDRAWN, EXCLUDED)]
                for id in refused:
                    told.pop(id, None)
                items += [ListedItem(id=id, split=self.splits[id], piece=Piece(id=id, clip=id)) for id in refused]
        self.stages.write("draw", (item.model_dump(mode="json", exclude_none=True) for item in items))
        return items

    def _write(
        self, clips: Mapping[str, SourceClip], probed: Mapping[str, Row], told: Mapping[str, Kept],
        chosen: Sequence[ListedItem],
    ) -> Preparation:  # fmt: skip
        rate = self.recipe.info.audio_rate
        size = 0 if self.recipe.cut is None else self.recipe.cut.size
        there = [item for item in chosen if item.piece.id in told and (item.voice is None or item.voice.id in told)]
        jobs, works = [], {}
        for item in there:
            clip = told[item.piece.id].clip
            voice = None if item.voice is None else self._part(told[item.voice.id])
            files = {field: self._file(clip, path) for field, path in clip.files.items()}
            works[item.id] = Writing(
                item.id, self.out / item.split, self.recipe.pictures, self._part(told[item.piece.id]), item.piece.box,
                size, voice, files, rate,
            )  # fmt: skip
            digests = [probed[each]["files"] for each in (clip.id, item.voice and item.voice.clip) if each]
            place = item.model_dump(mode="json", include={"piece", "voice", "split"})
            made_from = [VERSION, place, digests, size, rate, self.recipe.pictures]
            jobs.append(Job(item.id, write_task, works[item.id], made_from))

        def whole(row: Row) -> bool:
            split = works[row["id"]].folder
            return "reason" in row or all((split / path).is_file() for path in row["files"].values())

        rows = self.stages.run("write", jobs, whole)
        for name, text in self.recipe.published(self.folders).items():
            write_text(self.out / "published" / name, text)
        cut = {} if self.recipe.cut is None or self.listed else {"detector": self.detector}
        missing = write_folder(
            self.out, self.recipe, told, probed, chosen, rows,
            self.recognisers if self.recipe.text in RECOGNISED else (), cut, self.all, self.reasons, self.list_digest,
        )  # fmt: skip
        splits = {split: sum(item.split == split for item in chosen) for split in self.recipe.info.splits}
        kept = {item.piece.clip for item in chosen if item.id not in missing}
        for split, expected in self.recipe.info.splits.items():
            if splits[split] != expected:
                self.notice(f"{split}: {splits[split]} items, {expected} are expected")
        left_out = [(id, self.reasons.get(id, "not drawn")) for id in self.all if id not in kept]
        return Preparation(self.out, splits, left_out, missing, self._differing(rows, told))

    def _differing(self, rows: Mapping[str, Row], told: Mapping[str, Kept]) -> list[tuple[str, str]]:
        found = []
        for item in self.listed.items if self.listed else ():
            digests = rows[item.id].get("digests", {}) if item.id in rows else {}
            if digests and (words := told[item.piece.id].words):
                digests = {**digests, "text": text_digest(words)}
            if other := [what for what in digests if item.digests.get(what, digests[what]) != digests[what]]:
                found.append((item.id, ", ".join(other)))
        return found

    def _part(self, kept: Kept) -> Stretch | None:
        stretch = self._stretch(kept.clip)
        if stretch is None or kept.piece.first is None or kept.piece.end is None:
            return stretch
        return stretch.part(kept.piece.first, kept.piece.end)
