"""Where measurements run: worker processes that each take one clip at a time.

A worker loads each network once. It computes with one thread, so that numbers do not depend on how many workers share
the machine. A clip that kills or hangs its worker costs itself one metric; a fresh worker takes over the rest.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.limits import DEFAULT, Limits
from t2av_bench.metrics.base import Measurement, Metric, Pair, SetMetric, Settings
from t2av_bench.metrics.check import OddAnswer, check, json_ready
from t2av_bench.results.features import FeaturesError, FeatureStore
from t2av_bench.scores import Status
from t2av_bench.utils import memory
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker import Child

# Starting an interpreter and importing takes seconds, on a loaded machine many; no metric is to blame for that.
_START_SECONDS = 300.0
_LOOK_SECONDS = 0.25  # how often workers are looked at that say nothing


@dataclass(frozen=True, slots=True)
class Job:
    """One clip and the metrics that it still needs; ``inputs`` identifies the contents that they look at.

    unpaired: see ``metrics.base.Pair``.
    """

    clip: str
    item: Item
    generated: Path
    reference: Path | None
    inputs: str
    metrics: tuple[str, ...]
    unpaired: str | None = None


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A set metric's value over all clips: ``inputs`` of the measured ones, in the order of the items."""

    metric: str
    inputs: tuple[str, ...]
    clip: str = ""

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the files of a clip are (see MediaInfo); a side that cannot be read is left out."""

    clip: str
    media: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one metric made of one clip: a measurement, or a status and its reason."""

    clip: str
    metric: str
    status: Status
    reason: str | None = None
    measurement: Measurement = field(default_factory=Measurement)


@dataclass(frozen=True, slots=True)
class _Halt:
    """Nothing can be measured any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every worker is given: settings, the folder of the feature store, options by metric id, the bytes of memory
    that it may hold (None: its share of what is available), and what is decoded of a clip at most.
    """

    settings: Settings
    features: Path
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    memory: float | None = None
    limits: Limits = DEFAULT


class Staff:
    """Workers that stay between calls of ``run_jobs``, with their networks loaded; use it in a ``with`` block.

    A call with another workshop gets new ones.
    """

    def __init__(self) -> None:
        self._workshop: Workshop | None = None
        self._workers: list[_Worker] = []
        self._available = memory.available()  # now: later the workers' own memory is missing from it

    def hire(self, workshop: Workshop, count: int) -> "_Worker":
        """A new worker, of so many."""
        return _Worker(workshop, workshop.memory or memory.share(self._available, count))

    def take(self, workshop: Workshop, count: int) -> "list[_Worker]":
        """So many idle workers; the list is the caller's to repair until it is handed back with ``dismiss``."""
        if workshop != self._workshop:
            self.close()
            self._workshop = workshop
        self._workers += [self.hire(workshop, count) for _ in range(count - len(self._workers))]
        return self._workers

    def dismiss(self) -> None:
        """Who is in the middle of something (the caller gave up) goes, the others stay."""
        for worker in self._workers:
            if worker.job is not None:
                worker.kill()
        self._workers[:] = [worker for worker in self._workers if worker.job is None]

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def __enter__(self) -> "Staff":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_jobs(
    jobs: Sequence[Job | Aggregation],
    workshop: Workshop,
    *,
    workers: int,
    timeout: float,
    staff: Staff | None = None,
) -> Iterator[Outcome | Facts]:
    """Carry out all jobs; what is found comes as it is known, in no fixed order: a clip's facts, then its outcomes.

    timeout: seconds that one metric may take on one clip, or on one set. staff: who does it and stays; else workers of
    this call. Raises FeaturesError where features cannot be kept.
    """
    if staff is None:
        with Staff() as own:
            yield from run_jobs(jobs, workshop, workers=workers, timeout=timeout, staff=own)
        return
    waiting = deque(jobs)
    count = min(workers, len(waiting))
    try:
        pool = staff.take(workshop, count)
        while waiting or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and waiting:
                    worker.assign(waiting.popleft())
            busy = {worker.connection: worker for worker in pool if worker.job}
            ready = wait(list(busy), timeout=_LOOK_SECONDS)
            for worker in busy.values():
                trouble = greed = None
                if worker.connection in ready:
                    try:
                        yield from worker.receive()
                    except (EOFError, ConnectionResetError):
                        trouble = worker.obituary()
                elif worker.ended:
                    trouble = worker.obituary()
                elif time.monotonic() - worker.heard > (timeout if worker.metric else max(timeout, _START_SECONDS)):
                    trouble = f"no result within {timeout:g} s (--timeout)"
                if trouble is None and worker.job is not None:
                    trouble = greed = worker.greed()
                if trouble is None:
                    continue
                job, metric = worker.job, worker.metric
                worker.kill()
                pool[pool.index(worker)] = staff.hire(workshop, count)
                assert job is not None
                # The metric that was being measured is to blame; where nothing was measured, start-up itself failed.
                blamed = [metric] if metric else worker.remaining
                if len(worker.remaining) < len(job.metrics) and not metric or greed and worker.finished:
                    blamed = []  # it died between two metrics, or earlier clips left memory behind: a fresh one tells
                for name in blamed:
                    yield Outcome(job.clip, name, Status.FAILED, trouble)
                rest = tuple(name for name in worker.remaining if name not in blamed)
                if rest:
                    waiting.appendleft(job if isinstance(job, Aggregation) else replace(job, metrics=rest))
    finally:
        staff.dismiss()


class _Worker(Child):
    """One that measures. finished: jobs that it has done."""

    def __init__(self, workshop: Workshop, memory: float | None) -> None:
        super().__init__("measuring", _work, workshop, memory=memory)
        self.job: Job | Aggregation | None = None
        self.metric: str | None = None
        self.remaining: list[str] = []
        self.finished = 0
        self.heard = time.monotonic()

    def assign(self, job: Job | Aggregation) -> None:
        self.job, self.metric, self.remaining = job, None, list(job.metrics)
        self.heard = time.monotonic()
        self.send(job)

    def receive(self) -> Iterator[Outcome | Facts]:
        message = self.connection.recv()
        self.heard = time.monotonic()
        if isinstance(message, Facts):
            yield message
        elif isinstance(message, Outcome):
            self.remaining.remove(message.metric)
            self.metric = None
            yield message
        elif isinstance(message, _Halt):
            raise FeaturesError(message.reason)
        elif message is None:
            self.job = None
            self.finished += 1
        else:
            self.metric = message


def _work(connection: Connection, workshop: Workshop) -> None:
    """The child: measure clips until the parent closes the pipe."""
    bench = _Bench(workshop)
    try:
        while True:
            job: Job | Aggregation = connection.recv()
            try:
                if isinstance(job, Aggregation):
                    connection.send(job.metric)
                    connection.send(bench.aggregate(job))
                else:
                    for found in bench.measure(job, connection.send):
                        connection.send(found)
            except FeaturesError as error:
                connection.send(_Halt(str(error)))
            connection.send(None)
    except (EOFError, OSError):
        return  # the parent is gone, or this is a process that a plug-in forked: there is nobody to tell


class _Bench:
    """A worker's metrics and features."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._store = FeatureStore(workshop.features, workshop.settings.device)
        self._metrics: dict[str, Metric] = {}

    def _metric(self, name: str) -> Metric:
        from t2av_bench.metrics import create

        if name not in self._metrics:
            self._metrics[name] = create(name, self._workshop.settings, self._workshop.options.get(name))
        return self._metrics[name]

    def measure(self, job: Job, announce: Callable[[str], None]) -> Iterator[Outcome | Facts]:
        from t2av_bench.media.clip import Clip

        limits = self._workshop.limits
        generated = Clip(job.generated, sound_path=job.item.audio, features=self._store, limits=limits)
        pair = Pair(job.item, generated, unpaired=job.unpaired)
        media = {}
        try:
            media["generated"], problem = _probe(pair.generated)
            if job.reference is not None:
                pair.reference = Clip(
                    job.reference, sound_path=job.item.reference_audio, features=self._store, limits=limits
                )
                media["reference"], pair.reference_problem = _probe(pair.reference)
            yield Facts(job.clip, {side: facts for side, facts in media.items() if facts})
            for name in job.metrics:
                announce(name)
                if problem:
                    yield Outcome(job.clip, name, Status.FAILED, problem)
                else:
                    yield _outcome(job.clip, name, partial(self._measurement, job, name, pair))
        finally:
            for clip in (pair.generated, pair.reference):
                if clip is not None:
                    clip.release()

    def _measurement(self, job: Job, name: str, pair: Pair) -> Measurement:
        metric = self._metric(name)
        found = check(metric, metric.measure(pair))
        if found.features:
            self._store.put(job.inputs, metric.protocol.fingerprint, "measurement", found.features)
        # Nobody in the parent looks at them, and a pipe is slow.
        return replace(found, features={})

    def aggregate(self, job: Aggregation) -> Outcome:
        return _outcome("", job.metric, lambda: self._set_measurement(job))

    def _set_measurement(self, job: Aggregation) -> Measurement:
        metric = self._metric(job.metric)
        assert isinstance(metric, SetMetric)
        arrays = [self._store.get(inputs, metric.protocol.fingerprint, "measurement") for inputs in job.inputs]
        found = [each for each in arrays if each is not None]
        if lost := len(arrays) - len(found):
            raise Unscorable(f"the features of {lost} clips are gone; remove the run and evaluate again")
        return check(metric, metric.aggregate(found), of_set=True)


def _outcome(clip: str, name: str, measured: Callable[[], Measurement]) -> Outcome:
    """What a metric found, or the reason why it found nothing: its defect must not cost the others."""
    try:
        return Outcome(clip, name, Status.OK, None, measured())
    except NotApplicable as error:
        return Outcome(clip, name, Status.NOT_APPLICABLE, said(error))
    except (Unscorable, OddAnswer) as error:
        return Outcome(clip, name, Status.FAILED, said(error))
    except FeaturesError:
        raise
    except BaseException as error:  # a plug-in's sys.exit() too
        return Outcome(clip, name, Status.FAILED, unexpected(error))


def _probe(clip: Any) -> tuple[dict[str, Any] | None, str | None]:
    """A clip's facts, or why it cannot be opened."""
    try:
        facts = asdict(clip.info)
    except Unscorable as error:
        return None, said(error)
    except Exception as error:  # whatever a file does to the reader costs this clip alone
        return None, unexpected(error)
    return json_ready({key: str(value) if isinstance(value, Fraction) else value for key, value in facts.items()}), None
