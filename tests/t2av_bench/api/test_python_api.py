"""What a notebook does with ``import t2av_bench as tb``: tiny clips, metrics that need no weights."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from media_factory import moving_pattern, noise, silent_clip, tone, write_clip
from typer.main import get_command

import t2av_bench as tb
from t2av_bench.api import clip, listing, runs, tables
from t2av_bench.cli.main import app
from t2av_bench.comparison import contrast, verdicts

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
TYPES = {"text": "object", "object": "object"}


def write_clips(folder: Path, count: int, degraded: float = 0.0) -> Path:
    """Clips of half a second, named alike in every folder; degraded: standard deviation of noise in grey levels."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        random = np.random.default_rng([index, round(degraded)])
        frames = moving_pattern(12, 64, 80, seed=index)
        frames = np.clip(frames + random.normal(0, degraded + 0.1, frames.shape), 0, 255).astype(np.uint8)
        sound = tone(0.5, frequency=300 + 20 * index) + noise(0.5, seed=index, amplitude=0.002 * (1 + degraded))
        write_clip(folder / f"clip{index:02}.mp4", frames, sound)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder with ``real``, ``model`` and ``other`` of 3 clips; ``model`` lacks the sound of one."""
    folder = tmp_path_factory.mktemp("clips")
    for name, degraded in (("real", 0.0), ("model", 4.0), ("other", 12.0)):
        write_clips(folder / name, 3, degraded)
    write_clip(folder / "model" / "clip02.mp4", moving_pattern(12, 64, 80, seed=2))
    return folder


@pytest.fixture(scope="module")
def evaluated(clips):
    return tb.evaluate(
        clips / "model", reference=clips / "real", metrics=["psnr", "stoi"], out=clips / "runs" / "model", workers=1
    )


def command(*arguments: object, **changes: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", *map(str, arguments)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | changes,
    )  # fmt: skip


def has(frame: pd.DataFrame, columns: dict[str, str]) -> bool:
    return {name: str(kind) for name, kind in frame.dtypes.items()} == {
        name: TYPES.get(kind, kind) for name, kind in columns.items()
    }


def test_the_import_loads_nothing_and_takes_no_time():
    code = (
        "import sys, time; before = set(sys.modules); begun = time.process_time(); import t2av_bench; "
        "print(time.process_time() - begun); print(*sorted(set(sys.modules) - before)); dir(t2av_bench); "
        "assert 'pandas' not in sys.modules; t2av_bench.Score"
    )
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
        for _ in range(3)
    ]
    assert min(float(each.split("\n")[0]) for each in found) < 0.05
    loaded = {name.split(".")[0] for name in found[0].split("\n")[1].split()}
    assert not loaded & {"torch", "pandas", "numpy", "cv2", "scipy", "av", "pydantic", "rich", "typer", "reports"}


def test_the_names_are_those_of_the_page_and_each_is_there():
    rows = re.search(r"\| name \| what it does \|\n(.*?)\n\n", PAGE, re.DOTALL)[1].split("\n")[1:]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(tb.__all__)
    assert all(hasattr(tb, name) for name in tb.__all__) and set(tb.__all__) <= set(dir(tb))
    with pytest.raises(AttributeError, match="evaluat"):
        tb.evaluat  # noqa: B018


def test_installed_packages_say_that_they_are_typed():
    assert (ROOT / "t2av_bench" / "py.typed").exists()
    assert '"py.typed"' in (ROOT / "pyproject.toml").read_text()
    for name in tb.__all__:
        if inspect.isfunction(getattr(tb, name)):
            signature = inspect.signature(getattr(tb, name))
            kinds = [signature.return_annotation, *(each.annotation for each in signature.parameters.values())]
            assert inspect.Signature.empty not in kinds, name


@pytest.mark.parametrize(
    ("name", "own", "omitted"),
    [
        ("evaluate", {"progress", "notice"}, {"folder", "as_json"}),
        ("regress", set(), {"strict", "junit", "markdown", "as_json"}),
        ("compare", set(), {"worst", "as_json"}),
        ("history", {"notice"}, {"out", "format"}),
        ("run", {"progress", "notice"}, {"dry_run", "as_json"}),
        ("table", {"runs", "specification", "notice"}, {"targets", "format"}),
    ],
)
def test_every_option_of_a_command_is_a_keyword(name, own, omitted):
    options = {each.name for each in get_command(app).commands[name].params} - omitted - {"help"}
    keywords = set(inspect.signature(getattr(tb, name)).parameters) - own
    assert keywords == options


def test_columns_of_frames_are_those_of_the_page_and_always_there(evaluated, clips, tmp_path):
    sections = re.split(r"\| column \| type \| meaning \|\n", PAGE)[1:]
    documented = [
        [name for row in section.split("\n\n")[0].split("\n")[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
        for section in sections
    ]
    assert documented == [list(runs.SCORES), list(runs.SUMMARY), list(runs.REASONS)]
    sound = tb.evaluate(clips / "real", reference=clips / "real", metrics="psnr", out=tmp_path / "run", workers=1)
    for run in (evaluated, sound):  # with failures and without
        assert has(run.scores, runs.SCORES) and has(run.summary, runs.SUMMARY) and has(run.reasons, runs.REASONS)
    assert len(sound.reasons) == 0


def test_a_run_says_what_the_command_says(evaluated, clips, tmp_path):
    done = command(
        "evaluate", "--generated", clips / "model", "--reference", clips / "real", "--metrics", "psnr,stoi", "--out",
        tmp_path / "run", "--workers", 1, "--json",
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert done.returncode == evaluated.exit_status == 1
    assert told | {"run": ""} == evaluated.as_dict() | {"run": ""}
    shown = evaluated.summary.set_index("quantity")
    assert list(shown.index) == [column["quantity"] for column in told["columns"]]
    for column in told["columns"]:
        row = shown.loc[column["quantity"]]
        for name in ("metric", "value", "scored", "total", "status", "reason", "fingerprint", "direction"):
            assert row[name] == column[name]
        assert row.stand_in == column["embedded"]
        mine = evaluated.scores.query("quantity == @row.name and status == 'ok'").value
        assert (len(mine), mine.mean()) == (column["scored"], pytest.approx(column["value"]))
    failed = evaluated.scores.query("status == 'failed'")
    assert failed[["clip", "metric", "quantity", "reason"]].to_dict("records") == [
        {key: each[key] for key in ("clip", "metric", "quantity", "reason")} for each in told["failures"]
    ]
    assert list(evaluated.reasons.clips) == [each["clips"] for kind in told["reasons"].values() for each in kind]


def test_a_failed_clip_is_a_reason_in_the_denominator(evaluated):
    row = evaluated.scores.set_index(["clip", "quantity"]).loc["clip02", "stoi"]
    assert np.isnan(row.value) and row.status == "failed" and "no audio" in row.reason
    assert tuple(evaluated.summary.set_index("quantity").loc["stoi", ["scored", "total"]]) == (2, 3)
    assert evaluated.failed_clips == 1 and evaluated.missing == []
    assert "STOI" in repr(evaluated) and "2/3" in repr(evaluated) and evaluated.name in repr(evaluated)
    assert "(2/3)" in evaluated._repr_html_()


def test_an_opened_run_is_the_same_run(evaluated):
    opened = tb.open_run(str(evaluated.path))
    pd.testing.assert_frame_equal(opened.scores, evaluated.scores)
    pd.testing.assert_frame_equal(opened.summary, evaluated.summary)
    assert opened.as_dict() | {"notices": []} == evaluated.as_dict() | {"notices": []}
    with pytest.raises(ValueError, match="missing|no run|not"):
        tb.open_run(evaluated.path / "absent")


def test_without_a_folder_the_same_call_measures_nothing_twice_and_another_question_is_another_run(
    clips, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen, told = [], []

    def ask(**more):
        seen.clear()
        (clips / "real" / "notes.txt").write_text("not a clip")
        return tb.evaluate(
            str(clips / "other"), reference=clips / "real", workers=1, progress=seen.append, notice=told.append, **more
        )

    first = ask(metrics=["psnr"])
    assert [(step.done, step.total, step.metric) for step in seen] == [(n, 3, "psnr/rgb") for n in (1, 2, 3)]
    assert tmp_path / "cache" in first.path.parents and first.notices == tuple(told) and "notes" in told[0]
    assert ask(metrics="psnr").path == first.path and seen == []
    other = ask(metrics=["psnr"], limit=2)
    assert other.path != first.path and len(other.clips) == 2 and len(seen) == 2
    (clips / "real" / "notes.txt").unlink()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({"metrics": ["psnrr"]}, ["--metrics", "psnrr"]),
        ({"reference": "absent"}, ["--reference", "absent"]),
        ({"batch_size": 0}, ["--batch-size", 0]),
        ({"device": "gpu"}, ["--device", "gpu"]),
        (
            {"options": {"psnr/rgb": {"size": 3}}, "metrics": "psnr"},
            ["--option", "psnr/rgb.size=3", "--metrics", "psnr"],
        ),
    ],
)  # fmt: skip
def test_errors_are_the_commands_sentences(clips, tmp_path, arguments, options):
    with pytest.raises(ValueError) as error:
        tb.evaluate(clips / "model", out=tmp_path / "run", **arguments)
    done = command("evaluate", "--generated", clips / "model", "--out", tmp_path / "run", *options)
    assert done.returncode == 2 and done.stderr.strip() == f"t2av-bench: {error.value}"


def test_a_file_that_cannot_be_read_is_a_value_error_too(clips, evaluated, tmp_path):
    with pytest.raises(ValueError, match="absent.toml"):
        tb.evaluate(clips / "model", config=tmp_path / "absent.toml")
    with pytest.raises(ValueError, match="absent.json does not exist"):
        tb.regress(tmp_path / "absent.json", evaluated)
    with pytest.raises(ValueError, match="absent.toml"):
        tb.run(tmp_path / "absent.toml")
    with pytest.raises(ValueError, match="at least two runs"):
        tb.compare([evaluated])
    with pytest.raises(ValueError, match="needs runs"):
        tb.table([])


def test_a_file_of_options_holds_where_nothing_is_given(clips, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(f'reference = "{clips / "real"}"\nmetrics = ["psnr"]\nout = "run"\nworkers = 1\nmax_failures = 3\n')
    run = tb.evaluate(clips / "model", config=file)
    assert run.path == tmp_path / "run" and list(run.summary["quantity"]) == ["psnr"]
    other = tb.evaluate(clips / "model", config=file, out=tmp_path / "other", metrics=["stoi"], options={})
    assert list(other.summary["quantity"]) == ["stoi", "estoi"]
    assert (other.failed_clips, other.exit_status, tb.open_run(other.path).exit_status) == (1, 0, 0)


def test_one_clip_is_scored_as_evaluate_scores_it(clips, evaluated):
    found = tb.score(clips / "model" / "clip01.mp4", ["psnr", "stoi", "fid"], reference=clips / "real" / "clip01.mp4")
    expected = evaluated.scores.query("clip == 'clip01'").set_index("quantity")
    for name in ("psnr", "stoi", "estoi"):
        assert found[name].value == expected.loc[name].value
    frame = found.to_frame()
    assert has(frame, runs.SCORES) and list(frame.quantity) == list(found) == ["psnr", "stoi", "estoi", "fid"]
    assert list(frame.fingerprint[:3]) == list(expected.loc[["psnr", "stoi", "estoi"]].fingerprint)
    assert found["fid"].value is None and "sets of clips" in found["fid"].reason
    assert "psnr" in repr(found) and "<table" in found._repr_html_()


def test_a_metric_that_fails_costs_nobody_else_anything(clips, tmp_path):
    found = tb.score(clips / "model" / "clip02.mp4", "psnr,stoi,wer", reference=clips / "real" / "clip02.mp4")
    assert found["psnr"].value is not None and "no audio" in found["stoi"].reason
    assert any("text" in score.reason for name, score in found.items() if name.startswith("wer"))
    alone = tb.score(clips / "model" / "clip00.mp4", ["psnr"])
    assert alone["psnr"].reason == "no reference clip: give 'reference' to score()"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip at all")
    assert tb.score(broken, ["psnr"], reference=clips / "real" / "clip00.mp4")["psnr"].status == "failed"
    for arguments, said in (
        (("absent.mp4", ["psnr"]), "clip .*absent.mp4 does not exist"),
        ((clips, ["psnr"]), "is a folder; evaluate scores folders"),
        ((broken, ["psnrr"]), "unknown metric 'psnrr'; did you mean psnr"),
        ((broken, ["psnr"], None, "hello", "english"), "language: .*'english'"),
    ):
        with pytest.raises(ValueError, match=said):
            tb.score(*arguments)
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/odd \xff\n.mp4"))
    odd.write_bytes((clips / "real" / "clip00.mp4").read_bytes())
    assert list(tb.score(odd, "psnr", reference=odd).to_frame()["clip"]) == ["odd \\xff\\x0a"]


def test_a_metric_that_crashes_or_hangs_costs_its_own_quantities(tmp_path, fake_metrics):
    clip._pool(os.getpid())[0].close()  # a process that began before the plug-in was installed does not know it
    for name, said in (("crash", "SIGSEGV"), ("hang", "no result within 3 s"), ("raise", "three over nothing")):
        found = tb.score(silent_clip(tmp_path / f"{name}.mp4", 0.4), ["fake/level", "fake/length"], timeout=3.0)
        assert found["level"].status == "failed" and said in found["level"].reason
        assert found["length"].value == pytest.approx(0.4, abs=0.05)


def test_a_fork_that_ends_takes_neither_the_process_that_measures_nor_its_folder(clips):
    code = """
import os, sys
import t2av_bench as tb
from t2av_bench.api.clip import _pool
def score():
    return tb.score(sys.argv[1], "psnr", reference=sys.argv[1])["psnr"].status
first = score()
pool, folder = _pool(os.getpid())
(worker,) = pool._workers
if os.fork() == 0:
    sys.exit()
os.wait()
assert os.path.isdir(folder) and not worker.transport.ended()
assert score() == first and pool._workers == [worker]
print(folder)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(clips / "real" / "clip00.mp4")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and not Path(done.stdout.strip()).exists(), "it goes with the program"


def test_tables_of_runs_print_themselves_and_are_frames(clips, evaluated, tmp_path):
    other = tb.evaluate(clips / "other", reference=clips / "real", metrics="psnr", out=tmp_path / "other", workers=1)
    table = tb.table([evaluated, other.path], columns=["psnr"])
    assert table.to_markdown() == command("table", evaluated.path, other.path, "--columns", "psnr").stdout
    done = command("table", evaluated.path, other.path, "--columns", "psnr", "--format", "latex")
    assert table.to_latex(tmp_path / "table.tex") == done.stdout == (tmp_path / "table.tex").read_text()
    values = [run.summary.set_index("quantity").value["psnr"] for run in (evaluated, other)]
    frame = table.to_frame()
    assert list(frame.columns) == ["system", "origin", "clips", "psnr"] and list(frame.psnr) == values
    cells = table.to_frame(cells=True)
    assert has(cells, tables.CELLS) and list(cells.value) == values and list(cells.scored) == [3, 3]
    assert "<table" in table.to_html() == table._repr_html_() and "psnr_scored" in table.to_csv()
    assert "other" in repr(table) and "Table(" not in repr(table)
    assert len(tb.table(specification="paper:1", published=True).rows) > 3
    assert tb.table(evaluated).to_frame().clips[0] == 3
    with pytest.raises(ValueError, match="paper:1"):
        tb.table([evaluated], "paper:11")


def test_comparisons_and_the_gate_answer_as_the_commands_do(tmp_path):
    for name, degraded in (("real", 0.0), ("model", 4.0), ("other", 12.0)):
        write_clips(tmp_path / name, 20, degraded)
    model, other = (
        tb.evaluate(tmp_path / name, reference=tmp_path / "real", metrics="psnr", out=tmp_path / "runs" / name)
        for name in ("model", "other")
    )
    assert model.summary.low[0] < model.summary.value[0] < model.summary.high[0]
    assert model.save_baseline(tmp_path / "main.json") == []

    compared = tb.compare([model, other], quantities=["psnr"])
    frame = compared.to_frame()
    assert has(frame, contrast.COMPARISON) and len(frame) == 1
    row = frame.iloc[0]
    lost = model.scores.set_index("clip").value - other.scores.set_index("clip").value
    assert row.difference == pytest.approx(-lost.mean()) and row.low < row.difference < row.high < 0
    items = compared.to_frame(items=True)
    assert has(items, contrast.ITEMS) and items.loss.is_monotonic_decreasing
    assert items.set_index("clip").loss.to_dict() == pytest.approx(lost.to_dict())
    assert repr(compared) == compared._repr_markdown_() == command("compare", model.path, other.path).stdout

    gate = tb.regress(tmp_path / "main.json", other, margins={"psnr": 1.0})
    assert (gate.status, gate.regressed, gate.judged) == (1, True, True)
    judged = gate.to_frame()
    assert has(judged, verdicts.VERDICTS) and list(judged.verdict) == ["worse"] and judged.margin[0] == 1.0
    (tmp_path / "margins.toml").write_text("psnr = 1.0")
    done = command("regress", tmp_path / "main.json", other.path, "--margins", tmp_path / "margins.toml")
    assert done.returncode == 1 and done.stdout == gate.to_markdown() == repr(gate)
    assert "<failure" in gate.to_junit()
    assert tb.regress(model, model).to_frame().verdict[0] == "equivalent"
    other = tb.evaluate(
        tmp_path / "other", reference=tmp_path / "real", metrics="ssim", out=tmp_path / "apart", limit=2
    )
    with pytest.raises(ValueError, match="psnr") as refused:
        tb.regress(model, other)
    assert len(refused.value.differences) >= 2


def test_lists_are_what_the_command_lists(fake_metrics):
    found = tb.list_metrics()
    told = json.loads(command("list", "metrics", "--json", PYTHONPATH=fake_metrics["PYTHONPATH"]).stdout)
    assert has(found, listing.METRICS) and list(found.id) == [row["id"] for row in told]
    for row, document in zip(found.itertuples(), told, strict=True):
        assert list(row.quantities) == [column["name"] for column in document["columns"]]
        assert list(row.missing_weights) == document["missing_weights"] and row.licence == document["licence"]
    systems = tb.list_systems()
    assert has(systems, listing.SYSTEMS) and "t2av" in systems.set_index("id").tasks["talker-t2av"]
    benchmarks = tb.list_benchmarks()
    assert has(benchmarks, listing.BENCHMARKS) and benchmarks.set_index("id").splits["gridface"]["test-en"] == 200


def test_a_script_needs_no_main_guard(clips, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('begun')\nimport t2av_bench as tb\n"
        f"run = tb.evaluate({str(clips / 'other')!r}, reference={str(clips / 'real')!r}, metrics='psnr', "
        f"out={str(tmp_path / 'run')!r}, workers=2)\nprint(run.exit_status, len(run.scores))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.stdout.split("\n")[:2] == ["begun", "0 3"], done.stderr
    assert done.stderr == ""


def test_the_pages_examples_run(tmp_path, monkeypatch):
    for name, degraded in (("real", 0.0), ("model", 4.0), ("other", 12.0)):
        write_clips(tmp_path / name, 20, degraded)
    lines = [json.dumps({"id": f"clip{n:02}", "text": "hello", "reference": f"real/clip{n:02}.mp4"}) for n in range(3)]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    (tmp_path / "experiment.toml").write_text(
        'out = "out"\nbenchmark = "items.jsonl"\nmetrics = ["psnr"]\nworkers = 1\n'
        '[[rows]]\nname = "real"\nsystem = "embedded-real"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    known: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), known)
    assert len(blocks) == 9 and len(known["run"].clips) == 20
    assert list(known["runs"]) == ["real"] and len(known["runs"]["real"].clips) == 3
    assert (known["gate"].status, known["gate"].regressed) == (1, True)
    assert list(known["history"].to_frame().previous_verdict) == [None, "worse"] and (tmp_path / "page").is_dir()
    assert known["found"]["psnr"].value and (tmp_path / "table.tex").exists()
