"""``env`` says what there is; ``cache`` finds what was not used, and takes nothing else."""

import importlib.metadata
import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from t2av_bench.cli import env as environment
from t2av_bench.cli.main import app, main
from t2av_bench.results.features import FeatureStore

DAY = 86400


def run(*words: str):
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code in (0, 2), result.output
    return result


def test_env_says_what_the_libraries_themselves_say(monkeypatch):
    monkeypatch.setenv("T2AV_CLIPS", "/some/clips")
    found = json.loads(run("env", "--json").stdout)
    assert found["python"] == platform.python_version()
    assert found["libraries"]["av"] == av.__version__
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert found["variables"]["T2AV_CLIPS"] == "/some/clips"
    assert found["devices"][0] == "cpu"
    text = run("env").stdout
    assert all(name in text for name in found), text


def test_env_names_the_packages_that_an_extra_lacks(monkeypatch):
    real = importlib.metadata.distribution

    def without_pesq(name):
        if name == "pesq":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(environment, "distribution", without_pesq)
    found = environment.extras()
    assert found["speech"] == "lacks pesq"
    assert "pesq" not in found["video"]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for kind, name, days in (("runs", "old", 40), ("runs", "new", 1), ("data", "gridface", 50)):
        folder = tmp_path / "t2av-bench" / kind / name
        folder.mkdir(parents=True)
        (folder / "results.db").write_bytes(bytes(1000))
        _unused_since(folder / "results.db", days)
    (tmp_path / "t2av-bench" / "weight-digests.json").write_text("{}")
    return tmp_path / "t2av-bench"


def _unused_since(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def test_prune_takes_what_was_not_used_and_nothing_else(cache):
    listed = json.loads(run("cache", "list", "--json").stdout)
    assert [Path(entry["path"]).name for entry in listed] == ["gridface", "old", "new"]
    assert [entry["bytes"] for entry in listed] == [1000] * 3
    asked = run("cache", "prune", "--dry-run")
    assert sorted(path.name for path in cache.glob("*/*")) == ["gridface", "new", "old"]
    done = run("cache", "prune")
    assert done.stdout == asked.stdout
    assert sorted(path.name for path in cache.glob("*/*")) == ["new"]
    assert (cache / "weight-digests.json").exists()


def test_reading_counts_as_use(cache):
    os.utime(cache / "runs" / "old" / "results.db", (time.time(), time.time() - 40 * DAY))
    run("cache", "prune", "--older-than", "30")
    assert (cache / "runs" / "old").exists()


def test_features_that_runs_share_are_pruned_by_protocol(tmp_path):
    import numpy as np

    store = FeatureStore(tmp_path, "cpu")
    store.put("a" * 64, "used", "measurement", {"x": np.zeros(3)})
    store.put("b" * 64, "gone", "measurement", {"x": np.zeros(3)})
    for path in (tmp_path / "cpu" / "gone").rglob("*.safetensors"):
        _unused_since(path, 31)
    run("cache", "prune", "--features", str(tmp_path))
    assert store.get("a" * 64, "used", "measurement") is not None
    assert store.get("b" * 64, "gone", "measurement") is None


def test_a_folder_of_something_else_is_refused(tmp_path):
    clip = tmp_path / "model" / "clips" / "a.mp4"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"a clip")
    _unused_since(clip, 100)
    refused = run("cache", "prune", "--features", str(tmp_path))
    assert refused.exit_code == 2 and "no feature cache" in refused.output
    assert clip.exists()


def test_windows_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(SystemExit) as stopped:
        main()
    assert "WSL 2" in str(stopped.value)
