"""A worker in a child process: started afresh, computing with one thread, talking through a pipe.

It ends with its parent, however that ends and whatever the child is doing, and what it started ends with it. What it
prints goes to stderr: stdout is the command's, and a plug-in must not write into it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from t2av_bench.utils import memory
from t2av_bench.utils.worker_pool import Finished

CarryOut = Callable[[Any, Callable[[Any], None]], str | None]
"""job, tell -> why the job cannot be done at all, else None. It tells messages, see ``worker_pool``."""

# The program that starts it is not imported: a script without ``if __name__ == "__main__"`` would begin once more.
_CHILD = """
import sys
sys.path[:] = sys.argv[2:]
from t2av_bench.utils.worker import _serve
_serve(int(sys.argv[1]))
"""
# Nothing in the worker itself could do this: it may be in the middle of C code, and SIGKILL leaves it no last word.
# The pipe closes with the parent, at once; where a process that the parent forked holds it open, a look every second
# notices as well.
_GUARD = """
import os, select, signal, sys
group, parent = map(int, sys.argv[1:])
while os.getppid() == parent and not select.select([0], [], [], 1.0)[0]:
    pass
os.killpg(group, signal.SIGKILL)
"""
# Libraries read these names when they are imported.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)


def unlimited(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what keeps a worker to one thread, for programs that it starts."""
    return {name: value for name, value in environment.items() if name not in _ONE_THREAD}


class Child:
    """A ``worker_pool.Transport``: ``target(*arguments)``, called in a child process, gives what carries out jobs."""

    def __init__(self, target: Callable[..., CarryOut], *arguments: Any) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD, str(theirs.fileno()), *map(str, sys.path)],
                env=os.environ | _ONE_THREAD, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the parent's, and what it starts can be ended with it
            )  # fmt: skip
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(self._process.pid), str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.send((target, arguments))

    def there(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: Any) -> None:
        """A child that has died does not take it; the next wait for an answer finds its pipe closed."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def receive(self) -> Any:
        try:
            return self._connection.recv()
        except ConnectionResetError as error:
            raise EOFError from error

    def ended(self) -> bool:
        """It died, and all that it said is heard; the pipe alone does not tell where what it forked holds its end."""
        return self._process.poll() is not None and not self._connection.poll()

    def exit_reason(self) -> str:
        self._wait()
        code = self._process.returncode
        if code is None:
            return "closed its pipe"
        if code >= 0:
            return f"ended with exit status {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        names = {each.value: each.name for each in signal.Signals}
        return f"died: {names.get(-code, f'signal {-code}')}{hint}"

    def memory_held(self) -> int | None:
        return memory.used(self._process.pid)

    def kill(self) -> None:
        self._connection.close()
        with suppress(ProcessLookupError, PermissionError):  # all of the group has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._wait()
        self._guard.kill()
        self._guard.communicate()

    def _wait(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)


def _serve(descriptor: int) -> None:
    """The child: carry out jobs until the parent closes the pipe."""
    del sys.argv[1:]
    # Who sends it to every process means the parent, which answers for all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # there may be no stderr
        os.dup2(2, 1)  # the descriptor, for what C code and started programs print
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as handle:
        handle.write("700")  # where memory runs out all the same, the kernel shall end a worker and not a stranger
    connection = Connection(descriptor)
    # A process that a plug-in starts must not hold the pipe: its end is how the parent learns of this one's death.
    os.set_inheritable(descriptor, False)
    os.register_at_fork(after_in_child=connection.close)

    def received() -> Any:
        try:
            return connection.recv()
        except (EOFError, OSError):
            os._exit(0)  # the parent is gone

    def tell(message: Any) -> None:
        try:
            connection.send(message)
        except OSError:
            os._exit(0)  # the parent is gone, or this is a process that a plug-in forked: there is nobody to tell

    target, arguments = received()
    carry_out = target(*arguments)
    while True:
        tell(Finished(carry_out(received(), tell)))
