"""``new`` writes packages that can be installed, pass their own tests, and work with every command at once."""

import json
import os
import subprocess
import sys
from importlib import invalidate_caches
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from media_factory import tone
from scipy.io import wavfile
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench import metrics, systems
from t2av_bench.benchmarks import registry as benchmarks
from t2av_bench.cli.main import app
from t2av_bench.cli.new import Kind, rendered

ROOT = Path(__file__).resolve().parents[3]
NAMES = {"metric": "loudness_range", "system": "nodding-portrait", "benchmark": "sung_letters"}


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def run(*words, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True, env=os.environ | environment
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of the packages, and the place where pip has put them."""
    place = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for kind, name in NAMES.items():
            done = command("new", kind, name)
            assert done.exit_code == 0 and done.stdout == f"{name}\n", done.stderr
            assert done.stderr == f"next: cd {name} && pip install -e '.[dev]' && pytest\n"
    # Where pip is told not to look for what they need, it takes a second.
    done = run("pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check",
               "--target", "site", *(f"./{name}" for name in NAMES.values()), cwd=place)  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(place / "site"), str(ROOT)]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.syspath_prepend(paths[0])
        invalidate_caches()
        for registry in (metrics.registry, systems.registry, benchmarks.registry):
            registry.forget()
        yield place
    for registry in (metrics.registry, systems.registry, benchmarks.registry):
        registry.forget()


def test_their_own_tests_pass(installed):
    tests = [f"{name}/test_{name.replace('-', '_')}.py" for name in NAMES.values()]
    done = run("pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=installed)
    assert done.returncode == 0 and "17 passed" in done.stdout, done.stdout


def test_they_are_clean(installed):
    for words in (["check"], ["format", "--check"]):
        done = run("ruff", *words, "--no-cache", *NAMES.values(), cwd=installed)
        assert done.returncode == 0, done.stdout


def test_they_are_listed(installed):
    listed = [command("list", kind, "--json").stdout for kind in ("metrics", "systems")]
    rows = {row["id"]: row for text in listed for row in json.loads(text)}
    assert rows["loudness_range/v1"]["broken"] is None and rows["nodding-portrait"]["tasks"]["a2v"]
    assert tb.list_benchmarks().set_index("id").splits["sung_letters"] == {"dev": 3, "test": 3}


def test_the_metric_measures(installed, tmp_path):
    (tmp_path / "clips").mkdir()
    loud, quiet = tone(4, amplitude=0.5), tone(4, amplitude=0.05)
    wavfile.write(tmp_path / "clips" / "varied.wav", 16000, np.concatenate([loud, quiet]))
    wavfile.write(tmp_path / "clips" / "steady.wav", 16000, loud)
    wavfile.write(tmp_path / "clips" / "silent.wav", 16000, np.zeros(32000, np.float32))
    done = command("evaluate", "--generated", tmp_path / "clips", "--out", tmp_path / "run", "--metrics",
                   "Loudness-Range", "--option", "loudness range.window=0.2", "--max-failures", 1)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    scores = tb.open_run(tmp_path / "run").scores.set_index("clip")
    assert scores.value["varied"] == pytest.approx(20, abs=0.1) and scores.value["steady"] == pytest.approx(0, abs=0.1)
    assert "silent" in scores.reason["silent"]


def test_the_system_makes_clips_of_the_benchmark_in_an_experiment(installed, tmp_path):
    (tmp_path / "experiment.toml").write_text(
        'out = "out"\ndata = "data"\nbenchmark = "Sung_Letters"\nmetrics = ["loudness range"]\nworkers = 1\n'
        '[[rows]]\nname = "nodding"\nsystem = "Nodding_Portrait"\ntask = "a2v"\nsplit = "dev"\noptions = { nod = 2 }\n'
        '[options."Loudness range"]\nwindow = 0.1\n'
    )
    done = command("run", tmp_path / "experiment.toml")
    assert done.exit_code == 0, done.stderr
    scores = tb.open_run(tmp_path / "out" / "runs" / "nodding").scores
    assert sorted(scores["clip"]) == ["dev-000", "dev-001", "dev-002"] and set(scores.status) == {"ok"}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_long_names_stay_within_the_lines(kind, tmp_path):
    for name, text in rendered(kind, "a_name_of_fourty_characters_is_long_yes").items():
        (tmp_path / name).write_text(text)
    done = run("ruff", "check", "--no-cache", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("kind", "name", "expected"), [
    ("metric", "Loud", "'Loud' is no name for a metric: expected small letters"),
    ("metric", "a/b", "is no name"), ("metric", "../up", "is no name"), ("metric", "a-", "is no name"),
    ("metric", "a" * 41, "40 characters at most"), ("metric", "", "is no name"), ("system", "2nd", "is no name"),
    ("metric", "psnr", "'psnr' is the name of a metric already"), ("metric", "lse_c", "name of a metric already"),
    ("metric", "sync-d", "name of a metric already"), ("system", "talker_t2av", "name of a system already"),
    ("benchmark", "gridface", "name of a benchmark already"),
    ("metric", "json", "'json' is the name of a Python module"), ("system", "lambda", "name of a Python module"),
    ("metric", "full", "full is there already, and not an empty folder"), ("system", "file", "file is there already"),
    ("piece", "mine", "'piece' is not one of 'metric', 'system', 'benchmark'"),
])  # fmt: skip
def test_what_cannot_be_made_is_refused_and_nothing_is_left(tmp_path, monkeypatch, kind, name, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    done = command("new", kind, name)
    assert done.exit_code == 2 and expected in " ".join(done.stderr.replace("│", "").split()), done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "notes.txt"]


def test_an_empty_folder_is_filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert command("new", "system", "mine").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "README.md", "mine.py", "pyproject.toml", "test_mine.py",
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
