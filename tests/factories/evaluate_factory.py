"""Folders of noise, and runs of the fake metrics on them."""

import sys
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.results.run import open_run

FAKES = ("fake/level", "fake/length", "fake/spread")


def make_clips(folder: Path, names: list[str], seed: int = 0) -> Path:
    """Half a second of noise a clip, each at its own level."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        noise = np.random.default_rng([seed, index]).standard_normal(8000) * (index + 1) * 500
        wavfile.write(folder / f"{name}.wav", 16000, np.clip(noise, -32000, 32000).astype(np.int16))
    return folder


def plan(tmp_path: Path, names: list[str], **changes) -> EvaluateConfig:
    settings = {"metrics": FAKES, "workers": 1, "timeout": 60.0, "manifest": None} | changes
    return EvaluateConfig(
        name="system",
        generated=make_clips(tmp_path / "made", names),
        reference=make_clips(tmp_path / "real", names, seed=1),
        **settings,
    )


def run(plan: EvaluateConfig, out: Path) -> list:
    seen = []
    evaluate(plan.model_copy(update={"out": out}), seen.append, lambda text: None)
    return seen


def by_name(out: Path) -> dict:
    return {column.quantity.name: column.summary for column in open_run(out).columns}


def command(tmp_path: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "t2av_bench.cli.main", "evaluate", "--generated", str(tmp_path / "made"),
        "--reference", str(tmp_path / "real"), "--metrics", ",".join(FAKES), "--out", str(out), *more,
    ]  # fmt: skip
