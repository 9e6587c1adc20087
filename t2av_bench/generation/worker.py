"""Where clips are made: worker processes that each hold one loaded system and take a few requests at a time.

A worker computes with one thread, so that clips do not depend on how many workers share the machine. A request that
kills or hangs its worker costs itself one clip: those that were asked for together with it are asked for again alone.
"""

import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.generation.records import MadeFrom, discard, seal
from t2av_bench.systems.base import GeneratedClip, Request, System
from t2av_bench.utils.files import disk_trouble
from t2av_bench.utils.memory import available, share
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker import Child

# Importing and loading weights may take minutes on a loaded machine; no request is to blame for that.
_START_SECONDS = 600.0
_LOADING_TRIES = 2
_HEARTBEAT_SECONDS = 1.0
_LOOK_SECONDS = 0.25  # how often workers are looked at that say nothing


@dataclass(frozen=True, slots=True)
class Order:
    """A request, and the fingerprint and sources that its clip's record gets. row: whose clip it is."""

    row: str
    request: Request
    fingerprint: str
    made_from: MadeFrom = field(compare=False)


@dataclass(frozen=True, slots=True)
class Job:
    """Requests that one system makes together. options are its own; equal systems have equal ``key``."""

    key: str
    system: str
    options: Mapping[str, Any]
    device: str
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an order: reason is None where the clip is there. disk: error number of a full disk."""

    order: Order
    reason: str | None
    disk: int | None = None


@dataclass(frozen=True, slots=True)
class _Unloadable:
    """The system cannot be loaded here."""

    reason: str


def make(
    jobs: Sequence[Job], *, workers: int, timeout: float, most: float | None = None
) -> Generator[Answer, None, None]:
    """Carry out all jobs; answers come as they are known, in no fixed order, one for each order.

    timeout: seconds without a sign of life after which a request has failed. most: bytes that each
    worker may hold, else its share of the memory that is available.
    """
    waiting = deque(jobs)
    pool: list[_Worker] = []
    unloaded: Counter[str] = Counter()
    count = min(workers, len(waiting))
    limit = most or share(available(), count)
    try:
        pool = [_Worker(limit) for _ in range(count)]
        while waiting or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and waiting:
                    worker.assign(_next(waiting, worker, pool))
            busy = {worker.connection: worker for worker in pool if worker.job}
            ready = wait(list(busy), timeout=_LOOK_SECONDS)
            for worker in busy.values():
                trouble = greed = None
                if worker.connection in ready:
                    try:
                        message = worker.receive()
                    except (EOFError, ConnectionResetError):
                        trouble = worker.obituary()
                    else:
                        if isinstance(message, Answer):
                            yield message
                        elif isinstance(message, _Unloadable):
                            yield from _refuse(worker, waiting, message.reason)
                elif worker.ended:
                    trouble = worker.obituary()
                elif time.monotonic() - worker.heard > (patience := worker.patience(timeout)):
                    trouble = f"no sign of life within {patience:g} s (timeout)"
                if trouble is None and worker.job is not None:
                    trouble = greed = worker.greed()
                if trouble is None:
                    continue
                left = list(worker.left)
                job = worker.job
                assert job is not None
                worker.kill()
                pool[pool.index(worker)] = _Worker(limit)
                if not worker.started:  # no request is to blame; and loading in vain again and again may take days
                    unloaded[job.key] += 1
                    if unloaded[job.key] < _LOADING_TRIES:
                        waiting.appendleft(job)
                    else:
                        yield from _refuse(worker, waiting, f"{job.system} cannot be loaded: {trouble}")
                    continue
                # One of several is to blame, or earlier clips left memory behind: each gets a try in a fresh worker.
                again = len(left) > 1 or bool(greed and worker.finished)
                for order in reversed(left if again else []):
                    waiting.appendleft(Job(job.key, job.system, job.options, job.device, (order,)))
                for order in [] if again else left:
                    discard(order.request.out)
                    yield Answer(order, trouble)
    finally:
        for worker in pool:
            worker.kill()


def _next(waiting: deque[Job], worker: "_Worker", pool: "Sequence[_Worker]") -> Job:
    """Loading costs: the first job of the system that the worker holds, else of one that nobody holds, else any."""
    held = {each.key for each in pool}
    job = (
        next((job for job in waiting if job.key == worker.key), None)
        or next((job for job in waiting if job.key not in held), None)
        or waiting[0]
    )
    waiting.remove(job)
    return job


def _refuse(worker: "_Worker", waiting: deque[Job], reason: str) -> Iterator[Answer]:
    """Answer every order of a system that cannot be loaded."""
    job = worker.job
    assert job is not None
    refused = [job, *(other for other in waiting if other.key == job.key)]
    for other in refused[1:]:
        waiting.remove(other)
    worker.job, worker.key = None, None
    for order in (order for other in refused for order in other.orders):
        discard(order.request.out)
        yield Answer(order, reason)


class _Worker(Child):
    """One that generates."""

    def __init__(self, memory: float | None = None) -> None:
        super().__init__("generating", _work, memory=memory)
        self.job: Job | None = None
        self.key: str | None = None
        self.left: dict[Order, None] = {}
        self.started = False
        self.finished = 0
        self.heard = time.monotonic()

    def assign(self, job: Job) -> None:
        self.job, self.left, self.started = job, dict.fromkeys(job.orders), self.key == job.key
        self.key, self.heard = job.key, time.monotonic()
        self.send(job)

    def patience(self, timeout: float) -> float:
        """Seconds that it may say nothing."""
        return timeout if self.started else max(timeout, _START_SECONDS)

    def receive(self) -> "Answer | _Unloadable | None":
        """The next message; None where it is only a sign of life or the end of the job."""
        message = self.connection.recv()
        self.heard = time.monotonic()
        if isinstance(message, Answer):
            self.left.pop(message.order, None)
            return message
        if isinstance(message, _Unloadable):
            return message
        self.started = True
        if message == "finished":
            self.job = None
            self.finished += 1
        return None


def _work(connection: Connection) -> None:
    """The child: carry out jobs until the parent closes the pipe."""
    key: str | None = None
    system: System | None = None
    try:
        while True:
            job: Job = connection.recv()
            if job.key != key:
                key, system = None, None  # the old one's memory goes before the new one needs it
                try:
                    system = _load(job)
                except BaseException as error:  # a plug-in's sys.exit() too
                    connection.send(_Unloadable(_loading_reason(job, error)))
                    continue
                key = job.key
            assert system is not None
            connection.send("loaded")
            for answer in _made(system, job.orders, connection):
                connection.send(answer)
            connection.send("finished")
    except (EOFError, OSError):
        return  # the parent is gone, or this is a process that a plug-in forked; there is nobody to tell


def _load(job: Job) -> System:
    from t2av_bench import systems

    return systems.load(job.system, device=job.device, **job.options)


def _loading_reason(job: Job, error: BaseException) -> str:
    if isinstance(error, NotApplicable | ValueError | OSError):
        return f"{job.system} cannot be loaded: {said(error)}"
    return f"{job.system} cannot be loaded: {unexpected(error)}"


def _made(system: System, orders: Sequence[Order], connection: Connection) -> Iterator[Answer]:
    """Answers to all orders; where making them together breaks down, each is tried alone."""
    last = time.monotonic()

    def alive(_: object) -> None:
        nonlocal last
        if time.monotonic() - last > _HEARTBEAT_SECONDS:
            last = time.monotonic()
            connection.send("alive")

    for order in orders:
        discard(order.request.out)
    try:
        found = system.generate_batch([order.request for order in orders], alive)
        if len(found) != len(orders):
            raise RuntimeError(f"{len(orders)} requests, {len(found)} answers")
    except (BrokenPipeError, ConnectionResetError):
        raise
    except BaseException as error:  # a system's defect on one request must not cost the others
        if len(orders) > 1:
            for order in orders:
                yield from _made(system, [order], connection)
            return
        discard(orders[0].request.out)
        expected = isinstance(error, NotApplicable | Unscorable)
        yield Answer(orders[0], said(error) if expected else unexpected(error), disk_trouble(error))
        return
    for order, made in zip(orders, found, strict=True):
        yield _sealed(order, made)


def _sealed(order: Order, made: GeneratedClip | Exception) -> Answer:
    reason = said(made) if isinstance(made, Exception) else None
    disk = disk_trouble(made) if isinstance(made, Exception) else None
    if isinstance(made, GeneratedClip):
        try:
            seal(order.request, made, order.fingerprint, order.made_from)
        except (Unscorable, OSError, ValueError) as error:
            reason, disk = said(error), disk_trouble(error)
    if reason is not None:
        discard(order.request.out)
    return Answer(order, reason, disk)
