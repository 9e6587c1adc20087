"""Where measurements run: worker processes that each take one clip at a time.

A worker loads each network once. It computes with one thread, so that numbers do not depend on how many workers share
the machine. A clip that kills or hangs its worker costs itself one metric; a fresh worker takes over the rest.
"""

import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from t2av_bench.child import Child
from t2av_bench.items import Item
from t2av_bench.metrics.base import Measurement, Pair, Settings
from t2av_bench.scores import NotApplicable, Status, Unscorable

# Starting an interpreter and importing takes seconds, on a loaded machine many; no metric is to blame for that.
_START_SECONDS = 300.0


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
class Workshop:
    """What every worker is given: settings, the folder of the feature store, and options by metric id."""

    settings: Settings
    features: Path
    options: dict[str, dict[str, Any]] = field(default_factory=dict)


class Staff:
    """Workers that stay between calls of ``run_jobs``, with their networks loaded; use it in a ``with`` block.

    A call with another workshop gets new ones.
    """

    def __init__(self) -> None:
        self._workshop: Workshop | None = None
        self._workers: list[_Worker] = []

    def take(self, workshop: Workshop, count: int) -> "list[_Worker]":
        """So many idle workers; the list is the caller's to repair until it is handed back with ``dismiss``."""
        if workshop != self._workshop:
            self.close()
            self._workshop = workshop
        self._workers += [_Worker(workshop) for _ in range(count - len(self._workers))]
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
    jobs: Sequence[Job], workshop: Workshop, *, workers: int, timeout: float, staff: Staff | None = None
) -> Iterator[Outcome | Facts]:
    """Measure all jobs; what is found comes as it is known, in no fixed order: a clip's facts, then its outcomes.

    timeout: seconds that one metric may take on one clip. staff: who does it and stays; else workers of this call.
    """
    if staff is None:
        with Staff() as own:
            yield from run_jobs(jobs, workshop, workers=workers, timeout=timeout, staff=own)
        return
    waiting = deque(jobs)
    try:
        pool = staff.take(workshop, min(workers, len(waiting)))
        while waiting or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and waiting:
                    worker.assign(waiting.popleft())
            busy = {worker.connection: worker for worker in pool if worker.job}
            ready = wait(list(busy), timeout=1.0)
            for worker in busy.values():
                reason = None
                if worker.connection in ready:
                    try:
                        yield from worker.receive()
                    except (EOFError, ConnectionResetError):
                        reason = worker.obituary()
                elif time.monotonic() - worker.heard > (timeout if worker.metric else max(timeout, _START_SECONDS)):
                    reason = f"no result within {timeout:g} s (--timeout)"
                if reason is None:
                    continue
                job, metric = worker.job, worker.metric
                worker.kill()
                pool[pool.index(worker)] = _Worker(workshop)
                assert job is not None
                # The metric that was being measured is to blame; without one, start-up itself failed.
                blamed = (metric,) if metric else job.metrics
                for name in blamed:
                    yield Outcome(job.clip, name, Status.FAILED, reason)
                rest = tuple(name for name in worker.remaining if name not in blamed)
                if rest:
                    waiting.appendleft(replace(job, metrics=rest))
    finally:
        staff.dismiss()


class _Worker(Child):
    """One that measures."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__("measuring", _work, workshop)
        self.job: Job | None = None
        self.metric: str | None = None
        self.remaining: list[str] = []
        self.heard = time.monotonic()

    def assign(self, job: Job) -> None:
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
        elif message is None:
            self.job = None
        else:
            self.metric = message


def _work(connection: Connection, workshop: Workshop) -> None:
    """The child: measure clips until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C for all
    from t2av_bench.features import FeatureStore
    from t2av_bench.metrics import create

    store = FeatureStore(workshop.features, workshop.settings.device)
    metrics: dict[str, Any] = {}
    try:
        while True:
            job: Job = connection.recv()
            for outcome in _measure(job, metrics, create, workshop, store, connection.send):
                connection.send(outcome)
            connection.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone; there is nobody to tell


def _measure(job, metrics, create, workshop, store, announce) -> Iterator[Outcome | Facts]:
    from t2av_bench.media.clip import Clip

    pair = Pair(job.item, Clip(job.generated, features=store), unpaired=job.unpaired)
    media = {}
    try:
        media["generated"], problem = _probe(pair.generated)
        if job.reference is not None:
            pair.reference = Clip(job.reference, features=store)
            media["reference"], pair.reference_problem = _probe(pair.reference)
        yield Facts(job.clip, {side: facts for side, facts in media.items() if facts})
        for name in job.metrics:
            announce(name)
            if problem:
                yield Outcome(job.clip, name, Status.FAILED, problem)
                continue
            try:
                if name not in metrics:
                    metrics[name] = create(name, workshop.settings, workshop.options.get(name))
                measurement = metrics[name].measure(pair)
                if measurement.features:
                    store.put(job.inputs, metrics[name].protocol.fingerprint, "measurement", measurement.features)
                yield Outcome(job.clip, name, Status.OK, None, measurement)
            except NotApplicable as error:
                yield Outcome(job.clip, name, Status.NOT_APPLICABLE, str(error))
            except Unscorable as error:
                yield Outcome(job.clip, name, Status.FAILED, str(error))
            except Exception as error:  # a metric's defect on one clip must not cost the others
                where = traceback.extract_tb(error.__traceback__)[-1]
                yield Outcome(
                    job.clip, name, Status.FAILED,
                    f"unexpected {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})",
                )  # fmt: skip
    finally:
        for clip in (pair.generated, pair.reference):
            if clip is not None:
                clip.release()


def _probe(clip: Any) -> tuple[dict[str, Any] | None, str | None]:
    """A clip's facts, or why it cannot be opened."""
    try:
        facts = asdict(clip.info)
    except Unscorable as error:
        return None, str(error)
    return {key: str(value) if isinstance(value, Fraction) else value for key, value in facts.items()}, None
