"""The SQLite file behind a run's results: recognised before it is touched, read without being written, and every
trouble with it told in one sentence.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

# "T2AV", bytes 68 to 71 of the file. The first release wrote none.
APPLICATION_ID = 0x54324156
BUSY_SECONDS = 30.0
_MAGIC = b"SQLite format 3\x00"
_HEADER = 100


class StoreError(ValueError):
    """A results file that cannot be used; the message says what to do."""


def recognise(path: Path) -> bool:
    """Whether ``path`` is a results file; False where it is absent or empty. Reads without SQLite, changes nothing.

    Raises StoreError where it is something else: that is never written to.
    """
    try:
        with open(path, "rb") as handle:
            header = handle.read(_HEADER)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}; choose another --out folder") from error
    if not header:
        return False
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise StoreError(
            f"{path} is not a results file, or it is damaged (no SQLite header); choose another --out folder"
        )
    found = int.from_bytes(header[68:72], "big")
    if found == APPLICATION_ID or (found == 0 and _of_first_release(path)):
        return True
    raise StoreError(f"{path} is a database of another program, not a results file; choose another --out folder")


def _of_first_release(path: Path) -> bool:
    """Looks at the tables of a file without an id; ``immutable`` reads the file alone: no lock, no log, no write."""
    try:
        connection = sqlite3.connect(f"{_uri(path)}?immutable=1", uri=True)
        try:
            row = connection.execute("SELECT value FROM run WHERE key = 'schema_version'").fetchone()
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return row is not None and {"clips", "measurements", "protocols", "sessions", "set_scores"} <= names


def open_for_reading(path: Path, stack: ExitStack) -> sqlite3.Connection:
    """A connection that cannot write; ``stack`` closes it.

    A run that was interrupted leaves a log beside its file, which SQLite folds in on opening; where the folder cannot
    be written (read-only storage, somebody else's run), both are copied to a temporary folder and read there.
    """
    try:
        plain = sqlite3.connect(f"{_uri(path)}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        stack.callback(plain.close)
        plain.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        return plain
    except sqlite3.OperationalError as error:
        if _primary(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise
    copied = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="t2av-bench-"))) / path.name
    for suffix in ("", "-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            shutil.copyfile(beside, copied.with_name(copied.name + suffix))
    return stack.enter_context(closing(sqlite3.connect(copied, isolation_level=None, timeout=BUSY_SECONDS)))


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A connection for the one process that writes."""
    return sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)


def leave_one_file(connection: sqlite3.Connection) -> None:
    """Before closing: fold the log into the file, which can then be copied and read from anywhere.

    Where that cannot be (somebody reads it now, the disk is full) the log stays, and whoever opens the file uses it.
    """
    try:
        connection.execute("PRAGMA busy_timeout = 1000")
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error:
        pass


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of SQLite become a StoreError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(_sentence(path, error)) from error


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """As ``explained``, where contents that nobody can have written are damage too."""
    try:
        with explained(path):
            yield
    except StoreError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(_damaged(path, error)) from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    code = _primary(error)
    if code == sqlite3.SQLITE_FULL:
        return f"the disk is full: {path} cannot be written. What is finished is kept: make room and repeat the command"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} is locked by another program ({error}); close that one and repeat the command"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{path} cannot be written ({error}): the file or its folder is read-only; choose another --out folder"
    if code == sqlite3.SQLITE_IOERR:
        return (
            f"{path} cannot be read or written ({error}): is the disk full or gone? What is finished is kept: "
            "repeat the command when it is there"
        )
    return _damaged(path, error)


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path} is damaged ({type(error).__name__}: {error}); put a copy of it back, or remove it and run "
        "'t2av-bench evaluate' again"
    )


def _primary(error: sqlite3.Error) -> int:
    """SQLite's primary result code, without the details of the extended one."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _uri(path: Path) -> str:
    return path.resolve().as_uri()
