"""The run files of the paper's tables name what there is, and just what the paper's tables hold."""

import json
import shutil
from pathlib import Path

import paper_files
import pytest
from paper_files import TABLES
from typer.testing import CliRunner

from reports.tables import specification
from t2av_bench import metrics, systems
from t2av_bench.benchmarks.registry import registry as benchmarks
from t2av_bench.cli.main import app
from t2av_bench.experiment.config import built_in, load

# Rows below those of the paper.
OURS = {1: ["Talker-T2AV (its own code)", "F5-TTS + Sonic", "CosyVoice + Sonic"]}
A2V_OF_TABLE_4 = {"Delay-1 (A2V)": "Delay-1", "Delay-3 (A2V)": "Delay-3"}


@pytest.fixture(autouse=True)
def nothing_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, weights and models of the user's."""
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "T2AV_BENCH_DATA", "T2AV_BENCH_WEIGHTS", "HF_HOME",
                 "HF_HUB_CACHE"):  # fmt: skip
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("T2AV_BENCH_SYSTEMS", "DIFFSYNTH_MODEL_BASE_PATH"):
        monkeypatch.delenv(name, raising=False)


def cli(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_there_is_a_file_for_every_table_and_it_goes_by_its_name():
    assert built_in() == [f"paper-table{table}" for table in TABLES]
    assert [name for name in specification.names() if name.startswith("paper:")] == [f"paper:{each}" for each in TABLES]


@pytest.mark.parametrize("table", TABLES)
def test_every_system_is_known_and_serves_its_task(table):
    for row in paper_files.read(table)["rows"]:
        if "system" in row:
            assert row.get("task", "t2av") in systems.system_class(row["system"]).needs, row["name"]
            for stage in ("tts", "a2v"):
                if stage in row.get("options", {}):
                    assert stage in systems.system_class(row["options"][stage]).needs


@pytest.mark.parametrize("table", TABLES)
def test_every_file_can_be_read(table, tmp_path):
    file = tmp_path / "file.toml"
    shutil.copy(paper_files.path(table), file)
    loaded = load(file)
    assert loaded.config.out == tmp_path / f"paper-table{table}" and len(loaded.rows) >= 1
    assert {row.tables for row in loaded.rows} == {(f"paper:{table}",)}
    assert all(row.benchmark in benchmarks and row.split == "test" for row in loaded.rows)


@pytest.mark.parametrize("table", TABLES)
def test_the_rows_are_those_of_the_published_table_in_its_order(table):
    read = paper_files.read(table)
    labels = list(dict.fromkeys(row["label"] for row in read["rows"]))
    ours = OURS.get(table, [])
    assert labels[len(labels) - len(ours) :] == ours
    published = [row.name for row in specification.load(f"paper:{table}").rows]
    assert [A2V_OF_TABLE_4.get(label, label) for label in labels[: len(labels) - len(ours)]] == published


@pytest.mark.parametrize("table", TABLES)
def test_each_label_is_measured_in_every_language_of_the_table(table):
    groups = specification.load(f"paper:{table}").specification.groups
    languages = {language for group in groups for language in group.languages}
    benchmarks: dict[str, set[str]] = {}
    for row in paper_files.read(table)["rows"]:
        benchmarks.setdefault(row["label"], set()).add(row["benchmark"])
    assert all(found == {f"{each}-200" for each in languages} for found in benchmarks.values()) or not languages
    assert len(set(map(frozenset, benchmarks.values()))) == 1


@pytest.mark.parametrize("table", TABLES)
def test_the_metrics_are_those_that_the_columns_ask_for(table):
    read, columns = paper_files.read(table), specification.load(f"paper:{table}").specification.columns
    asked = {name for row in read["rows"] for name in row.get("metrics", read["metrics"])} | set(read["metrics"])
    assert asked == {column.metrics[0] for column in columns}
    assert asked <= set(metrics.metric_ids())


def test_arrangements_are_ranked_within_their_task():
    rows = {row.name: row for row in specification.load("paper:4").specification.rows}
    for row in paper_files.read(4)["rows"]:
        assert rows[row["label"]].family == row.get("task", "t2av") and row["label"] in rows[row["label"]].runs
        if row.get("task") == "a2v":
            quantities = {metric.split("/")[0] for metric in row["metrics"]}
            assert not quantities & {"wer", "utmos"}, "the speech is given"


@pytest.mark.parametrize("table", TABLES)
def test_a_dry_run_says_of_every_row_what_is_missing_and_what_brings_it(table, tmp_path):
    file = tmp_path / "file.toml"
    shutil.copy(paper_files.path(table), file)
    done = cli("run", file, "--dry-run", "--json")
    assert done.exit_code == 2, done.output
    rows = json.loads(done.stdout)
    # Nobody knows how many of what is not there.
    assert all(row["items"] is row["to_make"] is row["measurements"] is None for row in rows)
    assert [row["name"] for row in rows] == [row.name for row in load(file).rows]
    for row in rows:
        kinds = [each["kind"] for each in row["missing"]]
        assert kinds[0] == "items" and "metric" in kinds and {"system", "clips"} & set(kinds), row["name"]
        for each in row["missing"]:
            if each["kind"] == "metric":
                assert each["commands"][0].startswith(f"t2av-bench weights fetch --for {each['name']}"), each
            if each["kind"] == "system":
                assert each["commands"] or each["what"].startswith("option checkpoint: there is no "), each
    text = cli("run", file, "--dry-run")
    assert text.exit_code == 2 and not (tmp_path / f"paper-table{table}").exists()
    for command in {command for row in rows for each in row["missing"] for command in each["commands"]}:
        assert f"    {command}\n" in text.stdout
    for licence in {licence for row in rows for each in row["missing"] for licence in each["licences"]}:
        assert f"    licence: {licence}\n" in text.stdout


def test_a_file_that_comes_with_us_is_used_from_any_folder(tmp_path, monkeypatch):
    """Of Table 4, whose system is this project's own."""
    monkeypatch.chdir(tmp_path)
    items = tmp_path / "mine.jsonl"
    items.write_text('{"id": "a", "text": "one", "language": "en"}\n')
    typed = ("run", "paper-table4", "--only", "add", "--manifest", "en-200=mine.jsonl", "--dry-run", "--json")
    done = cli(*typed)
    (row,) = json.loads(done.stdout)
    assert (done.exit_code, row["items"], row["name"]) == (2, 1, "add")
    assert "items" not in {each["kind"] for each in row["missing"]}
    assert load(Path("paper-table4")).config.out == Path("paper-table4")
    wrong = cli("run", "paper-tabel4", "--dry-run")
    assert wrong.exit_code == 2 and "did you mean paper-table4" in wrong.stderr
    wrong = cli("run", "paper-table4", "--manifest", "mine.jsonl")
    assert wrong.exit_code == 2 and "expected NAME=FILE" in wrong.stderr
    wrong = cli("run", "paper-table4", "--manifest", "en-20=mine.jsonl")
    assert wrong.exit_code == 2 and "no row has the benchmark 'en-20'; did you mean en-200" in wrong.stderr
