"""Files by id: found in folders, compared with stated or recorded digests (from hashlib and git), else refused."""

import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from weights_server import CONTENT, OTHER, SHA256, Bench, Server

from t2av_bench.errors import NotApplicable
from t2av_bench.weights import table as weights
from t2av_bench.weights.digests import hash_file
from t2av_bench.weights.fetch import FetchError
from t2av_bench.weights.table import UnknownWeights


def test_unknown_id_names_the_near_one(bench: Bench) -> None:
    bench.row("syncnet_v2", origins=["https://example.org/x"])
    for ask in (bench.store().entry, bench.store().is_present, bench.store().path, bench.store().digest):
        with pytest.raises(UnknownWeights, match="unknown weights id 'syncnet_v1'; did you mean syncnet_v2"):
            ask("syncnet_v1")


def test_missing_file_says_the_command(bench: Bench) -> None:
    bench.row("net", origins=["https://example.org/x"], group="research")
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch net --accept research$"):
        bench.store().path("net")


def test_offline_folders_resolve_by_name(bench: Bench, tmp_path: Path) -> None:
    bench.row("net", origins=["https://example.org/x"], file="sub/net.bin", sha256=SHA256)
    bench.row("a", origins=["https://example.org/x"], file="a/model.pt")
    bench.row("b", origins=["https://example.org/x"], file="b/model.pt")
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (second / "net.bin").write_bytes(CONTENT)
    (second / "model.pt").write_bytes(CONTENT)
    store = bench.store(first, second)
    assert store.path("net") == second / "net.bin"
    assert not store.is_present("a") and not store.is_present("b"), "one name for two ids is a guess"
    (first / "sub").mkdir()
    (first / "sub" / "net.bin").write_bytes(CONTENT)
    assert bench.store(first, second).path("net") == first / "sub" / "net.bin"
    assert store.path("net") == second / "net.bin", "one process keeps one file"


def test_environment_variable_lists_folders(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.row("net", origins=["https://example.org/x"], sha256=SHA256)
    offline = tmp_path / "offline"
    offline.mkdir()
    (offline / "net.bin").write_bytes(CONTENT)
    assert not weights.is_present("net")
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", os.pathsep.join([str(bench.home), str(offline)]))
    assert weights.is_present("net")
    assert weights.path("net") == offline / "net.bin"
    assert weights.digest("net") == SHA256
    assert weights.entry("net").group == "free"


@pytest.mark.parametrize("damage", ["flip", "truncate", "append", "empty"])
def test_tampered_file_is_refused_with_both_digests(bench: Bench, damage: str) -> None:
    bench.row("net", origins=["https://example.org/x"], sha256=SHA256, size=len(CONTENT))
    bench.home.mkdir()
    path = bench.home / "net.bin"
    path.write_bytes(CONTENT)
    assert bench.store().path("net") == path
    before = path.stat()
    body = {"flip": CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), "truncate": CONTENT[:-1], "append": CONTENT + b"x",
            "empty": b""}[damage]  # fmt: skip
    path.write_bytes(body)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had happened
    with pytest.raises(NotApplicable) as refusal:
        bench.store().path("net")
    assert SHA256 in str(refusal.value) and hashlib.sha256(body).hexdigest() in str(refusal.value)
    assert bench.store().is_present("net"), "presence is cheap and does not judge"


def test_digest_is_computed_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.row("net", origins=["https://example.org/x"])
    bench.home.mkdir()
    (bench.home / "net.bin").write_bytes(CONTENT)
    calls: list[Path] = []

    def counting(path: Path, kinds: Iterable[str]) -> dict[str, str]:
        calls.append(path)
        return hash_file(path, kinds)

    monkeypatch.setattr("t2av_bench.weights.digests.hash_file", counting)
    assert bench.store().is_present("net") and calls == []
    assert bench.store().digest("net") == SHA256
    for _ in range(3):
        store = bench.store()
        assert store.path("net") == store.path("net")
        assert store.digest("net") == SHA256
    assert len(calls) == 1
    (bench.folder / "cache.json").write_text("not json")
    assert bench.store().path("net") and len(calls) == 2


def test_first_digest_is_recorded_and_compared(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")])
    assert bench.fetch("net").sha256 == SHA256
    lock = json.loads((bench.home / "weights.lock.json").read_text())
    assert lock["net"]["sha256"] == SHA256 and lock["net"]["size"] == len(CONTENT) and lock["net"]["file"] == "net.bin"
    (bench.home / "net.bin").write_bytes(OTHER)
    other = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(NotApplicable) as refusal:
        bench.store().path("net")
    assert all(text in str(refusal.value) for text in (SHA256, other, "t2av-bench weights verify --relock net"))
    assert bench.store().verify("net", relock=True).state == "recorded"
    assert bench.store().digest("net") == other
    assert bench.store().path("net").read_bytes() == OTHER


def test_fetch_honours_the_recorded_digest(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")])
    bench.fetch("net")
    (bench.home / "net.bin").unlink()
    server.serve("/net", body=OTHER)
    with pytest.raises(FetchError, match=f"{SHA256} was recorded"):
        bench.fetch("net")
    assert "net.bin" not in bench.leftovers()


def test_table_digest_cannot_be_relocked(bench: Bench) -> None:
    bench.row("net", origins=["https://example.org/x"], sha256=SHA256)
    bench.home.mkdir()
    (bench.home / "net.bin").write_bytes(OTHER)
    assert bench.store().verify("net", relock=True).state == "refused"


def test_damaged_lock_is_named(bench: Bench) -> None:
    bench.row("net", origins=["https://example.org/x"])
    bench.home.mkdir()
    (bench.home / "net.bin").write_bytes(CONTENT)
    (bench.home / "weights.lock.json").write_text('{"net": ')
    with pytest.raises(NotApplicable, match="weights.lock.json is damaged"):
        bench.store().path("net")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom file modes stop")
def test_read_only_folder_records_elsewhere(bench: Bench) -> None:
    bench.row("net", origins=["https://example.org/x"])
    bench.home.mkdir()
    (bench.home / "net.bin").write_bytes(CONTENT)
    bench.home.chmod(0o555)
    try:
        assert bench.store().digest("net") == SHA256
        assert bench.store().verify("net").state == "locked"
    finally:
        bench.home.chmod(0o755)


def test_lock_of_a_shared_folder_counts(bench: Bench, tmp_path: Path) -> None:
    bench.row("net", origins=["https://example.org/x"])
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "net.bin").write_bytes(OTHER)
    entry = {"file": "net.bin", "size": len(CONTENT), "sha256": SHA256, "recorded": "2026-01-31"}
    (shared / "weights.lock.json").write_text(json.dumps({"net": entry}))
    with pytest.raises(NotApplicable, match=f"{SHA256} was recorded on 2026-01-31"):
        bench.store(bench.home, shared).path("net")


@pytest.mark.parametrize("format", ["torchscript", "pickle"])
def test_formats_that_run_code_need_a_known_digest(bench: Bench, format: str) -> None:
    bench.row("net", origins=["https://example.org/x"], format=format, md5_prefix=hashlib.md5(CONTENT).hexdigest()[:7])
    bench.home.mkdir()
    (bench.home / "net.bin").write_bytes(CONTENT)
    assert bench.store().digest("net") is None
    with pytest.raises(NotApplicable, match="runs code, and no digest is known.*t2av-bench weights verify net"):
        bench.store().path("net")
    assert bench.store().verify("net", explicit=True).state == "recorded"
    assert bench.store().path("net").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["sha256_prefix", "md5_prefix", "git_blob"])
def test_partial_digests_are_compared(bench: Bench, kind: str) -> None:
    git_blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    stated = {"sha256_prefix": SHA256[:8], "md5_prefix": hashlib.md5(CONTENT).hexdigest()[:7], "git_blob": git_blob}
    bench.row("net", origins=["https://example.org/x"], **{kind: stated[kind]})
    bench.home.mkdir()
    (bench.home / "net.bin").write_bytes(OTHER)
    with pytest.raises(NotApplicable, match=f"the table states {stated[kind]}"):
        bench.store().path("net")
    (bench.home / "net.bin").write_bytes(CONTENT)
    assert bench.store().path("net")
    assert bench.store().digest("net") == SHA256, "the whole digest is recorded"


def test_git_blob_agrees_with_git(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    try:
        found = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git")
    assert hash_file(path, ("git_blob",))["git_blob"] == found.stdout.strip()


def test_archive_members_are_taken_out_and_verified(server: Server, bench: Bench) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner/net.onnx", CONTENT)
        archive.writestr("inner/other.onnx", OTHER)
    url = server.serve("/pack.zip", body=buffer.getvalue())
    bench.row("pack", origins=[url], file="pack.zip", sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
              format="archive")  # fmt: skip
    member = {"archive": "pack", "format": "onnx"}
    bench.row("net", **member, member="net.onnx", file="pack/net.onnx", sha256=SHA256)
    bench.row("bad", **member, member="other.onnx", file="pack/other.onnx", sha256=SHA256)
    with pytest.raises(NotApplicable, match="weights fetch pack$"):
        bench.store().path("net")
    bench.fetch("pack")
    assert bench.store().is_present("net")
    assert bench.store().path("net").read_bytes() == CONTENT
    with pytest.raises(NotApplicable, match="member inner/other.onnx: sha256 is"):
        bench.store().path("bad")
    assert not (bench.home / "pack" / "other.onnx").exists()


CONFIG = {"model_type": "whisper", "d_model": 512, "audio": {"bins": 80}}


@pytest.fixture
def folder(bench: Bench) -> Path:
    """A checkpoint's folder in the weights of ``bench``; the row ``net`` is the right one for it."""
    made = bench.home / "net"
    made.mkdir(parents=True)
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "model.safetensors").write_bytes(CONTENT)
    (made / "tokenizer.json").write_text("{}")
    bench.row("net", **of_folder())
    return made


def of_folder(**fields: object) -> dict[str, object]:
    return {"origins": [{"hub": "maker/net"}], "file": "net", "files": {"model.safetensors": SHA256},
            "config": {"d_model": 512, "audio.bins": 80}} | fields  # fmt: skip


def refusal(bench: Bench) -> str:
    with pytest.raises(NotApplicable) as refused:
        bench.store().path("net")
    return str(refused.value)


def test_another_size_under_the_name_of_a_folder_is_refused(bench: Bench, folder: Path) -> None:
    """A smaller network of the same family would load, and its scores would be reported as the larger one's."""
    assert bench.store().path("net") == folder
    for fact, said in (({"d_model": 1280}, "d_model = 512, the table states 1280"),
                       ({"audio.bins": 128}, "audio.bins = 80, the table states 128"),
                       ({"audio.bins.x": 1}, "audio.bins.x = null, the table states 1"),
                       ({"layers": 32}, "layers = null, the table states 32")):  # fmt: skip
        bench.row("net", **of_folder(config=fact))
        assert f"config.json says {said}. Move the file away" in refusal(bench)
        assert bench.store().verify("net", relock=True).state == "refused", "nobody's word goes before the table's"
    bench.row("net", **of_folder())
    for text in ("{", "[]", "[" * 100_000):
        (folder / "config.json").write_text(text)
        assert "config.json" in refusal(bench)
    (folder / "config.json").unlink()
    assert "config.json cannot be read" in refusal(bench)


def test_weights_in_a_folder_are_compared_with_the_table(bench: Bench, folder: Path) -> None:
    assert bench.store().digest("net") == SHA256 and bench.store().verify("net").sha256 == SHA256
    (folder / "model.safetensors").write_bytes(OTHER)
    other = hashlib.sha256(OTHER).hexdigest()
    assert f"model.safetensors: sha256 is {other}, the table states {SHA256}" in refusal(bench)
    assert "--relock" not in refusal(bench)
    (folder / "model.safetensors").unlink()
    assert "there is no model.safetensors" in refusal(bench)


def test_the_rest_of_a_folder_is_recorded(bench: Bench, folder: Path) -> None:
    assert bench.store().verify("net").state == "recorded" and bench.store().verify("net").state == "locked"
    (folder / "tokenizer.json").write_text('{"other": 1}')
    assert "was recorded on" in refusal(bench) and "verify --relock net" in refusal(bench)
    assert bench.store().verify("net", relock=True).state == "recorded"
    assert bench.store().digest("net") == SHA256, "the digest is that of the weights"


def test_several_files_have_one_digest_together(bench: Bench, folder: Path) -> None:
    config = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    for files in ({"model.safetensors": SHA256, "config.json": config},
                  {"config.json": config, "model.safetensors": SHA256}):  # fmt: skip
        bench.row("net", **of_folder(files=files))
        listing = f"{config}  config.json\n{SHA256}  model.safetensors\n"
        assert bench.store().digest("net") == hashlib.sha256(listing.encode()).hexdigest()


def test_whisper_base_is_not_taken_for_large_v3(bench: Bench, folder: Path) -> None:
    """With the rows that the project ships; a folder of the right shape and other values is refused too."""
    table = weights.load_table(weights._TABLE)
    shapes = {id: dict(table[id].config) for id in ("whisper_base", "whisper_large_v3")}
    assert shapes["whisper_base"]["num_mel_bins"] == 80 and shapes["whisper_large_v3"]["num_mel_bins"] == 128
    for shape, said in (("whisper_base", "config.json says d_model = 512, the table states 1280"),
                        ("whisper_large_v3", f"sha256 is {SHA256}, the table states a8e94b85")):  # fmt: skip
        (folder / "config.json").write_text(json.dumps(shapes[shape]))
        folder.rename(bench.home / "whisper-large-v3")
        with pytest.raises(NotApplicable, match=said):
            weights.Weights([bench.home], weights._TABLE).path("whisper_large_v3")
        (bench.home / "whisper-large-v3").rename(folder)


def test_bad_tables_name_row_and_field(bench: Bench) -> None:
    bench.row("net", origins=["https://example.org/x"], sha265=SHA256)
    with pytest.raises(ValueError, match=r"entry \[net\](.|\n)*sha265"):
        bench.store()
    bench.row("net", origins=["https://example.org/x"], file="../net.bin")
    with pytest.raises(ValueError, match="stays in its folder"):
        bench.store()
    bench.row("net", **of_folder(files={"../model.safetensors": SHA256}))
    with pytest.raises(ValueError, match="stays in its folder"):
        bench.store()
    bench.row("net", **of_folder(sha256=SHA256))
    with pytest.raises(ValueError, match="a folder has the digests of its files"):
        bench.store()


def test_tables_and_folders_that_cannot_be_read_are_sentences(bench: Bench, tmp_path: Path) -> None:
    bench.row("net", origins=["https://example.org/net"])
    with pytest.raises(ValueError, match="name weights folders in full"):
        bench.store(Path("~nobody-of-this-name/weights"))
    assert bench.store(tmp_path / ("long" * 100)).find("net") is None
    for number, text in enumerate(("x = " + "[" * 100_000, "x = " + "1" * 5000, "[net]\n[net]", "\xff")):
        table = tmp_path / f"{number}.toml"
        table.write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=f"weights table .*{number}.toml"):
            weights.load_table(table)
