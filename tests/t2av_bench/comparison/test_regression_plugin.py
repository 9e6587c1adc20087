"""The gate over real runs, from other people's test suites, and over metrics that plug-ins bring."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from run_factory import SYNC_C, make_run
from scipy.io import wavfile

from t2av_bench.comparison.gate import regress
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.results.baseline import load, save
from t2av_bench.results.run import open_run

TESTS = """
import pytest

def test_same(assert_no_regression):
    gate = assert_no_regression("base.json", "runs/base")
    assert gate.verdicts[0].word == "equivalent"

def test_worse(assert_no_regression):
    assert_no_regression("base.json", "runs/worse")

def test_worse_but_allowed(assert_no_regression):
    assert_no_regression("base.json", "runs/worse", margins={"sync_c": 2.0})

def test_noisy(assert_no_regression):
    assert_no_regression("base.json", "runs/noisy")

def test_noisy_and_that_is_fine(assert_no_regression):
    assert assert_no_regression("base.json", "runs/noisy", undecided="pass").status == 0

def test_other(assert_no_regression):
    assert_no_regression("base.json", "runs/other")

def test_missing(assert_no_regression):
    with pytest.raises(ValueError, match="does not exist"):
        assert_no_regression("absent.json", "runs/base")
"""


def test_the_fixture_fails_a_users_test_on_a_regression(tmp_path):
    scores = np.random.default_rng(0).normal(6, 1, 40)
    noise = 0.1 * np.random.default_rng(1).standard_normal(40)
    for name, values, changes in (
        ("base", scores, {}),
        ("worse", scores - 0.5 + noise, {}),
        ("noisy", scores + 20 * noise, {}),
        ("other", scores, {"parameters": {"version": 2}}),
    ):
        make_run(tmp_path / "runs" / name, {SYNC_C: values}, name=name, **changes)
    save(open_run(tmp_path / "runs" / "base").recorded, tmp_path / "base.json")
    (tmp_path / "test_user.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    plugins = [] if _installed() else ["-p", "t2av_bench.pytest_plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins, "-rA", "--rootdir", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, env=_environment(),
    )  # fmt: skip
    assert "4 passed" in done.stdout and "3 failed" in done.stdout, done.stdout + done.stderr
    for name in ("same", "worse_but_allowed", "noisy_and_that_is_fine", "missing"):
        assert f"PASSED test_user.py::test_{name}" in done.stdout
    assert "Regression: worse: sync\\_c" in done.stdout, "the failure shows the gate's table"
    assert "version 1 against 2" in done.stdout


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, t2av_bench.pytest_plugin\n"
        "print([name for name in ('numpy', 'scipy', 'pandas', 'torch', 'typer') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == "[]"


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(entry.value == "t2av_bench.pytest_plugin" for entry in entry_points(group="pytest11"))


def _environment() -> dict[str, str]:
    import os

    root = str(Path(__file__).resolve().parents[3])
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


@pytest.fixture
def evaluated(tmp_path, fake_metrics):
    """Two evaluated runs of 24 clips, one system 6 dB louder than the other, over the same references."""
    for folder, gain in (("real", 1000), ("quiet", 1000), ("loud", 2000)):
        (tmp_path / folder).mkdir()
        for index in range(24):
            noise = np.random.default_rng([index, gain * (folder != "real")]).standard_normal(800)
            samples = (noise * gain * (1 + index / 24)).astype(np.int16)
            wavfile.write(tmp_path / folder / f"c{index:02d}.wav", 16000, samples)
    for name in ("quiet", "loud"):
        plan = EvaluateConfig(
            generated=tmp_path / name, reference=tmp_path / "real", workers=1,
            metrics=("fake/level", "fake/length", "fake/spread"), out=tmp_path / f"{name}-run",
            cache=tmp_path / "cache",
        )  # fmt: skip
        # No evaluate.toml: a run made from Python knows its cache all the same.
        evaluate(plan, lambda progress: None, lambda text: None)
    return tmp_path


def test_evaluated_runs_with_a_plugins_set_metric_and_a_shared_cache(evaluated):
    quiet, loud = open_run(evaluated / "quiet-run").recorded, open_run(evaluated / "loud-run").recorded
    found = {verdict.quantity.name: verdict for verdict in regress(quiet, loud).verdicts}
    assert set(found) == {"level", "spread"}, "a length has no better direction"
    assert found["level"].word == "better" and found["spread"].word == "worse"
    # The spread is |mean level − mean reference level|: its pseudo-values are those of a mean.
    record = loud.quantities["fake/spread", "spread"]
    assert record.sample(record.scored).value == pytest.approx(record.value, rel=1e-9)
    assert save(quiet, evaluated / "base.json") == []
    again = regress(load(evaluated / "base.json"), loud)
    assert {verdict.quantity.name: verdict.word for verdict in again.verdicts} == {"level": "better", "spread": "worse"}
