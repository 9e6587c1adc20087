"""The foreign process that a system of other people runs in: its command, log, beats, end and what is known of it.

What it and its children print goes into one file, whose size is bounded; events come on a channel of their own, for
research code prints, its children print and C code prints. It ends with its parent: it looks for that itself every
second, and a guard ends it where it cannot look.
"""

import json
import os
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

from t2av_bench.systems.external.channels import Channel, Files, Pipes
from t2av_bench.systems.external.spec import SHIMS
from t2av_bench.utils import memory
from t2av_bench.utils.worker import unlimited

WORKER = SHIMS / "_worker.py"
SHARED = SHIMS / "_shared.py"
LARGEST_LOG = 1 << 20
_KEPT_LOG = 1 << 16
_LOOK_SECONDS = 0.5
_LEAST_SPACE = 1 << 16
# Other interpreters break on this one's packages, and a system may use all threads of the machine.
_STRIPPED = ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")
_GIVEN = {
    "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8",
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip
# The folder goes too: nobody else is left who would.
_GUARD = """
import os, select, shutil, signal, sys, time
group, parent = map(int, sys.argv[1:3])
while os.getppid() == parent and not select.select([0], [], [], 1.0)[0]:
    pass
try:
    os.killpg(group, signal.SIGTERM)  # which a container's client passes on, unlike the other
    time.sleep(2.0)
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


def given(folder: Path, variables: Mapping[str, str], gpu: str | None) -> dict[str, str]:
    """What the process is to see wherever it runs. gpu: what CUDA may use, "" for none; None: as here."""
    cuda = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**_GIVEN, "TMPDIR": str(folder / "tmp"), **cuda, **variables}


def environment(folder: Path, variables: Mapping[str, str], gpu: str | None) -> dict[str, str]:
    """What the process sees; as of ``given``."""
    kept = {
        name: value
        for name, value in unlimited(os.environ).items()
        if not name.startswith("PYTHON") and name not in _STRIPPED
    }
    return kept | given(folder, variables, gpu)


def filled(command: Sequence[str], folder: Path, checkout: Path, weights: Path) -> list[str]:
    """A command with the places that it names as {folder}, {checkout}, {weights}; {user}: ids of the user and group."""
    values = {"folder": folder, "checkout": checkout, "weights": weights, "user": f"{os.getuid()}:{os.getgid()}"}
    words = []
    for word in command:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", str(value))
        words.append(word)
    return words


class Process:
    """A shim's process. ``ready`` waits until it is loaded; ``ask`` gives its answers; both raise ``Ended``.

    command: what starts Python, as in ("python3",). by_files: it shares ``folder`` with this process and nothing else;
    the shim is copied there. folder: private, gone with the process.
    """

    def __init__(self, command: Sequence[str], shim: Path, settings: Mapping[str, Any], variables: Mapping[str, str],
                 gpu: str | None, folder: Path, *, by_files: bool = False) -> None:  # fmt: skip
        self.folder, self._buffer, self._cut, self.killed, self._by_files = folder, b"", 0, False, by_files
        self.facts: dict[str, Any] = {}
        self._log = folder / "log"
        (folder / "tmp").mkdir(exist_ok=True)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
        self._channel: Channel = Files(folder) if by_files else Pipes()
        worker, told = WORKER, dict(settings)
        if by_files:
            told["variables"] = given(folder, variables, gpu)
            worker, shim = (Path(shutil.copy(file, folder)) for file in (WORKER, shim))
            shutil.copy(SHARED, folder)
        (folder / "settings.json").write_text(json.dumps(told), encoding="utf-8")
        try:
            self._process = subprocess.Popen(
                [*command, str(worker), str(shim), "--settings", str(folder / "settings.json"),
                 *self._channel.arguments],
                env=environment(folder, variables, gpu), pass_fds=self._channel.descriptors, cwd=folder / "tmp",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._channel.close()
            shutil.rmtree(folder, ignore_errors=True)  # nobody has a process to close
            raise Ended("died", f"{command[0]} cannot be started: {error.strerror}") from error
        finally:
            os.close(log)
            self._channel.started()
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
        try:
            with suppress(BrokenPipeError):  # its end is seen below
                self._channel.send((json.dumps(list(requests)) + "\n").encode())
        except OSError as error:  # it may have half a line
            self.kill()
            raise Ended("died", f"it cannot be told of requests in {self.folder}: {error.strerror}") from error
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
        self._channel.close()
        # A container's client passes on the first; the second would end the client alone.
        for each in (signal.SIGTERM, signal.SIGKILL) if self._by_files else (signal.SIGKILL,):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, each)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5.0)
        self._guard.kill()
        self._guard.communicate()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def memory_held(self) -> int | None:
        """Bytes, with all that it started; None: not known."""
        return memory.used(self._process.pid)

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
            data = self._channel.receive(min(left, _LOOK_SECONDS))
            if data is None and self._process.poll() is not None:  # what it forked may hold the pipe
                data = self._channel.receive(0.0)
                if data is None:
                    raise self._end()
            if data == b"":
                raise self._end()
            self._buffer += data or b""

    def _end(self) -> Ended:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)
        code = self._process.returncode
        self.kill()
        if code is None:
            return Ended("died", "its process closed the pipe of events")
        if self._by_files and code > 128:  # so a shell, or a container's client, tells of a signal
            code = 128 - code
        if code >= 0:
            return Ended("died", f"its process ended with exit status {code}")
        if shutil.disk_usage(self.folder).free < _LEAST_SPACE:  # the one that cannot tell events ends itself
            return Ended("died", f"no space is left for {self.folder}: what it makes lies there first (TMPDIR)")
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
