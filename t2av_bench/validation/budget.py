"""Measure an error budget: write clips anew without touching what a model made, score them, compare with the control.

WORK/clips/, WORK/runs/, WORK/features/ are as ``validity`` makes them (see ``run``); the same call continues.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from t2av_bench.errors import Unscorable
from t2av_bench.evaluation.config import check_device
from t2av_bench.evaluation.evaluate import alone_in
from t2av_bench.evaluation.planning import announced
from t2av_bench.metrics import create, metric_class, metric_ids, registry, resolve
from t2av_bench.results import budget as files
from t2av_bench.results.budget import Budget, Entry, Sampling, Source, Variant, method_of
from t2av_bench.results.recorded import QuantityRecord
from t2av_bench.results.run import RunResult
from t2av_bench.statistics.components import components, crossed
from t2av_bench.statistics.paired import untested_difference
from t2av_bench.statistics.samples import Grouping, Sample
from t2av_bench.utils.config import ConfigError, folded, load_toml, near
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.text import some
from t2av_bench.utils.worker_pool import WorkerPool
from t2av_bench.validation.damages import VARIANTS
from t2av_bench.validation.making import UNDAMAGED, Grade, make
from t2av_bench.validation.run import DamagingConfig, Listed, entries_of, score
from t2av_bench.weights.needs import lack, unusable

PROTOCOLS = "protocols"
"""The source that stands for every metric's ``alternatives``."""
SOURCES = (*VARIANTS, PROTOCOLS)
_LENGTH = "length"
_SUBJECT = "how a clip ends is what it measures, and no error of it"
_LEFT_OUT = "not asked for (--sources)"
_OF_ENDS = ("truncated_end", "trailing_silence")
"""Besides quantities that claim to notice ``truncation``; these move either way with it."""
_SCATTERS = Path(files.PACKAGED).with_name("scatters.toml")


class BudgetConfig(DamagingConfig):
    """Which sources of error are measured, and where the budget is written."""

    out: Path = Field(default=Path("budget.json"), description="JSON file for the budget.")
    add: bool = Field(
        default=False,
        description="Keep what the file already has of other metrics, and of those that lack something here.",
    )
    work: Path | None = Field(
        default=None,
        description="Folder for the clips and their scores; the same command continues it.  [default: FILE-run]",
    )
    sources: Annotated[tuple[str, ...], Listed] = Field(
        default=("all",), min_length=1, description=f"Comma-separated sources of error: {', '.join(SOURCES)}."
    )

    @property
    def folder(self) -> Path:
        return self.work or self.out.with_name(f"{self.out.stem}-run")

    @property
    def chosen(self) -> list[str]:
        """Raises ConfigError for an unknown name."""
        found = SOURCES if "all" in map(folded, self.sources) else tuple(dict.fromkeys(self.sources))
        for name in found:
            if name not in SOURCES:
                raise ConfigError(
                    f"--sources: there is no {name!r}{near(name, SOURCES)}; {some(SOURCES, len(SOURCES))}"
                )
        return list(found)


def budget(config: BudgetConfig, on_step: OnStep, notice: Notice) -> Budget:
    """Measure it and write its file. Raises ValueError for what cannot be carried out; clips that fail have reasons.

    Metrics that lack something here are entries too, with the reason.
    """
    check_device(config.device)
    for text in announced(config.metrics):
        notice(text)
    chosen, folder = config.chosen, config.folder
    lacking = {id: _lacked(id) for id in dict.fromkeys(resolve(list(config.metrics)))}
    ids = [id for id, reason in lacking.items() if reason is None]
    options = registry.options_of(config.options, list(lacking))
    before = files.load(config.out) if config.add and config.out.is_file() else Budget()
    if config.out.is_dir():
        raise ConfigError(f"--out: {config.out} is a folder; expected a JSON file, such as {config.out}/budget.json")
    entries = entries_of(config, notice)
    grades = [(name, grade) for name in VARIANTS if name in chosen for grade in VARIANTS[name].grades]
    others = _alternatives(ids) if PROTOCOLS in chosen else {}
    found: list[Entry] = []
    if ids:
        usable = [other for other, reason in others.items() if reason is None]
        asked = {UNDAMAGED: list(dict.fromkeys([*ids, *usable]))} | dict.fromkeys(grades, ids)
        with alone_in(folder), WorkerPool() as pool:
            make(entries, grades, folder, pool, config.processes, config.timeout, on_step, own_references=True)
            runs = score(config, options, folder, asked, len(entries), pool, on_step)
        found += of_runs(runs[UNDAMAGED], {grade: runs[grade] for grade in grades}, ids, others)
    kept = {each.metric for each in before.entries if each.metric not in lacking}
    for id, reason in lacking.items():
        if reason is not None:
            bare = list(_unmeasured(id, reason, options.get(id), len(entries), chosen))
            methods = {each.method for each in bare}
            if any(each.scored and each.method in methods for each in before.entries if each.metric == id):
                kept.add(id)  # measured where nothing was lacking
            else:
                found += bare
    listed = {id: place for place, id in enumerate(metric_ids())}
    found += [each for each in before.entries if each.metric in kept]
    made = Budget(entries=tuple(sorted(found, key=lambda each: listed.get(each.metric, len(listed)))))
    made.save(config.out)
    return made


def _alternatives(ids: Sequence[str]) -> dict[str, str | None]:
    """Ids of the metrics' alternatives -> why one cannot be measured here (None: it can)."""
    listed = (other for id in ids for each in metric_class(id).alternatives.values() for other in each)
    return {other: _lacked(other) for other in dict.fromkeys(listed)}


def _lacked(id: str) -> str | None:
    """Why a metric cannot be measured here; without the command that would help, for others will read it."""
    found = lack(metric_class(id))
    return f"missing here: {found.what}" if found else unusable(metric_class(id))


def _unmeasured(
    id: str, reason: str, options: Mapping[str, Any] | None, clips: int, chosen: Sequence[str]
) -> Iterator[Entry]:
    """What there is of a metric that cannot run here: reasons, and how its published scores scatter."""
    mine = metric_class(id)
    method = method_of(create(id, options=options).protocol)
    others = tuple(mine.alternatives) if PROTOCOLS in chosen else ()
    for quantity in mine.quantities:
        borrowed = _published().get((id, quantity.name))
        yield Entry(
            metric=id, quantity=quantity.name, method=method, decimals=quantity.decimals, scored=0,
            total=clips, reasons={reason: clips}, sampling=borrowed, unsampled=None if borrowed else reason,
            sources=tuple(Source(source=name, reason=reason, protocol=name in others) for name in (*VARIANTS, *others)),
        )  # fmt: skip


class _Scatter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    clips: int
    scored: int
    groups: int
    unit: str
    quantities: dict[str, tuple[float, float]]
    metrics: dict[str, str]


class _Scatters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scatter: tuple[_Scatter, ...]


@cache
def _published() -> dict[tuple[str, str], Sampling]:
    """(metric, quantity) -> how the clips of scores that others published scatter."""
    return {
        (metric, f"{name}{suffix}"): Sampling(
            between=between, within=within, scored=each.scored, total=each.clips, groups=each.groups, unit=each.unit,
            of=each.source,
        )
        for each in load_toml(_SCATTERS, _Scatters, {}).scatter
        for metric, suffix in each.metrics.items() for name, (between, within) in each.quantities.items()
    }  # fmt: skip


def of_runs(
    control: RunResult, variants: Mapping[Grade, RunResult], ids: Sequence[str], alternatives: Mapping[str, str | None]
) -> list[Entry]:
    """The entries of these metrics. variants: (source, grade) -> run of the same clips. alternatives: metric ids that
    the control was scored by too, or why not."""
    found = []
    for (metric, name), record in control.records.items():
        if metric not in ids:
            continue
        by, total = control.groups, len(control.clips)
        asked: dict[str, dict[str, QuantityRecord | None]] = {}
        for (source, grade), run in variants.items():
            said = grade if isinstance(grade, str) else f"{grade:g} {VARIANTS[source].unit}"
            asked.setdefault(source, {})[said] = run.records.get((metric, name))
        sources = [
            Source(source=source, reason=_SUBJECT) if source == _LENGTH and _is_of_ends(metric, name)
            else _source(source, record, each, total, by)
            for source, each in asked.items()
        ]  # fmt: skip
        sources += [Source(source=name, reason=_LEFT_OUT) for name in VARIANTS if name not in asked]
        sources += _protocols(record, control, alternatives)
        sampling, unsampled = _sampling(record, control)
        found.append(Entry(
            metric=metric, quantity=name, method=method_of(control.protocols[metric]),
            decimals=record.quantity.decimals, scored=len(record.scored), total=total,
            reasons=dict(Counter(why for _, why in record.missing.values())), sampling=sampling, unsampled=unsampled,
            sources=tuple(sources),
        ))  # fmt: skip
    return found


def _sampling(record: QuantityRecord, control: RunResult) -> tuple[Sampling | None, str | None]:
    """How the control's clips scatter; or why nobody can say."""
    try:
        sample = record.sample(record.scored).grouped(control.groups)
        between, within = map(_rounded, components(sample))
    except Unscorable as error:
        return None, _usual(record) or str(error)
    if not (between or within):
        return None, "all clips have the same value, which says nothing of others"
    return Sampling(
        between=between, within=within, scored=len(sample), total=len(control.clips), groups=sample.units,
        unit=sample.unit if sample.groups else "clips",
    ), None  # fmt: skip


def _is_of_ends(metric: str, quantity: str) -> bool:
    claims = metric_class(metric).validity.get(quantity, {})
    return quantity in _OF_ENDS or claims.get("truncation", "same") != "same"


def _protocols(record: QuantityRecord, control: RunResult, alternatives: Mapping[str, str | None]) -> Iterator[Source]:
    """The same quantity by the metric's alternatives, on the same clips."""
    mine = metric_class(record.metric)
    place = [quantity.name for quantity in mine.quantities].index(record.name)
    for source, listed in mine.alternatives.items():
        asked: dict[str, QuantityRecord | str | None] = {}
        for other in (each for each in listed if each in alternatives):
            theirs = metric_class(other).quantities
            found = control.records.get((other, theirs[place].name)) if place < len(theirs) else None
            asked[other] = alternatives[other] or found
        if asked:
            yield _source(source, record, asked, len(control.clips), control.groups, protocol=True)


def _source(
    source: str, before: QuantityRecord, asked: Mapping[str, QuantityRecord | str | None], total: int,
    by: Grouping | None, *, protocol: bool = False,
) -> Source:  # fmt: skip
    """asked: variant -> its record, or why there is none."""
    variants = tuple(_compared(name, before, after, total, by) for name, after in asked.items())
    # A variant that few clips have would leave as few of all the others.
    enough = [each for each in variants if each.shift is not None and 2 * each.scored >= len(before.scored)]
    known = [asked[each.variant] for each in enough]
    records = [before, *(each for each in known if isinstance(each, QuantityRecord))]
    common = set.intersection(*(set(each.scored) for each in records))
    reasons = sum((Counter(each.reasons) for each in variants), Counter[str]())
    reason = _usual(before) or (
        reasons.most_common(1)[0][0] if reasons else "fewer than two clips have a score in all variants"
    )
    shared = own = None
    if len(records) > 1 and len(common) >= 2:
        try:
            shared, own = map(_rounded, crossed([_sample(each, common, by) for each in records]))
        except Unscorable as error:
            reason = str(error)
    return Source(
        source=source, shared=shared, own=own, scored=len(common) if shared is not None else 0,
        reason=reason if shared is None else None, protocol=protocol, variants=variants,
    )  # fmt: skip


def _compared(
    variant: str, before: QuantityRecord, after: QuantityRecord | str | None, total: int, by: Grouping | None
) -> Variant:
    if after is None or isinstance(after, str):
        return Variant(variant=variant, scored=0, total=total, reasons={after or "not measured": total})
    common = set(before.scored) & set(after.scored)
    missing = {clip: why for clip, (_, why) in after.missing.items()}
    missing |= {clip: f"control: {why}" for clip, (_, why) in before.missing.items()}
    shift = deviation = largest = None
    reasons = Counter(missing.values())
    if len(common) >= 2:
        try:
            first, second = (_sample(record, common, by) for record in (before, after))
            found = untested_difference(first, second)
        except Unscorable as error:
            reasons[str(error)] += len(common)
        else:
            one, two = (each.numerators if each.median else each.pseudo_values for each in (first, second))
            shift, deviation, largest = map(_rounded, (found.value, found.deviation, float(np.abs(two - one).max())))
            if not all(map(math.isfinite, (shift, deviation, largest))):
                shift = deviation = largest = None
                reasons["the difference is not finite"] += len(common)
    return Variant(
        variant=variant, shift=shift, deviation=deviation, largest=largest, scored=len(common), total=total,
        reasons=dict(reasons),
    )  # fmt: skip


def _sample(record: QuantityRecord, clips: set[str], by: Grouping | None) -> Sample:
    return record.sample(clips).grouped(by)


def _usual(record: QuantityRecord) -> str | None:
    """Why most clips of a control without two scores have none."""
    if len(record.scored) >= 2 or not record.missing:
        return None
    return Counter(why for _, why in record.missing.values()).most_common(1)[0][0]


def _rounded(value: float) -> float:
    """Six digits: more are noise, and the file is to be read."""
    return float(f"{value:.6g}")
