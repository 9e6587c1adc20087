"""One process at a time in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_in(out: Path, error: type[Exception], lock_name: str = ".lock") -> Iterator[None]:
    """The lock goes with the process, however it ends. ``error`` where another one holds it, or none can be had."""
    from filelock import FileLock, Timeout

    place = out / lock_name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place, timeout=0)
        lock.acquire()
    except Timeout:
        raise error(f"another process is working on {out}; wait for it, or choose another --out folder") from None
    except NotImplementedError as reason:
        raise error(f"the file system of {out} has no locks; choose another --out folder") from reason
    except OSError as reason:
        raise error(f"{out} cannot be written: {reason.strerror or reason}; choose another --out folder") from reason
    try:
        yield
    finally:
        lock.release()
