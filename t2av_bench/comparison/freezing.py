"""``data freeze``: a run's items with their media and scores, as a small benchmark that checkpoints are tested on.

FOLDER/benchmark.toml           what it is, see ``benchmarks.info``
FOLDER/regression/items.jsonl   the manifest, for ``evaluate`` and ``run``
FOLDER/regression/media/        what the items name, each file called by its content
FOLDER/evaluate.toml            by what the baseline was measured: ``evaluate --config``
FOLDER/baseline.json            the scores, for ``regress``; written last
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2av_bench.benchmarks.info import INFO, BenchmarkInfo, Licence, Prepared, info_text
from t2av_bench.benchmarks.manifest import PATHS, Item
from t2av_bench.benchmarks.prepared import ITEMS, write_digests
from t2av_bench.errors import ItemError, MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.preparation.benchmarks.draw import rank
from t2av_bench.results import baseline
from t2av_bench.results.baseline import BASELINE
from t2av_bench.results.run import RunResult
from t2av_bench.statistics.intervals import LEAST_CLIPS
from t2av_bench.utils.config import dump_toml, near
from t2av_bench.utils.files import file_sha256, json_text, link, replacing, write_text
from t2av_bench.utils.text import some

SPLIT, CONFIG = "regression", "evaluate.toml"
_DIGITS = 16

Media = Literal["copy", "link"]
OnItem = Callable[[int, int, str], None]
"""Called with how many items are there, how many there will be, and the id of the last one."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A regression set. items: ids in order. left_out: id -> why it is not among them. notes: what else to know."""

    folder: Path
    items: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def manifest(self) -> Path:
        return self.folder / SPLIT / ITEMS

    @property
    def config(self) -> Path:
        return self.folder / CONFIG

    @property
    def baseline(self) -> Path:
        return self.folder / BASELINE


def freeze(
    run: RunResult,
    out: Path,
    *,
    items: int | None = None,
    ids: Sequence[str] | None = None,
    media: Media = "copy",
    on_item: OnItem | None = None,
) -> Frozen:
    """Make a regression set of a run's items; all of them where neither ``items`` nor ``ids`` says which.

    items: how many, drawn by the digests of their ids, so that each smaller draw is part of a larger one. media: copy
    the files, or give them second names where the file system can (they must then not be written to). An item without
    a clip, or whose files are gone or have changed since it was scored, is left out, with the reason. Raises ItemError
    where the folder holds something else, or nothing can be frozen.
    """
    if items is not None and ids is not None:
        raise ItemError("a number of items (--items) and a list of them (--ids) exclude each other")
    wanted = _named(run, ids) if ids is not None else _ranked(run)
    count = len(wanted) if items is None else items
    if count > len(wanted):
        raise ItemError(f"{run.path} has {len(wanted)} items, {count} are wanted (--items)")
    _check_place(out)
    documents: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for id in wanted:
        if len(documents) == count:
            break
        try:
            documents[id] = _document(run.rows[id], out / SPLIT, media)
        except (ItemError, MediaError, OSError) as error:
            left_out[id] = str(error)
        if on_item is not None:
            on_item(len(documents), count, id)
    if not documents:
        raise ItemError(f"no item of {run.path} can be frozen: {next(iter(left_out.values()), 'it has none')}")
    frozen = run.restricted(documents)
    metrics = {column.metric: None for column in frozen.columns if column.summary.score.value is not None}
    if not metrics:
        raise ItemError(f"no metric of {run.path} has a value for these items: there is no baseline to compare with")
    notes = _notes(frozen, metrics)
    frozen.columns = [column for column in frozen.columns if column.metric in metrics]
    lines = [json_text(documents[id]) for id in frozen.clips]
    _keep(out / SPLIT / ITEMS, "".join(f"{line}\n" for line in lines))
    how = "all" if items is None and ids is None else "named" if items is None else "drawn by the digests of their ids"
    _keep(
        out / INFO, info_text(_info(frozen, out, documents, f"{how}: {len(documents)} of {len(run.clips)}", left_out))
    )
    _keep(out / CONFIG, _config(frozen, metrics))
    text, lost = baseline.text(frozen.recorded)
    _keep(out / BASELINE, text)
    write_digests(out)
    return Frozen(out, tuple(frozen.clips), left_out, (*notes, *lost))


def _named(run: RunResult, ids: Sequence[str]) -> list[str]:
    if unknown := [id for id in dict.fromkeys(ids) if id not in run.rows]:
        raise ItemError(f"{run.path} has no item {some(map(repr, unknown))}{near(unknown[0], run.clips)}")
    if not ids:
        raise ItemError("the list of items (--ids) is empty; expected an id a line")
    return list(dict.fromkeys(ids))


def _ranked(run: RunResult) -> list[str]:
    return sorted(run.clips, key=lambda id: rank(f"{SPLIT}/", id))


def _check_place(out: Path) -> None:
    """ItemError where the folder holds anything but a regression set, or what an interrupted command left of one."""
    if out.exists() and not out.is_dir():
        raise ItemError(f"--out {out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / SPLIT).is_dir():
        raise ItemError(f"--out {out} holds files, but no regression set: name a new folder")


def _document(row: Mapping[str, Any], folder: Path, media: Media) -> dict[str, Any]:
    """The item's line of the manifest, with its files in the folder. Raises ItemError, MediaError and OSError.

    Of the sound beside a generated clip nothing is kept: a candidate's clips have their own.
    """
    if row["reason"]:
        raise ItemError(f"the run has no clip of it: {row['reason']}")
    fields = Item.model_validate(row["item"]).model_dump(mode="json", exclude_defaults=True, exclude={"audio"})
    if row["reference"]:
        fields["reference"] = row["reference"]
        sound = fields.get("reference_audio")
        _check_reference(Clip(Path(row["reference"]), sound_path=sound), row["reference_digest"])
    else:
        for key in ("reference", "reference_audio"):
            fields.pop(key, None)
    for key in PATHS:
        if key in fields:
            fields[key] = _placed(Path(fields[key]), folder, key, media)
    return fields


def _check_reference(clip: Clip, digest: str | None) -> None:
    if digest is None:
        raise ItemError(f"its reference {clip.path} could not be read when it was scored")
    if not clip.path.is_file():
        raise ItemError(f"its reference {clip.path} is not there")
    if clip.digest != digest:
        raise ItemError(f"its reference {clip.path} has changed since it was scored: evaluate again")


def _placed(source: Path, folder: Path, key: str, media: Media) -> str:
    """The file's name below the folder, where it is put unless it is there."""
    if not source.is_file():
        raise ItemError(f"its {key.replace('_', ' ')} {source} is not there")
    digest = file_sha256(source)
    name = f"media/{digest[:_DIGITS]}{source.suffix.lower()}"
    target = folder / name
    if not target.is_file() or file_sha256(target) != digest:
        target.unlink(missing_ok=True)
        if media == "link":
            link(source, target)
        else:
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
    return name


def _info(
    run: RunResult, out: Path, documents: Mapping[str, Mapping[str, Any]], chosen: str, left_out: Mapping[str, str]
) -> BenchmarkInfo:
    """What the set is. Whose media these are only its maker knows, unless the items say."""
    every = list(documents.values())
    tasks = {
        "t2av": all("text" in each for each in every), "tts": all("text" in each for each in every),
        "a2v": all("reference" in each or "driving_audio" in each for each in every),
        "v2a": all("reference" in each or "driving_video" in each for each in every),
    }  # fmt: skip
    licences = sorted({each.get("licence", "not stated") for each in every})
    return BenchmarkInfo(
        name=re.sub(r"[^a-z0-9.-]+", "-", out.resolve().name.lower()).strip(".-") or SPLIT, version=1,
        title=f"Regression set of {run.name}", languages=tuple(filter(None, run.languages())),
        tasks=tuple(task for task, can in tasks.items() if can), splits={SPLIT: len(every)},
        get="frozen from a run: its media lie in the folder",
        licence=Licence(
            id=", ".join(licences), terms="those of the media's owners", redistribute=False, consent="not stated"
        ),
        ours={"items": chosen, "baseline": run.name},
        prepared=Prepared(recipe="freeze", version=1, left_out=len(left_out)),
    )  # fmt: skip


def _config(run: RunResult, metrics: Mapping[str, None]) -> str:
    options = {id: found for id in metrics if (found := run.described[id]["description"].get("options"))}
    values = {"manifest": f"{SPLIT}/{ITEMS}", "metrics": list(metrics), **({"options": options} if options else {})}
    said = f"# A candidate: t2av-bench evaluate CLIPS --config {CONFIG} --out RUN, then t2av-bench regress FOLDER RUN\n"
    return said + dump_toml(values)


def _keep(path: Path, text: str) -> None:
    """Write what belongs to the set. ItemError where it holds something else: a set is never replaced in silence."""
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ItemError(f"{path.parent} holds another regression set ({path.name} differs): name another --out")
    write_text(path, text)


def _notes(run: RunResult, metrics: Mapping[str, None]) -> list[str]:
    notes = []
    if len(run.clips) < LEAST_CLIPS:
        notes.append(f"{len(run.clips)} items: 'regress' judges nothing below {LEAST_CLIPS}")
    if lost := dict.fromkeys(column.metric for column in run.columns if column.metric not in metrics):
        notes.append(f"{some(lost)}: no value for any of these items, so not part of the baseline")
    return notes
