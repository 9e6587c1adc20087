"""A run: one folder of clips scored by some metrics. The same command continues it.

``RUN/results.db`` holds scores and provenance (see store), ``RUN/evaluate.toml`` the resolved configuration, and
``RUN/features/`` the arrays behind set metrics.
"""

import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from t2av_bench import __version__, weights
from t2av_bench.benchmarks.manifest import Entry
from t2av_bench.benchmarks.names import encodable
from t2av_bench.errors import NotApplicable
from t2av_bench.evaluation.planning import RunError, file_digests, inputs_of, keep_finished, prepare
from t2av_bench.evaluation.scoring import aggregation, record, record_set
from t2av_bench.evaluation.worker import Facts, Job, Outcome, Staff, Workshop, run_jobs
from t2av_bench.media.limits import DEFAULT, Limits
from t2av_bench.metrics.base import Metric, SetMetric, Settings
from t2av_bench.results.aggregate import Summary, summarise
from t2av_bench.results.store import Store
from t2av_bench.scores import Quantity, Score, Status, library_versions
from t2av_bench.utils.memory import GB

RESULTS = "results.db"


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``evaluate`` was asked for. ``name`` is the system's name in tables; the rest as on the command line.

    ``options`` are metric id -> arguments of its constructor; they are part of its protocol. ``step`` is the training
    step of the checkpoint that made the clips, for learning curves. ``memory``: GB that one worker may hold (None: its
    share of what is available). ``limits``: of what is decoded of a clip. ``limit``: the first so many items alone.
    """

    name: str
    generated: Path
    reference: Path | None
    manifest: Path | None
    metrics: tuple[str, ...]
    device: str = "cpu"
    batch_size: int = 32
    workers: int = 1
    timeout: float = 1800.0
    memory: float | None = None
    limits: Limits = DEFAULT
    cache: Path | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    step: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of a finished run: what it is, by which protocol, and its value over the set."""

    metric: str
    fingerprint: str
    quantity: Quantity
    embedded: bool
    summary: Summary


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
    plan: Plan, out: Path, report: Callable[[Progress], None], notice: Callable[[str], None], staff: Staff | None = None
) -> None:
    """Score a folder of clips into ``out``; finished measurements are kept, failed and missing ones are tried (again).

    staff: workers to use and to leave for the next call, see ``engine.Staff``; otherwise they are this call's.
    Raises RunError or ItemError where nothing can be scored; whatever befalls a single clip is recorded as its reason.
    """
    prepared = prepare(plan, out)
    metrics, entries = prepared.metrics, prepared.entries
    for text in prepared.notices:
        notice(text)
    settings = Settings(plan.device, plan.batch_size)
    with _lock(out), Store(out / RESULTS, create=True) as store:
        _claim(store, plan, out)
        keep_finished(store, plan, entries, out)
        store.set("step", plan.step)
        session = store.begin_session(_provenance(plan))
        store.add_protocols((metric.protocol, describe(metric)) for metric in metrics.values())
        store.put_clips(
            (entry.item.id, entry.item.model_dump(), _text(entry.generated), _text(entry.reference), entry.reason)
            for entry in entries
        )
        digests = {entry.item.id: file_digests(entry) for entry in entries}
        inputs = {entry.item.id: inputs_of(entry, digests[entry.item.id]) for entry in entries}
        with store.transaction():  # one: a synced write for each clip would take seconds
            for clip, (generated, reference, *_) in digests.items():
                store.put_digests(clip, generated, reference, inputs[clip])
        items = {entry.item.id: entry.item for entry in entries}
        jobs, settled = _split(entries, metrics, inputs, store)
        total = len(entries) * len(metrics)
        done = total - sum(len(job.metrics) for job in jobs) - len(settled)
        features = plan.cache or out / "features"
        store.set("features", str(plan.cache.resolve()) if plan.cache else None)
        options = {id: dict(given) for id, given in plan.options.items()}
        workshop = Workshop(settings, features, options, plan.memory * GB if plan.memory else None, plan.limits)

        def keep(found: Outcome) -> None:
            nonlocal done
            record(store, metrics[found.metric], inputs[found.clip], found, items[found.clip])
            done += 1
            report(Progress(done, total, found.clip, found.metric, found.status, found.reason))

        with store.transaction():  # what is known without measuring is known again next time
            for known in settled:
                keep(known)
        with nullcontext(staff) if staff else Staff() as hired:
            for found in run_jobs(jobs, workshop, workers=plan.workers, timeout=plan.timeout, staff=hired):
                if isinstance(found, Facts):
                    store.put_media(found.clip, found.media)
                else:
                    keep(found)
            _aggregate(store, metrics, workshop, plan, hired)
        store.end_session(session)


def _aggregate(store: Store, metrics: Mapping[str, Metric], workshop: Workshop, plan: Plan, staff: Staff) -> None:
    """Set scores, made by workers from the kept features: a plug-in's ``aggregate`` may hang or die as well."""
    wanted = {}
    for id, metric in metrics.items():
        if isinstance(metric, SetMetric):
            wanted[id] = aggregation(store, metric)
            if wanted[id] is None:
                record_set(store, metric, None)
    jobs = [job for job in wanted.values() if job]
    for found in run_jobs(jobs, workshop, workers=plan.workers, timeout=plan.timeout, staff=staff):
        if isinstance(found, Outcome):
            record_set(store, metrics[found.metric], found)


def columns(store: Store, scores: Mapping[tuple[str, str], Mapping[str, Score]] | None = None) -> list[Column]:
    """Every quantity of a run with its set value, in registry order of the metrics.

    scores: (metric, quantity name) -> clip -> score, where they were read already.
    """
    by_quantity: dict[tuple[str, str], list[Score]] = {}
    if scores is not None:
        by_quantity = {key: list(mine.values()) for key, mine in scores.items()}
    else:
        for row in store.scores():
            by_quantity.setdefault((row.metric, row.quantity), []).append(row.score)
    set_scores = {(row.metric, row.quantity): row for row in store.set_scores()}
    found = []
    for metric, recorded in sorted(store.protocols().items(), key=lambda pair: pair[1]["description"]["position"]):
        for document in recorded["description"]["quantities"]:
            quantity = Quantity.of_document(document)
            mine = by_quantity.get((metric, quantity.name), [])
            whole = set_scores.get((metric, quantity.name))
            if quantity.aggregate == "set":
                reasons = Counter(str(score.reason) for score in mine if score.value is None)
                score = whole.score if whole else Score.failed("the run is not finished: repeat the command")
                summary = Summary(score, whole.scored if whole else 0, len(mine), reasons=reasons)
            else:
                summary = summarise(quantity, mine)
            embedded = recorded["description"]["embedded"]
            found.append(Column(metric, recorded["fingerprint"], quantity, embedded, summary))
    return found


def failures(store: Store) -> list[dict[str, Any]]:
    """Scores that failed (not those that do not apply), in clip order: clip, metric, quantity and reason.

    ``outdated``: of a metric that was not among the last command's, and whose clip has changed or come since.
    """
    return [
        {"clip": row.clip, "metric": row.metric, "quantity": row.quantity, "reason": row.score.reason,
         "outdated": row.outdated}
        for row in store.scores()
        if row.score.status is Status.FAILED
    ]  # fmt: skip


def describe(metric: Metric) -> dict[str, Any]:
    """What a table needs to know about a metric, kept with the run so that reading needs no plug-in."""
    from t2av_bench.metrics import metric_ids

    known = metric_ids()
    return {
        "title": metric.title,
        "quantities": [asdict(quantity) for quantity in metric.quantities],
        "paper": metric.paper,
        "licence": metric.licence,
        "embedded": metric.embedded,
        "curves": [asdict(curve) for curve in metric.curves],
        "floors": [asdict(floor) for floor in metric.floors],
        "position": known.index(metric.id) if metric.id in known else len(known),
        "set_distance": dict(metric.set_distance) if isinstance(metric, SetMetric) and metric.set_distance else None,
    }


def _split(
    entries: list[Entry], metrics: dict[str, Metric], inputs: dict[str, str], store: Store
) -> tuple[list[Job], list[Outcome]]:
    """What has to be measured, and what is known without opening a file (no file, no weights)."""
    finished = store.finished()
    lacking = {id: reason for id, metric in metrics.items() if (reason := _missing_weights(metric))}
    jobs, settled = [], []
    for entry in entries:
        clip = entry.item.id
        wanted = []
        for id, metric in metrics.items():
            if entry.reason:
                settled.append(Outcome(clip, id, Status.FAILED, entry.reason))
            elif id in lacking:
                settled.append(Outcome(clip, id, Status.NOT_APPLICABLE, lacking[id]))
            elif finished.get((clip, id)) != (metric.protocol.fingerprint, inputs[clip]):
                wanted.append(id)
        if wanted:
            assert entry.generated is not None
            jobs.append(
                Job(clip, entry.item, entry.generated, entry.reference, inputs[clip], tuple(wanted), entry.unpaired)
            )
    return jobs, settled


def _missing_weights(metric: Metric) -> str | None:
    """Why a metric cannot run at all; its message is the command that fetches the weights."""
    try:
        for id in metric.weights:
            weights.path(id)
    except NotApplicable as error:
        return str(error)
    return None


def _claim(store: Store, plan: Plan, out: Path) -> None:
    """A run folder belongs to one system's clips: another folder's scores must not mix with them."""
    claim = {
        "name": plan.name,
        "generated": str(plan.generated.resolve()),
        "reference": str(plan.reference.resolve()) if plan.reference else None,
        "manifest": str(plan.manifest.resolve()) if plan.manifest else None,
    }
    held = store.setting("claim")
    if held is None:
        store.set("claim", claim)
    elif held != claim:
        differing = next(key for key in claim if held.get(key) != claim[key])
        raise RunError(
            f"{out} already holds a run with {differing} {held.get(differing)!r}, not {claim[differing]!r}; "
            "choose another --out folder, or repeat the command that made it"
        )


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """One process at a time in a run folder. The lock goes with the process, however it ends."""
    import fcntl

    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = open(out / ".lock", "w")
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror or error}; choose another --out folder") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"another process is working on {out}; wait for it, or choose another --out folder"
            ) from None
        yield


def _text(path: Path | None) -> str | bytes | None:
    """A path for the database: bytes where it is not UTF-8, which SQLite keeps as they are."""
    if path is None:
        return None
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return str(path)


def _provenance(plan: Plan) -> dict[str, Any]:
    """Who measures: versions, device, code revision and command."""
    libraries = library_versions(
        "av", "numpy", "scipy", "torch", "torchvision", "opencv-contrib-python", "soxr", "onnxruntime", "transformers"
    )
    return {
        "t2av_bench": __version__,
        "revision": _revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": libraries,
        "decoder": _decoder(),
        "device": _device_name(plan.device),
        "batch_size": plan.batch_size,
        "workers": plan.workers,
        "command": [encodable(word) for word in sys.argv],
    }


def _decoder() -> dict[str, str]:
    import av

    return {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.machine()}, {os.cpu_count()} cores)"


def _revision() -> str | None:
    """The git commit of this checkout, with ``-dirty`` where files differ; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
