"""The foreign process that a system of other people runs in: pipes, log, beats, its end and what is known of it.

What it and its children print goes into one file, whose size is bounded; events come on a pipe of their own, for
research code prints, its children print and C code prints. It ends with its parent: it looks for that itself every
second, and a guard ends it where it cannot look.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from t2av_bench.systems.external.spec import SHIMS
from t2av_bench.utils import memory
from t2av_bench.utils.worker import unlimited

WORKER = SHIMS / "_worker.py"
SHARED = SHIMS / "_shared.py"
LARGEST_LOG = 1 << 20
_KEPT_LOG = 1 << 16
_LOOK_SECONDS = 0.5
# Other interpreters break on this one's packages, and a system may use all threads of the machine.
_STRIPPED = ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")
_GIVEN = {
    "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8",
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip
# The folder goes too: nobody else is left who would.
_GUARD = """
import os, select, shutil, signal, sys
group, parent = map(int, sys.argv[1:3])
while os.getppid() == parent and not select.select([0], [], [], 1.0)[0]:
    pass
try:
    os.killpg(group, signal.SIGKILL)
except OSError:
    pass
shutil.rmtree(sys.argv[3], ignore_errors=True)
"""


class Ended(Exception):
    """The process is gone, or was ended because it took too long. kind: ``died``, ``timeout`` or ``out_of_memory``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def private_folder() -> Path:
    """A folder whose path has neither dots nor blanks: systems cut names at dots and pass them to shells."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if not set(place) & set(" .'\"$\\") and place.isascii() and os.access(place, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="t2av_", dir=place))
    raise OSError("no folder for temporary files has a path without dots and blanks: set TMPDIR to one")


def environment(folder: Path, variables: Mapping[str, str], gpu: str | None) -> dict[str, str]:
    """What the process sees. gpu: what CUDA may use, "" for none; None: as here."""
    kept = {
        name: value
        for name, value in unlimited(os.environ).items()
        if not name.startswith("PYTHON") and name not in _STRIPPED
    }
    given = {**_GIVEN, "TMPDIR": str(folder / "tmp")}
    if gpu is not None:
        given["CUDA_VISIBLE_DEVICES"] = gpu
    return kept | given | dict(variables)


class Process:
    """A shim's process. ``ready`` waits until it is loaded; ``ask`` gives its answers; both raise ``Ended``.

    folder: private, gone with the process.
    """

    def __init__(self, python: Path, shim: Path, settings: Mapping[str, Any], variables: Mapping[str, str],
                 gpu: str | None, folder: Path) -> None:  # fmt: skip
        self.folder, self._buffer, self._cut, self.killed = folder, b"", 0, False
        self.facts: dict[str, Any] = {}
        self._log = folder / "log"
        (folder / "tmp").mkdir(exist_ok=True)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
        theirs_in, self._in = os.pipe()
        self._out, theirs_out = os.pipe()
        private = settings.get("working_directory") == "private"
        try:
            self._process = subprocess.Popen(
                [str(python), str(WORKER), str(shim), "--settings", json.dumps(dict(settings)),
                 "--pipes", f"{theirs_in},{theirs_out}"],
                env=environment(folder, variables, gpu), pass_fds=[theirs_in, theirs_out],
                cwd=folder / "tmp" if private else settings["checkout"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            os.close(self._in)
            os.close(self._out)
            raise Ended("died", f"{python} cannot be started: {error.strerror}") from error
        finally:
            for descriptor in (log, theirs_in, theirs_out):
                os.close(descriptor)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(self._process.pid), str(os.getpid()), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ready(self, seconds: float, beat: Callable[[], None]) -> dict[str, Any]:
        """What it says once it is loaded. Raises ``Ended`` where it is not within so many seconds."""
        for event in self._events(seconds, f"it was not ready within {seconds:g} s (start_seconds)", beat):
            if event["event"] == "ready":
                self.facts = {key: event[key] for key in ("versions", "chunk", "seconds", "schema") if key in event}
                return self.facts
            if event["event"] == "broken":
                self.kill()
                raise Ended(failure_kind(event), f"loading: {said_of(event)}")
        raise AssertionError("events end with Ended")

    def ask(self, requests: Sequence[Mapping[str, Any]], seconds: float, beat: Callable[[], None]
            ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """One ``done`` event for each request. seconds: for each."""
        late = f"it took longer than {seconds:g} s (item_seconds)"
        with suppress(BrokenPipeError):  # its end is seen below
            self._send((json.dumps(list(requests)) + "\n").encode())
        left = {request["id"] for request in requests}
        while left:
            for event in self._events(seconds * len(left), late, beat):
                if event["event"] == "done" and event.get("id") in left:
                    left.discard(event["id"])
                    yield event
                    break

    def log_tail(self, lines: int = 40) -> list[str]:
        """The last lines of what was printed since ``start_log``."""
        return self.log_text().splitlines()[-lines:]

    def log_text(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._cut, file.seek(0, os.SEEK_END) - _KEPT_LOG))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def start_log(self) -> None:
        """What is printed from here on is another item's."""
        with suppress(OSError):
            self._cut = self._log.stat().st_size

    def kill(self) -> None:
        """End it and what it started; what it printed can still be read until ``close``."""
        if self.killed:
            return
        self.killed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10.0)
        self._guard.kill()
        self._guard.communicate()
        os.close(self._in)
        os.close(self._out)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def memory_held(self) -> int | None:
        """Bytes, with all that it started; None: not known."""
        return memory.used(self._process.pid)

    def _send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._in, data) :]

    def _events(self, seconds: float, late: str, beat: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """Events as they come, beats passed on; ``Ended`` ends it."""
        until = time.monotonic() + seconds
        while True:
            while b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                event = _event(line)
                if event.get("event") == "beat":
                    self._bound_log()
                    beat()
                elif event:
                    yield event
            left = until - time.monotonic()
            if left <= 0:
                self.kill()
                raise Ended("timeout", late)
            if select.select([self._out], [], [], min(left, _LOOK_SECONDS))[0]:
                data = os.read(self._out, 1 << 16)
                if not data:
                    raise self._end()
                self._buffer += data
            elif self._process.poll() is not None:  # what it forked may hold the pipe
                raise self._end()

    def _end(self) -> Ended:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)
        code = self._process.returncode
        self.kill()
        if code is None:
            return Ended("died", "its process closed the pipe of events")
        if code >= 0:
            return Ended("died", f"its process ended with exit status {code}")
        name = {each.value: each.name for each in signal.Signals}.get(-code, f"signal {-code}")
        if code == -signal.SIGKILL:
            return Ended("out_of_memory", f"its process was ended by {name} (out of memory?)")
        return Ended("died", f"its process died: {name}")

    def _bound_log(self) -> None:
        """It writes at the end of the file wherever that is: what is cut off goes, and the next line is the first."""
        with suppress(OSError):
            if self._log.stat().st_size - self._cut > LARGEST_LOG or self._cut > LARGEST_LOG:
                kept = self.log_text().encode()
                with self._log.open("r+b") as file:
                    file.truncate(0)
                with self._log.open("ab") as file:
                    file.write(kept)
                self._cut = 0


def said_of(event: Mapping[str, Any]) -> str:
    """The message of a ``failed`` or ``broken`` event."""
    kind, message = event.get("type"), str(event.get("message", ""))
    return f"{kind}: {message}".rstrip(": ") if kind else message


def failure_kind(event: Mapping[str, Any]) -> str:
    """``no_face`` and the like where the shim refused, else ``out_of_memory`` or ``exception``."""
    if event.get("status") == "refused":
        return str(event.get("kind") or "refused")
    text = said_of(event).lower()
    return "out_of_memory" if "out of memory" in text or "memoryerror" in text else "exception"


def _event(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
