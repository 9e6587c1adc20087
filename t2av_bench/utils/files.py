"""Writing files so that a reader sees the old one or the new one, never half of one."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\..{1,40}\.[a-z0-9_]{8}(\.\w+)?")  # as ``replacing`` names its files


def link(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """A second name of a file, or a copy where the file system has none, or where something has the name already."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copy2(source, temporary)


@contextmanager
def replacing(path: str | os.PathLike[str], *, synced: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block ends well it takes the name ``path``, else it goes.

    The temporary name keeps the suffix, because encoders choose their container by it. The file is synced before it
    is renamed, so that a power cut cannot leave an empty file under the final name. synced: without it there is no
    waiting for the disk: for files by the thousand that the same command makes again.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if synced:
            with open(temporary, "rb+") as written:
                os.fsync(written.fileno())
        # mkstemp makes files private to the user; results are meant to be read by others as the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what ``replacing`` left in a folder when it was killed. Only where nobody else writes there meanwhile."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str, *, synced: bool = True) -> None:
    """Write UTF-8 text atomically. synced: see ``replacing``."""
    with replacing(path, synced=synced) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Add a line to a log and wait until it is on disk; one that was cut short does not swallow it."""
    with open(path, "a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def file_sha256(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON in which text stands as it is, but for what splits lines elsewhere or cannot be written in UTF-8.

    A line of JSON Lines ends at a line feed alone; other readers take U+0085, U+2028 and U+2029 for ends too.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub("[\x85\u2028\u2029\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def json_line(value: Any) -> str:
    """Compact JSON with sorted keys, for files of which a diff is read. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def disk_trouble(error: BaseException | None) -> int | None:
    """The error number of a disk that is full or cannot be written, where an exception goes back to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an exception may be its own cause
        if isinstance(error, OSError) and error.errno in _DISK:
            return error.errno
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def said_of_files(error: OSError) -> str:
    """A sentence on trouble with a file, and what to type next where that is known."""
    said = str(error)
    if error.errno is not None and error.filename is not None:
        said = f"cannot {'write' if disk_trouble(error) else 'read or write'} {error.filename}: {error.strerror}"
    if disk_trouble(error) == errno.EROFS or isinstance(error, PermissionError):
        return f"{said}; make it writable, or name another folder (--out FOLDER)"
    return f"{said}; free some space, then the same command continues" if disk_trouble(error) else said
