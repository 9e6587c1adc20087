"""Workers forked from a process that has imported what most of them import, which is nearly all that they cost here.

As a program: that process. It is asked for a worker, whose environment, folder and search path are the asker's, or for
the exit status of one. It computes nothing, so that it has no second thread whose locks a fork would copy.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from importlib import import_module, invalidate_caches
from typing import Any

# Not onnxruntime, which starts a thread, nor t2av_bench.systems, which reads the environment.
_IMPORTED = (
    "scipy.signal", "scipy.stats", "soxr", "av", "cv2", "torch", "t2av_bench.evaluation.worker",
    "t2av_bench.media.clip", "t2av_bench.media.encode",
)  # fmt: skip
_LONGEST = 1 << 20  # bytes of a request


class Popen:
    """What ``utils.worker`` asks of ``subprocess.Popen``, of a worker that another process forked."""

    def __init__(self, server: "ForkServer", pid: int) -> None:
        self._server, self.pid, self.returncode = server, pid, None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ask(self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked worker", timeout)
            time.sleep(0.005)
        return self.returncode


class ForkServer:
    """In place of the module ``subprocess``: what runs ``program`` with ``-c`` it forks, and starts all else."""

    def __init__(self, program: str) -> None:
        self._program: str | None = program
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: list[str], **options: Any) -> Any:
        with self._lock:
            if command[1:3] == ["-c", self._program] and self._socket is None:
                self._start(options["env"])
        if command[1:3] != ["-c", self._program]:
            return subprocess.Popen(command, **options)
        asked = (command[4:], dict(options["env"]), os.getcwd())
        return Popen(self, self.ask(asked, [*options["pass_fds"], 2]))

    def ask(self, what: Any, descriptors: list[int] = []) -> Any:  # noqa: B006
        with self._lock:
            if self._socket is None and isinstance(what, int):
                return -signal.SIGKILL  # asked after the tests, of a worker that ended with the server
            socket.send_fds(self._socket, [pickle.dumps(what)], descriptors)
            return pickle.loads(self._socket.recv(_LONGEST))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)  # whatever a test has forked may hold it open
            self._socket.close()
            self._socket = None
            self._process.wait()

    def _start(self, environment: dict[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *sys.path], env=environment,
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        if not self._socket.recv(1):
            self._program = None  # it cannot fork here, and everything is started


def _serve_forks(asker: socket.socket) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(asker, _LONGEST, 2)
        if not message:
            return
        asked = pickle.loads(message)
        if isinstance(asked, int):
            ended, status = os.waitpid(asked, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if not answer:
                asker.close()
                _be_a_worker(*asked, *descriptors)
            with suppress(OSError):
                os.setpgid(answer, answer)  # before anybody can want to end the group
        for descriptor in descriptors:
            os.close(descriptor)
        asker.send(pickle.dumps(answer))


def _be_a_worker(path: list[str], environment: dict[str, str], folder: str, pipe: int, errors: int) -> None:
    try:
        os.setpgid(0, 0)
        os.dup2(errors, 2)
        os.close(errors)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        invalidate_caches()
        import_module("numpy").random.seed()
        import_module("t2av_bench.utils.worker")._serve(pipe)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    sys.path[:] = sys.argv[2:]
    for name in _IMPORTED:
        try:
            import_module(name)
        except ImportError:
            continue
    if len(os.listdir("/proc/self/task")) == 1:  # no import has started a thread
        asker = socket.socket(fileno=int(sys.argv[1]))
        asker.send(b".")
        _serve_forks(asker)
