"""A run: one folder of clips scored by some metrics. The same command continues it.

``RUN/results.db`` holds scores and provenance (see store), ``RUN/evaluate.toml`` the resolved configuration, and
``RUN/features/`` the arrays behind set metrics.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from t2av_bench.benchmarks.manifest import Entry
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.origins import read_origins
from t2av_bench.evaluation.placing import engine_of, metric_needs
from t2av_bench.evaluation.planning import RunError, file_digests, inputs_of, keep_finished, prepare
from t2av_bench.evaluation.provenance import _provenance
from t2av_bench.evaluation.scoring import record, record_set
from t2av_bench.evaluation.worker import Aggregation, Job, Measuring, MediaFacts, MetricResult, WorkerContext, together
from t2av_bench.metrics.base import Metric, SetMetric, Settings
from t2av_bench.results.columns import RESULTS, describe
from t2av_bench.results.origins import as_document
from t2av_bench.results.store import Store
from t2av_bench.scores import Status
from t2av_bench.utils import alone
from t2av_bench.utils.memory import GB
from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import WorkerPool
from t2av_bench.weights.needs import unusable


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, for a progress display: counts are (clip, metric) measurements."""

    done: int
    total: int
    clip: str
    metric: str
    status: Status
    reason: str | None


def evaluate(
    plan: EvaluateConfig,
    report: Callable[[Progress], None],
    notice: Callable[[str], None],
    pool: WorkerPool | None = None,
) -> None:
    """Score a folder of clips into ``plan.out``; finished measurements are kept, others are tried (again).

    pool: workers to use and to leave for the next call; otherwise they are this call's.
    Raises RunError or ItemError where nothing can be scored; whatever befalls a single clip is recorded as its reason.
    """
    out = plan.out
    prepared = prepare(plan)
    metrics, entries = prepared.metrics, prepared.entries
    for text in prepared.notices:
        notice(text)
    settings = Settings(plan.device, plan.batch_size)
    needs = metric_needs(plan, [*metrics])
    with alone_in(out), Store(out / RESULTS, create=True) as store:
        claim(store, plan, out)
        if prepared.shard:
            store.set("shard", prepared.shard)
        keep_finished(store, plan, entries, out)
        store.set("step", plan.step)
        session = store.begin_session(_provenance(plan))
        store.add_protocols((each.protocol, describe(each, prepared.options.get(id))) for id, each in metrics.items())
        store.put_clips(
            (entry.item.id, entry.item.model_dump(), _text(entry.generated), _text(entry.reference), entry.reason)
            for entry in entries
        )
        digests = {entry.item.id: file_digests(entry) for entry in entries}
        store.set("origins", as_document(read_origins(entries, digests)))
        inputs = {entry.item.id: inputs_of(entry, digests[entry.item.id]) for entry in entries}
        with store.transaction():  # one: a synced write for each clip would take seconds
            for clip, (generated, reference, *_) in digests.items():
                store.put_digests(clip, generated, reference, inputs[clip])
        items = {entry.item.id: entry.item for entry in entries}
        jobs, settled = _split(entries, metrics, inputs, store, needs)
        total = len(entries) * len(metrics)
        done = total - sum(len(job.metrics) for job in jobs) - len(settled)
        features = plan.cache or out / "features"
        store.set("features", str(plan.cache.resolve()) if plan.cache else None)
        work = Measuring(WorkerContext(settings, features, prepared.options, plan.limits))

        def keep(found: MetricResult) -> None:
            nonlocal done
            record(store, metrics[found.metric], inputs[found.clip], found, items[found.clip])
            done += 1
            report(Progress(done, total, found.clip, found.metric, found.status, found.reason))

        with store.transaction():  # what is known without measuring is known again next time
            for known in settled:
                keep(known)
        with nullcontext(pool) if pool else _own_pool(plan) as workers:
            measured = partial(
                WorkerPool.run, work=work, workers=plan.most_workers, timeout=plan.timeout,
                most=plan.memory * GB if plan.memory else None,
            )  # fmt: skip
            for found in measured(workers, together(jobs, metrics, plan.device, plan.workers or 1)):
                if isinstance(found, MediaFacts):
                    store.put_media(found.clip, found.media)
                else:
                    keep(found)
            # By workers, from the kept features: a plug-in's ``aggregate`` may hang or die as well. Shipped features
            # are here, and on no machine all.
            with WorkerPool() if plan.ship else nullcontext(workers) as near:
                for found in measured(near, aggregations(store, metrics, plan.shard is not None, needs)):
                    record_set(store, metrics[found.metric], found)
        store.end_session(session)


@contextmanager
def _own_pool(plan: EvaluateConfig) -> Iterator[WorkerPool]:
    if plan.cache:
        plan.cache.mkdir(parents=True, exist_ok=True)  # all machines have to see it
    roots, inputs = [*filter(None, (plan.out, plan.cache))], [*filter(None, (plan.generated, plan.reference))]
    with engine_of(plan, roots, inputs) as engine, WorkerPool(engine) as pool:
        yield pool


def aggregations(
    store: Store, metrics: Mapping[str, Metric], of_shard: bool = False,
    needs: Mapping[str, Needs] = MappingProxyType({}),
) -> Iterator[Aggregation]:  # fmt: skip
    """What is to be done for the set scores; those of metrics that measured no clip are written at once.

    of_shard: nothing, and they say why; the value of a part is not that of the whole.
    """
    later = "a distance between whole sets of clips: 't2av-bench merge' makes it of all shards"
    # What is kept of clips that have changed since is no value any more.
    known = {(row.metric, row.quantity, row.fingerprint) for row in store.set_scores() if row.score.status is Status.OK}
    for metric in metrics.values():
        if isinstance(metric, SetMetric):
            if all((metric.id, each.name, metric.protocol.fingerprint) in known for each in metric.quantities):
                continue
            measured = tuple(row["inputs"] for row in store.measurements(metric.id) if row["status"] == Status.OK)
            if of_shard:
                record_set(store, metric, MetricResult("", metric.id, Status.NOT_APPLICABLE, later))
            elif measured:
                yield Aggregation(metric.id, measured, needs=needs.get(metric.id, Needs()))
            else:
                record_set(store, metric, None)


def _split(
    entries: list[Entry], metrics: dict[str, Metric], inputs: dict[str, str], store: Store, needs: Mapping[str, Needs]
) -> tuple[list[Job], list[MetricResult]]:
    """What has to be measured, and what is known without opening a file (no file, no weights or packages).

    needs: of a worker, by metric; those of equal needs are measured together.
    """
    finished = store.finished()
    lacking = {id: reason for id, metric in metrics.items() if (reason := unusable(metric))}
    jobs, settled = [], []
    for entry in entries:
        clip = entry.item.id
        wanted: dict[Needs, list[str]] = {}
        for id, metric in metrics.items():
            if entry.reason:
                settled.append(MetricResult(clip, id, Status.FAILED, entry.reason))
            elif id in lacking:
                settled.append(MetricResult(clip, id, Status.NOT_APPLICABLE, lacking[id]))
            elif finished.get((clip, id)) != (metric.protocol.fingerprint, inputs[clip]):
                wanted.setdefault(needs[id], []).append(id)
        for kind, ids in wanted.items():
            assert entry.generated is not None
            jobs.append(Job(
                clip, entry.item, entry.generated, entry.reference, inputs[clip], tuple(ids), entry.unpaired,
                needs=kind,
            ))  # fmt: skip
    return jobs, settled


def claim(store: Store, plan: EvaluateConfig, out: Path) -> None:
    """A run folder belongs to one system's clips: another folder's scores must not mix with them. Raises RunError."""
    mine: dict[str, Any] = {
        "name": plan.system,
        "generated": str(plan.generated.resolve()),
        "reference": str(plan.reference.resolve()) if plan.reference else None,
        "manifest": str(plan.manifest.resolve()) if plan.manifest else None,
        **({"shard": plan.shard} if plan.shard else {}),
    }
    held = store.setting("claim")
    if held is None:
        store.set("claim", mine)
    elif held != mine:
        differing = next(key for key in mine | held if held.get(key) != mine.get(key))
        raise RunError(
            f"{out} already holds a run with {differing} {held.get(differing)!r}, not {mine.get(differing)!r}; "
            "choose another --out folder, or repeat the command that made it"
        )


def alone_in(out: Path) -> AbstractContextManager[None]:
    """One process at a time in a folder of results; RunError for another."""
    return alone.alone_in(out, RunError)


def _text(path: Path | None) -> str | bytes | None:
    """A path for the database: bytes where it is not UTF-8, which SQLite keeps as they are."""
    if path is None:
        return None
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return str(path)
