"""A benchmark of one's own in an experiment: named, built, scored; and what a wrong one says."""

import pytest
from experiment_factory import scores, unheard, world  # noqa: F401
from plugin_factory import install

from t2av_bench.benchmarks import registry
from t2av_bench.evaluation.config import ConfigError
from t2av_bench.experiment.config import load
from t2av_bench.experiment.run import preview, run

OWN = """
import json
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from t2av_bench.benchmarks.base import Benchmark

WHERE = Path(__file__).parent / "usual"

class Noise(Benchmark):
    id = "noise"
    splits = {"loud": 5, "quiet": 3}

    def manifest(self, split, count, folder):
        return (folder or WHERE) / split / f"{count}.jsonl"

    def build(self, splits, items, folder, workers, on_build):
        for split in splits:
            count = items or self.splits[split]
            file = self.manifest(split, count, folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = []
            for index in range(count):
                sound = np.random.default_rng(index).standard_normal(8000) * 1000
                wavfile.write(file.parent / f"n{index}.wav", 16000, sound.astype(np.int16))
                rows.append(json.dumps({"id": f"n{index}", "text": f"number {index}", "reference": f"n{index}.wav"}))
                on_build(index + 1, count, f"n{index}")
            file.write_text("\\n".join(rows) + "\\n")
"""
FILE = """out = "out"
benchmark = "noise"
metrics = ["fake/level"]
workers = 1
[[rows]]
name = "mine"
system = "fake-noise"
split = "quiet"
"""


@pytest.fixture
def noise(tmp_path, monkeypatch):
    entries = {"noise": "noise_benchmark:Noise", "hollow": "noise_benchmark:Path", "other": "noise_benchmark:Noise"}
    install(tmp_path / "benchmarks", monkeypatch, entries, {"noise_benchmark": OWN}, group="t2av_bench.benchmarks")
    registry.registry.forget()
    yield
    registry.registry.forget()


def written(tmp_path, text):
    (tmp_path / "run.toml").write_text(text)
    return load(tmp_path / "run.toml")


def test_it_is_built_as_far_as_the_rows_need_it_and_scored(tmp_path, noise):
    loaded = written(tmp_path, FILE + "items = 2\n")
    (before,) = preview(loaded)
    assert (before.built, before.items, before.to_make) == (False, 2, 2)
    (row,) = run(loaded, unheard, unheard).rows
    assert (row.items, row.made, row.not_made) == (2, 2, {})
    assert sorted(clip for clip, _ in scores(tmp_path / "out", "mine")) == ["n0", "n1"]
    assert (tmp_path / "benchmarks" / "usual" / "quiet" / "2.jsonl").is_file()
    assert (tmp_path / "out" / "items" / "noise-quiet").is_dir()


@pytest.mark.parametrize(("change", "expected"), [
    (('split = "quiet"', ""), "'split' is missing: noise has loud, quiet"),
    (('"quiet"', '"quit"'), "noise has no split 'quit'; did you mean quiet?"),
    (('split = "quiet"', 'split = "quiet"\nitems = 4'), "noise quiet has 3 items, got 4"),
    (('"noise"\nmetrics', '"hollow"\nmetrics'), "the plug-in hollow (noise_benchmark:Path) is broken: it is no"),
    (('"noise"\nmetrics', '"other"\nmetrics'), "its class says that its id is 'noise'"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_made(tmp_path, noise, change, expected):
    assert change[0] in FILE
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, FILE.replace(*change))
    assert expected in str(caught.value)
