"""One URL into one partial file, continued where an earlier attempt stopped.

By hand: huggingface_hub (2.4) throws a partial file away with the process that began it, and urllib, httpx and
requests continue nothing. Bytes of two answers are joined only where a digest will tell whether they are of one file.
Every try is bounded: in time, by the least that it must bring, and in all by ``_TRIES_WITHOUT_PROGRESS``; bytes are
bounded by the stated size, by what the server announces, or by ``LARGEST_UNSTATED``.
"""

import http.client
import os
import re
import shutil
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2av_bench.weights.connection import Refused, TooSlow, chunks, open_url

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, all bytes or None where the server does not say)."""

LARGEST_UNSTATED = 16_000_000_000
"""Bytes that a file may have whose size the table does not state."""

_TRIES_WITHOUT_PROGRESS = 5
# A try that brings less does not count as progress: else a server could deal out a byte at a time, for years.
_LEAST_PROGRESS = 1 << 16
_PASSING = (429, 500, 502, 503, 504)
"""Statuses by which a server that has delivered before may only be catching its breath."""
# A file somewhat larger than stated is still read to its end, so that the refusal can name its digest.
_LARGEST_EXCESS = 1 << 20


class DownloadError(Exception):
    """The URL did not deliver a whole file; the message is the reason."""


class CannotWrite(OSError):
    """The disk, not the network: no other address would help."""


class _StartAgain(Exception):
    """What arrived cannot be continued; the message is why."""


def download(
    url: str,
    part: Path,
    *,
    proved: bool,
    size: int | None = None,
    largest: int = LARGEST_UNSTATED,
    progress: Progress | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Fill ``part`` with the whole body of an http(s) or file URL.

    A cut connection is tried again. proved: a digest will tell whether the bytes are right, so that a partial file is
    continued, whatever address it came from; without one, and where a server ignores ranges or answers others than
    asked for, the file begins anew. size: the stated size in bytes, if any; largest: where none is stated, the most
    that is taken.

    Returns whether bytes of an earlier call were kept. Raises DownloadError, and CannotWrite for trouble with the
    disk; ``part`` then keeps what arrived.
    """
    if not url.startswith(("https://", "http://", "file://")):
        raise DownloadError(f"expected an http(s) or file URL, got {url}")
    if not proved:
        part.unlink(missing_ok=True)
    kept = furthest = _size(part)
    tries, ranges, arrived = 0, proved and not url.startswith("file://"), False
    while True:
        offset = _size(part) if ranges else 0
        headers = {"Accept-Encoding": "identity", "User-Agent": "t2av-bench"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            with open_url(url, headers) as response:
                start, total = _extent(response, offset, proved)
                _check_size(total, start, part, size, largest)
                kept = min(kept, start)
                end = _copy(response, part, start, total, size, largest, progress)
            if total is None or end == total:
                if not proved and size is None:
                    _check_whole(part, end, total is not None or getattr(response, "chunked", False))
                return kept > 0
            reason = f"the connection ended after {end} of {total} bytes"
        except urllib.error.HTTPError as error:
            error.close()
            reason = printable(f"HTTP {error.code} {error.reason}")
            if error.code == 416 and offset:
                if (error.headers.get("Content-Range") or "").strip() == f"bytes */{offset}":
                    return kept > 0
                reason = f"a partial file of {offset} bytes does not fit the server's file"
                part.unlink()
                kept = 0
            elif not (arrived and error.code in _PASSING):
                raise DownloadError(reason) from None
        except _StartAgain as trouble:
            reason, ranges = str(trouble), False
            kept = 0
        except Refused as error:
            raise DownloadError(printable(str(error))) from None
        except CannotWrite:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = printable(str(getattr(error, "reason", error)) or type(error).__name__)
            fruitless = _size(part) < furthest + _LEAST_PROGRESS
            if not (arrived or _size(part) > offset) or (isinstance(error, TooSlow) and fruitless):
                raise DownloadError(f"{reason}; the same command continues") from None
        arrived = True
        tries = 0 if _size(part) >= furthest + _LEAST_PROGRESS else tries + 1
        furthest = max(furthest, _size(part))
        if tries >= _TRIES_WITHOUT_PROGRESS:
            raise DownloadError(f"{tries} tries without progress, the last: {reason}; the same command continues")
        pause(min(2.0**tries, 10.0))


def _extent(response: Any, offset: int, proved: bool) -> tuple[int, int | None]:
    """Where the body begins in the file, and the bytes of the whole file; None where the server does not say.

    Raises DownloadError for what is no file, _StartAgain for another range than the one from ``offset``.
    """
    status = getattr(response, "status", None)
    if encoding := response.headers.get("Content-Encoding", "").strip().lower().replace("identity", ""):
        raise DownloadError(printable(f"sends the file encoded ({encoding}), though it was asked for as it is"))
    stated = response.headers.get("Content-Length")
    if stated is not None and not re.fullmatch(r"\s*[0-9]{1,18}\s*", stated):
        raise DownloadError(printable(f"states the length {stated!r}, expected a number of bytes"))
    length = None if stated is None else int(stated)
    if status is None or status == 200:
        if not proved and response.headers.get_content_type() == "text/html" and status:
            raise DownloadError("sends a web page, not a file")
        return 0, length
    if status != 206:
        raise DownloadError(f"HTTP {status}, expected 200 or 206")
    said = response.headers.get("Content-Range") or ""
    if not offset:
        raise DownloadError(printable(f"sends a part of the file ({said}), though all of it was asked for"))
    pattern = r"\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\s*"
    if (match := re.fullmatch(pattern, said)) is None:
        raise _StartAgain(printable(f"the range from byte {offset} was asked for, got {said!r}"))
    first, last, whole = int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])
    if first != offset or last < first or (whole is not None and last >= whole):
        raise _StartAgain(printable(f"the range from byte {offset} was asked for, got {said!r}"))
    if length is not None and length != last - first + 1:
        raise _StartAgain(f"the range {first}-{last} does not have the {length} bytes that are announced")
    return offset, whole if whole is not None or length is None else offset + length


def _check_size(total: int | None, start: int, part: Path, size: int | None, largest: int) -> None:
    if total is None:
        return
    if size is None and total > largest:
        raise DownloadError(f"announces {total} bytes; {limit(largest)}")
    # Only what is going to be kept: a wrong file is read a little beyond its stated size, to name its digest.
    wanted = total if size is None else min(total, size + _LARGEST_EXCESS)
    if (free := shutil.disk_usage(part.parent).free) < wanted - start:
        raise CannotWrite(f"{wanted - start} bytes are missing yet, {part.parent} has {free} free")


def limit(largest: int) -> str:
    """What a refusal says of the cap."""
    return f"where the table states no size, {largest / 1e9:g} GB are the limit (--max-size GB)"


def _copy(
    response: Any, part: Path, offset: int, total: int | None, size: int | None, largest: int,
    progress: Progress | None,
) -> int:  # fmt: skip
    """Append the body to the first ``offset`` bytes of ``part``; the new length. A cut body ends early or raises."""
    most = size + _LARGEST_EXCESS if size is not None else largest
    with _writing(part):
        file = open(part, "r+b" if offset else "wb", buffering=0)
    with file:
        with _writing(part):
            file.seek(offset)
            file.truncate()
        for chunk in chunks(response):
            with _writing(part):
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
            offset += len(chunk)
            if total is not None and offset > total:
                file.truncate(0)
                raise DownloadError(f"sends more than the {total} bytes that it announced")
            if offset > most:
                file.truncate(0)
                why = f"the table states {size}" if size is not None else limit(largest)
                raise DownloadError(f"sends more than {most} bytes; {why}")
            if progress:
                progress(offset, total)
        with _writing(part):
            os.fsync(file.fileno())
    return offset


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tells trouble with the disk from trouble with the connection."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error


def _check_whole(part: Path, end: int, told: bool) -> None:
    """Refuse a body that nothing vouches for: neither the table nor the server says how long it is."""
    if end and told:
        return
    part.unlink()
    if not end:
        raise DownloadError("sends an empty file")
    raise DownloadError("states no length, and the table neither size nor digest: nothing tells whether it is whole")


def printable(text: str) -> str:
    """What a server said, on one line and without characters that move a terminal's cursor."""
    return "".join(each if each.isprintable() else " " for each in text)[:500]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
