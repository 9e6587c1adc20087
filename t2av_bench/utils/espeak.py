"""espeak-ng (GPL-3) from the package ``espeakng_loader``: loaded at run time, in a process of its own, not bundled."""

import contextlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

SAMPLE_RATE = 22050

# The library copies its data path into a buffer of 160 characters and appends file names to it.
_LONGEST_DATA_PATH = 100


class SpeechError(ValueError):
    """The text, the voice or the installation does not allow speech; the message says what would."""


class Espeak:
    """Answers requests (see ``espeak_worker``). One process behind it, started at the first one; use as a context
    manager or call ``close``.

    Safe to share between threads (requests queue) and to inherit through a fork (the child starts its own process).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._link: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Header and samples of the answer. Raises SpeechError."""
        with self._lock:
            header, audio = self._ask(request)
        if "error" in header:
            raise SpeechError(header["error"])
        return header, audio

    def close(self) -> None:
        """End the process behind this object. Speaking again starts a new one."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            if process.stdin:
                # An empty line, because end-of-file does not arrive while a forked relative still holds the pipe.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(b"\n")
                    process.stdin.close()
            process.wait(timeout=10)
            if process.stdout:
                process.stdout.close()
        if self._link is not None and self._owner == os.getpid():
            self._link.cleanup()
        self._link = None

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            return self._read()
        except BrokenPipeError as error:
            raise SpeechError("the espeak-ng process ended unexpectedly; say the text again") from error

    def _read(self) -> tuple[dict[str, Any], bytes]:
        (length,) = struct.unpack("<Q", self._read_bytes(8))
        header = json.loads(self._read_bytes(length))
        return header, self._read_bytes(header["bytes"])

    def _read_bytes(self, count: int) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        data = self._process.stdout.read(count)
        if len(data) < count:
            self._process = None
            raise SpeechError("the espeak-ng process ended in the middle of an answer; say the text again")
        return data

    def _start(self) -> None:
        if not hasattr(os, "fork"):
            raise SpeechError("synthetic speech needs a system that can fork (Linux, macOS or WSL)")
        library, data = installation()
        self._owner = os.getpid()
        if len(os.fsencode(data)) > _LONGEST_DATA_PATH:
            self._link = tempfile.TemporaryDirectory(prefix="espeak-")
            link = Path(self._link.name) / "espeak-ng-data"
            link.symlink_to(data, target_is_directory=True)
            data = link
        worker = Path(__file__).with_name("espeak_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(worker), str(library), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        header, _ = self._read()
        if header["sample_rate"] != SAMPLE_RATE:
            self.close()
            raise SpeechError(
                f"espeak-ng does not start with its data in {data}: pip install --force-reinstall espeakng-loader"
            )


def installation() -> tuple[Path, Path]:
    """The shared library and its data folder. Raises SpeechError where the package is missing."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise SpeechError("the package 'espeakng_loader' is missing: pip install 't2av-bench[speech]'") from error
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
