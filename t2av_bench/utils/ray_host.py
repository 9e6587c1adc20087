"""What runs on a machine of a Ray cluster: an actor that holds one worker process, as a local pool would.

So a clip that hangs, crashes or takes too much memory does there what it does here: it costs the process, not the
actor, and has the same reason.
"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from t2av_bench.scores import LIBRARIES, library_versions
from t2av_bench.utils.shipping import Mirror
from t2av_bench.utils.worker_engine import Transport
from t2av_bench.version import __version__

BEAT_SECONDS = 0.5
"""How often an actor says how much memory its worker holds, where there is nothing else to say."""
_MOST_MESSAGES = 256


def versions() -> dict[str, str]:
    """What numbers can depend on and must be the same everywhere."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {"t2av-bench": __version__, "Python": python, **library_versions(*LIBRARIES)}


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

    def __init__(self, shipped: str | None = None, roots: Sequence[Path] = ()) -> None:
        """shipped: the name of a folder of this machine alone, where files come by their contents; see ``Mirror``."""
        self._worker: Transport | None = None
        self._mirror: Mirror | None = None
        if shipped is not None:
            there = place_of(shipped)
            self._mirror = Mirror(there / "contents", there / f"worker-{os.getpid()}", roots)

    def lacks(self, digests: list[str]) -> list[str]:
        assert self._mirror is not None
        return self._mirror.lacks(digests)

    def take(self, digest: str, chunk: bytes | None) -> None:
        assert self._mirror is not None
        self._mirror.take(digest, chunk)

    def start(
        self, work: Any, variables: Mapping[str, str], folder: str, with_gpu: bool, shared: Sequence[Path]
    ) -> dict[str, str]:  # fmt: skip
        """Start a worker of ``work``, and tell the versions here.

        variables: of the environment, unless they are set here; folder: to work in, where it exists. with_gpu: Ray gave
        it graphics cards, which are the worker's slot. shared: what has to be seen from here; else ValueError.
        """
        found = versions()
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        with suppress(OSError):
            os.chdir(folder)
        if self._mirror is not None:
            work = self._mirror.unpack(work)
        elif absent := [str(path) for path in shared if not path.exists()]:
            raise ValueError(
                f"{platform.node()} does not see {absent[0]}: keep clips and results on a path that all machines "
                "share, or have the files sent there (--ship)"
            )
        self._worker = work.start(os.environ.get("CUDA_VISIBLE_DEVICES") if with_gpu else None)
        return found

    def send(self, job: Any) -> None:
        assert self._worker is not None
        self._worker.send(job if self._mirror is None else self._mirror.unpack(job))

    def hear(self) -> Heard:
        """Comes back as soon as there is a message or an end, and after a beat."""
        worker = self._worker
        assert worker is not None
        messages: list[Any] = []
        ended = None
        try:
            patience = BEAT_SECONDS
            while len(messages) < _MOST_MESSAGES and wait([worker], patience):  # type: ignore[list-item]
                messages.append(worker.receive())
                patience = 0.0
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
    return Path(tempfile.gettempdir()) / f"t2av-bench-{shipped}"


def clear(shipped: str) -> None:
    shutil.rmtree(place_of(shipped), ignore_errors=True)
