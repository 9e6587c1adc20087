"""``--log wandb``, with W&B itself offline: what it writes for the upload is read back."""

import importlib
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import fake_metrics as fakes
import pytest
from evaluate_factory import make_clips
from experiment_factory import ROW, cli, world, write  # noqa: F401
from media_factory import moving_pattern, noise, write_clip
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.api import loggers
from t2av_bench.cli.main import app
from t2av_bench.evaluation.config import LOGGERS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def calls(tmp_path, monkeypatch) -> Iterator[list[Any]]:
    """W&B offline, in folders of the test; whoever calls the network, through a proxy that answers nothing."""
    wandb = pytest.importorskip("wandb", reason="W&B is not installed: pip install 't2av-bench[wandb]'")
    wandb.teardown()  # what another test in this process has set up keeps the folders that were named then
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        (tmp_path / "wandb").mkdir(exist_ok=True)
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "wandb"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    called: list[Any] = []

    class Refuse(BaseRequestHandler):
        def handle(self) -> None:
            called.append(self.request.recv(200))

    with ThreadingTCPServer(("127.0.0.1", 0), Refuse) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
        yield called
        proxy.shutdown()
    wandb.teardown()  # its service, with the settings of this test


@dataclass
class Offline:
    """A W&B run as it lies on the disk. files: name in an artifact -> where it is kept until it is uploaded."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    finished: bool = False

    def table(self, name: str) -> list[dict[str, Any]]:
        document = json.loads(self.files[f"{name}.table.json"].read_text(encoding="utf-8"))
        return [dict(zip(document["columns"], row, strict=True)) for row in document["data"]]

    def media(self, cell: dict[str, Any]) -> bytes:
        return self.files[cell["path"]].read_bytes()


def records(data: bytes) -> Iterator[bytes]:
    """W&B's file is a log of LevelDB behind seven bytes: blocks of 32 KiB, records that may go on in the next one."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a full one, or the last part of one
            yield parts
            parts = b""


def offline_runs(tmp_path: Path) -> list[Offline]:
    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for file in sorted((tmp_path / "wandb").glob("wandb/offline-run-*/run-*.wandb"), key=os.path.getmtime):
        run = Offline()
        for data in records(file.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run.run = record.run
            elif kind in ("config", "summary"):
                for each in getattr(record, kind).update:
                    getattr(run, kind)[each.key] = json.loads(each.value_json)
            elif kind == "artifact":
                run.files |= {each.path: Path(each.local_path) for each in record.artifact.manifest.contents}
            run.finished |= kind == "exit" and record.exit.exit_code == 0
        found.append(run)
    return found


@pytest.fixture
def clips(tmp_path) -> Path:
    """Generated: a good clip, a broken one, and none; references of all three."""
    for kind in ("made", "real"):
        (tmp_path / kind).mkdir()
    for number, name in enumerate("abc"):
        write_clip(tmp_path / "real" / f"{name}.mp4", moving_pattern(10, seed=number), noise(0.4, seed=number))
    write_clip(tmp_path / "made" / "a.mp4", moving_pattern(10, seed=5), noise(0.4, seed=5))
    (tmp_path / "made" / "b.mp4").write_bytes(b"no clip at all")
    return tmp_path


def command(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["evaluate", "made", "--reference", "real", "--metrics", "psnr,ssim", "--out", "run", "--workers", "1"]
    return subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", *words, *more], cwd=folder, capture_output=True, text=True,
        env=os.environ,
    )  # fmt: skip


def test_what_is_logged_is_what_the_run_folder_holds_and_the_same_command_updates_it(clips, calls):
    done = command(clips, "--log", "wandb", "--json", "--max-failures", "2")
    printed = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    (logged,) = offline_runs(clips)
    where = printed["logged"]["where"]
    assert printed["logged"]["reason"] is None and f"wandb sync {where}\n" in done.stderr
    assert Path(where).parent == clips / "wandb" / "wandb" and "WARNING" not in done.stderr
    assert (logged.run.project, logged.run.display_name, logged.run.run_group) == ("t2av-bench", "made", "")
    assert logged.finished

    run = tb.open_run(clips / "run")
    summary = run.summary.set_index("quantity")
    assert {name: logged.summary[name]["value"] for name in ("psnr", "ssim")} == dict(summary.value)
    psnr = logged.summary["psnr"]
    assert (psnr["label"], psnr["scored"], psnr["total"], psnr["unit"]) == ("PSNR ↑", 1, 3, "dB")
    assert psnr["fingerprint"] == summary.fingerprint["psnr"] and "at least 20 clips" in psnr["no_interval"]
    assert logged.config["system"] == "made" and logged.config["generated"] == str(clips / "made")
    assert {id: each["fingerprint"] for id, each in logged.config["protocols"].items()} == {
        id: each["fingerprint"] for id, each in run.result.described.items()
    }
    assert logged.config["environment"]["t2av_bench"] == tb.__version__

    rows = logged.table("clips")
    assert [row["clip"] for row in rows] == ["a", "b", "c"]
    for row in rows:
        scores = run.scores[run.scores["clip"] == row["clip"]].set_index("quantity")
        for name in ("psnr", "ssim"):
            assert row[name] == (scores.value[name] if scores.status[name] == "ok" else None)
        assert all(reason in row["reasons"] for reason in scores.reason.dropna())
    good, broken, absent = rows
    assert good["psnr"] > 5 and not good["reasons"] and good["media"] is None
    assert "b.mp4 is text" in broken["reasons"] and "b.mp4 is text" in broken["media"] and broken["generated"] is None
    assert absent["reasons"] == "psnr, ssim: no clip in made/ is named 'c'"
    assert logged.media(good["generated"]) == (clips / "made" / "a.mp4").read_bytes()
    assert logged.media(good["reference"]) == (clips / "real" / "a.mp4").read_bytes()
    assert {row["column"]: row["value"] for row in logged.table("quantities")} == {
        key: logged.summary[key]["value"] for key in ("psnr", "ssim")
    }

    write_clip(clips / "made" / "c.mp4", moving_pattern(10, seed=6), noise(0.4, seed=6))
    again = tb.evaluate(
        clips / "made", reference=clips / "real", metrics="psnr,ssim", out=clips / "run", workers=1, log="wandb",
        log_media=0,
    )  # fmt: skip
    _, updated = offline_runs(clips)
    assert updated.run.run_id == logged.run.run_id == json.loads((clips / "run" / "wandb.json").read_text())["id"]
    assert updated.summary["psnr"]["scored"] == 2 and updated.summary["psnr"]["value"] == value(again, "psnr")
    assert updated.table("clips")[2]["psnr"] is not None
    assert not any("media" in name for name in updated.files), "--log-media 0"
    assert calls == [], "offline: nobody calls anybody"


def value(run: tb.Run, quantity: str) -> float:
    return run.summary.set_index("quantity").value[quantity]


def test_stand_ins_are_marked_and_a_distance_between_sets_is_no_clips_value(tmp_path, fake_metrics, monkeypatch):
    monkeypatch.setattr(fakes.Level, "stand_in", True)
    made, real = make_clips(tmp_path / "made", ["a", "b"]), make_clips(tmp_path / "real", ["a", "b"], seed=1)
    done = tb.evaluate(
        made, reference=real, metrics=["fake/level", "fake/spread"], out=tmp_path / "run", workers=1, log="wandb",
        log_media=1, name="ours",
    )  # fmt: skip
    assert done.logged and done.logged.reason is None and done.exit_status == 0, done.logged
    (logged,) = offline_runs(tmp_path)
    assert {"level‡", "spread"} <= logged.summary.keys() and "level" not in logged.summary
    assert logged.summary["level‡"]["label"] == "Level‡ ↑" and logged.summary["level‡"]["stand_in"] is True
    assert logged.summary["spread"]["value"] == value(done, "spread") and logged.config["system"] == "ours"
    first, second = logged.table("clips")
    assert "level‡" in first and "spread" not in first and "level" not in first
    assert logged.media(first["generated sound"]) == (made / "a.wav").read_bytes(), "sounds are heard"
    assert logged.media(first["reference sound"]) == (real / "a.wav").read_bytes()
    assert second["generated sound"] is None and second["level‡"] is not None, "the first so many"


def test_what_players_do_not_take_is_said(tmp_path, fake_metrics, monkeypatch):
    """Renamed, transcoded, or left out; and of a licence that allows one picture a publication, one is logged."""
    made = tmp_path / "made"
    made.mkdir()
    clip = write_clip(tmp_path / "clip.mp4", moving_pattern(10, seed=5), noise(0.4))
    for name in ("a.mov", "d.mp4", "e.mp4"):
        (made / name).write_bytes(clip.read_bytes() + name.encode())  # another content each
    write_clip(made / "b.avi", moving_pattern(10, seed=6), noise(0.4), video_codec="mpeg4")
    (made / "c.mp4").write_bytes(clip.read_bytes() + bytes(10_000_000))
    monkeypatch.setattr(loggers, "MOST_BYTES", 5_000_000)
    items = [{"id": name} | ({"figures_max": 1, "licence": "theirs"} if name in "de" else {}) for name in "abcde"]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    done = tb.evaluate(
        made, manifest=tmp_path / "items.jsonl", metrics="fake/length", out=tmp_path / "run", workers=1, log="wandb"
    )
    (logged,) = offline_runs(tmp_path)
    rows = {row["clip"]: row for row in logged.table("clips")}
    assert {name: row["media"] for name, row in rows.items()} == {
        "a": "generated: shown as .mp4, not .mov",
        "b": "generated: transcoded for browsers from mpeg4",
        "c": "generated: not logged: larger than 4 MB",
        "d": None,
        "e": "generated: left out: the licence theirs allows 1 pictures or videos in a publication",
    }
    assert [name for name, row in rows.items() if row["generated"]] == ["a", "b", "d"]
    assert logged.media(rows["a"]["generated"]) == (made / "a.mov").read_bytes()
    assert rows["a"]["generated"]["path"].endswith(".mp4") and rows["c"]["length"] == pytest.approx(0.4, abs=0.1)
    assert done.logged and done.logged.reason is None


def test_an_experiments_rows_are_runs_of_one_group(tmp_path, calls):
    rows = ROW + '[[rows]]\nname = "quiet"\nlabel = "Quiet"\nsystem = "fake-noise"\noptions = { level = 0.01 }\n'
    file = write(tmp_path, rows, 'log = "wandb"\nlog_media = 1')
    done = cli(file, "--json")
    assert done.exit_code == 0, done.stderr
    printed = {row["name"]: row["logged"] for row in json.loads(done.stdout)["rows"]}
    logged = {run.run.display_name: run for run in offline_runs(tmp_path)}
    assert logged.keys() == {"noise", "quiet"} == printed.keys()
    for name, run in logged.items():
        assert run.run.run_group == "out" and "offline-run-" in printed[name]["where"]
        assert run.config["row"]["system"] == "fake-noise" and run.config["row"]["seed"] == 0
        assert run.summary["level"]["value"] == value(tb.open_run(tmp_path / "out" / "runs" / name), "level")
    assert logged["quiet"].config["row"]["options"] == {"level": 0.01} and logged["quiet"].config["system"] == "Quiet"
    assert logged["noise"].run.run_id != logged["quiet"].run.run_id and calls == []


def test_a_failure_costs_no_score_and_is_exit_status_1(tmp_path, fake_metrics, monkeypatch):
    """Nobody answers: neither the server nor, for the second row, again."""
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    made = make_clips(tmp_path / "made", ["a"])
    done = CliRunner().invoke(
        app, ["evaluate", str(made), "--metrics", "fake/level", "--out", str(tmp_path / "run"), "--log", "wandb",
              "--workers", "1", "--json"]
    )  # fmt: skip
    assert done.exit_code == 1 and "not logged to wandb: " in done.stderr, done.stderr
    assert "the same command tries it again, measuring nothing: exit status 1" in done.stderr
    document = json.loads(done.stdout)
    assert document["exit_status"] == 1 and document["logged"]["reason"] and document["logged"]["where"] is None
    assert value(tb.open_run(tmp_path / "run"), "level") == document["columns"][0]["value"]


def test_after_a_failure_the_other_rows_are_not_tried(tmp_path, monkeypatch):
    tried = []
    module = importlib.import_module("t2av_bench.api.wandb_logger")

    def fails(content):
        tried.append(content.name)
        raise RuntimeError("the server is down")

    monkeypatch.setattr(module, "log", fails)
    done = cli(write(tmp_path, ROW + ROW.replace('"noise"', '"other"', 1), 'log = "wandb"'))
    assert done.exit_code == 1 and tried == ["noise"]
    assert done.stderr.count("not logged to wandb: the server is down") == 1 and "| noise" in done.stdout
    assert "the scores are there, but not logged: exit status 1" in done.stderr


@pytest.mark.parametrize("what", ["package", "login", "name", "shard"])
def test_what_cannot_be_logged_is_said_before_anything_is_measured(what, tmp_path, fake_metrics, monkeypatch):
    made, more = make_clips(tmp_path / "made", ["a"]), ["--log", "wandb"]
    if what == "package":
        monkeypatch.setitem(sys.modules, "wandb.sdk", None)
        said = ["pip install 't2av-bench[wandb]'"]
    elif what == "login":
        monkeypatch.delenv("WANDB_MODE")
        said = ["'wandb login'", "WANDB_MODE=offline"]
    elif what == "name":
        more, said = ["--log", "tensorboard"], ["--log", "there are wandb", "'tensorboard'"]
    else:
        more, said = [*more, "--shard", "1/2"], ["after 'merge' repeat the command with --log and without --shard"]
    words = [str(made), "--metrics", "fake/level", "--out", str(tmp_path / "run"), *more]
    done = CliRunner().invoke(app, ["evaluate", *words])
    assert done.exit_code == 2 and all(text in done.stderr for text in said), done.stderr
    assert not (tmp_path / "run").exists()
    if what != "shard":
        given = {"log": more[1]}
        with pytest.raises(ValueError, match="wandb"):
            tb.evaluate(made, metrics="fake/level", out=tmp_path / "run", **given)


def test_logging_is_no_part_of_a_protocol_and_workers_know_nothing_of_it(tmp_path, fake_metrics):
    made = make_clips(tmp_path / "made", ["a"])
    plain = tb.evaluate(made, metrics="fake/level", out=tmp_path / "plain", workers=1)
    logged = tb.evaluate(made, metrics="fake/level", out=tmp_path / "logged", workers=1, log="wandb")
    assert list(plain.summary.fingerprint) == list(logged.summary.fingerprint)
    assert plain.scores.equals(logged.scores) and plain.as_dict()["logged"] is None
    modules = ["evaluation.worker", "generation.worker", "utils.ray_host", "utils.worker", "api.loggers", "cli.main"]
    code = "import sys, " + ", ".join(f"t2av_bench.{each}" for each in modules) + "; assert 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_every_logger_is_there():
    assert loggers._MODULES.keys() == set(LOGGERS)
    for module in map(importlib.import_module, loggers._MODULES.values()):
        assert callable(module.check) and callable(module.log)
