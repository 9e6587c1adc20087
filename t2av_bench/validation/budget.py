"""Measure an error budget: write clips anew without touching what a model made, score them, compare with the control.

WORK/clips/, WORK/runs/, WORK/features/ are as ``validity`` makes them (see ``run``); the same call continues.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from t2av_bench.errors import Unscorable
from t2av_bench.evaluation.config import check_device
from t2av_bench.evaluation.evaluate import alone_in
from t2av_bench.metrics import metric_class
from t2av_bench.results.budget import Budget, Entry, Sampling, Variant
from t2av_bench.results.recorded import QuantityRecord
from t2av_bench.results.run import RunResult, open_run
from t2av_bench.scores import Status
from t2av_bench.statistics.components import components
from t2av_bench.statistics.paired import untested_difference
from t2av_bench.statistics.samples import Grouping
from t2av_bench.utils.config import ConfigError, folded, load_toml, near
from t2av_bench.utils.files import json_text, write_text
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.text import names, some
from t2av_bench.utils.worker_pool import WorkerPool
from t2av_bench.validation.damages import VARIANTS, Damage
from t2av_bench.validation.making import UNDAMAGED, Grade, make
from t2av_bench.validation.run import Asked, DamagingConfig, entries_of, score
from t2av_bench.weights.needs import unusable

PROTOCOLS = "protocols"
"""The source that stands for every metric's ``alternatives``."""
SOURCES = (*VARIANTS, PROTOCOLS)
_LENGTH, _UNTOLD = "length", "untold.jsonl"
_ALONE: Grade = ("alone", 0)
"""The control without its references: what then does not apply compares with them."""
_COMPARES = "it compares with a reference, here the clip itself: give --runs of systems, whose clips scatter as such do"


class BudgetConfig(DamagingConfig):
    """Which sources of error are measured, and where the budget is written."""

    out: Path = Field(default=Path("budget.json"), description="JSON file for the budget.")
    work: Path | None = Field(
        default=None,
        description="Folder for the clips and their scores; the same command continues it.  [default: FILE-run]",
    )
    sources: Annotated[
        tuple[str, ...], BeforeValidator(lambda given: names(given) if isinstance(given, str) else given)
    ] = Field(default=("all",), min_length=1, description=f"Comma-separated sources of error: {', '.join(SOURCES)}.")

    runs: Annotated[
        tuple[Path, ...], BeforeValidator(lambda given: names(given) if isinstance(given, str) else given)
    ] = Field(
        default=(), description="Comma-separated run folders of systems: their clips' scatter is taken for sampling.",
    )  # fmt: skip

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


def load(given: Mapping[str, Any]) -> BudgetConfig:
    """Raises ConfigError."""
    return load_toml(None, BudgetConfig, given, call=lambda key: f"--{key.replace('_', '-')}")


def budget(config: BudgetConfig, on_step: OnStep, notice: Notice) -> Budget:
    """Measure it and write its file. Raises ValueError for what cannot be carried out; clips that fail have reasons."""
    check_device(config.device)
    ids, chosen, folder = config.metric_ids, config.chosen, config.folder
    entries = entries_of(config, notice)
    grades = [(name, grade) for name in VARIANTS if name in chosen for grade in VARIANTS[name].grades]
    others = _alternatives(ids) if PROTOCOLS in chosen else {}
    scored = [open_run(path) for path in config.runs]
    usable = [other for other, reason in others.items() if reason is None]
    asked = {UNDAMAGED: Asked(tuple(dict.fromkeys([*ids, *usable])))}
    asked |= {grade: Asked(tuple(ids), _UNTOLD if grade[0] == _LENGTH else "manifest.jsonl") for grade in grades}
    asked[_ALONE] = Asked(tuple(ids), "alone.jsonl", UNDAMAGED)
    with alone_in(folder), WorkerPool() as pool:
        make(entries, grades, folder, pool, config.processes, config.timeout, on_step)
        _leave_out(folder, _UNTOLD, "text")
        _leave_out(folder, "alone.jsonl", "reference", "reference_audio")
        runs = score(config, folder, asked, len(entries), pool, on_step)
    found = of_runs(runs[UNDAMAGED], {grade: runs[grade] for grade in grades}, ids, others, runs[_ALONE], scored)
    found.save(config.out)
    return found


def _alternatives(ids: Sequence[str]) -> dict[str, str | None]:
    """Ids of the metrics' alternatives -> why one cannot be measured here (None: it can)."""
    listed = (other for id in ids for each in metric_class(id).alternatives.values() for other in each)
    return {other: unusable(metric_class(other)) for other in dict.fromkeys(listed)}


def _leave_out(folder: Path, name: str, *keys: str) -> None:
    """The manifest without some keys: texts, of which clips that end early would miss words; references."""
    lines = (json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    kept = ({key: value for key, value in line.items() if key not in keys} for line in lines)
    write_text(folder / name, "".join(json_text(line) + "\n" for line in kept))


def of_runs(
    control: RunResult, variants: Mapping[Grade, RunResult], ids: Sequence[str],
    alternatives: Mapping[str, str | None], alone: RunResult, systems: Sequence[RunResult] = (),
) -> Budget:  # fmt: skip
    """The budget of these metrics. variants: (source, grade) -> run of the same clips. alternatives: metric ids that
    the control was scored by too, or why not. alone: the control without references. systems: runs whose clips'
    scatter is sampling's, where they were scored by the same protocol: of those the one with most clips."""
    entries = []
    for key in control.records:
        if key[0] not in ids:
            continue
        record, by, total = control.records[key], control.groups, len(control.clips)
        sampling, unsampled = _sampling(key, control, alone, systems)
        found = [
            _variant(source, VARIANTS[source], grade, record, run.records.get(key), total, by)
            for (source, grade), run in variants.items()
        ]  # fmt: skip
        entries.append(Entry(
            metric=key[0], quantity=key[1], fingerprint=control.protocols[key[0]].fingerprint,
            decimals=record.quantity.decimals, scored=len(record.scored), total=total,
            reasons=dict(Counter(why for _, why in record.missing.values())), sampling=sampling, unsampled=unsampled,
            variants=tuple(found + list(_protocols(record, control, alternatives))),
        ))  # fmt: skip
    return Budget(clips=len(control.clips), entries=tuple(entries))


def _sampling(
    key: tuple[str, str], control: RunResult, alone: RunResult, systems: Sequence[RunResult]
) -> tuple[Sampling | None, str | None]:
    """The scatter of the systems' clips, else of the control's; or why there is none."""
    fingerprint = control.protocols[key[0]].fingerprint
    alike = [run for run in systems if key in run.records and run.protocols[key[0]].fingerprint == fingerprint]
    run = max(alike, key=lambda each: len(each.records[key].scored), default=control)
    record, silent = run.records[key], alone.records[key].missing
    applies = any(silent.get(clip, ("", ""))[0] != Status.NOT_APPLICABLE for clip in control.records[key].scored)
    if run is control and record.scored and not applies:
        return None, _COMPARES
    try:
        sample = record.sample(record.scored).grouped(run.groups)
        between, within = components(sample)
    except Unscorable as error:
        return None, str(error)
    return Sampling(
        between=between, within=within, scored=len(sample), total=len(run.clips), groups=sample.units,
        unit=sample.unit if sample.groups else "clips", of="control" if run is control else run.name,
    ), None  # fmt: skip


def _protocols(record: QuantityRecord, control: RunResult, alternatives: Mapping[str, str | None]) -> Iterator[Variant]:
    """The same quantity by the metric's alternatives, on the same clips."""
    mine = metric_class(record.metric)
    place = [quantity.name for quantity in mine.quantities].index(record.name)
    total = len(control.clips)
    for source, listed in mine.alternatives.items():
        for other in (each for each in listed if each in alternatives):
            why, theirs = alternatives[other], metric_class(other).quantities
            after = control.records.get((other, theirs[place].name)) if place < len(theirs) else None
            if why is not None:
                yield Variant(source=source, variant=other, scored=0, total=total, reasons={why: total}, protocol=True)
            else:
                yield _compared(source, other, record, after, total, control.groups, protocol=True)


def _variant(
    source: str, kind: Damage, grade: float | str, before: QuantityRecord, after: QuantityRecord | None, total: int,
    by: Grouping | None,
) -> Variant:  # fmt: skip
    name = grade if isinstance(grade, str) else f"{grade:g} {kind.unit}".strip()
    return _compared(source, name, before, after, total, by)


def _compared(
    source: str, variant: str, before: QuantityRecord, after: QuantityRecord | None, total: int, by: Grouping | None,
    *, protocol: bool = False,
) -> Variant:  # fmt: skip
    common = sorted(set(before.scored) & set(after.scored if after else ()))
    missing = {clip: why for clip, (_, why) in (after.missing if after else {}).items()}
    missing |= {clip: f"control: {why}" for clip, (_, why) in before.missing.items()}
    shift = deviation = largest = None
    reasons = Counter(missing.values())
    if len(common) >= 2 and after:
        try:
            first, second = (record.sample(common).grouped(by) for record in (before, after))
            found = untested_difference(first, second)
        except Unscorable as error:
            reasons[str(error)] += len(common)
        else:
            shift, deviation = found.value, found.deviation
            one, two = (each.numerators if each.median else each.pseudo_values for each in (first, second))
            largest = float(np.abs(two - one).max())
            if not all(map(math.isfinite, (shift, deviation, largest))):
                shift = deviation = largest = None
                reasons["the difference is not finite"] += len(common)
    return Variant(
        source=source, variant=variant, shift=shift, deviation=deviation, largest=largest, scored=len(common),
        total=total, reasons=dict(reasons), protocol=protocol,
    )  # fmt: skip
