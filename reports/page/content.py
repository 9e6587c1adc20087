"""Runs as the page needs them: systems across, items down, and what is known of every clip.

Items of different runs belong together where their ids are equal, as in tables.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.page.mouth import Mouths
from reports.page.transcript import Transcript, transcripts
from reports.tables.build import build
from reports.tables.model import Table
from reports.tables.rows import names_by
from reports.tables.specification import Specification
from t2av_bench.errors import ItemError
from t2av_bench.metrics.base import Curve
from t2av_bench.results.run import RunResult, open_run
from t2av_bench.scores import Status


@dataclass(frozen=True, slots=True)
class DrawnCurve:
    """A clip's curve over offsets in frames at 25 fps, offsets ascending; see ``metrics.base.Curve``."""

    metric: str
    label: str
    offsets: tuple[int, ...]
    values: tuple[float, ...]
    lowest: bool


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A media file of a run: where it is (None: it never was), its recorded digest and facts (see MediaInfo).

    sound: the file with its sound, where that is another one.
    """

    path: Path | None
    digest: str | None
    facts: Mapping[str, Any] | None
    reason: str | None = None
    sound: Path | None = None


@dataclass(frozen=True, slots=True)
class FigureLimit:
    """How many pictures or videos under a licence one publication may show."""

    licence: str
    most: int

    def __str__(self) -> str:
        return f"the licence {self.licence} allows {self.most} pictures or videos in a publication"


def figure_limit(item: Mapping[str, Any]) -> FigureLimit | None:
    """Of an item (its document), whose benchmark says ``figures_max``; None where nothing is said."""
    most = item.get("figures_max")
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        return None
    return FigureLimit(str(item.get("licence") or item.get("dataset") or "of these items"), most)


@dataclass(slots=True)
class ClipContent:
    """One clip of one system. speed: seconds spent per second generated, where the generator recorded it."""

    source: SourceFile
    reference: SourceFile | None
    transcripts: list[Transcript] = field(default_factory=list)
    curves: list[DrawnCurve] = field(default_factory=list)
    speed: float | None = None


@dataclass(slots=True)
class PageSystem:
    """One run. real: it holds real clips, the row that the others are measured against.

    descriptions: metric id -> what the run says of it (title, fingerprint, protocol, …). step: training step of the
    checkpoint that made the clips, where stated. mouths: where they are in the clips.
    """

    name: str
    run: RunResult
    clips: dict[str, ClipContent]
    descriptions: dict[str, dict[str, Any]]
    mouths: Mouths
    real: bool = False

    @property
    def step(self) -> int | None:
        found: int | None = self.run.settings.get("step")
        return found

    @property
    def speed(self) -> float | None:
        """Mean real-time factor of the clips that have one."""
        found = [clip.speed for clip in self.clips.values() if clip.speed is not None]
        return sum(found) / len(found) if found else None


@dataclass(slots=True)
class Content:
    """What the page shows. items: id -> what the first run that has it asked for (``text``, ``language``, …).

    table: of all systems and quantities. parts: what is plotted together.
    """

    systems: list[PageSystem]
    items: dict[str, Mapping[str, Any]]
    table: Table
    parts: Sequence["Part"] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """Systems that are compared with each other, and by what: places in ``Content.systems`` and in its table's columns.

    anchors: those of the systems that generate nothing.
    """

    title: str
    systems: tuple[int, ...]
    columns: tuple[int, ...]
    anchors: frozenset[int] = frozenset()


def gather(
    folders: Sequence[Path], real: str | None = None, specifications: Sequence[Specification] = ()
) -> Content:  # fmt: skip
    """Read run folders. real: folder or system name of the run that holds real clips; it comes first.

    specifications: of the tables that are shown; systems have the names of their rows.
    Raises StoreError for a folder that is no run, ItemError where ``real`` names none of them.
    """
    results = [open_run(folder) for folder in folders]
    names = names_by(specifications, results)
    marked = [
        real is not None and (real in (run.name, name) or run.path.resolve() == Path(real).resolve())
        for run, name in zip(results, names, strict=True)
    ]
    if real is not None and not any(marked):
        raise ItemError(f"--real {real}: no such run; the runs are {', '.join(names)}")
    order = sorted(range(len(results)), key=lambda index: not marked[index])
    # The page marks cells of another protocol instead of refusing: it is there to look into such things.
    table = build(
        [results[index] for index in order], allow_mixed=True, intervals=True, names=[names[index] for index in order]
    )
    systems = [
        _system(row.name, results[index], marked[index]) for row, index in zip(table.rows, order, strict=True)
    ]  # fmt: skip
    items: dict[str, Mapping[str, Any]] = {}
    for system in systems:
        for clip, row in system.run.rows.items():
            items.setdefault(clip, row["item"])
    anchors = frozenset(place for place, system in enumerate(systems) if system.real)
    everything = Part("", tuple(range(len(systems))), tuple(range(len(table.columns))), anchors)
    return Content(systems, items, table, [everything])


def _system(name: str, run: RunResult, real: bool) -> PageSystem:
    clips = {id: clip_content(row, run.claim) for id, row in run.rows.items()}
    with run.store() as store:
        for metric, entry in run.described.items():
            stated = curves_of(entry["description"])
            by_character = entry["protocol"]["parameters"].get("unit") == "characters"
            for row in store.measurements(metric):
                if row["status"] != Status.OK:
                    continue
                clip = clips[row["clip"]]
                clip.transcripts += transcripts(metric, row["detail"], by_character=by_character)
                if stated:
                    arrays = run.features.get(row["inputs"], entry["fingerprint"], "measurement") or {}
                    clip.curves += [drawn for curve in stated if (drawn := _drawn(metric, curve, arrays)) is not None]
    descriptions = {metric: {**entry["description"], **entry} for metric, entry in run.described.items()}
    return PageSystem(name, run, clips, descriptions, Mouths(run.features), real)


def clip_content(row: Mapping[str, Any], claim: Mapping[str, Any]) -> ClipContent:
    """A clip's files, of its row of a run and the run's ``claim``."""
    facts = row["media"] or {}
    path = located(row["generated"], claim.get("generated"))
    source = SourceFile(path, row["digest"], facts.get("generated"), row["reason"], sound_of(row))
    reference = None
    if row["reference"]:
        reference = SourceFile(
            located(row["reference"], claim.get("reference")), row["reference_digest"], facts.get("reference"),
            sound=sound_of(row, "reference_audio"),
        )  # fmt: skip
    return ClipContent(source, reference, speed=_speed(path))


def sound_of(row: Mapping[str, Any], key: str = "audio") -> Path | None:
    """The file with a clip's sound, where that is not the clip itself."""
    named = row["item"].get(key)
    return None if named is None else Path(named)


def located(recorded: str | None, root: str | None) -> Path | None:
    """The file that a run names. A relative path was relative to where ``evaluate`` ran: look in the run's folder."""
    if recorded is None:
        return None
    path = Path(recorded)
    if path.is_absolute() or path.exists() or root is None:
        return path.absolute()
    for start in range(len(path.parts)):
        candidate = Path(root, *path.parts[start:])
        if candidate.exists():
            return candidate
    return Path(root, path.name)


def _speed(path: Path | None) -> float | None:
    """The real-time factor from the record that a generator leaves beside its clip."""
    if path is None:
        return None
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    value = record.get("real_time_factor") if isinstance(record, dict) else None
    return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else None


def curves_of(description: Mapping[str, Any]) -> list[Curve]:
    """The curves that a metric says it has; none in runs that were made before metrics said so."""
    return [Curve(**{**curve, "offsets": tuple(curve["offsets"])}) for curve in description.get("curves", ())]


def _drawn(metric: str, curve: Curve, arrays: Mapping[str, Any]) -> DrawnCurve | None:
    values = arrays.get(curve.feature)
    if values is None or values.shape != (len(curve.offsets),):
        return None
    points = sorted(zip(curve.offsets, values.astype(float).tolist(), strict=True))
    return DrawnCurve(metric, curve.label, tuple(x for x, _ in points), tuple(y for _, y in points), curve.lowest)
