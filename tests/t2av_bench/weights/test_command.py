"""The ``weights`` commands, and the table that the project ships."""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner
from weights_server import CONTENT, OTHER, SHA256, Bench, Server

from t2av_bench.weights import table as weights


def _run(*arguments: str) -> Result:
    from t2av_bench.cli.weights import app

    return CliRunner().invoke(app, list(arguments))


def test_command_fetch_verify_path_list(server: Server, bench: Bench) -> None:
    bench.row("net", urls=[server.serve("/net")], sha256=SHA256, size=len(CONTENT))
    bench.row("loose", urls=[server.serve("/loose")], group="research", licence="for study")
    path = bench.home / "net.bin"
    result = _run("fetch", "net", "loose", "--accept", "research", "--json")
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    assert first == {"id": "net", "state": "fetched", "path": str(path), "sha256": SHA256,
                     "source": server.address + "/net"}  # fmt: skip
    assert second["sha256"] == SHA256
    assert "for study (research)" in result.stderr
    assert _run("path", "net").stdout == f"{path}\n"
    states = {item["id"]: item["state"] for item in json.loads(_run("verify", "--json").stdout)}
    assert states == {"net": "ok", "loose": "locked"}
    assert {item["id"]: item["present"] for item in json.loads(_run("list", "--json").stdout)} == {
        "net": True, "loose": True,
    }  # fmt: skip
    (bench.home / "loose.bin").write_bytes(OTHER)
    refused = _run("verify")
    assert refused.exit_code == 1 and "--relock loose" in refused.stderr and "net  ok" in refused.stdout
    assert _run("verify", "--relock", "loose").exit_code == 0
    assert _run("verify", "loose").exit_code == 0


def test_command_failures_have_statuses_and_reasons(server: Server, bench: Bench, tmp_path: Path) -> None:
    bench.row("net", urls=[server.address + "/absent"], group="gated", sha256=SHA256)
    cases = [
        (["fetch", "nte"], 2, "did you mean net"),
        (["fetch", "net"], 1, "--accept gated"),
        (["fetch", "net", "--accept", "gated"], 1, "HTTP 404"),
        (["fetch", "net", "--accept", "everything"], 2, "unknown licence group 'everything'"),
        (["verify", "net"], 1, "weights fetch net --accept gated"),
        (["verify", "--relock"], 2, "--relock needs the ids"),
        (["path", "net"], 1, "weights fetch net --accept gated"),
        (["path", "other"], 2, "unknown weights id 'other'"),
    ]
    for arguments, status, reason in cases:
        result = _run(*arguments)
        assert (result.exit_code, reason in result.stderr) == (status, True), (arguments, result.output)
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "net.bin").write_bytes(CONTENT)
    assert _run("path", "net", "--folder", str(tmp_path / "offline")).exit_code == 0


def test_real_table_is_consistent() -> None:
    table = weights.load_table(weights._TABLE)
    files = [row.file for row in table.values() if not row.package]
    assert len(files) == len(set(files))
    for row in table.values():
        assert all(url.startswith("https://") for url in row.urls), row.id
        for digest, length in ((row.sha256, 64), (row.git_blob, 40)):
            assert digest is None or (len(digest) == length and int(digest, 16) >= 0), row.id
        known = row.sha256 or row.sha256_prefix or row.md5_prefix or row.git_blob
        assert bool(known) == bool(row.digest_source), row.id
        assert row.archive is None or (row.archive in table and row.member), row.id


def test_every_metric_names_rows_of_the_table_and_its_worst_licence() -> None:
    from t2av_bench.metrics import metric_class, metric_ids, registry

    table = weights.load_table(weights._TABLE)
    order = ["free", "research", "non-commercial", "gated"]
    for id in metric_ids():
        if find_spec(registry.targets[id].split(":")[0]) is None:
            continue
        metric = metric_class(id)
        groups = [table[name].group for name in metric.weights]
        assert metric.licence == max(groups, key=order.index, default="free"), id


@pytest.mark.parametrize("id", ["lpips_alex_lin", "lpips_vgg_lin", "dnsmos_p835", "dnsmos_p808", "resemblyzer"])
def test_bundled_files_have_the_stated_digests(id: str) -> None:
    if find_spec(weights.row(id).package or "") is None:
        pytest.skip(f"needs the package {weights.row(id).package}")
    assert hashlib.sha256(weights.path(id).read_bytes()).hexdigest() == weights.row(id).sha256
