"""Scores for experiment trackers: what a run tells them, and what became of it.

A logger is a module with ``check`` and ``log``, which stands in ``_MODULES`` and in ``evaluation.config.LOGGERS``.
"""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from reports.page.content import SourceFile, clip_content, figure_limit
from reports.page.media import MediaFolder, PageClip
from reports.tables.model import TableColumn
from t2av_bench.api.runs import Logged, Run
from t2av_bench.errors import NotApplicable
from t2av_bench.scores import with_variant
from t2av_bench.utils.reasons import said

_MODULES = {"wandb": "t2av_bench.api.wandb_logger"}
MOST_BYTES = 100 * 2**20
"""Of a clip that is logged to be played."""
_NOT_SHOWN = {"status", "direction", "label"}


@dataclass(frozen=True, slots=True)
class Media:
    """A file to be played, in a folder that is there while the run is logged. picture: whether it has any."""

    path: Path
    picture: bool


@dataclass(frozen=True, slots=True)
class Content:
    """What is told of a run.

    name: its row's, else its system's. group: what the runs of one command have in common; None where it is one run.
    folder: the run's. config: the system, its files, the protocols and the versions that measured.
    quantities: column -> its value over all clips with interval and coverage, or the reason why there is none; ``‡``
    ends the names and labels of what stand-ins measured.
    columns, rows: one row a clip: its id, text and language, ``generated`` and ``reference`` (``Media`` or None) and
    what is to be said of them, the values (None where there is none), and the reasons of those that are missing.
    values: the columns that hold values.
    """

    name: str
    group: str | None
    folder: Path
    config: Mapping[str, Any]
    quantities: Mapping[str, Mapping[str, Any]]
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    values: tuple[str, ...]


def check(logger: str) -> None:
    """Raises ValueError where nothing can be logged, with what to type: to be called before the work."""
    try:
        importlib.import_module(_MODULES[logger]).check()
    except NotApplicable as error:
        raise ValueError(str(error)) from error


def log(
    runs: Mapping[str, Run], logger: str, media: int, group: str | None = None,
    about: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Log runs, of each the first so many clips to be played: ``Run.logged``. Raises nothing: their scores are there.

    about: of each row of an experiment its ``name``, system, seed, …. After a failure the others are not tried: where
    a server does not answer, each of them would wait for it.
    """
    failed = None
    for name, run in runs.items():
        run.logged = failed or _logged(run, logger, media, group, about.get(name, {}))
        failed = run.logged if run.logged.reason else None


def _logged(run: Run, logger: str, media: int, group: str | None, about: Mapping[str, Any]) -> Logged:
    try:
        with _content(run, media, group, about) as content:
            where, hint = importlib.import_module(_MODULES[logger]).log(content)
    except (Exception, SystemExit) as error:
        return Logged(logger, reason=said(error))
    return Logged(logger, where, hint)


@contextmanager
def _content(run: Run, media: int, group: str | None, about: Mapping[str, Any]) -> Iterator[Content]:
    result = run.result
    families = [column.quantity.name for column in result.columns]
    keys = {
        (column.metric, column.quantity.name): with_variant(column.quantity.name, column.metric, families)
        + ("‡" if column.stand_in else "")
        for column in result.columns
    }  # fmt: skip
    # A clip has no value of its own in a distance between sets.
    own = {(each.metric, each.quantity.name) for each in result.columns if each.quantity.aggregate != "set"}
    values = tuple(key for column, key in keys.items() if column in own)
    columns = ("clip", "text", "language", *_NO_MEDIA, *values, "reasons")
    with TemporaryDirectory(prefix="t2av-bench-log-") as folder:
        shown = MediaFolder(Path(folder), "copy")
        rows = []
        for position, clip in enumerate(result.clips):
            found = {keys[key]: result.scores.get(key, {}).get(clip) for key in keys}
            reasons: dict[str, list[str]] = {}
            for name, score in found.items():
                if score is not None and score.reason is not None:
                    reasons.setdefault(score.reason, []).append(name)
            item = result.rows[clip]["item"]
            rows.append({
                "clip": clip, "text": item.get("text"), "language": item.get("language"),
                **(_media(result.rows[clip], result.claim, shown) if position < media else _NO_MEDIA),
                **{name: score.value if score is not None else None for name, score in found.items() if name in values},
                "reasons": "\n".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items()),
            })  # fmt: skip
        yield Content(
            str(about.get("name") or run.name), group, run.path.resolve(), _config(run, about),
            dict(zip(keys.values(), _quantities(run, [*keys.values()]), strict=True)), columns, tuple(rows), values,
        )  # fmt: skip


def _quantities(run: Run, keys: list[str]) -> Iterator[dict[str, Any]]:
    known = run.summary.astype(object)
    for key, row in zip(keys, known.where(known.notna(), None).to_dict("records"), strict=True):
        label = row["label"] + ("‡" if row["stand_in"] else "")
        heading = TableColumn(key, label, row["direction"]).heading
        yield {"label": heading, **{name: each for name, each in row.items() if name not in _NOT_SHOWN}}


def _config(run: Run, about: Mapping[str, Any]) -> dict[str, Any]:
    result = run.result
    sessions = result.sessions
    return {
        "system": run.name, "clips": len(result.clips), "run_folder": str(run.path.resolve()),
        **{key: result.claim.get(key) for key in ("generated", "reference", "manifest")},
        "step": result.settings.get("step"),
        "protocols": {
            metric: {"fingerprint": entry["fingerprint"], "stand_in": entry["description"]["embedded"],
                     **{key: entry["protocol"][key] for key in ("parameters", "weights", "libraries")}}
            for metric, entry in result.described.items()
        },
        "environment": dict(sessions[-1]) if sessions else {},
        **({"row": dict(about)} if about else {}),
    }  # fmt: skip


PLAYED = ("generated", "reference")
_NO_MEDIA = dict.fromkeys([*PLAYED, "media"])


def _media(row: Mapping[str, Any], claim: Mapping[str, Any], folder: MediaFolder) -> dict[str, Any]:
    clip, limit = clip_content(row, claim), figure_limit(row["item"])
    found: dict[str, Any] = dict(_NO_MEDIA)
    notes = []
    for name, source in zip(PLAYED, (clip.source, clip.reference), strict=True):
        if source is not None:
            found[name], note = _file(source, folder.put(source, limit) if _is_small(source) else None, folder.out)
            notes += [f"{name}: {note}"] if note else []
    return found | {"media": "\n".join(notes) or None}


def _is_small(source: SourceFile) -> bool:
    try:
        return source.path is None or source.path.stat().st_size <= MOST_BYTES
    except OSError:  # what is wrong with it is said where it is read
        return True


def _file(source: SourceFile, shown: PageClip | None, folder: Path) -> tuple[Media | None, str | None]:
    """What is played of a file, and what is to be said of it."""
    if shown is None:
        return None, f"not logged: larger than {MOST_BYTES // 2**20} MB"
    if shown.src is None:
        return None, shown.note
    path, note = folder / shown.src, shown.note
    if shown.picture and path.suffix in (".mov", ".m4v"):  # the same container under the name that players go by
        renamed = path.with_suffix(".mp4")
        if path.exists():
            path.rename(renamed)
        return Media(renamed, True), "; ".join(filter(None, [note, f"shown as .mp4, not {path.suffix}"]))
    return Media(path, shown.picture), note
