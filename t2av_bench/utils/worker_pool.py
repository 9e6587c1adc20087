"""Workers that carry out jobs: who does which, and what follows when one dies, hangs or takes too much memory.

A job has parts, and its worker tells of each. ``Work`` (measuring, generating) says how a worker is started, and of a
job that failed which parts are to blame and which are tried again. A ``Transport`` reaches one worker, wherever it
runs: the pool knows no process, pipe or signal.
"""

import math
import selectors
import time
from collections import deque
from collections.abc import Generator, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from t2av_bench.utils import memory

_LOOK_SECONDS = 0.25  # how often workers are looked at that say nothing


class Transport(Protocol):
    """A worker that was started, and the way to it.

    fileno: of a descriptor that can be read as soon as there is a message, and once the worker has ended. send: a
    worker that has died does not take it, which is no error here. receive: the next message; raises EOFError where the
    worker has ended. ended: so has it, and all that it said is received. exit_reason: how, as in "died: SIGSEGV".
    memory_held: bytes, with all that it started; None: not known. kill: end it, and what it started.
    """

    def fileno(self) -> int: ...
    def send(self, message: Any) -> None: ...
    def receive(self) -> Any: ...
    def ended(self) -> bool: ...
    def exit_reason(self) -> str: ...
    def memory_held(self) -> int | None: ...
    def kill(self) -> None: ...


# What workers tell. An exception is raised here: it concerns all jobs.


@dataclass(frozen=True, slots=True)
class Working:
    """What the job needs is loaded, and it is under way: at this part, or at all that are left."""

    part: Hashable = None


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
    start_seconds: how long loading may take where the time limit is shorter.
    """

    @property
    def key(self) -> Hashable: ...
    @property
    def parts(self) -> Sequence[Hashable]: ...
    @property
    def slots(self) -> Sequence[str]: ...
    @property
    def start_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that its worker did not finish. left: parts without a result; part: the one that it was at.

    loading: what the job needs was not loaded yet. refused: the worker says so itself. leftovers: it held too much
    memory, and jobs that it had finished may have left it behind.
    """

    job: Any
    left: tuple[Any, ...]
    part: Any
    reason: str
    loading: bool
    refused: bool
    leftovers: bool


class Work(Protocol):
    """What is done to jobs; equal work can be done by the same workers.

    doing: as in "the measuring process". late: the reason of a part that takes longer than so many seconds, ``{:g}``.
    start: a worker; slot: what it alone holds, which work on jobs with slots is told. failed: results of the parts that
    are to blame; what is to be tried again goes to the head of those waiting.
    """

    doing: str
    late: str

    def start(self, slot: str | None = None) -> Transport: ...
    def failed(self, failure: Failure, waiting: deque[Any]) -> Iterable[Any]: ...


@dataclass(eq=False, slots=True)
class _Worker:
    """loaded: key of the job whose needs it holds. finished: jobs that it has done. slot: what it alone holds."""

    transport: Transport
    slot: str | None = None
    job: Any = None
    left: dict[Hashable, None] = field(default_factory=dict)
    part: Hashable = None
    working: bool = False
    loaded: Hashable = None
    finished: int = 0
    heard: float = 0.0
    looked: float = 0.0

    @property
    def key(self) -> Hashable:
        return self.job.key if self.job else self.loaded

    def assign(self, job: Any) -> None:
        self.job, self.left, self.part, self.working = job, dict.fromkeys(job.parts), None, False
        self.loaded = job.key if self.loaded == job.key else None
        self.heard = time.monotonic()
        self.transport.send(job)

    def holds_more_than(self, limit: float) -> bool:
        """Looks a few times a second at most."""
        now = time.monotonic()
        if not self.job or now - self.looked < _LOOK_SECONDS:
            return False
        self.looked = now
        return (self.transport.memory_held() or 0) > limit

    def failure(self, reason: str, *, refused: bool = False, leftovers: bool = False) -> Failure:
        return Failure(self.job, tuple(self.left), self.part, reason, self.loaded is None, refused, leftovers)


class WorkerPool:
    """Workers that stay between calls of ``run`` with what they have loaded; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._work: Any = None
        self._workers: list[_Worker] = []
        self._waiting: deque[Any] = deque()
        self._available = memory.available()  # now: later the workers' own memory is missing from it

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
        self._work, self._waiting = work, deque(jobs)
        count = min(workers, len(self._waiting))
        slots = {slot for job in self._waiting for slot in job.slots}
        plain = min(workers, sum(not job.slots for job in self._waiting))
        limit = most or memory.share(self._available, max(plain + len(slots), len(self._workers))) or math.inf
        try:
            while True:
                while self._waiting and (pair := self._pair(count)):
                    worker, job = pair
                    self._waiting.remove(job)
                    worker.assign(job)
                busy = [worker for worker in self._workers if worker.job]
                if not busy:
                    break
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
        if any(not job.slots for job in self._waiting) and (worker := self.acquire(count)):
            return worker, self._next(worker, None)
        for worker in self._workers:
            if worker.slot is not None and not worker.job:
                if any(worker.slot in job.slots for job in self._waiting):
                    return worker, self._next(worker, worker.slot)
        held = {worker.slot for worker in self._workers}
        for job in self._waiting:
            if (slot := next((slot for slot in job.slots if slot not in held), None)) is not None:
                worker = _Worker(self._work.start(slot), slot)
                self._workers.append(worker)
                return worker, job
        return None

    def acquire(self, count: int) -> _Worker | None:
        """An idle worker without a slot; a new one where there are fewer than ``count``; else None."""
        plain = [worker for worker in self._workers if worker.slot is None]
        idle = next((worker for worker in plain if not worker.job), None)
        if idle is None and len(plain) < count:
            idle = _Worker(self._work.start())
            self._workers.append(idle)
        return idle

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

    def _next(self, worker: _Worker, slot: str | None) -> Any:
        """Loading costs: the first job whose needs the worker holds, else of those that nobody holds, else any.

        slot: which it must want; None: a job without slots. Mostly the first that waits is it: nobody looks at all of
        10,000 jobs 10,000 times.
        """
        held = {each.key for each in self._workers}

        def fitting() -> Iterator[Any]:
            return (job for job in self._waiting if (slot in job.slots if slot is not None else not job.slots))

        return (
            next((job for job in fitting() if job.key == worker.key), None)
            or next((job for job in fitting() if job.key not in held), None)
            or next(fitting())
        )

    def _attend(self, worker: _Worker, ready: bool, silent: float, timeout: float, limit: float) -> Iterator[Any]:
        """Hear what a worker says, or see what has become of it. silent: seconds."""
        patience = timeout if worker.working else max(timeout, worker.job.start_seconds)
        died = not ready and worker.transport.ended()
        over_memory = False
        if ready:
            try:
                message = worker.transport.receive()
            except EOFError:
                died = True
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
        failure = worker.failure(trouble, leftovers=over_memory and worker.finished > 0)
        self._end(worker)
        if died and not worker.working and not failure.loading:
            self._waiting.appendleft(worker.job)  # it had died before it got the job: a fresh one tells
        else:
            yield from self._work.failed(failure, self._waiting)

    def _heard(self, worker: _Worker, message: Any) -> Iterator[Any]:
        worker.heard = time.monotonic()
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Working):
            worker.part, worker.working, worker.loaded = message.part, True, worker.job.key
        elif isinstance(message, Done):
            worker.left.pop(message.part, None)
            worker.part = None
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
