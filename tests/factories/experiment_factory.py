"""Small experiments with fake systems and metrics."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy.io import wavfile
from typer.testing import CliRunner

from t2av_bench import systems
from t2av_bench.cli.run import run as command
from t2av_bench.cli.run_tables import make_tables
from t2av_bench.experiment import run as benchmark_run
from t2av_bench.experiment.config import load
from t2av_bench.experiment.run import run
from t2av_bench.generation.generate import RowPlan
from t2av_bench.results.store import Store

SYSTEMS = {"fake-noise": "Noise", "fake-choir": "Choir", "fake-absent": "Absent", "fake-boaster": "Boaster",
           "fake-carded": "Carded", "fake-obedient": "Obedient"}  # fmt: skip


def unheard(_):
    pass


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch, fake_metrics):
    """Fake systems and metrics as installed plug-ins, here and in child processes; three items with references."""
    site = tmp_path / "site"
    described = site / "fake_systems-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-systems\nVersion: 1.0\n")
    lines = [f"{id} = fake_systems:{name}" for id, name in SYSTEMS.items()]
    (described / "entry_points.txt").write_text("\n".join(["[t2av_bench.systems]", *lines]) + "\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ["PYTHONPATH"]]))
    monkeypatch.setenv("FAKE_SYSTEMS_LOG", str(tmp_path / "log"))
    monkeypatch.syspath_prepend(str(site))
    systems.registry.forget()
    items(tmp_path, {"a": "one", "b": "two", "c": "three"})
    yield
    systems.registry.forget()


def items(tmp_path: Path, texts: dict[str, str], extra: tuple[str, ...] = ()) -> None:
    folder = tmp_path / "data"
    (folder / "real").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, (id, text) in enumerate(texts.items()):
        sound = np.random.default_rng(index).standard_normal(8000) * 1000
        wavfile.write(folder / "real" / f"{id}.wav", 16000, sound.astype(np.int16))
        rows.append(json.dumps({"id": id, "text": text, "language": "en", "reference": f"real/{id}.wav"}))
    (folder / "items.jsonl").write_text("\n".join([*rows, *extra]) + "\n")


ROW = '[[rows]]\nname = "noise"\nsystem = "fake-noise"\n'


def write(tmp_path: Path, rows: str = ROW, head: str = "") -> Path:
    file = tmp_path / "run.toml"
    file.write_text(
        f'out = "out"\nbenchmark = "data/items.jsonl"\nmetrics = ["fake/level", "fake/length"]\nworkers = 1\n'
        f"{head}\n{rows}"
    )
    return file


def carry_out(tmp_path: Path, rows: str = ROW, head: str = "", **given):
    loaded = load(write(tmp_path, rows, head), given)
    result = run(loaded, unheard, unheard)
    make_tables(loaded, loaded.config.out, unheard)
    return result


def only_made(tmp_path: Path, rows: str = ROW, head: str = "", **given) -> list[RowPlan]:
    """The rows after their clips were made, without scoring: half the time."""
    loaded = load(write(tmp_path, rows, head), given)
    plans, _ = benchmark_run._planned(loaded, {row.name: row.manifest for row in loaded.rows})
    benchmark_run._make(plans, loaded.config, unheard, unheard)
    return plans


def log(tmp_path: Path) -> list[str]:
    """What systems were asked since the last look."""
    path = tmp_path / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def sounds(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


def scores(out: Path, name: str) -> dict[tuple[str, str], object]:
    with Store(out / "runs" / name / "results.db") as store:
        return {(row.clip, row.quantity): row.score for row in store.scores()}


def cli(*arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
