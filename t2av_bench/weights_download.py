"""One URL into one partial file, continued where an earlier attempt stopped."""

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, all bytes or None where the server does not say)."""

_CHUNK = 1 << 18
_TIMEOUT = 30.0
_RETRIES_WITHOUT_PROGRESS = 4
# A file somewhat larger than stated is still read to its end, so that the refusal can name its digest.
_LARGEST_EXCESS = 1 << 20


class DownloadError(Exception):
    """The URL did not deliver a whole file; the message is the reason."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        allowed = ("https://",) if req.full_url.startswith("https://") else ("https://", "http://")
        if not newurl.lower().startswith(allowed):
            raise DownloadError(f"redirected to {newurl}, expected {' or '.join(allowed)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    part: Path,
    *,
    same_bytes_everywhere: bool,
    size: int | None = None,
    progress: Progress | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Fill ``part`` with the whole body of an http(s) or file URL.

    A partial file is continued if it came from the same URL (and, where the server gives an entity tag, from the
    same entity), or from any URL with ``same_bytes_everywhere`` (a stated digest will tell). A cut connection is
    tried again; a server that ignores ranges makes it start over. size: the stated size in bytes, if any.

    Returns whether bytes of an earlier call were kept. Raises DownloadError; ``part`` then keeps what arrived.
    """
    if not url.startswith(("https://", "http://", "file://")):
        raise DownloadError(f"expected an http(s) or file URL, got {url}")
    origin_file = part.with_name(part.name + ".json")
    origin = _read_json(origin_file)
    if not same_bytes_everywhere and origin.get("url") != url:
        part.unlink(missing_ok=True)
    had, failures, delivered = _size(part), 0, False
    kept = had
    while True:
        offset = _size(part)
        headers = {"Accept-Encoding": "identity", "User-Agent": "t2av-bench"}
        if offset and not url.startswith("file://"):
            headers["Range"] = f"bytes={offset}-"
            if origin.get("url") == url and str(origin.get("etag", "")).startswith('"'):
                headers["If-Range"] = origin["etag"]
        try:
            with _opener().open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as response:
                origin = {"url": url, "etag": response.headers.get("ETag")}
                offset = _resumed_at(response, offset)
                kept = min(kept, offset)
                origin_file.write_text(json.dumps(origin), encoding="utf-8")
                before = offset
                length = response.headers.get("Content-Length")
                total = offset + int(length) if length else None
                try:
                    offset = _copy(response, part, offset, total, size, progress)
                finally:
                    delivered = delivered or _size(part) > before
            if total is None or offset >= total:
                origin_file.unlink(missing_ok=True)
                return kept > 0
            reason = f"the connection ended after {offset} of {total} bytes"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 416:
                raise DownloadError(f"HTTP {error.code} {error.reason}") from None
            if (error.headers.get("Content-Range") or "").strip() == f"bytes */{offset}":
                return kept > 0
            part.unlink(missing_ok=True)
            before, reason = 0, "the partial file does not fit the server's file"
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if not delivered:
                raise DownloadError(reason) from None
            before = offset
        failures = 0 if _size(part) > before else failures + 1
        if failures > _RETRIES_WITHOUT_PROGRESS:
            raise DownloadError(f"{reason}; the same command continues")
        pause(min(2.0**failures, 10.0))


def _opener() -> urllib.request.OpenerDirector:
    """http(s) and file only: the standard opener would follow redirects to ftp."""
    handlers = (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.FileHandler, urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor,
        _Redirects,
    )  # fmt: skip
    opener = urllib.request.OpenerDirector()
    for handler in handlers:
        opener.add_handler(handler())
    return opener


def _resumed_at(response: Any, offset: int) -> int:
    """Where the body continues: ``offset`` if the server agreed to it, else 0."""
    if getattr(response, "status", None) != 206:
        return 0
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    if not start or int(start[1]) != offset:
        raise DownloadError(f"asked for bytes from {offset}, got {response.headers.get('Content-Range')!r}")
    return offset


def _copy(
    response: Any, part: Path, offset: int, total: int | None, size: int | None, progress: Progress | None
) -> int:
    """Append the body to the first ``offset`` bytes of ``part``; the new length. A cut body ends early or raises."""
    with open(part, "r+b" if offset else "wb") as file:
        file.seek(offset)
        file.truncate()
        while chunk := response.read1(_CHUNK):
            file.write(chunk)
            offset += len(chunk)
            if size is not None and offset > size + _LARGEST_EXCESS:
                file.truncate(0)
                raise DownloadError(f"sends more than {offset} bytes, the table states {size}")
            if progress:
                progress(offset, total)
        file.flush()
        os.fsync(file.fileno())
    return offset


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
