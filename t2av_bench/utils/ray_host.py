"""What runs on a machine of a Ray cluster: an actor that holds one worker process, as a local pool would.

So a clip that hangs, crashes or takes too much memory does there what it does here: it costs the process, not the
actor, and has the same reason.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any

from t2av_bench.scores import LIBRARIES, library_versions
from t2av_bench.utils.files import file_sha256
from t2av_bench.utils.shipping import Mirror
from t2av_bench.utils.worker_engine import Transport
from t2av_bench.utils.worker_pool import Finished
from t2av_bench.version import __version__

BEAT_SECONDS = 0.5
"""How often an actor tells what its worker says, and how much memory it holds."""
_MOST_MESSAGES = 256
_LOCK = "lock"


Facts = Callable[[], Mapping[str, str]]
"""Name -> version, or digest, of what a command needs beyond what ``versions`` tells."""


def nothing() -> dict[str, str]:
    return {}


def versions() -> dict[str, str]:
    """What numbers can depend on and must be the same everywhere: this code, Python, libraries, and plug-ins."""
    python = ".".join(map(str, sys.version_info[:2]))
    groups = [f"t2av_bench.{kind}" for kind in ("metrics", "systems", "benchmarks")]
    added = [entry.dist for group in groups for entry in entry_points(group=group) if entry.dist]
    return {
        **{each.name: each.version for each in added},
        "t2av-bench": f"{__version__} (code {_code()})", "Python": python, **library_versions(*LIBRARIES),
    }  # fmt: skip


@cache
def _code() -> str:
    """Of all modules of this package: checkouts of one version may differ."""
    package = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package)} {file_sha256(path)}\n".encode())
    return found.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a worker has said since it was last asked. ended: how, once it has. memory: bytes that it holds.

    files: what it wrote, by path. Messages are bytes, and there are files, where they are shipped.
    """

    messages: Any
    ended: str | None
    memory: int | None
    files: Mapping[str, bytes] = field(default_factory=dict)


class Host:
    """The actor. ``hear`` waits while others are called: it has several threads."""

    def __init__(self, variables: Mapping[str, str], shipped: str | None = None, roots: Sequence[Path] = ()) -> None:
        """variables: of the environment, unless they are set here; modules that later calls import read them.

        shipped: the name of a folder of this machine alone, where files come by their contents; see ``Mirror``.
        """
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        self._worker: Transport | None = None
        self._mirror: Mirror | None = None
        if shipped is not None:
            there = place_of(shipped)
            self._held = _hold(there)
            _sweep()
            self._mirror = Mirror(there / "contents", there / f"worker-{os.getpid()}", roots)

    def lacks(self, digests: list[str]) -> list[str]:
        assert self._mirror is not None
        return self._mirror.lacks(digests)

    def take(self, digest: str, chunk: bytes | None) -> None:
        assert self._mirror is not None
        self._mirror.take(digest, chunk)

    def start(self, work: Any, folder: str, with_gpu: bool, shared: Sequence[Path], facts: Facts) -> dict[str, str]:
        """Start a worker of ``work``, and tell the versions and ``facts`` here.

        folder: to work in, where it exists. with_gpu: Ray gave it graphics cards, which are the worker's slot. shared:
        what has to be seen from here; else ValueError.
        """
        with suppress(OSError):
            os.chdir(folder)
        if self._mirror is not None:
            work = self._mirror.unpack(work)
        elif absent := [str(path) for path in shared if not path.exists()]:
            raise ValueError(
                f"{platform.node()} does not see {absent[0]}: keep clips and results on a path that all machines "
                "share, or have the files sent there (--ship)"
            )
        found = {"machine": platform.node(), **versions(), **facts()}
        self._worker = work.start(os.environ.get("CUDA_VISIBLE_DEVICES") if with_gpu else None)
        return found

    def send(self, job: Any) -> None:
        assert self._worker is not None
        self._worker.send(job if self._mirror is None else self._mirror.unpack(job))

    def hear(self) -> Heard:
        """Comes back as soon as a job is over or the worker ends, and after a beat; every call costs milliseconds."""
        worker = self._worker
        assert worker is not None
        messages: list[Any] = []
        ended = None
        until = time.monotonic() + BEAT_SECONDS
        try:
            while len(messages) < _MOST_MESSAGES and wait(
                [worker], max(0.0, until - time.monotonic())  # type: ignore[list-item]
            ):  # fmt: skip
                messages.append(worker.receive())
                if isinstance(messages[-1], Finished):
                    break
        except EOFError:
            ended = worker.exit_reason()
        else:
            if not messages and worker.ended():
                ended = worker.exit_reason()
        held = None if ended else worker.memory_held()
        if self._mirror is None:
            return Heard(messages, ended, held)
        written = self._mirror.written() if messages else {}
        return Heard(self._mirror.pack(messages), ended, held, written)


def place_of(shipped: str) -> Path:
    """Where a machine keeps what is sent to it by one command."""
    return Path(tempfile.gettempdir()) / f"t2av-bench-sent-{shipped}"


def _hold(place: Path) -> IO[str]:
    """Until this process ends, however it does, others see that the folder is in use."""
    place.mkdir(parents=True, exist_ok=True)
    lock = (place / _LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _sweep() -> None:
    """Remove what was sent by commands that were killed, and could not clear up."""
    for lock in place_of("*").parent.glob(f"{place_of('*').name}/{_LOCK}"):
        with suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def clear(shipped: str) -> None:
    shutil.rmtree(place_of(shipped), ignore_errors=True)
