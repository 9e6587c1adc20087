"""A plug-in's odd answer costs one clip its score; a plug-in that cannot be used is broken alone."""

import json
import subprocess
import sys
from pathlib import Path

import odd_metrics
import pytest
from evaluate_factory import make_clips
from plugin_factory import install
from typer.testing import CliRunner

from t2av_bench import metrics
from t2av_bench.cli.main import app
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.metrics import broken, create, metric_class, resolve
from t2av_bench.metrics.check import json_ready
from t2av_bench.results.run import open_run
from t2av_bench.results.store import Store
from t2av_bench.scores import Status
from t2av_bench.utils.registry import PluginError

ODD = {"odd/answers": "odd_metrics:Answers", "odd/steady": "odd_metrics:Steady", "odd/set": "odd_metrics:Set"}


@pytest.fixture(autouse=True)
def _clean():
    yield
    metrics.registry.forget()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Scores of a run over one clip for each answer, and the stored details."""
    folder = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        install(folder / "odd", patch, ODD)
        made = make_clips(folder / "made", list(odd_metrics.ANSWERS))
        evaluate(
            EvaluateConfig(generated=made, metrics=("odd/answers", "odd/steady"), workers=2, out=folder / "run"),
            _quiet,
            _quiet,
        )
    metrics.registry.forget()
    with Store(folder / "run" / "results.db") as store:
        scores = {(row.clip, row.quantity): row.score for row in store.scores()}
        details = {row["clip"]: row["detail"] for row in store.measurements("odd/answers")}
    return scores, details


def _quiet(_):
    pass


@pytest.mark.parametrize("name", odd_metrics.ANSWERS)
def test_an_odd_answer_costs_its_own_score_alone(answers, name):
    scores, _ = answers
    expected = odd_metrics.ANSWERS[name][1]
    score = scores[name, "odd_a"]
    if expected is None:
        assert score.value == 0.5
    else:
        assert score.value is None and expected in score.reason and len(score.reason) < 3000
        score.reason.encode()
    assert scores[name, "steady"].value == 1.0, "the clip's other metrics"
    if name.startswith(("value_", "reason_")) and name not in ("value_undeclared", "reason_list"):
        assert scores[name, "odd_b"].value == 1.0, "the metric's other quantity"


def test_details_keep_their_content(answers):
    _, details = answers
    assert details["detail_nan"] == {"x": None, "y": [None]}
    assert details["detail_numpy"] == {"x": 2.0, "y": [0, 1, 2], "z": True}
    assert details["detail_set"] == {"x": [1, 2, 3], "y": [1, 2], "z": ["a", "b"]}
    assert details["detail_surrogate"] == {"x": "\\ud800", "\\udfff": "\\u0000\\u001b[31m"}
    assert details["detail_keys"] == {"1": "x", "null": "y", "7": 0}


def test_weights_are_kept_as_numbers(answers):
    scores, _ = answers
    assert scores["weight_numpy", "odd_b"].weight == 2.0


def test_what_does_not_apply_is_no_failure(answers):
    scores, _ = answers
    assert scores["inapplicable", "odd_a"].status is Status.NOT_APPLICABLE
    assert scores["inapplicable", "odd_b"].status is scores["inapplicable_beside", "odd_a"].status is Status.OK
    assert scores["reason_number", "odd_a"].status is Status.FAILED


def test_json_ready_is_what_json_reads_back():
    content = {"a": [1, 2.5, "x", None, True, {"b": []}], "c": {"d": "é\n"}}
    assert json_ready(content) == content == json.loads(json.dumps(json_ready(content)))
    assert json_ready({"x": {2.5, "a", 1}}) == json_ready({"x": {1, "a", 2.5}}), "sets have one order"
    for odd in (b"x", object(), {1: 0, "1": 0}, {(1,): 0}, 1j):
        with pytest.raises(ValueError):
            json_ready(odd)


AGGREGATES = {
    "plain": None, "print": None, "detail": None,
    "raise": "ZeroDivisionError: nothing (odd_metrics.py", "nan": "gave nan", "lack": "no value and no reason",
    "none": "gave None instead of a Measurement", "text": "expected a number", "exit": "SystemExit",
    "die": "the measuring process died: SIGABRT", "hang": "no result within 2 s (--timeout)",
    "no_features": "gave no features of this one", "features_nan": "not all finite",
}  # fmt: skip


@pytest.mark.parametrize("how", AGGREGATES)
def test_an_odd_aggregate_is_a_reason_and_the_run_ends_well(tmp_path, monkeypatch, how):
    install(tmp_path / "odd", monkeypatch, ODD)
    made = make_clips(tmp_path / "made", ["a", "b"])
    plan = EvaluateConfig(
        generated=made, metrics=("odd/set", "odd/steady"), workers=1, timeout=2.0, options={"odd/set": {"how": how}},
        out=tmp_path / "run",
    )  # fmt: skip
    evaluate(plan, _quiet, _quiet)
    done = open_run(tmp_path / "run")
    found = {column.quantity.name: column for column in done.columns}
    assert done.sessions[-1]["finished"]
    with done.store() as store:
        kept = store.set_scores()[0].detail
    assert found["steady"].summary.scored == 2
    expected = AGGREGATES[how]
    if expected is None:
        assert (found["set_a"].summary.score.value, found["set_b"].summary.score.value) == (1.0, 2.0)
        assert kept == ({"reference_floor": 3.0, "x": [1]} if how == "detail" else {})
        return
    assert expected in found["set_a"].summary.score.reason
    if how in ("nan", "lack", "text"):
        assert found["set_b"].summary.score.value == 2.0
    assert found["set_a"].summary.score.status is Status.FAILED


def command(environment, *words):
    return subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", *map(str, words)], env=environment, capture_output=True, text=True
    )


def test_a_plug_in_that_prints_leaves_stdout_to_the_command(tmp_path, monkeypatch):
    noisy = "print('{shouted} at import', flush=True)\nimport os\nos.write(1, b'{shouted}')\n"
    environment = install(tmp_path / "odd", monkeypatch, ODD | {"odd/loud": "loud:Loud"}, {"loud": noisy + GOOD})
    made = make_clips(tmp_path / "made", ["print"])
    done = command(
        environment, "evaluate", "--generated", made, "--out", tmp_path / "run", "--json", "--option",
        "odd/set.how=print", "--metrics", "odd/answers,odd/set,odd/loud",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert all(column["value"] is not None for column in document["columns"])
    assert done.stderr.count("{shouted}") >= 6
    listed = command(environment, "list", "metrics", "--json")
    assert {row["id"] for row in json.loads(listed.stdout)} >= set(ODD)


GOOD = """
from t2av_bench.metrics.base import Measurement, Metric
from t2av_bench.scores import Protocol, Quantity

class Loud(Metric):
    id, title, paper, quantities = "odd/loud", "Loud", "none", (Quantity("loud", "Loud", "none"),)
    protocol = property(lambda self: Protocol(self.id))
    def measure(self, pair):
        print("{shouted} while measuring", flush=True)
        return Measurement({"loud": 1.0})
"""
# what the plug-in's module says -> what the reason says
BROKEN = {
    "raises": ("raise RuntimeError('no licence key')", "unexpected RuntimeError: no licence key (broken_"),
    "imports": ("import a_package_that_is_absent", "No module named 'a_package_that_is_absent'"),
    "exits": ("import sys\nsys.exit(0)", "unexpected SystemExit: 0"),
    "base": ("raise BaseException('odd')", "unexpected BaseException: odd"),
    "syntax": ("def f(:\n", "SyntaxError"),
    "nothing": ("", "no attribute 'Loud'"),
    "no_class": ("Loud = 3", "it is no Metric"),
    "other_class": ("class Loud: pass", "it is no Metric"),
    "other_id": (GOOD.replace('"odd/loud"', '"odd/other"'), "its class says that its id is 'odd/other'"),
    "no_title": (GOOD.replace("title, ", "").replace('"Loud", "none"', '"none"', 1), "title"),
    "no_quantities": (GOOD.replace('(Quantity("loud", "Loud", "none"),)', "()"), "'quantities' is a tuple"),
    "texts": (GOOD.replace('(Quantity("loud", "Loud", "none"),)', '("loud",)'), "'quantities' is a tuple"),
    "abstract": (GOOD.replace("def measure", "def mesure"), "it lacks measure"),
    "protocol_raises": (GOOD.replace("Protocol(self.id))", "1 / 0)"), "ZeroDivisionError"),
    "protocol_other": (GOOD.replace("Protocol(self.id))", "Protocol('x'))"), "'protocol' is a Protocol"),
    "protocol_nan": (GOOD.replace("Protocol(self.id))", "Protocol(self.id, {'x': float('nan')}))"), "broken"),
    "weights": (GOOD.replace("protocol =", "weights = ('no_such',)\n    protocol ="), "unknown weights id 'no_such'"),
    "licence": (GOOD.replace("protocol =", "licence = 'mine'\n    protocol ="), "its licence is 'mine'"),
    "constructor": (GOOD.replace("protocol =", "__init__ = lambda self: exit(0)\n    protocol ="), "SystemExit"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plug_in_is_broken_alone(tmp_path, monkeypatch, name, capfd):
    source, expected = BROKEN[name]
    module = f"broken_{name}"
    install(tmp_path / "bad", monkeypatch, {"odd/loud": f"{module}:Loud"}, {module: source})
    assert expected in broken()["odd/loud"]
    with pytest.raises(PluginError) as caught:
        metric_class("odd/loud")
    assert "the plug-in odd/loud" in str(caught.value) and expected in str(caught.value)
    told = []
    assert "odd/loud" not in resolve(["all"], told.append) and "psnr/rgb" in resolve(["all"])
    assert told == [str(caught.value)]
    for chosen in ("odd/loud", "odd"):
        with pytest.raises(PluginError):
            resolve([chosen])


def test_ids_that_are_taken_or_are_none(tmp_path, monkeypatch):
    install(tmp_path / "good", monkeypatch, {"psnr/rgb": "loud:Loud", "loud": "short:Loud", "odd/loud": "loud:Loud"},
            {"loud": GOOD, "short": GOOD.replace('"odd/loud"', '"loud"')})  # fmt: skip
    found = broken()
    assert "its id 'psnr/rgb' is taken by t2av_bench.metrics" in found["psnr/rgb (loud:Loud)"]
    assert "expected family/variant" in found["loud"]
    assert metric_class("psnr/rgb").__module__ == "t2av_bench.metrics.psnr"
    assert "odd/loud" in resolve(["all"]) and create("odd/loud").title == "Loud"


@pytest.mark.parametrize("name", ["exits", "raises", "constructor"])
def test_the_command_says_what_is_broken_and_goes_on(tmp_path, monkeypatch, name):
    def command(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    module = f"broken_{name}"
    entries = {"odd/steady": "odd_metrics:Steady", "odd2/loud": f"{module}:Loud"}
    install(tmp_path / "bad", monkeypatch, entries, {module: BROKEN[name][0].replace("odd/", "odd2/")})
    made = make_clips(tmp_path / "made", ["a"])
    listed = command("list", "metrics")
    assert listed.exit_code == 0 and f"broken: the plug-in odd2/loud ({module}:Loud)" in listed.stdout
    rows = {row["id"]: row for row in json.loads(command("list", "metrics", "--json").stdout)}
    assert rows["odd2/loud"]["broken"] and rows["odd/steady"]["broken"] is None
    asked = ["evaluate", "--generated", made, "--out", tmp_path / "run", "--metrics"]
    alone = command(*asked, "odd2")
    assert alone.exit_code == 2 and "the plug-in odd2/loud" in alone.stderr and "Traceback" not in alone.stderr
    both = command(*asked, "odd,odd2/loud")
    assert both.exit_code == 2, "what was asked for by name cannot be done"
    good = command(*asked, "odd", "--json")
    assert good.exit_code == 0 and json.loads(good.stdout)["columns"][0]["value"] == 1.0


def test_a_plug_in_that_exits_late_does_not_end_the_command_well(tmp_path, monkeypatch):
    late = GOOD.replace(
        "protocol = property(lambda self: Protocol(self.id))", "protocol = property(lambda self: late())"
    )
    late += (
        "asked = []\ndef late():\n    asked.append(1)\n    return Protocol('odd/loud') if len(asked) < 2 else exit(0)\n"
    )
    install(tmp_path / "late", monkeypatch, {"odd/loud": "late_exit:Loud"}, {"late_exit": late})
    made = make_clips(tmp_path / "made", ["a"])
    asked = ["evaluate", "--generated", str(made), "--out", str(tmp_path / "run"), "--metrics", "odd/loud"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 2 and "t2av-bench: unexpected SystemExit: 0 (" in done.stderr


def test_all_works_with_the_rest_and_says_so(tmp_path, monkeypatch):
    install(tmp_path / "bad", monkeypatch, {"odd/loud": "broken_all:Loud"}, {"broken_all": "exit(0)"})
    (made := tmp_path / "made").mkdir()
    (made / "a.wav").write_bytes(b"")  # whose reason costs nothing: no metric runs on it
    done = CliRunner().invoke(app, ["evaluate", "--generated", str(made), "--out", str(tmp_path / "run"), "--json"])
    assert "note: the plug-in odd/loud (broken_all:Loud) is broken: unexpected SystemExit: 0" in done.stderr
    assert done.exit_code == 1 and len({column["metric"] for column in json.loads(done.stdout)["columns"]}) > 10
    assert Path(tmp_path / "run" / "evaluate.toml").exists()
