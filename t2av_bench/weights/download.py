"""One URL into one partial file, continued where an earlier attempt stopped.

Bytes of two answers are joined only where they are known to be of one file: a stated digest will tell, or both answers
carry the same validator (a strong entity tag, else the time of the last change). Every try is bounded: in time, by
the least that it must bring, and in all by ``_TRIES_WITHOUT_PROGRESS``; bytes are bounded by the stated size, by what
the server announces, or by ``LARGEST_UNSTATED``.
"""

import http.client
import json
import os
import re
import shutil
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from t2av_bench.weights.connection import Refused, TooSlow, Watch, open_url

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
    """What arrived cannot be continued; the message is why. ranges: whether the server may be asked for some again."""

    def __init__(self, reason: str, ranges: bool = False) -> None:
        super().__init__(reason)
        self.ranges = ranges


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where the bytes of a partial file come from, kept beside it in ``NAME.part.json``.

    etag: strong entity tag; modified: Last-Modified; total: bytes of the whole file. None: the server did not say.
    """

    url: str
    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        return self.etag or self.modified

    def contradicts(self, other: "_Origin") -> str | None:
        """What shows that the two are of different files; None where nothing does."""
        for name, mine, its in (("ETag", self.etag, other.etag), ("Last-Modified", self.modified, other.modified),
                                ("size", self.total, other.total)):  # fmt: skip
            if mine is not None and its is not None and mine != its:
                return f"the file has changed on the server ({name} was {mine}, is {its})"
        return None


def download(
    url: str,
    part: Path,
    *,
    same_bytes_everywhere: bool,
    size: int | None = None,
    largest: int = LARGEST_UNSTATED,
    progress: Progress | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Fill ``part`` with the whole body of an http(s) or file URL.

    A partial file is continued if it is of the same entity of the same URL, or of any URL with
    ``same_bytes_everywhere`` (a stated digest will tell). A cut connection is tried again; a server that ignores
    ranges, answers others than asked for, or has another file by now makes it start over. size: the stated size in
    bytes, if any; largest: where none is stated, the most that is taken.

    Returns whether bytes of an earlier call were kept. Raises DownloadError, and CannotWrite for trouble with the
    disk; ``part`` then keeps what arrived.
    """
    if not url.startswith(("https://", "http://", "file://")):
        raise DownloadError(f"expected an http(s) or file URL, got {url}")
    known = _read_origin(part)
    if not same_bytes_everywhere and (known is None or known.url != url or known.validator is None):
        _start_over(part)
    kept = furthest = _size(part)
    tries, ranges, arrived = 0, not url.startswith("file://"), False
    while True:
        offset = _size(part) if ranges else 0
        known = _read_origin(part) if offset else None
        if known is not None and known.url != url:
            known = None  # of another address: its validators say nothing here
        try:
            with Watch() as watch, open_url(url, _headers(offset, known), watch) as response:
                found = _describe(url, response)
                start = _start(response, offset, known, found, same_bytes_everywhere)
                total = _total(response, start)
                _check_size(total, start, part, size, largest)
                kept = min(kept, start)
                if start and known:  # a part of a file need not repeat what was said of the whole
                    found = replace(found, etag=found.etag or known.etag, modified=found.modified or known.modified)
                _write_origin(part, replace(found, total=total))
                end = _copy(watch.chunks(response), part, start, total, size, largest, progress)
            if total is None or end == total:
                if not same_bytes_everywhere and size is None:
                    _check_whole(part, end, total is not None or getattr(response, "chunked", False))
                return kept > 0
            reason = f"the connection ended after {end} of {total} bytes"
        except urllib.error.HTTPError as error:
            error.close()
            reason = printable(f"HTTP {error.code} {error.reason}")
            if error.code == 416 and offset:
                says = (error.headers.get("Content-Range") or "").strip()
                if says == f"bytes */{offset}" and not (known and known.contradicts(_describe(url, error))):
                    return kept > 0
                reason = f"a partial file of {offset} bytes does not fit the server's file"
                _start_over(part)
                kept = 0
            elif not (arrived and error.code in _PASSING):
                raise DownloadError(reason) from None
        except _StartAgain as trouble:
            reason = str(trouble)
            _start_over(part)
            kept, ranges = 0, ranges and trouble.ranges
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


def _headers(offset: int, known: _Origin | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "t2av-bench"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if known and known.validator:
            headers["If-Range"] = known.validator
    return headers


def _describe(url: str, response: Any) -> _Origin:
    etag = response.headers.get("ETag")
    return _Origin(url, etag if etag and etag.startswith('"') else None, response.headers.get("Last-Modified"))


def _start(response: Any, offset: int, known: _Origin | None, found: _Origin, same_bytes_everywhere: bool) -> int:
    """Where the body begins in the file: ``offset`` if the server agreed to it and its file is still the same, else 0.

    Raises _StartAgain where it answers a range that cannot be joined to what is there.
    """
    status = getattr(response, "status", None)
    if encoding := response.headers.get("Content-Encoding", "").strip().lower().replace("identity", ""):
        raise DownloadError(printable(f"sends the file encoded ({encoding}), though it was asked for as it is"))
    if status is None or status == 200:
        if not same_bytes_everywhere and response.headers.get_content_type() == "text/html" and status:
            raise DownloadError("sends a web page, not a file")
        return 0
    if status != 206:
        raise DownloadError(f"HTTP {status}, expected 200 or 206")
    stated = response.headers.get("Content-Range")
    first, last, whole = _range(response)
    if not offset:
        raise DownloadError(printable(f"sends a part of the file ({stated}), though all of it was asked for"))
    if first != offset or last < first or (whole is not None and last >= whole):
        raise _StartAgain(printable(f"the range from byte {offset} was asked for, got {stated!r}"))
    if known is not None and (changed := known.contradicts(replace(found, total=whole))):
        raise _StartAgain(printable(changed), ranges=True)
    validator = known.validator if known else None
    if not same_bytes_everywhere and (validator is None or validator not in (found.etag, found.modified)):
        raise _StartAgain("the server does not say whether the range is of the same file")
    return offset


def _range(response: Any) -> tuple[int, int, int | None]:
    """First byte, last byte and size of the file that a 206 states; (-1, -1, None) where it states no such thing."""
    pattern = r"\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\s*"
    match = re.fullmatch(pattern, response.headers.get("Content-Range") or "")
    if match is None:
        return -1, -1, None
    return int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])


def _total(response: Any, start: int) -> int | None:
    """Bytes of the whole file; None where the server does not say. Raises DownloadError for a length that is none."""
    stated = response.headers.get("Content-Length")
    if stated is not None and not re.fullmatch(r"\s*[0-9]{1,18}\s*", stated):
        raise DownloadError(printable(f"states the length {stated!r}, expected a number of bytes"))
    length = None if stated is None else int(stated)
    if not start:
        return length
    first, last, whole = _range(response)
    if length is not None and length != last - first + 1:
        raise _StartAgain(f"the range {first}-{last} does not have the {length} bytes that are announced")
    return whole if whole is not None or length is None else start + length


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
    chunks: Iterator[bytes], part: Path, offset: int, total: int | None, size: int | None, largest: int,
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
        for chunk in chunks:
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
    _start_over(part)
    if not end:
        raise DownloadError("sends an empty file")
    raise DownloadError("states no length, and the table neither size nor digest: nothing tells whether it is whole")


def printable(text: str) -> str:
    """What a server said, on one line and without characters that move a terminal's cursor."""
    return "".join(each if each.isprintable() else " " for each in text)[:500]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def origin_file(part: Path) -> Path:
    """Where ``download`` keeps what a partial file is made from; whoever names or drops the file removes it."""
    return part.with_name(part.name + ".json")


def _start_over(part: Path) -> None:
    part.unlink(missing_ok=True)
    origin_file(part).unlink(missing_ok=True)


def _read_origin(part: Path) -> _Origin | None:
    try:
        content = json.loads(origin_file(part).read_text(encoding="utf-8"))
        origin = _Origin(**content)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = all(isinstance(text, str | None) for text in (origin.url, origin.etag, origin.modified))
    return origin if texts and isinstance(origin.total, int | None) else None


def _write_origin(part: Path, origin: _Origin) -> None:
    with _writing(origin_file(part)):
        origin_file(part).write_text(json.dumps(asdict(origin)), encoding="utf-8")
