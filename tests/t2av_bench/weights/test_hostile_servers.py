"""Servers that lie, change their mind or dawdle: a bounded number of tries, never a mixed file, always a reason."""

import errno
import os
import resource as limits
import subprocess
import sys
from pathlib import Path

import pytest
from weights_server import CONTENT, OTHER, SHA256, Bench, Resource, Server

from t2av_bench.errors import NotApplicable
from t2av_bench.weights import connection as weights_connection
from t2av_bench.weights.download import CannotWrite, DownloadError, download
from t2av_bench.weights.fetch import FetchError

HALF = len(CONTENT) // 2
ALWAYS = [HALF] * 100
OLD, NEW = '"old"', '"new"'


def reason(bench: Bench, id: str = "net", **options: object) -> str:
    with pytest.raises(FetchError) as failure:
        bench.fetch(id, **options)
    return str(failure.value)


@pytest.mark.parametrize("fields", [
    {"ranges": False}, {"ranges": False, "chunked": True}, {"etag": OLD, "ranges": False},
    {"says": {"Content-Range": "bytes 0-1/2"}}, {"says": {"Content-Range": "bytes 7-299999/300000"}},
    {"says": {"Content-Range": None}}, {"says": {"Content-Range": "bytes 99999999999999999999-1/*"}},
])  # fmt: skip
@pytest.mark.parametrize("stated", [True, False])
def test_a_server_that_always_cuts_at_the_same_byte_is_left(
    server: Server, bench: Bench, fields: dict[str, object], stated: bool
) -> None:
    bench.row(
        "net", origins=[server.serve("/net", cuts=list(ALWAYS), **fields)], **({"sha256": SHA256} if stated else {})
    )
    said = reason(bench)
    assert "tries without progress" in said and "the same command continues" in said
    assert len(server.log) <= 12


def test_a_server_that_deals_out_a_byte_a_try_is_left(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", cuts=[1] * 1000)], sha256=SHA256)
    assert "5 of 300000 bytes" in reason(bench) and len(server.log) == 5
    assert "10 of 300000 bytes" in reason(bench), "what arrived is kept for the next command"


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "", "9" * 5000, "١٢"])
def test_a_length_that_is_no_number_is_a_reason_and_the_mirror_serves(
    server: Server, bench: Bench, length: str
) -> None:
    says = {"Content-Length": length.encode().decode("latin-1")}
    bench.row("net", origins=[server.serve("/net", says=says), server.serve("/mirror")], sha256=SHA256)
    assert bench.fetch("net").source == server.address + "/mirror"
    bench.row("lone", origins=[server.address + "/net"], sha256=SHA256)
    assert "states the length" in reason(bench, "lone") and len(reason(bench, "lone")) < 1000


def test_no_length_is_accepted_where_the_table_tells_what_is_whole(server: Server, bench: Bench) -> None:
    url = server.serve("/net", says={"Content-Length": None, "Connection": "close"})
    bench.row("net", origins=[url], sha256=SHA256)
    assert bench.fetch("net").path.read_bytes() == CONTENT
    bench.row("untold", origins=[url])
    assert "nothing tells whether it is whole" in reason(bench, "untold")
    server.serve("/empty", body=b"")
    bench.row("empty", origins=[server.address + "/empty"])
    assert "an empty file" in reason(bench, "empty")


@pytest.mark.parametrize("etags", [(OLD, NEW), (OLD, OLD), (None, None)])
@pytest.mark.parametrize("chunked", [False, True])
def test_two_files_are_never_joined(
    server: Server, bench: Bench, etags: tuple[str | None, str | None], chunked: bool
) -> None:
    """The file changes after a cut, and no digest would notice: what arrived is not continued, whatever is said."""
    later = Resource(chunked=chunked, etag=etags[1])
    bench.row("net", origins=[server.serve("/net", body=OTHER, cuts=[HALF], then=later, etag=etags[0])])
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert bench.leftovers() == ["net.bin", "weights.lock.json"]


def test_a_range_shorter_than_asked_for_is_not_the_end(server: Server, bench: Bench) -> None:
    short = {"Content-Range": f"bytes {HALF}-{HALF + 99_999}/{len(CONTENT)}", "Content-Length": "100000"}
    rest = Resource(etag=OLD)
    url = server.serve("/net", etag=OLD, cuts=[HALF], then=Resource(etag=OLD, says=short, then=rest))
    bench.row("net", origins=[url], sha256=SHA256)
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert server.log[-1] == ("/net", f"bytes={HALF + 100_000}-")


def test_what_is_no_file_is_refused_where_no_digest_would_tell(server: Server, bench: Bench) -> None:
    troubles = {
        "gzip": ({"headers": {"Content-Encoding": "gzip"}}, "encoded (gzip)"),
        "page": ({"headers": {"Content-Type": "text/html; charset=utf-8"}}, "a web page"),
        "partial": ({"status": 206}, "a part of the file"),
        "none": ({"status": 204, "body": b""}, "HTTP 204"),
    }
    for name, (fields, expected) in troubles.items():
        bench.row(name, origins=[server.serve(f"/{name}", **fields)])
        assert expected in reason(bench, name), name


def test_without_a_stated_size_there_is_a_limit(server: Server, bench: Bench) -> None:
    for name, fields in {"told": {}, "untold": {"chunked": True}}.items():
        bench.row(name, origins=[server.serve(f"/{name}", **fields)])
        said = reason(bench, name, largest=200_000)
        assert "0.0002 GB are the limit (--max-size GB)" in said
        assert sum(path.stat().st_size for path in bench.home.glob("*.part")) <= 200_000
        assert bench.fetch(name, largest=len(CONTENT)).path.read_bytes() == CONTENT
    bench.row("sized", origins=[server.serve("/sized")], size=len(CONTENT), sha256=SHA256)
    assert bench.fetch("sized", largest=1).state == "fetched", "a stated size needs no limit"


def test_an_endless_file_address_is_stopped(bench: Bench) -> None:
    bench.row("net", origins=["file:///dev/zero"])
    assert "more than the 0 bytes that it announced" in reason(bench)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_connection, "WINDOW", 0.6)


def test_servers_that_dawdle_are_left(server: Server, bench: Bench, impatient: None) -> None:
    bench.row("body", origins=[server.serve("/body", seconds_per_block=0.05, block=1)], sha256=SHA256)
    bench.row("head", origins=[server.serve("/head", seconds_per_header=0.05)], sha256=SHA256)
    server.serve("/chunks", seconds_per_block=0.05, block=1, chunked=True)
    bench.row("chunks", origins=[server.address + "/chunks"], sha256=SHA256)
    for id in ("body", "head", "chunks"):
        assert "less than 1024 bytes a second" in reason(bench, id), id
    assert len(server.log) == 3


def test_time_that_the_disk_takes_is_not_the_servers(server: Server, bench: Bench, impatient: None) -> None:
    import time

    bench.row("net", origins=[server.serve("/net")], sha256=SHA256)
    done = bench.fetch("net", progress=lambda have, total: time.sleep(0.5))
    assert done.path.read_bytes() == CONTENT and len(server.log) == 1


@pytest.mark.parametrize("location", ["http://[bad/", "http://host:port/", "//[", "gopher://x", "http:\x0b//x", "/trap",
                                      "data:,x", "FILE:///etc/hosts"])  # fmt: skip
def test_redirects_that_lead_nowhere_are_reasons(server: Server, tmp_path: Path, location: str) -> None:
    trap = server.serve("/trap", status=302, location=location)
    with pytest.raises(DownloadError) as failure:
        download(trap, tmp_path / "x.part", proved=True, pause=lambda seconds: None)
    assert str(failure.value).isprintable() and len(server.log) <= 12


def test_what_a_server_says_does_not_reach_the_terminal_raw(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", headers={"Content-Encoding": "\x9b31m\x1b[2J"})])
    assert "\x1b" not in reason(bench) and "\x9b" not in reason(bench)


def test_a_full_disk_is_said_once_and_the_same_command_continues(server: Server, bench: Bench) -> None:
    """A limit on the size of files stands for the disk: writing fails in the same place."""
    urls = [server.serve("/net"), server.serve("/mirror")]
    bench.row("net", origins=urls, sha256=SHA256)

    def small_files() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits.setrlimit(limits.RLIMIT_FSIZE, (HALF, HALF))

    command = [sys.executable, "-m", "t2av_bench.cli.main", "weights", "fetch", "net"]
    done = subprocess.run(command, env=bench.environment(), capture_output=True, text=True, preexec_fn=small_files)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"cannot write {bench.home / 'net.bin.part'}: {os.strerror(errno.EFBIG)}" in done.stderr
    assert "then: t2av-bench weights fetch net" in done.stderr and len(server.log) == 1
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert server.log[-1] == ("/net", f"bytes={HALF}-")


def test_a_disk_that_is_too_small_is_known_beforehand(
    server: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    bench.row("net", origins=[server.serve("/net", etag=OLD)])
    usage = shutil.disk_usage(bench.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    assert "300000 bytes are missing yet" in reason(bench)
    with pytest.raises(CannotWrite):
        download(server.address + "/net", bench.folder / "x.part", proved=False)


@pytest.mark.parametrize("name", [".net.bin.lock", "net.bin.part", "weights.lock.json"])
def test_folders_where_files_are_expected_are_reasons(server: Server, bench: Bench, name: str) -> None:
    bench.row("net", origins=[server.serve("/net", etag=OLD)])
    (bench.home / name / "inside").mkdir(parents=True)
    with pytest.raises((FetchError, NotApplicable), match=name):
        bench.fetch("net")
    assert not (bench.home / "net.bin").exists() and (bench.home / name / "inside").is_dir()


def test_a_folder_that_cannot_be_made_is_a_reason(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256)
    bench.home.write_text("a file")
    said = reason(bench)
    assert str(bench.home) in said and "--folder FOLDER" in said


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[]", b"[" * 100_000, b'{"net": 3}', b'{"net": {"sha256": 1}}', b"{"])
def test_a_damaged_lock_is_said_and_not_replaced(server: Server, bench: Bench, text: bytes) -> None:
    bench.row("net", origins=[server.serve("/net", etag=OLD)])
    bench.home.mkdir()
    lock = bench.home / "weights.lock.json"
    lock.write_bytes(text)
    with pytest.raises(NotApplicable, match="restore it, or move it away"):
        bench.fetch("net")
    assert lock.read_bytes() == text


def test_a_lock_that_nobody_holds_any_more_is_no_obstacle(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256)
    bench.home.mkdir()
    (bench.home / ".net.bin.lock").write_text("left by a process that was killed")
    assert bench.fetch("net").state == "fetched"


def test_archives_that_cannot_be_opened_are_reasons(server: Server, bench: Bench) -> None:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("net.onnx", CONTENT)
    whole = buffer.getvalue()
    flipped = bytearray(whole)
    flipped[1000] ^= 255
    encrypted = bytearray(whole)
    encrypted[6] |= 1
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1
    bodies = {"no": OTHER, "cut": whole[:-100], "flipped": bytes(flipped), "encrypted": bytes(encrypted)}
    for name, body in bodies.items():
        bench.row(f"{name}-zip", origins=[server.serve(f"/{name}", body=body, etag=OLD)], format="archive")
        bench.row(name, archive=f"{name}-zip", member="net.onnx", format="onnx")
        with pytest.raises(NotApplicable, match=f"then: t2av-bench weights fetch {name}-zip"):
            bench.fetch(name)
        assert not (bench.home / f"{name}.bin").exists()
    bench.row("bomb", archive="good-zip", member="net.onnx", format="onnx", size=1000)
    bench.row("good-zip", origins=[server.serve("/good", body=whole, etag=OLD)], format="archive")
    with pytest.raises(NotApplicable, match="size is 300000 bytes, expected 1000"):
        bench.fetch("bomb")


@pytest.mark.parametrize("given", ["inf", "nan", "-1"])
def test_the_limit_is_a_number(bench: Bench, given: str) -> None:
    bench.row("net", origins=["file:///nowhere"])
    command = [sys.executable, "-m", "t2av_bench.cli.main", "weights", "fetch", "net", "--max-size", given]
    done = subprocess.run(command, env=bench.environment(), capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
