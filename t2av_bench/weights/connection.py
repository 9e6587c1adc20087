"""Connections for downloads: http(s) and file alone, watched so that none can dawdle for ever."""

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

TIMEOUT = 30.0
"""Seconds without a single byte after which a connection has failed."""
WINDOW, LEAST_RATE = 30.0, 1024
"""A connection that brings fewer than ``LEAST_RATE`` bytes a second over ``WINDOW`` seconds is ended."""

_CHUNK = 1 << 18


class TooSlow(OSError):
    """The server kept the connection alive and sent next to nothing."""


class Refused(Exception):
    """A redirect that is not followed; the message says where it leads."""


class Watch:
    """Ends a slow connection. A time-out of the socket starts anew with every byte, so it alone would not.

    Only time spent waiting for the server counts. Use as a context manager; leaving it raises TooSlow where it struck.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._left = threading.Event()
        self._waiting, self._waited, self._bytes = True, 0.0, 0
        self._struck = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._left.set()
        self._thread.join()
        # What a closed connection raised, or a body that ended early with it, is explained by the closing.
        if self._struck and (kind is None or issubclass(kind, OSError | http.client.HTTPException | ValueError)):
            raise TooSlow(f"sent less than {LEAST_RATE} bytes a second for {WINDOW:g} s") from None

    def holds(self, connected: socket.socket) -> None:
        self._socket = connected

    def chunks(self, response: Any) -> Iterator[bytes]:
        """The body as it arrives."""
        while chunk := response.read1(_CHUNK):
            self._bytes += len(chunk)
            self._waiting = False
            yield chunk
            self._waiting = True
        self._waiting = False

    def _run(self) -> None:
        tick = WINDOW / 30
        while not self._left.wait(tick):
            self._waited += tick * self._waiting
            if self._waited < WINDOW:
                continue
            if self._struck or self._bytes < LEAST_RATE * WINDOW:
                self._struck = True
                if self._socket is not None:
                    self._shut(self._socket)
                    return
            else:
                self._waited, self._bytes = 0.0, 0

    def _shut(self, connected: socket.socket) -> None:
        try:
            # Not the TLS layer's own method: that would take away an object which another thread reads from.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        allowed = ("https://",) if req.full_url.startswith("https://") else ("https://", "http://")
        if not newurl.lower().startswith(allowed):
            raise Refused(f"redirected to {newurl}, expected {' or '.join(allowed)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, headers: dict[str, str], watch: Watch) -> Any:
    """The response. Raises OSError (urllib's errors are), HTTPException, ValueError for a URL, and Refused."""
    # The standard opener would follow redirects to ftp.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), _Http(watch), _Https(watch), urllib.request.FileHandler(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), _Redirects(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_watched(http.client.HTTPConnection, self._watch), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> Any:
        context = ssl.create_default_context()
        return self.do_open(_watched(http.client.HTTPSConnection, self._watch), req, context=context)


def _watched(kind: type[http.client.HTTPConnection], watch: Watch) -> Any:
    class Watched(kind):  # type: ignore[misc, valid-type]
        def connect(self) -> None:
            super().connect()
            watch.holds(self.sock)

    return Watched
