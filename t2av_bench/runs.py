"""A run: one folder of clips scored by some metrics. The same command continues it.

``RUN/results.db`` holds scores and provenance (see store), ``RUN/evaluate.toml`` the resolved configuration, and
``RUN/features/`` the arrays behind set metrics.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from t2av_bench import __version__, weights
from t2av_bench.aggregate import Summary, summarise
from t2av_bench.engine import Facts, Job, Outcome, Staff, Workshop, run_jobs
from t2av_bench.features import FeatureStore
from t2av_bench.items import Entry, pair
from t2av_bench.media.clip import Clip
from t2av_bench.media.errors import MediaError
from t2av_bench.metrics import create, resolve
from t2av_bench.metrics.base import Measurement, Metric, SetMetric, Settings
from t2av_bench.scores import NotApplicable, Quantity, Score, Status, Unscorable, library_versions
from t2av_bench.store import SetScoreRow, Store

RESULTS = "results.db"


class RunError(ValueError):
    """A run that cannot be started or continued; the message says what to type next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``evaluate`` was asked for. ``name`` is the system's name in tables; the rest as on the command line.

    ``options`` are metric id -> arguments of its constructor; they are part of its protocol. ``step`` is the training
    step of the checkpoint that made the clips, for learning curves.
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
    cache: Path | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    step: int | None = None


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
    ids = resolve(plan.metrics)
    if unused := plan.options.keys() - set(ids):
        raise RunError(
            f"options for {', '.join(sorted(unused))}, which is not measured: --metrics gives {', '.join(ids)}"
        )
    settings = Settings(plan.device, plan.batch_size)
    metrics = {id: create(id, settings, plan.options.get(id)) for id in ids}
    entries, notices = pair(plan.generated, plan.reference, plan.manifest)
    for text in notices:
        notice(text)
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out), Store(out / RESULTS, create=True) as store:
        _claim(store, plan, out)
        store.set("step", plan.step)
        session = store.begin_session(_provenance(plan))
        store.add_protocols((metric.protocol, describe(metric)) for metric in metrics.values())
        store.put_clips(
            (entry.item.id, entry.item.model_dump(), _text(entry.generated), _text(entry.reference), entry.reason)
            for entry in entries
        )
        inputs = {}
        for entry in entries:
            digests = _digests(entry)
            inputs[entry.item.id] = _inputs(entry, digests)
            store.put_digests(entry.item.id, *digests[:2])
        jobs, settled = _split(entries, metrics, inputs, store)
        total = len(entries) * len(ids)
        done = total - sum(len(job.metrics) for job in jobs) - len(settled)
        features = plan.cache or out / "features"
        workshop = Workshop(settings, features, {id: dict(given) for id, given in plan.options.items()})
        measured = run_jobs(jobs, workshop, workers=plan.workers, timeout=plan.timeout, staff=staff)
        for found in chain(settled, measured):
            if isinstance(found, Facts):
                store.put_media(found.clip, found.media)
                continue
            _record(store, metrics[found.metric], inputs[found.clip], found)
            done += 1
            report(Progress(done, total, found.clip, found.metric, found.status, found.reason))
        for metric in metrics.values():
            if isinstance(metric, SetMetric):
                store.put_set_scores(_set_scores(store, metric, FeatureStore(features, plan.device)))
        store.end_session(session)


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
            quantity = Quantity(**{**document, "interval": tuple(document["interval"])})
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
    """Scores that failed (not those that do not apply), in clip order: clip, metric, quantity and reason."""
    return [
        {"clip": row.clip, "metric": row.metric, "quantity": row.quantity, "reason": row.score.reason}
        for row in store.scores()
        if row.score.status is Status.FAILED
    ]


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
            jobs.append(Job(clip, entry.item, entry.generated, entry.reference, inputs[clip], tuple(wanted)))
    return jobs, settled


def _missing_weights(metric: Metric) -> str | None:
    """Why a metric cannot run at all; its message is the command that fetches the weights."""
    try:
        for id in metric.weights:
            weights.path(id)
    except NotApplicable as error:
        return str(error)
    return None


def _record(store: Store, metric: Metric, inputs: str, outcome: Outcome) -> None:
    """Turn an outcome into one score a quantity and write them."""
    measurement = outcome.measurement
    scores = {}
    for quantity in metric.quantities:
        value = measurement.values.get(quantity.name)
        if outcome.status is not Status.OK:
            scores[quantity.name] = Score(outcome.status, reason=outcome.reason or "no reason was given")
        elif quantity.aggregate == "set":
            # A set metric's clip has features, not a value: 1 says that they exist.
            scores[quantity.name] = Score.ok(1.0)
        elif value is None:
            reason = measurement.reasons.get(quantity.name, "the metric gave no value and no reason")
            scores[quantity.name] = Score.failed(reason)
        elif not _inside_interval(value, quantity):
            scores[quantity.name] = Score.failed(f"the metric gave {value}, outside of {quantity.interval}")
        else:
            scores[quantity.name] = Score.ok(value, measurement.weight)
    store.put_measurement(
        outcome.clip, metric.protocol, inputs, scores, outcome.status, outcome.reason, measurement.detail
    )


def _inside_interval(value: float, quantity: Quantity) -> bool:
    low, high = quantity.interval
    slack = 1e-6  # float rounding of a perfect score is no reason to refuse it
    return value - value == 0 and (low is None or value >= low - slack) and (high is None or value <= high + slack)


def _set_scores(store: Store, metric: SetMetric, features: FeatureStore) -> list[SetScoreRow]:
    """Aggregate the features of all measured clips. Features that were deleted count as missing, with a reason."""
    fingerprint = metric.protocol.fingerprint
    rows = store.measurements(metric.id)
    arrays, lost = [], 0
    for row in rows:
        if row["status"] == Status.OK:
            found = features.get(row["inputs"], fingerprint, "measurement")
            if found is None:
                lost += 1
            else:
                arrays.append(found)
    measurement, score = Measurement(), None
    if lost:
        score = Score.failed(f"the features of {lost} clips are gone; remove the run and evaluate again")
    elif not arrays:
        score = next(
            (Score(Status(row["status"]), reason=row["reason"]) for row in rows), Score.failed("there are no clips")
        )
    else:
        try:
            measurement = metric.aggregate(arrays)
        except NotApplicable as error:
            score = Score.not_applicable(str(error))
        except Unscorable as error:
            score = Score.failed(str(error))
    return [
        SetScoreRow(
            metric.id, quantity.name, fingerprint,
            score or Score.ok(measurement.values[quantity.name]), len(arrays), len(rows), measurement.detail,
        )
        for quantity in metric.quantities
    ]  # fmt: skip


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

    with open(out / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"another process is working on {out}; wait for it, or choose another --out folder"
            ) from None
        yield


def _digests(entry: Entry) -> list[str | None]:
    """sha256 of a clip's files: generated, reference, voice, portrait. None: not named, or cannot be read."""
    files = (entry.generated, entry.reference, entry.item.reference_voice, entry.item.identity_image)
    found: list[str | None] = []
    for file in files:
        try:
            found.append(Clip(file).digest if file else None)
        except MediaError:
            found.append(None)  # measuring it will say why
    return found


def _inputs(entry: Entry, digests: list[str | None]) -> str:
    """Identifies the contents that a clip's scores depend on: a changed file or text is measured again."""
    canonical = json.dumps([digests, entry.item.text, entry.item.language])
    return hashlib.sha256(canonical.encode()).hexdigest()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


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
        "command": sys.argv,
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
    root = Path(__file__).resolve().parent.parent
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
