"""How a foreign process is told of requests and tells of events: two pipes, or two files in its private folder.

Files reach where no descriptor does, as into a container that has the folder for a volume.
"""

import os
import select
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_LOOK_SECONDS = 0.05


class Channel(Protocol):
    """arguments: of ``_worker.py``. descriptors: what the process inherits.

    started: the process has them; closed here, its end shows. send: BrokenPipeError where nobody reads any more.
    receive: what came within so many seconds: None: nothing, b"": there will be no more.
    """

    arguments: tuple[str, ...]
    descriptors: tuple[int, ...]

    def started(self) -> None: ...
    def send(self, data: bytes) -> None: ...
    def receive(self, seconds: float) -> bytes | None: ...
    def close(self) -> None: ...


class Pipes:
    def __init__(self) -> None:
        theirs_in, self._in = os.pipe()
        self._out, theirs_out = os.pipe()
        self.descriptors: tuple[int, ...] = (theirs_in, theirs_out)
        self.arguments: tuple[str, ...] = ("--pipes", f"{theirs_in},{theirs_out}")

    def started(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._in, data) :]

    def receive(self, seconds: float) -> bytes | None:
        return os.read(self._out, 1 << 16) if select.select([self._out], [], [], seconds)[0] else None

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)


class Files:
    """``requests.jsonl``, which ends the process when it is gone, and ``results.jsonl``."""

    descriptors: tuple[int, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._requests, results = folder / "requests.jsonl", folder / "results.jsonl"
        self._requests.touch()
        results.touch()
        self._results = results.open("rb")
        self.arguments: tuple[str, ...] = ("--requests", str(self._requests), "--results", str(results), "--follow")

    def started(self) -> None:
        pass

    def send(self, data: bytes) -> None:
        with self._requests.open("ab") as file:
            file.write(data)

    def receive(self, seconds: float) -> bytes | None:
        until = time.monotonic() + seconds
        while not (data := self._results.read()):
            if time.monotonic() >= until:
                return None
            time.sleep(_LOOK_SECONDS)
        return data

    def close(self) -> None:
        with suppress(OSError):
            self._requests.unlink()
        self._results.close()
