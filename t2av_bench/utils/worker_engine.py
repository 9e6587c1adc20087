"""Where the workers of a pool run, and how they are reached. Here: on this machine; ``ray_engine``: on many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from t2av_bench.utils import memory

MOST_WORKERS = 512


class Lost(EOFError):
    """The worker is gone with its machine, which is nothing that its job did."""


class Transport(Protocol):
    """A worker that was started, and the way to it.

    there: it has a place to run, so that jobs can be sent; until then it may wait for a machine. fileno: of a
    descriptor that can be read as soon as there is a message, and once the worker has ended. send: a worker that has
    died does not take it, which is no error here. receive: the next message; raises EOFError where the worker has
    ended, ``Lost`` where it was lost. ended: so has it, and all that it said is received. exit_reason: how, as in
    "died: SIGSEGV". memory_held: bytes, with all that it started; None: not known. kill: end it, and what it started.
    """

    def there(self) -> bool: ...
    def fileno(self) -> int: ...
    def send(self, message: Any) -> None: ...
    def receive(self) -> Any: ...
    def ended(self) -> bool: ...
    def exit_reason(self) -> str: ...
    def memory_held(self) -> int | None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Needs:
    """What a worker takes of its machine, where an engine has several. None: what the engine takes by default.

    num_cpus, num_gpus: also parts of one. memory: bytes, which the worker may then hold.
    """

    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: float | None = None


class Engine(Protocol):
    """Where workers run.

    needs: what tells workers for a job from others, None where any will do. slots: of a job, as far as the pool hands
    them out. most: how many workers with these needs there may be now, of so many asked for. share: bytes that each of
    so many may hold; None: not known. start: a worker with these needs.
    """

    def needs(self, job: Any) -> Needs | None: ...
    def slots(self, job: Any) -> Sequence[str]: ...
    def most(self, asked: int, needs: Needs | None) -> int: ...
    def share(self, workers: int) -> float | None: ...
    def start(self, work: Any, slot: str | None, needs: Needs | None) -> Transport: ...


class Here:
    """The engine of this machine: workers are what ``Work`` starts."""

    def __init__(self) -> None:
        self._available = memory.available()  # now: later the workers' own memory is missing from it

    def needs(self, job: Any) -> None:
        return None

    def slots(self, job: Any) -> Sequence[str]:
        found: Sequence[str] = job.slots
        return found

    def most(self, asked: int, needs: Needs | None) -> int:
        return asked

    def share(self, workers: int) -> float | None:
        return memory.share(self._available, workers)

    def start(self, work: Any, slot: str | None, needs: Needs | None) -> Transport:
        return work.start(slot)
