"""A server on 127.0.0.1 that misbehaves on request, and weight tables in the making."""

import hashlib
import io
import json
import os
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import tomli_w

from t2av_bench.weights.fetch import Fetched, fetch
from t2av_bench.weights.table import Weights

CONTENT = hashlib.shake_256(b"weights").digest(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.shake_256(b"something else").digest(len(CONTENT))


def wheel(**members: bytes) -> bytes:
    """A wheel of members by the names of their files, stored as they are, so that half of it is no archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("some_net/__init__.py", "raise SystemExit('code of a distribution was run')")
        for name, content in members.items():
            archive.writestr(f"some_net/data/{name.replace('_', '.')}", content)
    return buffer.getvalue()


@dataclass
class Resource:
    """What one address answers. cuts: bytes after which the 1st, 2nd, ... answer breaks off.

    says: headers that replace the right ones (None: left out).
    then: the resource of every later answer. seconds_per_header: between the bytes of an endless header.
    block: bytes that are sent together.
    """

    body: bytes = CONTENT
    status: int = 200
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    etag: str | None = None
    location: str | None = None
    chunked: bool = False
    seconds_per_block: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    says: dict[str, str | None] = field(default_factory=dict)
    then: "Resource | None" = None
    seconds_per_header: float = 0.0
    block: int = 20_000


class Server:
    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.log: list[tuple[str, str | None]] = []
        self.users: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                outer.log.append((self.path, self.headers.get("Range")))
                outer.users.append(self.headers.get("Authorization"))
                path = self.path.split("?")[0]
                resource = outer.resources.get(path, Resource(b"no such file", 404))
                if resource.then:
                    outer.resources[path] = resource.then
                if resource.seconds_per_header:
                    return self.dawdle(resource.seconds_per_header)
                content, status, start = resource.body, resource.status, 0
                wanted = self.headers.get("Range")
                if status == 200 and wanted and resource.ranges:
                    start, status = int(wanted.removeprefix("bytes=").split("-")[0]), 206
                    if start >= len(content):
                        content, status = b"", 416
                self.send_response(status)
                headers: dict[str, str | None] = {}
                if status == 206:
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                    content = content[start:]
                elif status == 416:
                    headers["Content-Range"] = f"bytes */{len(resource.body)}"
                headers |= {"ETag": resource.etag, "Location": resource.location} | resource.headers
                headers["Transfer-Encoding"] = "chunked" if resource.chunked else None
                headers["Content-Length"] = None if resource.chunked else str(len(content))
                headers |= {name: value for name, value in resource.says.items()
                            if status == 206 or name != "Content-Range"}  # fmt: skip
                for name, value in headers.items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                if body:
                    self.send_body(resource, content)

            def dawdle(self, seconds: float) -> None:
                try:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
                    while True:
                        self.wfile.write(b"x")
                        time.sleep(seconds)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def send_body(self, resource: Resource, content: bytes) -> None:
                cut = resource.cuts.pop(0) if resource.cuts else None
                whole = content if cut is None else content[:cut]
                try:
                    for i in range(0, len(whole), resource.block):
                        block = whole[i : i + resource.block]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if resource.chunked else block)
                        time.sleep(resource.seconds_per_block)
                    if resource.chunked and cut is None:
                        self.wfile.write(b"0\r\n\r\n")
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                if cut is not None:
                    self.close_connection = True

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def publish(self, file: str, body: bytes, form: str = "json", **fields: object) -> str:
        """A wheel or source distribution (``name-1.0...``) in the index ``/simple``; returns its SHA-256."""
        project, sha256 = file.split("-")[0].replace("_", "-"), hashlib.sha256(body).hexdigest()
        self.serve(f"/files/{file}", body=body, **fields)
        if form == "json":
            files = {"files": [{"filename": file, "url": f"/files/{file}", "hashes": {"sha256": sha256}}]}
            page, kind = json.dumps(files), "application/vnd.pypi.simple.v1+json"
        else:
            page, kind = f'<html><a href="../../files/{file}#sha256={sha256}">{file}</a></html>', "text/html"
        self.serve(f"/simple/{project}/", body=page.encode(), headers={"Content-Type": kind})
        return sha256

    def serve(self, path: str, **fields: object) -> str:
        self.resources[path] = Resource(**fields)  # type: ignore[arg-type]
        return self.address + path


class Bench:
    """A table in the making, and stores over it; every ``store()`` is what a new process would see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "weights"
        self.table = folder / "table.toml"
        self.rows: dict[str, dict[str, object]] = {}

    def row(self, id: str, **fields: object) -> str:
        standard = {"purpose": "a test", "file": f"{id}.bin", "licence": "MIT", "group": "free",
                    "format": "state_dict", "loader": "none"}  # fmt: skip
        self.rows[id] = standard | fields
        self.table.write_text(tomli_w.dumps(self.rows), encoding="utf-8")
        return id

    def store(self, *folders: Path) -> Weights:
        return Weights(folders or [self.home], self.table, cache=self.folder / "cache.json")

    def fetch(self, id: str, **options: object) -> Fetched:
        return fetch(self.store(), id, pause=lambda seconds: None, **options)  # type: ignore[arg-type]

    def environment(self) -> dict[str, str]:
        return os.environ | {"T2AV_BENCH_WEIGHTS": str(self.home), "T2AV_BENCH_WEIGHTS_TABLE": str(self.table),
                             "XDG_CACHE_HOME": str(self.folder / "cache"),
                             "XDG_DATA_HOME": str(self.folder / "data")}  # fmt: skip

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.home.rglob("*") if path.is_file() and path.suffix != ".lock")
