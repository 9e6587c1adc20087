"""The report's server: byte ranges as RFC 9110 has them, and no file but those of the report."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from page_factory import ITEMS, served
from typer.testing import CliRunner

from reports.page.server import Server, Site
from t2av_bench.cli.main import app
from t2av_bench.errors import ItemError


@pytest.fixture(scope="module")
def server(linked_report: Path) -> Iterator[Server]:
    with served(linked_report) as server:
        yield server


def ask(server: Server, address: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, address, headers=named)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def clip_address(workspace, item: int = 1) -> str:
    path = workspace.clips[0][item].resolve().relative_to(workspace.folder.resolve())
    return quote(f"/{path.as_posix()}")


def test_parts_of_a_clip_are_its_bytes(workspace, server: Server) -> None:
    whole = workspace.clips[0][1].read_bytes()
    address, size = clip_address(workspace), len(whole)
    response, body = ask(server, address)
    assert (response.status, body) == (200, whole)
    assert response.headers["Accept-Ranges"] == "bytes" and response.headers["Content-Type"] == "video/mp4"
    for header, first, last in (
        ("bytes=0-99", 0, 99), ("bytes=1000-1999", 1000, 1999), (f"bytes={size - 5}-", size - 5, size - 1),
        ("bytes=-300", size - 300, size - 1), (f"bytes=10-{size * 9}", 10, size - 1), ("bytes=0-0", 0, 0),
        (f"bytes=-{size * 9}", 0, size - 1),
    ):  # fmt: skip
        response, body = ask(server, address, Range=header)
        assert (response.status, body) == (206, whole[first : last + 1])
        assert response.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert response.headers["Content-Length"] == str(len(body))
    response, _ = ask(server, address, Range=f"bytes={size}-")
    assert response.status == 416 and response.headers["Content-Range"] == f"bytes */{size}"
    for header in ("bytes=20-10", "bytes=-", "bytes=a-b", "lines=0-1", "bytes 0-1"):
        assert ask(server, address, Range=header)[0].status == 400
    response, body = ask(server, address, "HEAD", Range="bytes=0-99")
    assert (response.status, body, response.headers["Content-Length"]) == (206, b"", "100")


def test_a_part_of_another_version_is_the_whole(workspace, server: Server) -> None:
    address, size = clip_address(workspace), workspace.clips[0][1].stat().st_size
    tag = ask(server, address, "HEAD")[0].headers["ETag"]
    assert ask(server, address, Range="bytes=0-9", If_Range=tag)[0].status == 206
    response, body = ask(server, address, Range="bytes=0-9", If_Range='"other"')
    assert (response.status, len(body)) == (200, size)


def test_pages_have_their_types_and_may_load_nothing_from_elsewhere(linked_report: Path, server: Server) -> None:
    home = urlsplit(server.url).path
    response, _ = ask(server, "/")
    assert (response.status, response.headers["Location"]) == (302, home)
    folder = home.rsplit("/", 1)[0]
    for name, kind in (
        ("index.html", "text/html; charset=utf-8"), ("", "text/html; charset=utf-8"),
        ("assets/report.css", "text/css; charset=utf-8"), ("assets/report.js", "text/javascript; charset=utf-8"),
        ("data/index.js", "text/javascript; charset=utf-8"),
    ):  # fmt: skip
        response, body = ask(server, f"{folder}/{name}?cache=1")
        assert (response.status, response.headers["Content-Type"]) == (200, kind)
        assert body == (linked_report / (name or "index.html")).read_bytes()
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_plots_are_pictures(server: Server) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 't2av-bench[page]'")
    folder = urlsplit(server.url).path.rsplit("/", 1)[0]
    response, body = ask(server, f"{folder}/plots/profile-light.svg")
    assert (response.status, response.headers["Content-Type"]) == (200, "image/svg+xml")
    assert body.startswith(b"<?xml")


def test_no_file_besides_the_reports(workspace, linked_report: Path, server: Server) -> None:
    folder = urlsplit(server.url).path.rsplit("/", 1)[0]
    for address in (
        "/runs/run0/results.db", f"{folder}/../runs/run0/results.db", f"{folder}/%2e%2e/runs/run0/results.db",
        f"{folder}/..%2fruns/run0/results.db", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
        "/etc/passwd", f"{folder}/..\\runs", "/media", "/media/", f"{folder}/assets", "/%00", "/%ff%fe",
        f"{folder}/nothing.html", "/" + "a/" * 3000,
    ):  # fmt: skip
        assert ask(server, address)[0].status == 404, address


def test_links_inside_the_report_lead_nowhere_else(linked_report: Path, server: Server) -> None:
    folder = urlsplit(server.url).path.rsplit("/", 1)[0]
    link = linked_report / "escape.txt"
    os.symlink("/etc/hostname", link)
    try:
        assert ask(server, f"{folder}/escape.txt")[0].status == 404
    finally:
        link.unlink()


def test_a_report_cannot_name_files_that_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    report = tmp_path / "report"
    report.mkdir()
    manifest = {"format": "t2av-bench report", "files": [], "linked": ["../secret.txt", "../../../../etc/passwd"]}
    (report / "report.json").write_text(json.dumps(manifest))
    site = Site.open(report)
    assert site.linked == frozenset() and site.root == report.resolve()
    assert site.find("/../secret.txt") is None and site.find("/secret.txt") is None


def test_other_hosts_names_are_refused(server: Server) -> None:
    assert ask(server, "/", Host="evil.example")[0].status == 400
    assert ask(server, "/", Host=f"localhost:{urlsplit(server.url).port}")[0].status == 302


def test_other_methods_are_not_supported(server: Server) -> None:
    assert ask(server, "/", "POST")[0].status == 405


def test_only_loopback(linked_report: Path, server: Server) -> None:
    name, port = server.socket.getsockname()
    assert name == "127.0.0.1"
    with pytest.raises(OSError):
        Server(Site.open(linked_report), port)


def test_nasty_names_are_found(workspace, server: Server) -> None:
    for item in range(len(ITEMS)):
        response, body = ask(server, clip_address(workspace, item), Range="bytes=0-7")
        assert (response.status, body[4:]) == (206, b"ftyp")


def test_a_folder_that_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="is not a report .*'t2av-bench report RUN --out"):
        Site.open(tmp_path)
    (tmp_path / "report.json").write_text('{"format": "other", "files": [], "linked": []}')
    with pytest.raises(ItemError, match="format 'other'"):
        Site.open(tmp_path)


def test_without_the_packages_the_extra_is_named(linked_report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    asked = CliRunner().invoke(app, ["serve", str(linked_report)])
    assert asked.exit_code == 2 and "pip install 't2av-bench[page]'" in asked.stderr


def test_it_ends_with_ctrl_c(linked_report: Path) -> None:
    command = [sys.executable, "-m", "t2av_bench.cli.main", "serve", str(linked_report), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        address = urlsplit(started.stdout.readline().strip())
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=30)
        connection.request("GET", address.path)  # and stays open, as a browser's does
        assert connection.getresponse().status == 200
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=30)
        connection.close()
    assert (started.returncode, said) == (0, "stopped\n")
