"""Workers that carry out jobs: who does which, and what follows when one dies, hangs or takes too much memory.

A job has parts, and its worker tells of each. ``Work`` (measuring, generating) says how a worker is started, and of a
job that failed which parts are to blame and which are tried again. A ``Transport`` reaches one worker, wherever it
runs, and an ``Engine`` chooses where: the pool knows no process, pipe, signal or machine.
"""

import math
import selectors
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from t2av_bench.utils import memory
from t2av_bench.utils.worker_engine import Engine, Here, Lost, Needs, Transport

_LOOK_SECONDS = 0.25  # how often workers are looked at that say nothing
_LOSSES = 3  # in a row, of a job's machines, after which it is to blame all the same


# What workers tell. An exception is raised here: it concerns all jobs.


@dataclass(frozen=True, slots=True)
class Working:
    """What the job needs is loaded, and it is under way: at this part, or at all that are left.

    share: how many parts it is at; each of them may take the time limit.
    """

    part: Hashable = None
    share: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """A part's result, or one that belongs to no part."""

    part: Hashable
    result: Any


@dataclass(frozen=True, slots=True)
class Finished:
    """The job is over. refusal: why no worker can do it."""

    refusal: str | None = None


class Job(Protocol):
    """Jobs of an equal key need the same things loaded.

    slots: names of things (graphics cards) of which its worker must hold one alone; none: any worker does.
    start_seconds: how long loading may take where the time limit is shorter. needs: of its worker.
    """

    @property
    def key(self) -> Hashable: ...
    @property
    def parts(self) -> Sequence[Hashable]: ...
    @property
    def slots(self) -> Sequence[str]: ...
    @property
    def start_seconds(self) -> float: ...
    @property
    def needs(self) -> Needs: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that its worker did not finish. left: parts without a result; part: the one that it was at.

    loading: what the job needs was not loaded yet. refused: the worker says so itself. leftovers: it held too much
    memory, and jobs that it had finished may have left it behind. lost: its machine was, and nothing is to blame.
    """

    job: Any
    left: tuple[Any, ...]
    part: Any
    reason: str
    loading: bool
    refused: bool
    leftovers: bool
    lost: bool = False


class Work(Protocol):
    """What is done to jobs; equal work can be done by the same workers.

    doing: as in "the measuring process". late: the reason of a part that takes longer than so many seconds, ``{:g}``.
    start: a worker; slot: what it alone holds, which work on jobs with slots is told. failed: results of the parts that
    are to blame; what is to be tried again goes to the head of those waiting, or where its machine was lost to their
    end.
    """

    doing: str
    late: str

    def start(self, slot: str | None = None) -> Transport: ...
    def failed(self, failure: Failure, waiting: deque[Any]) -> Iterable[Any]: ...


@dataclass(eq=False, slots=True)
class _Worker:
    """loaded: key of the job whose needs it holds. working: at how many parts, 0 while it loads. finished: jobs that it
    has done. slot: what it alone holds."""

    transport: Transport
    slot: str | None = None
    needs: Needs | None = None
    job: Any = None
    left: dict[Hashable, None] = field(default_factory=dict)
    part: Hashable = None
    working: int = 0
    loaded: Hashable = None
    finished: int = 0
    heard: float = 0.0
    looked: float = 0.0

    @property
    def key(self) -> Hashable:
        return self.job.key if self.job else self.loaded

    def assign(self, job: Any) -> None:
        self.job, self.left, self.part, self.working = job, dict.fromkeys(job.parts), None, 0
        self.loaded = job.key if self.loaded == job.key else None
        self.heard = time.monotonic()
        self.transport.send(job)

    def most(self, limit: float) -> float:
        """Bytes that it may hold: what it needs, where that is known, else the limit of all."""
        return (self.needs and self.needs.memory) or limit

    def holds_more_than(self, limit: float) -> bool:
        """Looks a few times a second at most."""
        now = time.monotonic()
        if not self.job or now - self.looked < _LOOK_SECONDS:
            return False
        self.looked = now
        return (self.transport.memory_held() or 0) > limit

    def failure(self, reason: str, *, refused: bool = False, leftovers: bool = False, lost: bool = False) -> Failure:
        return Failure(self.job, tuple(self.left), self.part, reason, self.loaded is None, refused, leftovers, lost)


class WorkerPool:
    """Workers that stay between calls of ``run`` with what they have loaded; use it in a ``with`` block.

    engine: where they run; None: on this machine.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine = engine or Here()
        self._work: Any = None
        self._workers: list[_Worker] = []
        self._waiting: deque[Any] = deque()
        self._kinds: list[Needs | None] = []
        self._losses = 0  # since the last result

    def run(
        self, jobs: Iterable[Job], work: Work, *, workers: int, timeout: float, most: float | None = None
    ) -> Generator[Any, None, None]:
        """Carry out all jobs; results come as they are known, in no fixed order.

        workers: of those for jobs without slots; each slot has one worker more, which is kept for whatever job wants
        the slot next. timeout: seconds that a worker may be silent. most: bytes that a worker may hold; None: its share
        of what is available. Work that is not equal to that of the last call gets new workers.
        """
        if work != self._work:
            self.close()
        self._work, self._waiting, self._losses = work, deque(jobs), 0
        if not self._waiting:
            return
        count = min(workers, len(self._waiting))
        slots = {slot for job in self._waiting for slot in self._engine.slots(job)}
        plain = [job for job in self._waiting if not self._engine.slots(job)]
        # Graphics cards first: workers without must not take their machines.
        self._kinds = sorted({*map(self._engine.needs, plain)}, key=lambda kind: -((kind and kind.num_gpus) or 0))
        together = max(min(workers, len(plain)) + len(slots), len(self._workers))
        limit = most or self._engine.share(together) or math.inf
        try:
            while True:
                while self._waiting and (pair := self._pair(count)):
                    worker, job = pair
                    self._waiting.remove(job)
                    worker.assign(job)
                busy = [worker for worker in self._workers if worker.job]
                if not busy and not self._waiting:
                    break
                if not busy:  # their workers have no machine yet
                    time.sleep(_LOOK_SECONDS)
                    continue
                now = time.monotonic()  # before the look: what was said while the caller was busy is no silence
                ready = _ready(busy)
                for worker in busy:
                    silent = 0.0 if worker in ready else now - worker.heard
                    yield from self._attend(worker, worker in ready, silent, timeout, limit)
        finally:
            self.release()

    def _pair(self, count: int) -> tuple[_Worker, Any] | None:
        """A worker that is idle, or new, and a job for it; None: what waits must wait on.

        A slot has one worker at most, which serves all that want the slot: so none can keep it from the others.
        """
        for kind in self._kinds:
            if any(self._is_for(kind, job) for job in self._waiting) and (worker := self._acquire(count, kind)):
                return worker, self._next(worker, partial(self._is_for, kind))
        for worker in self._workers:
            if (slot := worker.slot) is not None and not worker.job:
                if any(self._wants(slot, job) for job in self._waiting):
                    return worker, self._next(worker, partial(self._wants, slot))
        held = {worker.slot for worker in self._workers}
        for job in self._waiting:
            if (slot := next((slot for slot in self._engine.slots(job) if slot not in held), None)) is not None:
                worker = _Worker(self._engine.start(self._work, slot, None), slot)
                self._workers.append(worker)
                return worker, job
        return None

    def _is_for(self, kind: Needs | None, job: Any) -> bool:
        """Whether workers of a kind, without a slot, do a job."""
        return not self._engine.slots(job) and self._engine.needs(job) == kind

    def _wants(self, slot: str, job: Any) -> bool:
        return slot in self._engine.slots(job)

    def _acquire(self, count: int, kind: Needs | None) -> _Worker | None:
        """An idle worker of a kind, without a slot; a new one where there may be more; else None.

        Where there may be no more of all kinds, one that is idle, and of whose kind no job waits, makes room.
        """
        plain = [worker for worker in self._workers if worker.slot is None]
        mine = [worker for worker in plain if worker.needs == kind]
        for worker in mine:
            if not worker.job and worker.transport.there():
                return worker
        if others := [worker for worker in plain if worker.needs != kind and not worker.job]:
            wanted = {other for other in self._kinds if any(self._is_for(other, job) for job in self._waiting)}
            for worker in others:
                if worker.needs not in wanted:
                    self._end(worker)
                    plain.remove(worker)
        if len(plain) < count and len(mine) < self._engine.most(count, kind):
            worker = _Worker(self._engine.start(self._work, None, kind), needs=kind)
            self._workers.append(worker)
            return worker if worker.transport.there() else None
        return None

    def release(self) -> None:
        """Who is in the middle of something (the caller gave up) goes, the others stay."""
        for worker in [worker for worker in self._workers if worker.job]:
            self._end(worker)

    def close(self) -> None:
        while self._workers:
            self._end(self._workers[-1])

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.transport.kill()

    def _next(self, worker: _Worker, suits: Callable[[Any], bool]) -> Any:
        """Loading costs: the first job whose needs the worker holds, else of those that nobody holds, else any.

        Mostly the first that waits is it: nobody looks at all of 10,000 jobs 10,000 times.
        """
        held = {each.key for each in self._workers}

        def fitting() -> Iterator[Any]:
            return (job for job in self._waiting if suits(job))

        return (
            next((job for job in fitting() if job.key == worker.key), None)
            or next((job for job in fitting() if job.key not in held), None)
            or next(fitting())
        )

    def _attend(self, worker: _Worker, ready: bool, silent: float, timeout: float, limit: float) -> Iterator[Any]:
        """Hear what a worker says, or see what has become of it. silent: seconds."""
        patience = timeout * worker.working or max(timeout, worker.job.start_seconds)
        limit = worker.most(limit)
        died = not ready and worker.transport.ended()
        lost = over_memory = False
        if ready:
            try:
                message = worker.transport.receive()
            except EOFError as end:
                died, lost = True, isinstance(end, Lost)
            else:
                yield from self._heard(worker, message)
        if died:
            trouble = f"the {self._work.doing} process {worker.transport.exit_reason()}"
        elif silent > patience:
            trouble = self._work.late.format(patience)
        elif over_memory := worker.holds_more_than(limit):
            trouble = (
                f"the {self._work.doing} process used more than {limit / memory.GB:.3g} GB of memory "
                "(--memory sets it; without it, fewer --workers leave more for each)"
            )
        else:
            return
        if lost:
            self._losses += 1  # of all: a job that takes its machine along may be the last of them
            unfinished = len(self._waiting) + sum(each.job is not None for each in self._workers)
            lost = self._losses <= _LOSSES * unfinished
        failure = worker.failure(trouble, leftovers=over_memory and worker.finished > 0, lost=lost)
        self._end(worker)
        if died and not lost and not worker.working and not failure.loading:
            self._waiting.appendleft(worker.job)  # it had died before it got the job: a fresh one tells
        elif failure.left or not lost:
            yield from self._work.failed(failure, self._waiting)

    def _heard(self, worker: _Worker, message: Any) -> Iterator[Any]:
        worker.heard = time.monotonic()
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Working):
            worker.part, worker.working, worker.loaded = message.part, message.share, worker.job.key
        elif isinstance(message, Done):
            worker.left.pop(message.part, None)
            worker.part = None
            self._losses = 0
            yield message.result
        elif isinstance(message, Finished) and message.refusal is None:
            worker.job = None
            worker.finished += 1
        elif isinstance(message, Finished):
            worker.loaded = None
            failure = worker.failure(str(message.refusal), refused=True)
            worker.job = None
            yield from self._work.failed(failure, self._waiting)


def _ready(workers: Sequence[_Worker]) -> set[_Worker]:
    """Those that have something to say, as soon as there is one."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.transport, selectors.EVENT_READ, worker)
        return {key.data for key, _ in selector.select(_LOOK_SECONDS)}
