"""Serving a report on loopback: byte ranges, so that players can seek; nothing but the report and its media.

Addresses are paths below the folder that holds both the report and the files it links to, so that relative links work
as they do for a page opened from a file. Served are the report's own files and the media that ``report.json`` names.
"""

import json
import os
import re
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote, unquote_to_bytes, urlsplit

from reports.page.site import FORMAT, INDEX, MANIFEST
from t2av_bench.benchmarks.pairing import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from t2av_bench.errors import ItemError

HOST = "127.0.0.1"
_CHUNK = 1 << 18
_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
    ".js": "text/javascript; charset=utf-8", ".json": "application/json", ".mp4": "video/mp4", ".m4v": "video/mp4",
    ".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska", ".avi": "video/x-msvideo",
    ".wav": "audio/wav", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".flac": "audio/flac",
    ".ogg": "audio/ogg", ".opus": "audio/ogg", ".ts": "video/mp2t", ".mpg": "video/mpeg", ".mpeg": "video/mpeg",
}  # fmt: skip
# The page needs nothing from elsewhere, and this keeps it so.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Site:
    """What may be served: all of ``folder``, and the files of ``linked``. Addresses are paths below ``root``."""

    folder: Path
    root: Path
    linked: frozenset[Path]

    @classmethod
    def open(cls, folder: Path) -> "Site":
        """The site of a report. Raises ItemError where ``folder`` holds none."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT:
                raise ValueError(f"format {manifest['format']!r}")
            names = [str(name) for name in manifest["linked"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ItemError(
                f"{folder} is not a report ({error}); 't2av-bench report RUN --out {folder}' makes one"
            ) from error
        folder = folder.resolve()
        # A report is handed on: it must not make this machine serve other files than clips.
        linked = frozenset(
            path for name in names
            if (path := (folder / name).resolve()).suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES
        )  # fmt: skip
        return cls(folder, Path(os.path.commonpath([folder, *(path.parent for path in linked)])), linked)

    @property
    def home(self) -> str:
        """The address of the first page."""
        return quote(os.fsencode("/" + (self.folder / INDEX).relative_to(self.root).as_posix()))

    def find(self, address: str) -> Path | None:
        """The file of an address (path alone, percent-encoded); None where it is not to be served."""
        try:
            name = os.fsdecode(unquote_to_bytes(address))
            parts = PurePosixPath(name.lstrip("/")).parts
            if "\0" in name or "\\" in name or ".." in parts:
                return None
            path = self.root.joinpath(*parts).resolve()
            if path.is_dir() and path == self.folder:
                path = path / INDEX
            allowed = path in self.linked or path.is_relative_to(self.folder)
            return path if allowed and path.is_file() else None
        except (OSError, ValueError, RuntimeError):
            return None


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a single ``Range`` (RFC 9110 §14.2); None: the whole file is to be sent.

    Several ranges, other units and malformed headers are ignored, as the standard allows. Raises ValueError where the
    range lies beyond the file.
    """
    found = re.fullmatch(r"bytes=\s*(\d*)-(\d*)\s*", header or "", re.ASCII)
    if not found or found.groups() == ("", ""):
        return None
    start, end = found.groups()
    if not start:
        length = int(end)
        if not length or not size:
            raise ValueError(f"no byte of {size} is in the last {length}")
        return max(0, size - length), size - 1
    first = int(start)
    last = min(int(end), size - 1) if end else size - 1
    if end and int(end) < first:
        return None
    if first >= size:
        raise ValueError(f"byte {first} is beyond the {size} of the file")
    return first, last


class Server(ThreadingHTTPServer):
    """A server of one report on loopback. port 0: any free one. Raises OSError where the port is taken."""

    daemon_threads = True

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        super().__init__((HOST, port), _Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}{self.site.home}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes a connection while seeking is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "t2av-bench", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *arguments: Any) -> None:
        """A page of players makes hundreds of requests: nothing is printed."""

    def _answer(self, *, body: bool) -> None:
        # Other pages that the browser has open may point a name of theirs at this address; they get nothing.
        if self.headers.get("Host", "") not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, body)
            return
        address = urlsplit(self.path).path
        home = self.server.site.home
        if address == "/" and home != f"/{INDEX}":
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", home)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = self.server.site.find(address)
        if path is None:
            self._refuse(HTTPStatus.NOT_FOUND, body)
            return
        try:
            with path.open("rb") as file:
                self._send(file, path, body)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        except OSError:
            self.close_connection = True

    def _send(self, file: BinaryIO, path: Path, body: bool) -> None:
        status = os.fstat(file.fileno())
        size, tag = status.st_size, f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        header = self.headers.get("Range") if self.headers.get("If-Range", tag) == tag else None
        try:
            part = parse_range(header, size)
        except ValueError:
            self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, body, {"Content-Range": f"bytes */{size}"})
            return
        first, last = part or (0, size - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES.get(path.suffix.lower(), "application/octet-stream"))
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", _POLICY)
        if part:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if not body:
            return
        file.seek(first)
        left = last - first + 1
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            self.wfile.write(chunk)
            left -= len(chunk)
        if left:
            self.close_connection = True  # the file became shorter: what was promised cannot be kept

    def _refuse(self, status: HTTPStatus, body: bool, headers: dict[str, str] | None = None) -> None:
        text = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)
