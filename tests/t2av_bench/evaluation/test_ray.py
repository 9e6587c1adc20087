"""Workers on a Ray cluster give the rows, files and reasons that workers of this machine give."""

import sqlite3
import sys
from pathlib import Path

import pytest
from evaluate_factory import plan
from made_set import MadeSet, make_clips
from ray_nodes import nodes as started

from t2av_bench.errors import NotApplicable
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.utils.ray_engine import RayEngine
from t2av_bench.utils.shipping import Sender


def test_without_the_package_the_extra_that_brings_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NotApplicable, match=r"'ray' is missing .*pip install 't2av-bench\[ray\]'"):
        RayEngine()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Two machines of one processor each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 't2av-bench[ray]'")
    with started(tmp_path_factory.mktemp("nodes") / "site", 2) as found:
        yield found


def rows(run: Path) -> dict[str, list]:
    """All that a database holds, but when and on what it was made."""
    with sqlite3.connect(run / "results.db") as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {
            table: sorted(map(repr, database.execute(f"select * from {table}")))
            for table in tables if table != "sessions"
        }  # fmt: skip


def score(asked: EvaluateConfig, out: Path, report=lambda progress: None, **changes) -> dict[str, list]:
    evaluate(asked.model_copy(update={"out": out, **changes}), report, lambda text: None)
    return rows(out)


def on(nodes, **changes):
    return {"engine": "ray", "address": nodes.address, "workers": None, **changes}


@pytest.mark.slow
def test_clips_that_crash_hang_or_take_all_memory_cost_themselves_as_they_do_here(nodes, tmp_path):
    names = ["a", "b", "crash", "greedy", "hang", "face", "nan", "raise", "c"]
    asked = plan(tmp_path, names, timeout=20.0, memory=0.6)
    here = score(asked, tmp_path / "here", workers=2)
    told = []
    there = score(asked, tmp_path / "there", told.append, **on(nodes))
    assert there == here
    reasons = "".join(here["measurements"])
    assert all(said in reasons for said in ("died: SIGSEGV", "no result within 20 s", "more than 0.6 GB of memory"))
    assert [progress.done for progress in told] == [*range(1, 1 + len(names) * 3)]


@pytest.mark.slow
def test_files_that_no_machine_sees_are_sent_and_features_come_back(nodes, tmp_path, monkeypatch):
    """Of these machines all see all files; what a worker reads lies below the folder of what was sent."""
    monkeypatch.chdir(tmp_path)
    asked = plan(Path(), ["a", "b", "c", "d"])
    here = score(asked, Path("here"))
    sent = []
    chunks = Sender.chunks
    monkeypatch.setattr(Sender, "chunks", lambda self, path: sent.append(path) or chunks(self, path))
    there = score(asked, Path("there"), **on(nodes, ship=True))
    assert there == here and {Path(path).parent.name for path in sent} == {"made", "real"}
    features = [{path.relative_to(run): path.read_bytes() for path in run.rglob("*.safetensors")}
                for run in (Path("here"), Path("there"))]  # fmt: skip
    assert features[0] == features[1] and len(features[0]) == 4


@pytest.mark.slow
def test_a_machine_lost_in_the_middle_costs_no_clip(nodes, tmp_path):
    asked = plan(tmp_path, [f"slow{index}" for index in range(12)])
    here = score(asked, tmp_path / "here")
    told = []

    def kill(progress):
        told.append(progress)
        if len(told) == 5:
            nodes.kill()

    there = score(asked, tmp_path / "there", kill, **on(nodes))
    assert there == here and len(told) == 36


@pytest.mark.slow
def test_resources_of_a_metric_give_it_workers_of_its_own(nodes, tmp_path):
    asked = plan(tmp_path, ["a", "b", "c"])
    here = score(asked, tmp_path / "here")
    limits = EvaluateConfig(generated=tmp_path / "made", resources={"fake/length": {"num_cpus": 0.5, "memory": 1.0}})
    assert score(asked, tmp_path / "there", **on(nodes, resources=limits.resources)) == here
    with pytest.raises(ValueError, match="no machine of the Ray cluster can hold a worker .*GPU 1"):
        cards = EvaluateConfig(generated=tmp_path / "made", resources={"fake/length": {"num_gpus": 1}})
        score(asked, tmp_path / "nowhere", **on(nodes, resources=cards.resources))


@pytest.mark.slow
@pytest.mark.parametrize("ship", [False, True])
def test_run_makes_the_same_clips_and_scores(nodes, tmp_path, ship):
    from experiment_factory import items, unheard, write

    from t2av_bench.experiment.config import load
    from t2av_bench.experiment.run import run

    items(tmp_path, {"a": "one", "b": "crash", "c": "refuse", "d": "two"})
    results = {}
    cluster = {"engine": "ray", "address": nodes.address, "ship": ship}
    for engine, more in (("local", {}), ("ray", cluster)):
        loaded = load(write(tmp_path), {"out": tmp_path / engine, **more})
        (row,) = run(loaded, unheard, unheard).rows
        clips = {path.relative_to(row.clips): path.read_bytes() for path in row.clips.rglob("*") if path.is_file()}
        media = {path: content for path, content in clips.items() if path.suffix in (".mp4", ".wav")}
        scores = {name: found for name, found in rows(row.run).items() if name in ("scores", "measurements")}
        results[engine] = (row.not_made, media, scores)
    assert results["ray"] == results["local"]
    assert len(results["ray"][1]) >= 2 and set(results["ray"][0]) == {"b", "c"}


@pytest.mark.slow
@pytest.mark.parametrize("ship", [False, True])
def test_data_are_prepared_to_the_same_folder(nodes, tmp_path, ship):
    from fake_looking import FakeTools

    from t2av_bench.preparation.benchmarks.prepare import prepare

    make_clips(tmp_path / "source", 10)
    found = {}
    cluster = {"engine": "ray", "address": nodes.address, "ship": ship}
    for engine, more in (("local", {"workers": 1}), ("ray", cluster)):
        out = tmp_path / engine / "set"
        prepare(MadeSet(), {"made": tmp_path / "source"}, out, tools=(FakeTools, ()), **more)
        files = (path for path in out.rglob("*") if path.is_file() and path.name != "lock")
        found[engine] = {path.relative_to(out): path.read_bytes() for path in files}
    assert found["ray"] == found["local"] and len(found["ray"]) > 5


def test_an_address_without_a_cluster_is_named():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 't2av-bench[ray]'")
    with (
        RayEngine("127.0.0.1:1") as engine,
        pytest.raises(ValueError, match="no Ray cluster at 127.0.0.1:1 .*ray start"),
    ):
        engine.share(1)
