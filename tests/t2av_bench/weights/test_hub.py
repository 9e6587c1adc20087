"""Repositories of a model hub: a snapshot of one revision, recorded on first use."""

import hashlib
import json

import huggingface_hub
import pytest
from huggingface_hub import constants
from weights_server import CONTENT, OTHER, SHA256, Bench, Server

from t2av_bench.errors import NotApplicable
from t2av_bench.weights.fetch import FetchError

HUB_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(server: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A repository ``maker/net`` behind the hub's HTTP interface; returns its files, which a test may change."""
    files = {"config.json": b'{"layers": 2}', "net.safetensors": CONTENT, "pytorch_model.bin": OTHER}

    def publish() -> None:
        siblings = [{"rfilename": name, "size": len(body)} for name, body in files.items()]
        tree = [{"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in files.items()]  # fmt: skip
        json_type = {"Content-Type": "application/json"}
        info = json.dumps({"id": "maker/net", "sha": HUB_COMMIT, "siblings": siblings}).encode()
        for path in ("/api/models/maker/net", f"/api/models/maker/net/revision/{HUB_COMMIT}"):
            server.serve(path, body=info, headers=json_type)
        server.serve(f"/api/models/maker/net/tree/{HUB_COMMIT}", body=json.dumps(tree).encode(), headers=json_type)
        for name, body in files.items():
            etag = f'"{hashlib.sha1(body).hexdigest()}"'
            commit = {"X-Repo-Commit": HUB_COMMIT}
            server.serve(f"/maker/net/resolve/{HUB_COMMIT}/{name}", body=body, etag=etag, headers=commit)

    publish()
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    real_api, real_snapshot = huggingface_hub.HfApi, huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: real_api(endpoint=server.address, token=False))

    def snapshot(*arguments: object, **options: object) -> object:
        publish()
        return real_snapshot(*arguments, endpoint=server.address, token=False, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return files


def test_hub_repository_is_pinned_on_first_use(hub: dict[str, bytes], bench: Bench) -> None:
    bench.row("net", origins=[{"hub": "maker/net"}], file="net-folder", format="safetensors",
              patterns=["*.json", "*.safetensors"])  # fmt: skip
    done = bench.fetch("net")
    assert done.source == f"maker/net@{HUB_COMMIT}"
    assert sorted(path.name for path in done.path.iterdir()) == ["config.json", "net.safetensors"]
    listing = "".join(f"{hashlib.sha256(hub[name]).hexdigest()}  {name}\n" for name in sorted(hub) if "py" not in name)
    assert done.sha256 == bench.store().digest("net") == hashlib.sha256(listing.encode()).hexdigest()
    assert bench.store().lock.get("net")["revision"] == HUB_COMMIT
    assert bench.store().path("net") == bench.home / "net-folder"
    (done.path / "config.json").write_bytes(b'{"layers": 3}')
    with pytest.raises(NotApplicable, match="was recorded on"):
        bench.store().path("net")
    assert not [path for path in bench.home.iterdir() if path.name.endswith(".part")]


def test_hub_repository_that_changed_is_refused(hub: dict[str, bytes], bench: Bench) -> None:
    bench.row("net", origins=[{"hub": "maker/net"}], file="net-folder")
    bench.fetch("net")
    (bench.home / "net-folder").rename(bench.folder / "away")
    hub["net.safetensors"] = OTHER[:1000]
    with pytest.raises(FetchError, match="was recorded on"):
        bench.fetch("net")
    assert not (bench.home / "net-folder").exists()


def test_hub_repository_is_fetched_again_at_the_recorded_revision(
    server: Server, hub: dict[str, bytes], bench: Bench
) -> None:
    bench.row("net", origins=[{"hub": "maker/net"}], file="net-folder")
    bench.fetch("net")
    (bench.home / "net-folder").rename(bench.folder / "away")
    newer = json.dumps({"id": "maker/net", "sha": "f" * 40, "siblings": []}).encode()
    server.serve("/api/models/maker/net", body=newer, headers={"Content-Type": "application/json"})
    assert bench.fetch("net").source == f"maker/net@{HUB_COMMIT}"


def test_hub_folder_and_hub_errors(hub: dict[str, bytes], bench: Bench) -> None:
    hub |= {"part/model.bin": CONTENT, "elsewhere/model.bin": OTHER}
    bench.row("net", origins=[{"hub": "maker/net", "folder": "part"}], file="net-folder")
    bench.row("gone", origins=[{"hub": "maker/gone"}], file="gone-folder")
    assert [path.name for path in bench.fetch("net").path.iterdir()] == ["model.bin"]
    with pytest.raises(FetchError, match="hub repository maker/gone"):
        bench.fetch("gone")


def test_a_repository_beyond_the_limit_is_refused_before_it_is_fetched(
    server: Server, hub: dict[str, bytes], bench: Bench
) -> None:
    bench.row("net", origins=[{"hub": "maker/net"}], file="net-folder", patterns=["*.json", "*.safetensors"])
    size = len(hub["config.json"]) + len(hub["net.safetensors"])
    with pytest.raises(FetchError, match=f"has {size} bytes; .*--max-size 1"):
        bench.fetch("net", largest=size - 1)
    assert not any("/resolve/" in path for path, _ in server.log)
    assert bench.fetch("net", largest=size).state == "fetched", "what the patterns leave out does not count"


@pytest.fixture
def file_on_the_hub(server: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path, on a mirror of the hub, of the file that the row ``net`` names at the hub."""
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    path = "/maker/net/resolve/main/net.bin"
    bench.row("net", origins=[f"https://huggingface.co{path}"])
    return path


def test_a_file_on_the_hub_is_proved_by_the_digest_that_the_hub_states(
    server: Server, bench: Bench, file_on_the_hub: str
) -> None:
    """Nothing else would tell whether the halves are of one file, as the table states no digest."""
    server.serve(file_on_the_hub, cuts=[0, 100_000, 0, 0, 0, 0, 0], etag=f'"{SHA256}"')
    with pytest.raises(FetchError, match="the same command continues"):
        bench.fetch("net")
    server.log.clear()
    done = bench.fetch("net")
    assert done.source == server.address + file_on_the_hub and done.path.read_bytes() == CONTENT
    assert server.log == [(file_on_the_hub, None), (file_on_the_hub, "bytes=100000-")]


def test_a_file_that_is_not_what_the_hub_states_is_refused(server: Server, bench: Bench, file_on_the_hub: str) -> None:
    server.serve(file_on_the_hub, body=OTHER, etag=f'"{SHA256}"')
    other = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(FetchError, match=f"sha256 is {other}, the hub states {SHA256}"):
        bench.fetch("net")
    assert bench.leftovers() == []


def test_small_files_of_the_hub_have_no_sha256_there_and_absent_ones_are_reasons(
    server: Server, bench: Bench, file_on_the_hub: str
) -> None:
    with pytest.raises(FetchError, match="404"):
        bench.fetch("net")
    server.serve(file_on_the_hub, etag=f'"{hashlib.sha1(CONTENT).hexdigest()}"')
    assert bench.fetch("net").sha256 == SHA256
