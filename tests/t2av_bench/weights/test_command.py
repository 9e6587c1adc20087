"""The ``weights`` commands, and the table that the project ships."""

import hashlib
import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner
from weights_server import CONTENT, OTHER, SHA256, Bench, Server

from t2av_bench.metrics import metric_class
from t2av_bench.systems import system_class
from t2av_bench.weights import registry
from t2av_bench.weights import table as weights


def _run(*arguments: str) -> Result:
    from t2av_bench.cli.weights import app

    return CliRunner().invoke(app, list(arguments))


def test_command_fetch_verify_path_list(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net")], sha256=SHA256, size=len(CONTENT))
    bench.row("loose", origins=[server.serve("/loose")], group="research", licence="for study")
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
    bench.row("net", origins=[server.address + "/absent"], group="gated", sha256=SHA256)
    cases = [
        (["fetch", "nte"], 2, "did you mean net"),
        (["fetch", "net"], 1, "--accept gated"),
        (["fetch", "net", "--accept", "gated"], 1, "HTTP 404"),
        (["fetch", "net", "--accept", "everything"], 2, "unknown licence group 'everything'"),
        (["verify", "net"], 1, "weights fetch net --accept gated"),
        (["verify", "--relock"], 2, "--relock needs the ids"),
        (["path", "net"], 1, "weights fetch net --accept gated"),
        (["path", "other"], 2, "unknown weights id 'other'"),
        (["fetch"], 2, "which weights?"),
        (["fetch", "--for", "snyc"], 2, "unknown metric or system 'snyc'; did you mean sync"),
    ]
    for arguments, status, reason in cases:
        result = _run(*arguments)
        assert (result.exit_code, reason in result.stderr) == (status, True), (arguments, result.output)
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "net.bin").write_bytes(CONTENT)
    assert _run("path", "net", "--folder", str(tmp_path / "offline")).exit_code == 0


def test_fetch_for_metrics_says_what_and_how_much_first(
    server: Server, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real ids, which metrics and systems name, in a table whose addresses are here."""
    needed = {"syncnet_v2": "research", "sfd_face": "research", "inception_nv": "non-commercial", "lia_x": "free"}
    for id, group in needed.items():
        bench.row(id, origins=[server.serve(f"/{id}")], sha256=SHA256, group=group, licence=f"terms of {group}",
                  **({"size": len(CONTENT)} if id != "lia_x" else {}))  # fmt: skip
    for id in {*metric_class("sync/exact").weights, *system_class("talker-t2av").weights} - needed.keys():
        bench.row(id, origins=[server.serve(f"/{id}")], sha256=SHA256)
    told = _run("fetch", "--for", "sync,fid/clean, talker-t2av,sync/crop", "lia_x", "--dry-run")
    assert told.exit_code == 0 and told.stdout == "" and server.log == []
    assert "to fetch: 9 files, 0.9 MB, and what the table does not state: lia_x, " in told.stderr
    assert "  terms of research (research): syncnet_v2, sfd_face\n" in told.stderr
    assert "  terms of non-commercial (non-commercial): inception_nv\n" in told.stderr
    planned = json.loads(_run("fetch", "--for", "sync", "--dry-run", "--json").stdout)
    assert [(each["id"], each["present"]) for each in planned] == [("syncnet_v2", False), ("sfd_face", False)]
    refused = _run("fetch", "--for", "sync")
    assert refused.exit_code == 1 and "weights fetch sfd_face --accept research" in refused.stderr
    assert _run("fetch", "--for", "sync", "--accept", "research").exit_code == 0
    again = _run("fetch", "--for", "sync", "--accept", "research")
    assert again.exit_code == 0 and "already here: syncnet_v2, sfd_face\nnothing to fetch\n" in again.stderr


def test_fetch_for_all_is_every_family_by_its_preferred_variant() -> None:
    planned = json.loads(_run("fetch", "--for", "all", "--dry-run", "--json").stdout)
    ids = [each["id"] for each in planned]
    assert len(ids) == len(set(ids)) and {"syncnet_v2", "qwen3_asr_1_7b", "inception_nv"} <= set(ids)
    assert "whisper_large_v3" not in ids and "talker_t2av" not in ids
    assert not any(each.get("package") for each in planned), "what comes with a package is not fetched"


def test_the_second_process_says_that_it_waits(server: Server, bench: Bench) -> None:
    bench.row("net", origins=[server.serve("/net", seconds_per_block=0.1)], sha256=SHA256)
    command = [sys.executable, "-m", "t2av_bench.cli.main", "weights", "fetch", "net"]
    first = subprocess.Popen(command, env=bench.environment(), stdout=subprocess.PIPE, text=True)
    limit = time.monotonic() + 30
    while not (bench.home / "net.bin.part").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    second = _run("fetch", "net")
    assert second.exit_code == 0 and "net  present" in second.stdout
    assert "net: another process is fetching it; waiting for that one" in second.stderr
    assert "net  fetched" in first.communicate()[0] and len(server.log) == 1


def test_bundled_checkpoints_are_of_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from t2av_bench.gridface.models import checkpoints

    entry = weights.entry("motion_encoder")
    assert entry.sha256 == checkpoints.digest("motion_encoder")
    assert hashlib.sha256(weights.path("motion_encoder").read_bytes()).hexdigest() == entry.sha256
    bundled = {id for id, each in weights.configured().table.items() if each.bundled}
    assert bundled == set(checkpoints.names())
    assert "motion_encoder" in _run("list").stdout and "bundled" in _run("list", "sync").stdout
    assert _run("verify", "sync").stdout.startswith("sync  ok  ")
    assert "nothing to fetch" in _run("fetch", "sync").stderr


def test_real_table_is_consistent() -> None:
    table = weights.load_table(weights._TABLE)
    files = [row.file for row in table.values() if not row.package]
    assert len(files) == len(set(files))
    for row in table.values():
        assert all((origin.url or "https://").startswith("https://") for origin in row.origins), row.id
        assert row.git_blob is None or (len(row.git_blob) == 40 and int(row.git_blob, 16) >= 0), row.id
        assert bool(row.identity or row.digests) == bool(row.digest_source), row.id
        assert bool(row.config and row.files) == (row.is_folder and row.loader == "transformers"), row.id
        for origin in row.origins:
            assert all(registry._project(file) for file in origin.distributions), row.id
        assert row.archive is None or (row.archive in table and row.member), row.id
    unproved = {row.id for row in table.values() if not (row.identity or row.digests)}
    known = {"talker_t2av", "whisperx_vae", "lia_x", "emotion2vec_plus_large", "emotion2vec_base"}
    assert unproved == known, "no two public sources agree on these; their first digest is recorded"


def test_every_row_is_loaded_by_some_code() -> None:
    """By the id in quotes, wherever a metric, a system or an extractor names it; an archive by its members' rows."""
    table = weights.load_table(weights._TABLE)
    root = Path(weights.__file__).parents[2]
    files = [path for package in ("t2av_bench", "reference_model") for path in (root / package).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    loaded = {id for id in table if f'"{id}"' in code}
    loaded |= {table[id].archive for id in loaded}
    assert table.keys() - loaded == set()


def test_every_metric_names_rows_of_the_table_and_its_worst_licence() -> None:
    from t2av_bench.metrics import metric_ids, registry

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
    if find_spec(weights.entry(id).package or "") is None:
        pytest.skip(f"needs the package {weights.entry(id).package}")
    assert hashlib.sha256(weights.path(id).read_bytes()).hexdigest() == weights.entry(id).sha256
