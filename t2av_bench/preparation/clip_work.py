"""Work on many clips, one after the other, in processes that hold what it takes (networks): made with the first clip.

Whatever a clip does to a library costs it alone; one that takes its process with it gets a second try in a fresh one.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

from t2av_bench.errors import NotApplicable
from t2av_bench.utils import memory
from t2av_bench.utils.machine import cores
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker import Child
from t2av_bench.utils.worker_engine import MOST_WORKERS
from t2av_bench.utils.worker_pool import Done, Failure, Working

_HEARTBEAT_SECONDS = 1.0
_TRIES = 2
JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
Alive = Callable[[], None]
"""Called now and then while something takes long."""


def process_count(device: str, engine: str = "local") -> int:
    """How many, where nobody says: one a core where memory allows, one on a GPU; on a cluster all that it holds."""
    if engine != "local":
        return MOST_WORKERS
    return 1 if device != "cpu" else memory.fitting(memory.WORKER_BYTES, cores())


class ClipWork(ABC, Generic[JobT, ResultT]):
    """Work of a ``WorkerPool`` on jobs with an ``id``. Each process holds ``make(*arguments)``.

    NotApplicable where that cannot be made, for then no clip is to blame and all would fail; held: what it is.
    """

    doing: str
    held: str
    late = "no sign of life within {:g} s (--timeout)"

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._make, self._arguments = make, arguments
        self._tries: Counter[Hashable] = Counter()

    @staticmethod
    @abstractmethod
    def carry_out(job: JobT, held: Any, alive: Alive) -> ResultT:
        """In the process. NotApplicable ends all; any other exception is the clip's own."""

    @staticmethod
    @abstractmethod
    def task_of(job: JobT) -> Hashable:
        """What is tried twice at most."""

    @staticmethod
    @abstractmethod
    def lost(job: JobT, reason: str) -> ResultT:
        """Of a job that took its process with it each time."""

    def start(self, slot: str | None = None) -> Child:
        return Child(_Worker, self.carry_out, self._make, self._arguments)

    def failed(self, failure: Failure, waiting: deque[JobT]) -> Iterator[ResultT]:
        """Another program may have taken the memory: once more."""
        if failure.lost:
            waiting.append(failure.job)
            return
        if failure.loading:
            raise NotApplicable(f"{self.held} cannot be loaded: {failure.reason}")
        job: JobT = failure.job
        task = self.task_of(job)
        self._tries[task] += 1
        if self._tries[task] < _TRIES or failure.leftovers:
            waiting.appendleft(job)
        else:
            yield self.lost(job, failure.reason)


class _Worker:
    """What a process holds."""

    def __init__(
        self, carry_out: Callable[[Any, Any, Alive], Any], make: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:  # fmt: skip
        self._carry_out, self._make, self._arguments = carry_out, make, arguments
        self._held: Any = None

    def __call__(self, job: Any, tell: Callable[[Any], None]) -> str | None:
        if self._held is None:
            try:
                self._held = self._make(*self._arguments)
            except BaseException as error:  # a plug-in's or a library's sys.exit() too
                expected = isinstance(error, NotApplicable | ValueError | OSError)
                return said(error) if expected else unexpected(error)
        last = time.monotonic()

        def alive() -> None:
            nonlocal last
            if time.monotonic() - last > _HEARTBEAT_SECONDS:
                last = time.monotonic()
                tell(Working(job.id))

        tell(Working(job.id))
        try:
            tell(Done(job.id, self._carry_out(job, self._held, alive)))
        except NotApplicable as error:  # weights or a package are missing
            tell(error)
        return None
