"""Serving a report on loopback: nothing but the report and its media.

Addresses are paths below the folder that holds both the report and the files it links to, so that relative links work
as they do for a page opened from a file. Served are the report's own files and the media that ``report.json`` names.
Starlette answers for parts of files, without which players cannot seek.
"""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote_to_bytes

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from reports.page.site import FORMAT, INDEX, MANIFEST
from t2av_bench.benchmarks.pairing import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from t2av_bench.errors import ItemError

HOST = "127.0.0.1"
# Of the files that a report consists of or links to: the types that Python knows depend on the machine.
_TYPES = {
    ".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml", ".js": "text/javascript",
    ".json": "application/json", ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
    ".webm": "video/webm", ".mkv": "video/x-matroska", ".avi": "video/x-msvideo", ".wav": "audio/wav",
    ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".flac": "audio/flac", ".ogg": "audio/ogg",
    ".opus": "audio/ogg", ".ts": "video/mp2t", ".mpg": "video/mpeg", ".mpeg": "video/mpeg",
}  # fmt: skip
_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    # The page needs nothing from elsewhere, and this keeps it so.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


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


class Server(uvicorn.Server):
    """A server of one report on loopback. port 0: any free one. Raises OSError where the port is taken."""

    def __init__(self, site: Site, port: int = 0) -> None:
        self.socket = socket.create_server((HOST, port))
        self.url = f"http://{HOST}:{self.socket.getsockname()[1]}{site.home}"
        # A browser that closes a connection while seeking is no error: nothing is printed.
        super().__init__(
            uvicorn.Config(
                _application(site), log_config=None, log_level="critical", access_log=False, timeout_graceful_shutdown=1
            )
        )

    def serve_forever(self) -> None:
        """Serve until Ctrl-C (KeyboardInterrupt) or ``should_exit``."""
        self.run(sockets=[self.socket])


def _application(site: Site) -> Starlette:
    def answer(request: Request) -> Response:
        if request.url.path == "/" and site.home != f"/{INDEX}":
            return RedirectResponse(site.home, 302)
        path = site.find(request.scope["raw_path"].decode("ascii"))
        if path is None:
            return PlainTextResponse("404 Not Found\n", 404)
        return FileResponse(
            path, headers=_HEADERS, media_type=_TYPES.get(path.suffix.lower(), "application/octet-stream")
        )

    # Other pages that the browser has open may point a name of theirs at this address; they get nothing.
    known_names = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=[Route("/{path:path}", answer)], middleware=[known_names])
