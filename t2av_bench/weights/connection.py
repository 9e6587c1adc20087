"""Connections for downloads: http(s) and file alone, none that dawdles for ever.

By hand, because the clients at hand (urllib, httpx, requests) time single reads out: a server that sends a byte every
few seconds holds them for days.
"""

import base64
import http.client
import io
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

TIMEOUT = 30.0
"""Seconds without a single byte after which a connection has failed."""
WINDOW, LEAST_RATE = 30.0, 1024
"""A connection that brings fewer than ``LEAST_RATE`` bytes a second over ``WINDOW`` seconds of waiting is ended."""

_CHUNK = 1 << 18
_CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # OpenSSL heeds SSL_CERT_FILE and SSL_CERT_DIR


class TooSlow(OSError):
    """The server kept the connection alive and sent next to nothing."""


class Refused(Exception):
    """A redirect that is not followed; the message says where it leads."""


class _Timed(io.RawIOBase):
    """What a socket receives, head and body, as long as enough of it comes. Only time spent waiting for it counts."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._waited, self._bytes = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        began = time.monotonic()
        count = self._raw.readinto(buffer)
        self._waited += time.monotonic() - began
        self._bytes += count or 0
        if self._waited >= WINDOW:
            if self._bytes < LEAST_RATE * WINDOW:
                raise TooSlow(f"sent less than {LEAST_RATE} bytes a second for {WINDOW:g} s")
            self._waited, self._bytes = 0.0, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fp = io.BufferedReader(_Timed(self.fp.detach()))


class _HttpConnection(http.client.HTTPConnection):
    response_class = _Response


class _HttpsConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_HttpConnection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_HttpsConnection, req, context=self._context)  # type: ignore[attr-defined]


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        allowed = ("https://",) if req.full_url.startswith("https://") else ("https://", "http://")
        if not newurl.lower().startswith(allowed):
            raise Refused(f"redirected to {newurl}, expected {' or '.join(allowed)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def without_password(url: str) -> str:
    """A URL as it may be shown: ``https://user:password@host/`` is ``https://host/``."""
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", url)


def open_url(url: str, headers: dict[str, str]) -> Any:
    """The response. Raises OSError (urllib's errors are), HTTPException, ValueError for a URL, and Refused.

    A user and password in the URL are sent to that host alone. Certificates: the system's, and those that pip's,
    curl's and requests' variables name.
    """
    context = ssl.create_default_context()
    for variable in _CERTIFICATES:
        if path := os.environ.get(variable):
            context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})
    opener = urllib.request.build_opener(_Http, _Https(context=context), _Redirects)
    request = urllib.request.Request(without_password(url), headers=headers)
    parts = urlsplit(url)
    if parts.username is not None:
        said = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(said).decode()}")
    return opener.open(request, timeout=TIMEOUT)


def chunks(response: Any) -> Iterator[bytes]:
    """The body as it arrives."""
    while chunk := response.read1(_CHUNK):
        yield chunk
