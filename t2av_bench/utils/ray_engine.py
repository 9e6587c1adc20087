"""Workers on the machines of a Ray cluster: each in an actor, ``ray_host.Host``, placed by what it needs.

The pool decides who does what, and what follows when a worker dies, as it does here. What differs: workers come when
their machine has room, and go with it, which costs no clip.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from t2av_bench.utils import memory
from t2av_bench.utils.machine import cores
from t2av_bench.utils.memory import GB
from t2av_bench.utils.optional import require
from t2av_bench.utils.ray_host import Facts, Host, clear, nothing, versions
from t2av_bench.utils.ray_transport import Calls, Remote
from t2av_bench.utils.reasons import said
from t2av_bench.utils.shipping import Sender
from t2av_bench.utils.worker_engine import Engine, Needs, Transport

_LOOK_SECONDS = 2.0  # how often the cluster is asked what it has
_GRACE_SECONDS = 120.0  # how long a cluster may have no machine for a worker, once it had one
_CLEARING_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_OBJECT_STORE = 256 * 10**6  # of a cluster of this machine alone: jobs and results are small
_OURS = "T2AV_BENCH_"
_AUTH = "RAY_AUTH_MODE"


@contextmanager
def chosen_engine(
    name: str, address: str | None, device: str, memory: float, ship: bool = False, roots: Sequence[Path] = (),
    inputs: Sequence[Path] = (), facts: Facts = nothing,
) -> Iterator[Engine | None]:  # fmt: skip
    """``local``: None, which means this machine; ``ray``: the cluster at ``address``. Raises as ``RayEngine``.

    There a worker takes by default one processor, so many bytes, and on a GPU one graphics card. roots: folders that
    workers write into; inputs: files and folders that they read. All machines see them, or the files are shipped.
    facts: what else than versions must be the same on all machines.
    """
    if name == "local":
        if address is not None or ship:
            raise ValueError(f"{'--address' if address else '--ship'} is for --engine ray, which is not given")
        yield None
        return
    default = Needs(1.0, 0.0 if device == "cpu" else 1.0, memory)
    sender, shared = (Sender(roots), ()) if ship else (None, [path.absolute() for path in (*roots, *inputs)])
    with RayEngine(address, default, sender, shared, facts) as engine:
        yield engine


class RayEngine:
    """An ``Engine`` on the cluster at ``address``, used in a ``with`` block.

    address: None: RAY_ADDRESS, or the cluster that runs on this machine, or a new one of this machine alone. default:
    what a worker takes of its machine where its job does not say; its memory is reserved, not a limit.

    sender: by whom files go to the machines and back; None: they see them, ``shared`` above all. facts: see ``Facts``.

    NotApplicable without the package. ValueError where there is no such cluster, no machine in it that could hold a
    worker, or a machine with other versions; when that is known.
    """

    def __init__(
        self, address: str | None = None, default: Needs | None = None, sender: Sender | None = None,
        shared: Sequence[Path] = (), facts: Facts = nothing,
    ) -> None:  # fmt: skip
        self._ray: Any = require("ray", "ray")
        self._address, self._default = address, default or Needs()
        self._sender, self._shared, self._facts = sender, list(shared), facts
        self._shipped = None if sender is None else secrets.token_hex(8)
        self._calls: Calls | None = None
        self._mine = False
        self._nodes: list[Mapping[str, float]] = []
        self._looked = 0.0
        self._had: dict[Needs | None, float] = {}

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._calls:
            self._calls.close()
            if self._shipped:
                self._clear(self._shipped)
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
            self._had[needs] = time.monotonic()
        elif needs not in self._had or time.monotonic() - self._had[needs] > _GRACE_SECONDS:
            asked_for = ", ".join(f"{name} {_shown(name, value)}" for name, value in wanted.items() if value)
            there = "; ".join(
                ", ".join(f"{name} {_shown(name, node.get(name, 0.0))}" for name in wanted) for node in self._nodes
            )
            raise ValueError(
                f"no machine of the Ray cluster can hold a worker ({asked_for}); there are: {there or 'none'}. "
                "--device, --memory and --resource set what a worker takes; what is finished is kept"
            )
        return min(asked, found)

    def share(self, workers: int) -> float | None:
        """Of the machine where the share is smallest."""
        wanted = self._resources(None)
        counts = [(node, min(workers, _holds(node, wanted))) for node in self._look()]
        return min((memory.share(int(node["memory"]), count) or 0.0 for node, count in counts if count), default=None)

    def start(self, work: Any, slot: str | None, needs: Needs | None) -> Transport:
        calls = self._connect()
        wanted = self._resources(needs)
        variables = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}

        def actor() -> Any:
            kind = self._ray.remote(Host)
            return kind.options(
                num_cpus=wanted["CPU"], num_gpus=wanted["GPU"], memory=int(wanted["memory"]), max_restarts=0,
                max_concurrency=4,
            ).remote(variables, self._shipped, self._sender.roots if self._sender else ())  # fmt: skip

        return Remote(calls, actor, (work, os.getcwd(), wanted["GPU"] > 0, self._shared, self._facts))

    def _clear(self, shipped: str) -> None:
        """Remove what was sent, on every machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        with suppress(Exception):  # a machine that is gone took it along
            task = self._ray.remote(clear)
            nodes = [node["NodeID"] for node in self._ray.nodes() if node["Alive"]]
            cleared = [
                task.options(num_cpus=0, scheduling_strategy=On(node, soft=False)).remote(shipped) for node in nodes
            ]
            self._ray.wait(cleared, num_returns=len(cleared), timeout=_CLEARING_SECONDS)

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
            self._nodes = [{"memory": 0.0, **node["Resources"]} for node in self._ray.nodes() if node["Alive"]]
        return self._nodes

    def _connect(self) -> Calls:
        if self._calls is None:
            if not self._ray.is_initialized():
                self._initialise()
                self._mine = True
            self._calls = Calls(self._ray, self._sender, {**versions(), **self._facts()})
        return self._calls

    def _initialise(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that it runs
        # Its workers would stand back behind whatever else runs; those of the local engine do not.
        os.environ.setdefault("RAY_worker_niceness", "0")
        where = self._address or os.environ.get("RAY_ADDRESS")
        try:
            _check_listening(where)
            self._ray.init(address=where or "auto", logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            if where:
                token = "" if _AUTH in os.environ else f"; one that was started with a token wants {_AUTH}=token here"
                raise ValueError(
                    f"there is no Ray cluster at {where} ({said(error)}){token}: 'ray status' tells whether one runs, "
                    "'ray start --head' starts one; without --address a cluster of this machine alone is made"
                ) from error
            # Strangers must not run code here. Without a token Ray would leave one in the user's home, for good.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            self._ray.init(
                address="local", num_cpus=cores(), object_store_memory=_OBJECT_STORE, include_dashboard=False,
                logging_level="ERROR",
            )  # fmt: skip


def _check_listening(address: str | None) -> None:
    """ConnectionError where nobody listens at HOST:PORT: Ray itself tries for a minute, and may end the program.

    ValueError for the address of Ray's client.
    """
    if (address or "").startswith("ray://"):
        raise ValueError("a Ray client is not enough: run the command on a machine of the cluster, with HOST:PORT")
    host, _, port = (address or "").rpartition(":")
    if "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from error


def _holds(node: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """How many workers fit into a machine."""
    return int(min((node.get(name, 0.0) / value + 1e-9 for name, value in wanted.items() if value), default=0))


def _shown(name: str, value: float) -> str:
    return f"{value / GB:.3g} GB" if name == "memory" else f"{value:g}"
