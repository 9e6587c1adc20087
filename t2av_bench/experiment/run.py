"""``run``: make clips with the named systems, and score them; the same command continues it. Or tell what it would do.

OUT/items/NAME.jsonl      the row's items, as ``evaluate`` reads them
OUT/clips/NAME/           its clips with their records, and failures.jsonl (finished clips stay in their own folder)
OUT/runs/NAME/            its run folder, as ``evaluate`` makes it
OUT/features/             what several rows measure alike (the real clips), kept once
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.registry import benchmark
from t2av_bench.errors import ItemError, Lack
from t2av_bench.evaluation.config import EvaluateConfig, dump
from t2av_bench.evaluation.evaluate import Progress, RunError, alone_in, evaluate
from t2av_bench.evaluation.placing import engine_of, system_needs
from t2av_bench.evaluation.planning import file_digests, inputs_of, requested
from t2av_bench.experiment.config import Loaded, RunConfig
from t2av_bench.experiment.missing import Missing, check_files, missing
from t2av_bench.generation.generate import RowPlan, make_rows, plan_row
from t2av_bench.generation.records import digests
from t2av_bench.generation.requests import read_items, write_manifest
from t2av_bench.generation.row import ExperimentRow
from t2av_bench.generation.sources import Digest
from t2av_bench.metrics import create, resolve
from t2av_bench.results.columns import RESULTS
from t2av_bench.results.run import open_run
from t2av_bench.results.store import Store, StoreError
from t2av_bench.scores import Status
from t2av_bench.utils.files import write_text
from t2av_bench.utils.memory import GB
from t2av_bench.utils.progress import Notice, OnStep, Step
from t2av_bench.utils.worker_engine import Engine
from t2av_bench.utils.worker_pool import WorkerPool


@dataclass(frozen=True, slots=True)
class RowResult:
    """A finished row. kept: clips that were there before; made: by this command; not_made: id -> reason.

    failed: scores that failed, as in ``RunResult.failures``; those of clips that were not made have that reason.
    scored: ids of metrics that have a value. notices: what ``evaluate`` had to say of the items; not that the clips'
    own wav files beside them are not scored.
    """

    row: ExperimentRow
    clips: Path
    run: Path
    items: int
    kept: int
    made: int
    not_made: dict[str, str]
    failed: list[dict[str, Any]]
    config: EvaluateConfig
    scored: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()

    @property
    def failed_clips(self) -> int:
        return len({failure["clip"] for failure in self.failed if not failure["outdated"]} | self.not_made.keys())


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command. unscored: names of rows without items or a usable run folder -> why."""

    rows: list[RowResult]
    unscored: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed_clips(self) -> int:
        return sum(row.failed_clips for row in self.rows)

    @property
    def missing(self) -> list[str]:
        """Metrics asked for by name that have no value in any row; all metrics where none of them has any."""
        scored = frozenset().union(*(row.scored for row in self.rows))
        named = requested(dict.fromkeys(name for row in self.rows for name in row.config.metrics))
        if not scored and not named:
            return resolve(["all"]) if self.rows else []
        return [metric for metric in named if metric not in scored]


def run(loaded: Loaded, on_step: OnStep, notice: Notice, regenerate: Collection[str] = ()) -> Result:
    """Carry everything out. Raises ValueError and OSError for what cannot be; a clip's trouble is recorded instead.

    regenerate: names of rows whose clips are all made again.
    """
    config = loaded.config
    out = config.out
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out):
        for text in dict.fromkeys(
            f"{each.kind} {each.name} lacks {each.lack}" for row in loaded.rows for each in missing(row, config.data)
            if each.kind in ("system", "metric")
        ):  # fmt: skip
            notice(text)
        plans, unplanned = _planned(loaded, manifests(loaded, on_step), regenerate)
        kept = {plan.row.name: len(plan.made) for plan in plans}
        inputs = [path for row in loaded.rows for path in (row.manifest, row.clips) if path and path.exists()]
        with engine_of(config, [out], inputs, {row.system for row in loaded.rows if row.system}) as engine:
            _make(plans, config, on_step, notice, engine)
            with WorkerPool(engine) as pool:
                rows, unscored = _score(plans, kept, config, on_step, pool)
        return Result(rows, unplanned | unscored)


def manifests(loaded: Loaded, on_step: OnStep | None) -> dict[str, Path]:
    """Row name -> manifest; benchmarks are built as far as the rows need them, and not at all without ``on_step``."""
    config = loaded.config
    found = {row.name: row.manifest for row in loaded.rows if row.manifest is not None}
    wanted: dict[tuple[str, int | None], dict[str, None]] = {}
    for row in loaded.rows:
        if row.benchmark is not None:
            assert row.split is not None
            asked, count = benchmark(row.benchmark), item_count(row, config.data)
            found[row.name] = asked.manifest(row.split, count, config.data)
            if asked.missing(row.split, config.data):  # the row says so
                continue
            part = count if count < asked.splits_in(config.data)[row.split] else None
            wanted.setdefault((row.benchmark, part), {})[row.split] = None
    if on_step is None:
        return found

    def built(done: int, total: int, id: str) -> None:
        if done < total or id:
            on_step(Step("building the benchmark", done, total, "clips", id))

    for (id, part), splits in wanted.items():
        benchmark(id).build([*splits], part, config.data, config.processes, built)
    return found


def item_count(row: ExperimentRow, data: Path | None) -> int:
    """Items of a row of a benchmark, whose data are in ``data``."""
    assert row.benchmark is not None and row.split is not None
    most = benchmark(row.benchmark).splits_in(data)[row.split]
    return min(row.items or most, most)


def _planned(
    loaded: Loaded, manifests: Mapping[str, Path], regenerate: Collection[str] = ()
) -> tuple[list[RowPlan], dict[str, str]]:  # fmt: skip
    """The rows' plans; and why there is none for rows whose items or finished clips cannot be read."""
    digest = digests()
    plans, unplanned = [], {}
    for row in loaded.rows:
        try:
            plans.append(row_plan(loaded.config, row, manifests[row.name], digest, regenerate))
        except ItemError as error:
            unplanned[row.name] = str(error)
    return plans, unplanned


def row_plan(
    config: RunConfig, row: ExperimentRow, manifest: Path, digest: Digest, regenerate: Collection[str]
) -> RowPlan:
    """Raises ItemError where the row's items or finished clips cannot be read."""
    check_files(row, config.data)
    folder = config.out / "clips" / row.name
    return plan_row(row, read_items(row, manifest), folder, config.seed, digest, row.name in regenerate)


def _make(
    plans: Sequence[RowPlan], config: RunConfig, on_step: OnStep, notice: Notice, engine: Engine | None = None
) -> None:
    total = sum(len(plan.to_make) for plan in plans)
    for plan in plans:
        there = f"{plan.row.name}: {len(plan.made)} of {plan.total} clips are there"
        if plan.failures:
            there += f", {len(plan.failures)} " + ("cannot be made" if plan.row.clips is None else "have failed")
        notice(there)
        for said in plan.notices:
            notice(f"{plan.row.name}: {said}")
        for reason, count in plan.again.most_common():
            notice(f"{plan.row.name}: {clips(count)} made again: {reason}")
        if plan.unmarked:
            notice(
                f"{plan.row.name}: {len(plan.unmarked)} clips stay that an earlier version made, without noting by "
                f"which code; later changes of the code are noticed (--regenerate {plan.row.name} makes them again)"
            )
    for plan in plans:
        _outdate(plan, config.out)
    if total:
        on_step(Step("making", 0, total, "clips"))
    done = 0

    def report(plan: RowPlan, id: str, reason: str | None) -> None:
        nonlocal done
        done += 1
        on_step(Step("making", done, total, "clips", f"{plan.row.name} {id}", reason is not None))

    make_rows(
        plans, device=config.device, batch_size=config.generation_batch_size, workers=config.most_workers,
        timeout=config.timeout, memory=config.memory and config.memory * GB, on_result=report, engine=engine,
        needs=partial(system_needs, config),
    )  # fmt: skip


def _outdate(plan: RowPlan, out: Path) -> None:
    """Scores of clips that are about to go count no more, also where this is interrupted before they are scored."""
    path = out / "runs" / plan.row.name / RESULTS
    changing = {task.request.id for task in plan.to_make} | plan.failures.keys()
    if not changing or not path.is_file():
        return
    with suppress(StoreError), Store(path, create=True) as store, store.transaction():  # scoring says what is wrong
        for clip in store.clips():
            if clip["clip"] in changing:
                store.put_digests(clip["clip"], clip["digest"], clip["reference_digest"], "the clip is made again")


def clips(count: int) -> str:
    """``1 clip is``, ``2 clips are``."""
    return "1 clip is" if count == 1 else f"{count} clips are"


def _score(
    plans: Sequence[RowPlan], kept: Mapping[str, int], config: RunConfig, on_step: OnStep, pool: WorkerPool
) -> tuple[list[RowResult], dict[str, str]]:
    """The rows' scores; and for rows whose run folder cannot be used, which costs the others nothing, why."""
    counts = [plan.total * len(resolve(plan.row.metrics)) for plan in plans]
    total = sum(counts)
    on_step(Step("scoring", 0, total, "measurements"))
    rows: list[RowResult] = []
    unscored: dict[str, str] = {}
    for position, plan in enumerate(plans):
        before = sum(counts[:position])
        asked = _evaluation(plan, config, write_manifest(plan.items, config.out / "items", plan.row))
        notices: list[str] = []

        def measured(progress: Progress, before: int = before, row: str = plan.row.name) -> None:
            failed = progress.status is Status.FAILED
            on_step(Step("scoring", before + progress.done, total, "measurements", f"{row} {progress.metric}", failed))

        try:
            # Before the evaluation: it names the folder of the features, which whoever reads a run looks up there.
            asked.out.mkdir(parents=True, exist_ok=True)
            write_text(asked.out / "evaluate.toml", dump(asked))
            evaluate(asked, measured, notices.append, pool)
        except (RunError, StoreError) as error:
            unscored[plan.row.name] = str(error)
            continue
        on_step(Step("scoring", before + counts[position], total, "measurements", plan.row.name))
        result = open_run(asked.out)
        # A score that is missing because its clip is has the reason why the clip could not be made.
        failed = [
            failure | {"reason": plan.failures.get(failure["clip"], failure["reason"])} for failure in result.failures
        ]
        scored = {column.metric for column in result.columns if column.summary.score.value is not None}
        rows.append(RowResult(
            plan.row, plan.folder, asked.out, plan.total, kept[plan.row.name],
            len(plan.made) - kept[plan.row.name], dict(plan.failures), failed, asked,
            frozenset(scored),
            tuple(text for text in notices if plan.row.clips is not None or str(plan.folder) not in text),
        ))  # fmt: skip
    return rows, unscored


def _evaluation(plan: RowPlan, config: RunConfig, manifest: Path) -> EvaluateConfig:
    row = plan.row
    metrics = resolve(row.metrics)
    return EvaluateConfig(
        generated=plan.folder, manifest=manifest, out=config.out / "runs" / row.name, name=row.label,
        metrics=row.metrics, device=config.device, workers=config.known_workers, batch_size=config.batch_size,
        timeout=config.timeout, memory=config.memory, max_failures=config.max_failures,
        cache=config.out / "features", step=row.step,
        options={id: options for id, options in config.options.items() if id in metrics},
        engine=config.engine, address=config.address, ship=config.ship,
        resources={id: each for id, each in config.resources.items() if id in metrics},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preview:
    """What ``run`` would do for a row. built: whether its benchmark is; where it is not, all of its clips are to make.

    measurements: (clip, metric) pairs, and how many of them are there already. again: why clips that are there would be
    made again -> how many. missing: what this machine has not; without its items a row's numbers are all 0.
    """

    row: ExperimentRow
    items: int
    built: bool
    made: int
    to_make: int
    failures: dict[str, str]
    measurements: int
    measured: int
    again: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()


def preview(loaded: Loaded, regenerate: Collection[str] = ()) -> list[Preview]:
    """What ``run`` would do. Writes nothing, builds nothing, loads no weights."""
    found_at, digest = manifests(loaded, None), digests()
    found = []
    for row in loaded.rows:
        metrics, absent = resolve(row.metrics), missing(row, loaded.config.data)
        there = not any(each.kind in ("items", "clips") for each in absent)
        if there and row.manifest is None and not found_at[row.name].is_file():
            count = item_count(row, loaded.config.data)
            found.append(Preview(row, count, False, 0, count, {}, count * len(metrics), 0, missing=tuple(absent)))
            continue
        try:
            plan = row_plan(loaded.config, row, found_at[row.name], digest, regenerate)
        except ItemError as error:
            if there:
                absent.append(Missing("items", row.items_named or found_at[row.name].name, Lack(str(error))))
            found.append(Preview(row, 0, True, 0, 0, {}, 0, 0, missing=tuple(absent)))
            continue
        measured = _measured(loaded.config, plan, metrics)
        found.append(Preview(
            row, plan.total, True, len(plan.made), len(plan.to_make), plan.failures, plan.total * len(metrics),
            measured, plan.again, tuple(absent),
        ))  # fmt: skip
    return found


def _measured(config: RunConfig, plan: RowPlan, metrics: Sequence[str]) -> int:
    """How many measurements of clips that stay are there: by today's protocols, of finished clips as they are today."""
    fingerprints = {id: create(id, None, config.options.get(id)).protocol.fingerprint for id in metrics}
    try:
        with Store(config.out / "runs" / plan.row.name / RESULTS) as store:
            finished = store.finished()
    except StoreError:
        return 0
    known = {entry.item.id: inputs_of(entry, file_digests(entry)) for entry in plan.found}
    made = set(plan.made)
    return sum(
        clip in made and fingerprints.get(metric) == fingerprint and known.get(clip, inputs) == inputs
        for (clip, metric), (fingerprint, inputs) in finished.items()
    )
