"""CONTRIBUTING.md, followed to the letter in a copy of the tree: each addition takes the files that it names."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# A file that is named alone or at the beginning of a line, and the block that follows.
_STEP = re.compile(r"^(?:In )?`([\w./-]+)`[^\n]*\n\n```(python|toml|diff)\n(.*?)```", re.M | re.S)


def steps() -> dict[str, list[tuple[str, str, str]]]:
    """Heading -> its steps: file, kind of block, text."""
    parts = re.split(r"^## (.+)$", GUIDE, flags=re.M)
    return {heading.split(":")[0]: _STEP.findall(text) for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The tree with all additions made."""
    copy = tmp_path_factory.mktemp("tree")
    for package in ("t2av_bench", "reports", "reference_model", "baselines"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for found in steps().values():
        for file, kind, text in found:
            path = copy / file
            if kind == "diff":
                path.write_text(changed(path.read_text(encoding="utf-8"), text), encoding="utf-8")
            elif path.exists():  # a row of a table
                path.write_text(path.read_text(encoding="utf-8") + "\n" + text, encoding="utf-8")
            else:
                path.write_text(text, encoding="utf-8")
    return copy


def changed(text: str, diff: str) -> str:
    """A file after a change that is shown as in ``diff -u``, without line numbers."""
    lines = diff.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"not found once:\n{before}"
    return text.replace(before, after)


def run(tree: Path, *words: str, cwd: Path | None = None) -> str:
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, *words], cwd=cwd or tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cli(tree: Path, *words: str, cwd: Path | None = None) -> str:
    return run(tree, "-m", "t2av_bench.cli.main", *words, cwd=cwd)


def test_each_addition_takes_as_few_files_as_it_should():
    found = {heading: [(file, kind) for file, kind, _ in parts] for heading, parts in steps().items()}
    assert {heading: len(parts) for heading, parts in found.items()} == {
        "A metric": 2, "A system": 2, "A benchmark": 2, "A table": 1, "Weights": 1, "A plot": 2,
    }  # fmt: skip
    for heading, parts in found.items():
        assert [kind for _, kind in parts[1:]] in ([], ["diff"]), heading
    for text in (text for parts in steps().values() for _, kind, text in parts if kind == "diff"):
        assert sum(line.startswith("+") for line in text.splitlines()) == 1


@pytest.mark.slow
def test_the_metric_the_system_the_benchmark_and_the_table_work_together(tree, tmp_path):
    (tmp_path / "experiment.toml").write_text(
        'out = "out"\nbenchmark = "beeps"\ndata = "data"\nmetrics = ["level"]\ntables = ["levels:1"]\nworkers = 1\n'
        '[[rows]]\nname = "still"\nsystem = "still"\ntask = "a2v"\nsplit = "test"\n'
    )
    shown = cli(tree, "run", "experiment.toml", cwd=tmp_path)
    assert "Level of the speech" in shown
    scores = json.loads(cli(tree, "evaluate", "--config", "out/runs/still/evaluate.toml", "--json", cwd=tmp_path))
    (level,) = [each for each in scores["columns"] if each["metric"] == "level/rms"]
    # A sine of amplitude 0.1 has a mean square of 0.005.
    assert level["value"] == pytest.approx(-23.0, abs=0.2) and (level["scored"], level["total"]) == (4, 4)


@pytest.mark.slow
def test_the_new_ones_are_listed(tree):
    metrics = {row["id"]: row for row in json.loads(cli(tree, "list", "metrics", "--json"))}
    assert metrics["level/rms"]["missing_weights"] == [] and metrics["level/rms"]["broken"] is None
    assert "still" in {row["id"] for row in json.loads(cli(tree, "list", "systems", "--json"))}
    assert "level/rms" in run(tree, "-m", "t2av_bench.metrics.document")


@pytest.mark.slow
def test_the_weights_are_in_the_table(tree):
    (row,) = json.loads(cli(tree, "weights", "list", "loudness_net", "--json"))
    assert row["licence"] == "Apache-2.0" and row["present"] is False


@pytest.mark.slow
def test_the_plot_draws(tree):
    code = 'import reports.plots as plots; print(plots.svg(plots.coverage({"ours": 3, "theirs": 1})))'
    assert "<svg" in run(tree, "-c", code)


@pytest.mark.slow
def test_the_additions_are_formatted_as_the_rest_is(tree):
    files = [str(tree / file) for parts in steps().values() for file, kind, _ in parts if kind == "python"]
    for check in (["check", "--ignore", "I001"], ["format", "--check"]):
        words = ["-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), *files]
        run(tree, *words)
