"""What runs on a machine of a Ray cluster: an actor that holds one worker process, as a local pool would.

So a clip that hangs, crashes or takes too much memory does there what it does here: it costs the process, not the
actor, and has the same reason.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from t2av_bench.scores import LIBRARIES, library_versions
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
    """What a worker has said since it was last asked. ended: how, once it has. memory: bytes that it holds."""

    messages: list[Any]
    ended: str | None
    memory: int | None


class Host:
    """The actor. ``hear`` waits while others are called: it has several threads."""

    def __init__(self) -> None:
        self._worker: Transport | None = None

    def start(self, work: Any, variables: Mapping[str, str], folder: str, with_gpu: bool) -> dict[str, str]:
        """Start a worker of ``work``, and tell the versions here.

        variables: of the environment, unless they are set here; folder: to work in, where it exists. with_gpu: Ray gave
        it graphics cards, which are the worker's slot.
        """
        found = versions()
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        with suppress(OSError):
            os.chdir(folder)
        self._worker = work.start(os.environ.get("CUDA_VISIBLE_DEVICES") if with_gpu else None)
        return found

    def send(self, job: Any) -> None:
        assert self._worker is not None
        self._worker.send(job)

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
        return Heard(messages, ended, None if ended else worker.memory_held())
