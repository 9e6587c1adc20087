"""A worker process, seen from its parent: spawned, computing with one thread, talking through a pipe.

It ends with its parent, however that ends and whatever the child is doing. What it prints goes to stderr: stdout is
the command's, and a plug-in must not write into it.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from t2av_bench.utils import memory

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # now: a forked process must not load libraries
_LOOK_SECONDS = 0.25
_MAIN = threading.Lock()  # one thread at a time hides the main module


class Child:
    """``target(connection, *arguments)`` in a process of its own. doing: what it does, for the reason of its death.

    memory: bytes that it may hold together with all processes that it started; None: no limit.
    """

    def __init__(self, doing: str, target: Callable[..., None], *arguments: Any, memory: float | None = None) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy locks that the parent's threads hold
        self.doing, self.memory = doing, memory
        self.connection, theirs = context.Pipe()
        # The kernel watches the thread that starts a process, and only the main thread surely lives as long as we do.
        tied = threading.current_thread() is threading.main_thread()
        self.process = context.Process(target=_begin, args=(tied, target, theirs, *arguments), daemon=True)
        self._looked = 0.0
        with _one_thread(), _interrupts_later(), _without_main():
            self.process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        """A child that died while idle does not take it; the next wait for an answer finds its pipe closed."""
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            pass

    @property
    def ended(self) -> bool:
        """It died, and all that it said is heard; the pipe alone does not tell where what it forked holds its end."""
        return not self.process.is_alive() and not self.connection.poll()

    def greed(self) -> str | None:
        """Why it must go, where it holds more memory than it may. Looks a few times a second at most."""
        now = time.monotonic()
        if self.memory is None or self.process.pid is None or now - self._looked < _LOOK_SECONDS:
            return None
        self._looked = now
        held = memory.used(self.process.pid)
        if held is None or held <= self.memory:
            return None
        return (
            f"the {self.doing} process used more than {self.memory / memory.GB:.3g} GB of memory (--memory sets it; "
            "without it, fewer --workers leave more for each)"
        )

    def obituary(self) -> str:
        """Why it ended, once its pipe is closed."""
        self._reap()
        code = self.process.exitcode
        if code is not None and code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"the {self.doing} process died: {signal.Signals(-code).name}{hint}"
        return f"the {self.doing} process ended with exit status {code}"

    def kill(self) -> None:
        """End it, and what it has started."""
        self.connection.close()
        assert self.process.pid is not None
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # it has not come to lead a group of its own, or all of the group has ended
        self.process.kill()
        self._reap()

    def _reap(self, seconds: float = 5.0) -> None:
        """Wait for its end. ``join`` would wait for what it forked as well."""
        end = time.monotonic() + seconds
        while self.process.is_alive() and time.monotonic() < end:
            time.sleep(0.01)


def _begin(tied: bool, target: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    """The child's first step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C for all
    os.setsid()  # so that what this process starts can be ended with it
    _print_to_stderr()
    _be_the_first_to_go()
    _end_with_parent(tied)
    # A process that a plug-in starts must not hold the pipe: its end is how the parent learns of this one's death.
    os.set_inheritable(connection.fileno(), False)
    os.register_at_fork(after_in_child=connection.close)
    if tied:
        os.register_at_fork(after_in_child=_die_with_parent)
    target(connection, *arguments)


def _print_to_stderr() -> None:
    """Also what C code and started programs print: the descriptor itself is another one."""
    try:
        os.dup2(2, 1)
    except OSError:  # there is no stderr
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _be_the_first_to_go() -> None:
    """Where memory runs out all the same, the kernel shall end a worker and not the command or a stranger."""
    try:
        with open("/proc/self/oom_score_adj", "w") as handle:
            handle.write("700")
    except OSError:
        pass


def _end_with_parent(tied: bool) -> None:
    """Where the kernel can, it kills this process with its parent, even in the middle of C code; a thread does so
    elsewhere, as soon as Python code runs. A worker that lived on would write what another command writes by then.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    if tied:
        _die_with_parent()

    def watch() -> None:
        while parent.is_alive() and os.getppid() == parent.pid:
            parent.join(timeout=1.0)
        try:
            os.killpg(0, signal.SIGKILL)
        finally:
            os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch parent").start()


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Children started inside never see Ctrl-C, not even before their first line; the parent sees it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Children started inside do not import the program that starts them, which they have no use for: a script without
    ``if __name__ == "__main__"`` would begin once more in each of them."""
    with _MAIN:
        before = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = before


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
