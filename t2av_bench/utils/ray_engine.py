"""Workers on the machines of a Ray cluster: each in an actor, ``ray_host.Host``, placed by what it needs.

The pool decides who does what, and what follows when a worker dies, as it does here. What differs: workers come when
their machine has room, and go with it, which costs no clip.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from t2av_bench.utils import memory
from t2av_bench.utils.machine import cores
from t2av_bench.utils.memory import GB
from t2av_bench.utils.optional import require
from t2av_bench.utils.ray_host import Heard, Host, versions
from t2av_bench.utils.reasons import said
from t2av_bench.utils.worker_engine import Engine, Lost, Needs, Transport

_LOOK_SECONDS = 2.0  # how often the cluster is asked what it has
_GRACE_SECONDS = 120.0  # how long a cluster may have no machine for a worker, once it had one
_STARTS = 3
_OBJECT_STORE = 256 * 10**6  # of a cluster of this machine alone: jobs and results are small
_OURS = "T2AV_BENCH_"
_KILLED = "died: SIGKILL (out of memory?)"  # as a worker's own end by the kernel is told


@contextmanager
def chosen_engine(name: str, address: str | None, device: str, memory: float) -> Iterator[Engine | None]:
    """``local``: None, which means this machine; ``ray``: the cluster at ``address``. Raises as ``RayEngine``.

    There a worker takes by default one processor, so many bytes, and on a GPU one graphics card.
    """
    if name == "local":
        yield None
        return
    with RayEngine(address, Needs(1.0, 0.0 if device == "cpu" else 1.0, memory)) as engine:
        yield engine


class RayEngine:
    """An ``Engine`` on the cluster at ``address``, used in a ``with`` block.

    address: None: RAY_ADDRESS, or the cluster that runs on this machine, or a new one of this machine alone. default:
    what a worker takes of its machine where its job does not say; its memory is reserved, not a limit.

    NotApplicable without the package. ValueError where there is no such cluster, no machine in it that could hold a
    worker, or a machine with other versions; when that is known.
    """

    def __init__(self, address: str | None = None, default: Needs | None = None) -> None:
        self._ray: Any = require("ray", "ray")
        self._address, self._default = address, default or Needs()
        self._lock = threading.RLock()
        self._listening: dict[Any, Callable[[Any, BaseException | None], None]] = {}
        self._connected = self._mine = self._closed = False
        self._nodes: list[Mapping[str, float]] = []
        self._looked = self._had = 0.0

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        if self._connected:
            self._listener.join(timeout=10.0)
        if self._mine:
            self._ray.shutdown()

    def needs(self, job: Any) -> Needs:
        """A job that wants one of several graphics cards wants any that Ray gives."""
        found: Needs = job.needs
        if job.slots and found.num_gpus is None:
            return Needs(found.num_cpus, max(1.0, self._default.num_gpus or 0.0), found.memory)
        return found

    def slots(self, job: Any) -> Sequence[str]:
        return ()

    def most(self, asked: int, needs: Needs | None) -> int:
        """As many as the machines hold that are there now: others may come and go."""
        wanted = self._resources(needs)
        found = sum(_holds(node, wanted) for node in self._look())
        if found:
            self._had = time.monotonic()
        elif time.monotonic() - self._had > _GRACE_SECONDS:
            asked_for = ", ".join(f"{name} {_shown(name, value)}" for name, value in wanted.items() if value)
            there = "; ".join(
                ", ".join(f"{name} {_shown(name, node.get(name, 0.0))}" for name in wanted) for node in self._nodes
            )
            raise ValueError(
                f"no machine of the Ray cluster can hold a worker ({asked_for}); there are: {there or 'none'}. "
                "--memory and --resource set what a worker takes; what is finished is kept"
            )
        return min(asked, found)

    def share(self, workers: int) -> float | None:
        """Of the machine where the share is smallest."""
        wanted = self._resources(None)
        counts = [(node, min(workers, _holds(node, wanted))) for node in self._look()]
        return min((memory.share(int(node["memory"]), count) or 0.0 for node, count in counts if count), default=None)

    def start(self, work: Any, slot: str | None, needs: Needs | None) -> Transport:
        self._connect()
        wanted = self._resources(needs)

        def actor() -> Any:
            kind = self._ray.remote(Host)
            return kind.options(
                num_cpus=wanted["CPU"], num_gpus=wanted["GPU"], memory=int(wanted["memory"]), max_restarts=0,
                max_concurrency=4,
            ).remote()  # fmt: skip

        variables = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
        return _Remote(self, actor, (work, variables, os.getcwd(), wanted["GPU"] > 0))

    def listen(self, reference: Any, heard: Callable[[Any, BaseException | None], None]) -> None:
        """Have ``heard`` called, in another thread, with what a call of an actor gave, or the exception."""
        with self._lock:
            self._listening[reference] = heard

    def kill(self, actor: Any) -> None:
        with suppress(Exception):  # it is gone already, or the cluster is
            self._ray.kill(actor, no_restart=True)

    def _resources(self, needs: Needs | None) -> dict[str, float]:
        """What Ray is asked for. Where no machine has the memory that is asked for by default, all of the largest's."""
        needs = needs or Needs()

        def chosen(name: str, otherwise: float) -> float:
            found = getattr(needs, name)
            found = getattr(self._default, name) if found is None else found
            return otherwise if found is None else float(found)

        reserved = chosen("memory", memory.WORKER_BYTES)
        if needs.memory is None:
            reserved = min(reserved, max((node.get("memory", 0.0) for node in self._look()), default=reserved))
        return {"CPU": chosen("num_cpus", 1.0), "GPU": chosen("num_gpus", 0.0), "memory": reserved}

    def _look(self) -> list[Mapping[str, float]]:
        """What each machine has."""
        self._connect()
        if not self._nodes or time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._nodes = [
                {"memory": 0.0, **node["Resources"]} for node in self._ray.nodes() if node["Alive"]
            ]  # fmt: skip
        return self._nodes

    def _connect(self) -> None:
        if self._connected:
            return
        if not self._ray.is_initialized():
            self._initialise()
            self._mine = True
        self._connected = True
        self._listener = threading.Thread(target=self._listen, name="ray-listener", daemon=True)
        self._listener.start()

    def _initialise(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that it runs
        # Its workers would stand back behind whatever else runs; those of the local engine do not.
        os.environ.setdefault("RAY_worker_niceness", "0")
        common: dict[str, Any] = {"logging_level": "ERROR"}
        try:
            self._ray.init(address=self._address or "auto", **common)
        except (ConnectionError, RuntimeError, ValueError) as error:
            if self._address or "RAY_ADDRESS" in os.environ:
                where = self._address or os.environ["RAY_ADDRESS"]
                raise ValueError(
                    f"there is no Ray cluster at {where} ({said(error)}): 'ray status' tells whether one runs, "
                    "'ray start --head' starts one; without --address a cluster of this machine alone is made"
                ) from error
            self._ray.init(
                address="local", num_cpus=cores(), object_store_memory=_OBJECT_STORE, include_dashboard=False, **common
            )

    def _listen(self) -> None:
        while not self._closed:
            with self._lock:
                references = list(self._listening)
            if not references:
                time.sleep(0.05)
                continue
            done, _ = self._ray.wait(references, num_returns=1, timeout=0.1)
            for reference in done:
                value, error = None, None
                try:
                    value = self._ray.get(reference)
                except BaseException as raised:
                    error = raised
                with self._lock:
                    heard = self._listening.pop(reference)
                heard(value, error)


class _Remote:
    """A ``Transport`` to the worker of an actor. Its messages come to a pipe's other end, as those of a child do."""

    def __init__(self, engine: RayEngine, actor: Callable[[], Any], arguments: tuple[Any, ...]) -> None:
        self._engine, self._make, self._arguments = engine, actor, arguments
        self._lock = threading.Lock()
        self._messages: deque[Any] = deque()
        self._read, self._write = os.pipe()
        self._closed = self._up = False
        self._trouble: Exception | None = None
        self._reason = ""
        self._memory: int | None = None
        self._starts = 0
        self._begin()

    def there(self) -> bool:
        if self._trouble is not None:
            raise self._trouble
        return self._up

    def fileno(self) -> int:
        return self._read

    def send(self, message: Any) -> None:
        self._engine.listen(self._actor.send.remote(message), self._sent)

    def receive(self) -> Any:
        os.read(self._read, 1)
        message = self._messages.popleft()
        if isinstance(message, EOFError):
            raise message
        return message

    def ended(self) -> bool:
        return False  # its end is a message

    def exit_reason(self) -> str:
        return self._reason

    def memory_held(self) -> int | None:
        return self._memory

    def kill(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._read)
            os.close(self._write)
        self._engine.kill(self._actor)

    def _begin(self) -> None:
        self._starts += 1
        self._actor = self._make()
        self._engine.listen(self._actor.start.remote(*self._arguments), self._started)

    def _started(self, found: Any, error: BaseException | None) -> None:
        if self._closed:
            return
        if error is not None:
            if _is_loss(error) and self._starts < _STARTS:
                self._begin()
            else:
                self._trouble = ValueError(f"a worker cannot be started on the Ray cluster: {said(error)}")
            return
        mine = versions()
        differing = [
            f"{name} {found.get(name)} there, {version} here"
            for name, version in mine.items()
            if found.get(name) != version
        ]
        if differing:
            self._trouble = ValueError(
                f"a machine of the Ray cluster would give other numbers: {'; '.join(differing)}. Install the same "
                "versions on all machines"
            )
            return
        self._up = True
        self._listen()

    def _listen(self) -> None:
        self._engine.listen(self._actor.hear.remote(), self._heard)

    def _heard(self, found: Heard | None, error: BaseException | None) -> None:
        if found is None:
            self._end(error)
            return
        self._memory = found.memory
        self._tell(*found.messages)
        if found.ended is not None:
            self._reason = found.ended
            self._tell(EOFError())
        elif not self._closed:
            self._listen()

    def _sent(self, _: Any, error: BaseException | None) -> None:
        """A job that cannot be sent concerns all; an actor that is gone is heard of elsewhere."""
        if error is not None and not _is_end(error):
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if _was_killed(error):
            self._reason = _KILLED
            self._tell(EOFError())
        elif error is not None and _is_loss(error):
            self._reason = f"was lost with its machine, or its actor ended: {said(error)}"
            self._tell(Lost())
        else:
            self._tell(RuntimeError(f"Ray: {said(error or RuntimeError())}"))

    def _tell(self, *messages: Any) -> None:
        with self._lock:
            if not self._closed:
                self._messages.extend(messages)
                os.write(self._write, b"." * len(messages))


def _is_loss(error: BaseException) -> bool:
    from ray.exceptions import NodeDiedError, RayActorError

    return isinstance(error, RayActorError | NodeDiedError)


def _was_killed(error: BaseException | None) -> bool:
    """By Ray, whose watch over a machine's memory may be quicker than the kernel's."""
    from ray.exceptions import OutOfMemoryError

    return isinstance(error, OutOfMemoryError)


def _is_end(error: BaseException) -> bool:
    return _is_loss(error) or _was_killed(error)


def _holds(node: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """How many workers fit into a machine."""
    return int(min((node.get(name, 0.0) / value + 1e-9 for name, value in wanted.items() if value), default=0))


def _shown(name: str, value: float) -> str:
    return f"{value / GB:.3g} GB" if name == "memory" else f"{value:g}"
