"""Broken connections, wrong files, licences and kills: a file under its final name is whole and verified."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from weights_server import CONTENT, OTHER, SHA256, Bench, Server

from t2av_bench.errors import NotApplicable
from t2av_bench.weights.download import DownloadError, download
from t2av_bench.weights.fetch import FetchError


def test_fetch_gives_the_verified_file_its_name(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256, size=len(CONTENT))
    seen: list[tuple[int, int | None]] = []
    assert not bench.store().is_present("net")
    assert bench.store().digest("net") is None
    done = bench.fetch("net", progress=lambda have, total: seen.append((have, total)))
    assert done.state == "fetched"
    assert done.path.read_bytes() == CONTENT
    assert bench.store().path("net") == done.path == bench.home / "net.bin"
    assert bench.store().digest("net") == SHA256 == done.sha256
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert bench.leftovers() == ["net.bin"]
    assert bench.fetch("net").state == "present"
    assert len(server.log) == 1


def test_cut_connections_are_continued(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", cuts=[100_000, 50_000])], sha256=SHA256)
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert server.log == [("/net", None), ("/net", "bytes=100000-"), ("/net", "bytes=150000-")]


def test_a_later_command_continues(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", cuts=[100_000, 0, 0, 0, 0, 0])], sha256=SHA256)
    with pytest.raises(FetchError, match="100000 of 300000 bytes; the same command continues"):
        bench.fetch("net")
    assert "net.bin" not in bench.leftovers()
    server.log.clear()
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert server.log == [("/net", "bytes=100000-")]
    assert bench.leftovers() == ["net.bin"]


def test_server_that_ignores_ranges(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", ranges=False, cuts=[100_000])], sha256=SHA256)
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert [asked for _, asked in server.log] == [None, "bytes=100000-"]


def test_truncated_chunked_answer_is_not_taken_for_whole(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", chunked=True, cuts=[100_000], ranges=False)])
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert len(server.log) == 2


def test_partial_file_of_another_address_is_dropped_without_a_digest(server: Server, bench: Bench) -> None:
    first = server.serve("/first", body=OTHER, cuts=[100_000, 0, 0, 0, 0, 0])
    bench.row("net", origins=[first, server.serve("/second")])
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert server.log[-1] == ("/second", None)


def test_mirror_continues_where_the_first_address_stopped(server: Server, bench: Bench) -> None:
    first = server.serve("/first", cuts=[100_000, 0, 0, 0, 0, 0])
    bench.row("net", origins=[first, server.serve("/second")], sha256=SHA256)
    assert bench.fetch("net").source == server.address + "/second"
    assert server.log[-1] == ("/second", "bytes=100000-")


def test_complete_partial_file_needs_no_body(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256)
    bench.home.mkdir()
    (bench.home / "net.bin.part").write_bytes(CONTENT)
    assert bench.fetch("net").path.read_bytes() == CONTENT


@pytest.mark.parametrize("part", [OTHER[:1000], CONTENT + b"more", OTHER])
def test_damaged_partial_file_costs_a_second_try_only(server: Server, bench: Bench, part: bytes) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256)
    bench.home.mkdir()
    (bench.home / "net.bin.part").write_bytes(part)
    assert bench.fetch("net").path.read_bytes() == CONTENT


def test_missing_then_mirror(server: Server, bench: Bench) -> None:
    urls = [server.address + "/absent", "http://127.0.0.1:9/refused", server.serve("/net")]
    bench.row("net", origins=urls, sha256=SHA256)
    assert bench.fetch("net").source == urls[2]


def test_every_address_failed_is_named_with_its_reason(server: Server, bench: Bench) -> None:
    broken = server.serve("/broken", status=503)
    bench.row("net", origins=[server.address + "/absent", broken], sha256=SHA256, manual="ask the authors")
    with pytest.raises(FetchError) as failure:
        bench.fetch("net")
    message = str(failure.value)
    assert f"{server.address}/absent: HTTP 404" in message
    assert f"{broken}: HTTP 503" in message
    assert f"ask the authors; put the result at {bench.home / 'net.bin'}" in message


@pytest.mark.parametrize("body", [OTHER, CONTENT[:-1], CONTENT + b"x", b"<html>sign in</html>", b""])
def test_wrong_file_never_gets_the_name(server: Server, bench: Bench, body: bytes) -> None:
    bench.row("net", origins=[server.serve("/net", body=body)], sha256=SHA256, size=len(CONTENT))
    with pytest.raises(FetchError) as failure:
        bench.fetch("net")
    for named in (SHA256, hashlib.sha256(body).hexdigest(), server.address + "/net"):
        assert named in str(failure.value)
    if len(body) != len(CONTENT):
        assert f"{len(body)} bytes" in str(failure.value)
    assert bench.leftovers() == []


def test_endless_answer_is_stopped(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", body=bytes(3_000_000))], sha256=SHA256, size=len(CONTENT))
    with pytest.raises(FetchError, match="the table states 300000"):
        bench.fetch("net")


def test_right_digest_with_wrong_stated_size(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256, size=len(CONTENT) + 1)
    with pytest.raises(FetchError, match=f"size is 300000 bytes, the table states 300001; sha256 is {SHA256}"):
        bench.fetch("net")


def test_wrong_file_that_was_there_is_refused_and_kept(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256)
    bench.home.mkdir()
    (bench.home / "net.bin").write_bytes(OTHER)
    with pytest.raises(NotApplicable, match="Move the file away"):
        bench.fetch("net")
    assert (bench.home / "net.bin").read_bytes() == OTHER
    assert server.log == []


def test_redirects(server: Server, bench: Bench, tmp_path: Path) -> None:
    server.serve("/moved", status=302, location=server.serve("/net"))
    bench.row("net", origins=[server.address + "/moved"], sha256=SHA256)
    assert bench.fetch("net").path.read_bytes() == CONTENT
    (tmp_path / "secret").write_bytes(CONTENT)
    for target in (f"file://{tmp_path}/secret", "ftp://127.0.0.1/x"):
        trap = server.serve("/trap", status=302, location=target)
        with pytest.raises(DownloadError, match="edirect"):
            download(trap, tmp_path / "x.part", proved=True)


def test_file_address(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "source.bin").write_bytes(CONTENT)
    bench.row("net", origins=[(tmp_path / "source.bin").as_uri()], sha256=SHA256)
    bench.home.mkdir()
    (bench.home / "net.bin.part").write_bytes(CONTENT[:10])
    assert bench.fetch("net").path.read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["ftp://host/net", "net.bin", "s3://bucket/net", "javascript:x"])
def test_other_schemes_are_refused(bench: Bench, url: str) -> None:
    bench.row("net", origins=[url])
    with pytest.raises(ValueError, match=r"(?s)entry \[net\].*http\(s\) or file"):
        bench.store()


def test_licence_must_be_accepted(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256, licence="CC BY-NC 4.0", group="non-commercial")
    for accept in ([], ["research"]):
        with pytest.raises(FetchError) as refusal:
            bench.fetch("net", accept=accept)
        assert "CC BY-NC 4.0" in str(refusal.value)
        assert "t2av-bench weights fetch net --accept non-commercial" in str(refusal.value)
    assert server.log == []
    assert bench.fetch("net", accept=["non-commercial"]).state == "fetched"


def test_rows_without_an_address_say_what_to_do(bench: Bench) -> None:
    bench.row("gated", manual="register at the authors' site", group="gated")
    bench.row("inside", package="no_such_package", extra="speech")
    for id, expected in (("gated", "register at the authors' site"), ("inside", "pip install 't2av-bench[speech]'")):
        with pytest.raises(FetchError) as failure:
            bench.fetch(id, accept=["gated"])
        assert expected in str(failure.value)
        with pytest.raises(NotApplicable) as missing:
            bench.store().path(id)
        assert expected in str(missing.value)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_fetch_leaves_no_wrong_file_and_is_continued(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", seconds_per_block=0.1)], sha256=SHA256)
    command = [sys.executable, "-m", "t2av_bench.cli.main", "weights", "fetch", "net"]
    part = bench.home / "net.bin.part"
    for _ in range(2):
        before = part.stat().st_size if part.exists() else 0
        process = subprocess.Popen(command, env=bench.environment(), stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 20
        while (part.stat().st_size if part.exists() else 0) <= before and time.monotonic() < limit:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (bench.home / "net.bin").exists()
        assert CONTENT.startswith(part.read_bytes())
        assert part.stat().st_size > before
    server.serve("/net")
    server.log.clear()
    done = subprocess.run(command, env=bench.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (bench.home / "net.bin").read_bytes() == CONTENT
    [(_, asked)] = server.log
    assert asked is not None and asked > "bytes=0-"


def test_concurrent_fetches_download_once(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", seconds_per_block=0.01)], sha256=SHA256)
    results: list[object] = []

    def run() -> None:
        try:
            results.append(bench.fetch("net").state)
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["fetched", "present", "present", "present"]
    assert len(server.log) == 1
