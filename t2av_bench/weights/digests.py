"""Digests of weight files: computed once, remembered while the file is untouched, recorded where nobody states one.

A remembered digest is found by path, size, modification time and status-change time, so a file that was written to is
hashed again. Recorded digests (the lock) are what rows without a stated digest are compared with.
"""

import datetime
import fnmatch
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.files import write_text

LOCK_NAME = "weights.lock.json"
_CHUNK = 1 << 20


def stamp(path: Path) -> list[int]:
    """What changes with every write to a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def hash_file(path: Path, kinds: Iterable[str] = ("sha256",)) -> dict[str, str]:
    """Hexadecimal digests of a file in one pass. kinds: ``sha256``, ``md5``, ``git_blob`` (SHA-1 of a git object)."""
    hashes = {kind: hashlib.sha1() if kind == "git_blob" else hashlib.new(kind) for kind in kinds}
    with open(path, "rb") as file:
        if "git_blob" in hashes:
            hashes["git_blob"].update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while chunk := file.read(_CHUNK):
            for state in hashes.values():
                state.update(chunk)
    return {kind: state.hexdigest() for kind, state in hashes.items()}


def listing_digest(files: Iterable[tuple[str, str]]) -> str:
    """The SHA-256 of ``sha256sum``'s lines, ``digest  name``, of files (name, digest), in their order."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def files_in(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files below a folder that a model is made of, sorted; hidden files and folders (caches, .git) are not."""
    relative = sorted(path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return [
        path for path in relative if not any(part.startswith(".") for part in path.parts)
        and (not patterns or any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in patterns))
    ]  # fmt: skip


@contextmanager
def exclusively(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock beside ``path``; the system releases it when the process ends, however it ends.

    on_wait: called where another process holds it.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    except NotImplementedError as error:
        raise OSError(f"the file system of {path.parent} has no locks") from error
    try:
        yield
    finally:
        lock.release()


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry[kind], str) for kind in entry if kind != "stamp")


class DigestCache:
    """Digests by path and file status, in one JSON file. Losing it costs time only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, path: Path, kinds: Iterable[str] = ("sha256",), patterns: Sequence[str] = ()) -> dict[str, str]:
        """Digests of a file, or of a folder: the SHA-256 of its sorted ``digest  name`` lines (kind sha256 only)."""
        if not path.is_dir():
            return self._of_file(path, kinds)
        names = files_in(path, patterns)
        return {"sha256": listing_digest((name.as_posix(), self.get(path / name)["sha256"]) for name in names)}

    def forget(self, path: Path) -> None:
        """Hash the file, or the files of the folder, again next time."""
        names = [path / name for name in files_in(path, ())] if path.is_dir() else [path]
        self._update({os.path.abspath(name): None for name in names})

    def _of_file(self, path: Path, kinds: Iterable[str]) -> dict[str, str]:
        now, key = stamp(path), os.path.abspath(path)
        entry = self._read().get(key, {})
        if entry.get("stamp") == now and all(kind in entry for kind in kinds):
            return {kind: entry[kind] for kind in kinds}
        digests = hash_file(path, kinds)
        self._update({key: {"stamp": now, **digests}})
        return digests

    def _read(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return {key: entry for key, entry in entries.items() if _is_entry(entry)} if isinstance(entries, dict) else {}

    def _update(self, changes: dict[str, dict[str, Any] | None]) -> None:
        # A cache that cannot be written (read-only home) must not stop a measurement.
        with suppress(OSError), exclusively(self.path):
            entries = self._read() | changes
            kept = {key: entry for key, entry in entries.items() if entry is not None}
            write_text(self.path, json.dumps(kept, indent=0, sort_keys=True))


class Lock:
    """Digests recorded on first use, in ``weights.lock.json`` of the first folder that can be written to.

    A shared read-only folder may bring its own lock file: the others are read too, in order.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        writable = next((folder for folder in folders if _is_writable(folder)), folders[-1])
        self.path = writable / LOCK_NAME
        self._others = [folder / LOCK_NAME for folder in folders if folder != writable]

    def get(self, id: str) -> dict[str, Any] | None:
        """The recorded entry: file, size, sha256, recorded (date), and for hub rows revision."""
        return next((entry for path in (self.path, *self._others) if (entry := _entries(path).get(id))), None)

    def record(self, id: str, **entry: Any) -> None:
        """Write an entry. Raises NotApplicable where the file cannot be read or written."""
        try:
            with exclusively(self.path):
                recorded = {**entry, "recorded": datetime.date.today().isoformat()}
                entries = _entries(self.path) | {id: recorded}
                write_text(self.path, json.dumps(entries, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            raise NotApplicable(
                f"the digest of {id!r} cannot be recorded in {self.path}: {error.strerror or error}; make the folder "
                "writable, or name another one first in T2AV_BENCH_WEIGHTS"
            ) from error


def _entries(path: Path) -> dict[str, Any]:
    advice = "restore it, or move it away to record all digests anew"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise NotApplicable(f"{path} cannot be read ({error.strerror}); {advice}") from None
    except (ValueError, RecursionError) as error:
        raise NotApplicable(f"{path} is damaged ({error}); {advice}") from None
    if not isinstance(entries, dict):
        raise NotApplicable(f"{path} is damaged (not a JSON object); {advice}")
    for id, entry in entries.items():
        fields = [entry.get(name) for name in ("sha256", "recorded")] if isinstance(entry, dict) else [None]
        if not all(isinstance(field, str) for field in fields):
            raise NotApplicable(f"{path} is damaged (its entry {id!r:.80} has no sha256 and date); {advice}")
    return entries


def _is_writable(folder: Path) -> bool:
    try:
        while not folder.exists():
            folder = folder.parent
        return folder.is_dir() and os.access(folder, os.W_OK)
    except OSError:  # it lies where we may not look
        return False
