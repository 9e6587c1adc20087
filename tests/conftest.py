"""Fixtures that several test files share."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FACTORIES = REPOSITORY / "tests" / "factories"
sys.path.insert(0, str(FACTORIES))  # helpers such as media_factory

# One thread: the suite runs two processes at a time in places, and thread pools would fight over the cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import real_weights as published_weights  # noqa: E402 - it notes the folders that the user has, before tests hide them


@pytest.fixture(scope="session")
def clips_folder() -> Path:
    """Real, untidy clips: ``T2AV_CLIPS``, or the folder beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("T2AV_CLIPS", REPOSITORY.parent / "shared" / "data" / "clips"))
    if not folder.is_dir():
        pytest.skip(f"no real clips at {folder}: set T2AV_CLIPS to a folder of talking clips")
    return folder


@pytest.fixture(scope="session")
def short_clips(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first three seconds of each of the real clips, as they are coded, and the facts of all."""
    from media_factory import cut_clip

    folder = tmp_path_factory.mktemp("clips")
    for path in sorted(clips_folder.iterdir()):
        if path.suffix in (".mp4", ".avi", ".wav"):
            cut_clip(path, folder / path.name, 3.0)
        elif path.suffix == ".json":
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk():
    """No test cuts the power, and a run syncs its files and its database at every score."""
    from t2av_bench.results import store_schema

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(store_schema, "SYNCHRONOUS", "OFF")
        yield


@pytest.fixture(autouse=True, scope="session")
def _the_command_line_is_built_once():
    """``CliRunner`` builds every command of the program each time that it invokes one."""
    import typer.testing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.testing._get_command))
        yield


@pytest.fixture(autouse=True, scope="session")
def _workers_are_forked():
    """In a run of several processes, which is long enough to gain from it: see ``forked_workers.py``. Workers of
    commands that a test starts, and those of tests that ask for ``fresh_workers``, are started as everywhere."""
    from forked_workers import ForkServer

    from t2av_bench.utils import worker

    if "PYTEST_XDIST_WORKER" not in os.environ or not Path("/proc/self/task").is_dir():
        yield
        return
    server = ForkServer(worker._CHILD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "subprocess", server)
        yield
    server.close()


@pytest.fixture
def fresh_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started as everywhere: for tests of how they are started, what they hold, and how they end."""
    monkeypatch.setattr("t2av_bench.utils.worker.subprocess", subprocess)


@pytest.fixture(autouse=True, scope="session")
def _no_foreign_weights(tmp_path_factory: pytest.TempPathFactory):
    """Tests see no weights that the user has, unless ``T2AV_BENCH_WEIGHTS`` was set for them on purpose."""
    if "T2AV_BENCH_WEIGHTS" not in os.environ:
        os.environ["T2AV_BENCH_WEIGHTS"] = str(tmp_path_factory.mktemp("weights"))
    yield


@pytest.fixture
def real_weights(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """``need`` of ``real_weights.py``; what the test calls looks in the same folders."""
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", os.pathsep.join(map(str, published_weights.FOLDERS)))
    return published_weights.need


def _plug(site: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the metrics of ``fake_metrics.py`` an installed plug-in, here and in child processes."""
    from t2av_bench import metrics

    described = site / "fake_metrics-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-metrics\nVersion: 1.0\n")
    names = {"fake/level": "Level", "fake/length": "Length", "fake/spread": "Spread"}
    lines = [f"{id} = fake_metrics:{name}" for id, name in names.items()]
    (described / "entry_points.txt").write_text("\n".join(["[t2av_bench.metrics]", *lines]) + "\n")
    paths = [str(site), str(FACTORIES), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    patch.syspath_prepend(str(site))
    metrics.registry.forget()


@pytest.fixture
def fake_metrics(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """``fake_metrics.py`` plugged in for one test; returns the environment for child processes."""
    _plug(tmp_path_factory.mktemp("site"), monkeypatch)
    yield dict(os.environ)
    _unplug()


@pytest.fixture(scope="module")
def fake_metrics_of_module(tmp_path_factory: pytest.TempPathFactory):
    """``fake_metrics.py`` plugged in for the tests of one file."""
    with pytest.MonkeyPatch.context() as patch:
        _plug(tmp_path_factory.mktemp("site"), patch)
        yield
    _unplug()


def _unplug() -> None:
    from t2av_bench import metrics

    metrics.registry.forget()
