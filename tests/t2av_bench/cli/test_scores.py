"""``t2av-bench scores``: what programs read is what ``Run.scores`` holds."""

import io
import json
import sys

import pandas as pd
import pytest
from run_factory import FID, SYNC_C, WER, make_run
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.cli.main import app
from t2av_bench.scores import Score


def scores(*arguments: object):
    return CliRunner().invoke(app, ["scores", *map(str, arguments)])


@pytest.fixture
def run(tmp_path):
    values = [5.125, 1 / 3, Score.failed("=no face, and a comma")]
    return make_run(tmp_path / "one", {SYNC_C: values, WER: [0.5, 0.25, 1.0]}, name="one")


def test_csv_is_what_the_run_says_with_formulas_neutralised(run):
    expected = tb.open_run(run).scores
    found = pd.read_csv(io.StringIO(scores(run).stdout))
    assert list(found) == list(expected) and found["value"].equals(expected["value"]), "every digit"
    told = dict(zip(found["clip"] + found["quantity"], found["reason"], strict=True))
    assert told["clip_002sync_c"] == "'=no face, and a comma"


def test_json_has_null_where_there_is_nothing(run):
    found = json.loads(scores(run, "--format", "json", "--quantities", "sync_c").stdout)
    assert [row["value"] for row in found] == [5.125, 1 / 3, None]
    assert found[0]["reason"] is None and found[2]["reason"] == "=no face, and a comma"
    assert found[2]["status"] == "failed" and "run" not in found[0]


def test_parquet_keeps_types_and_needs_a_file(run, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    file = tmp_path / "new" / "scores.parquet"
    done = scores(run, "--out", file)
    assert done.exit_code == 0 and f"{file}: 6 scores" in done.stderr and done.stdout == ""
    found = pd.read_parquet(file)
    expected = tb.open_run(run).scores
    assert found["value"].equals(expected["value"]) and found["clip"].tolist() == expected["clip"].tolist()
    assert found["reason"].isna().tolist() == expected["reason"].isna().tolist()
    assert scores(run, "--format", "parquet").exit_code == 2
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    missing = scores(run, "--out", tmp_path / "other.parquet")
    assert missing.exit_code == 2 and "pip install 't2av-bench[parquet]'" in missing.stderr
    assert not (tmp_path / "other.parquet").exists()


def test_several_runs_are_told_apart_and_an_experiment_stands_for_its_runs(tmp_path):
    for name in "ab":
        make_run(tmp_path / "out" / "runs" / name, {SYNC_C: [1.0, 2.0]}, name="same")
    found = pd.read_csv(io.StringIO(scores(tmp_path / "out").stdout))
    folders = [f"same ({tmp_path / 'out' / 'runs' / name})" for name in "aabb"]
    assert list(found)[0] == "run" and found["run"].tolist() == folders and found["value"].tolist() == [1, 2] * 2


def test_what_cannot_be_written_is_a_sentence(run, tmp_path):
    assert "did you mean sync_c" in scores(run, "--quantities", "sinc_c").stderr
    assert scores(tmp_path).exit_code == 2
    both = json.loads(scores(run, "--quantities", "wer,sync", "--format", "json").stdout)
    assert {row["quantity"] for row in both} == {"wer", "sync_c"}
    assert FID.name not in {row["quantity"] for row in both}
