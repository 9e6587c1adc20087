"""A worker process, seen from its parent: spawned, computing with one thread, talking through a pipe."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Child:
    """``target(connection, *arguments)`` in a process of its own. doing: what it does, for the reason of its death."""

    def __init__(self, doing: str, target: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy locks that the parent's threads hold
        self.doing = doing
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
        with _one_thread():
            self.process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        """A child that died while idle does not take it; the next wait for an answer finds its pipe closed."""
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def obituary(self) -> str:
        """Why it ended, once its pipe is closed."""
        self.process.join(timeout=5)
        code = self.process.exitcode
        if code is not None and code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"the {self.doing} process died: {signal.Signals(-code).name}{hint}"
        return f"the {self.doing} process ended with exit status {code}"

    def kill(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join(timeout=5)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Children started inside compute with one thread: libraries read these names when they are imported."""
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    )
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
