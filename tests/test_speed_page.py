"""docs/speed.md and what README.md says of speed are what was measured, and the README says no more of it."""

import copy
import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from t2av_bench.utils.text import filled

ROOT = Path(__file__).resolve().parent.parent
FIGURE = re.compile(r"\d\s*(×|x\b)(?!\d)|\btimes (faster|cheaper|as fast|slower)|\d\s*% (faster|slower)", re.IGNORECASE)


@pytest.fixture(scope="module")
def bench():
    """Both scripts as modules."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        yield importlib.import_module("suite"), importlib.import_module("speed_page")
    finally:
        sys.path.remove(str(ROOT / "bench"))


@pytest.fixture
def kept(bench):
    return json.loads(bench[0].KEPT.read_text())


def test_page_and_readme_are_what_was_measured(bench, kept):
    _, page = bench
    stale = "stale: python bench/speed_page.py"
    assert page.PAGE.read_text(encoding="utf-8") == page.page(kept), stale
    readme = page.README.read_text(encoding="utf-8")
    assert filled(readme, {page.MARK: page.block(kept)}) == readme, stale


def test_the_readme_has_no_other_figure_of_speed(bench, kept):
    _, page = bench
    readme = page.README.read_text(encoding="utf-8")
    before, rest = readme.split(f"<!-- {page.MARK} -->")
    behind = rest.split("<!-- end -->", 1)[1]
    assert not FIGURE.search(before + behind), FIGURE.search(before + behind)
    for figure in ("1.55 × on an idle machine", "2.1 x in float32", "ten times faster", "30 % faster"):
        assert FIGURE.search(figure)


def test_every_step_is_there_with_figures_or_with_a_reason(bench, kept):
    suite, page = bench
    text = page.page(kept)
    assert kept["steps"] and set(kept["steps"]) <= {step.name for step in suite.STEPS}
    for step in suite.STEPS:
        assert page.TITLES[step.name] in text
        found = kept["steps"].get(step.name)
        if found is None:
            assert f"Not measured yet: `python bench/suite.py --only {step.name}`" in text
            continue
        assert found["command"] in text
        assert ("result" in found) if found["status"] == "ok" else found["said"].strip().splitlines()[-1] in text
    for key in ("processor", "cores", "memory_gib", "libraries"):
        assert kept["machine"][key]


def test_what_is_missed_is_said(bench, kept):
    """Figures that were worse make another verdict, on the page and in the README."""
    _, page = bench
    worse, better = copy.deepcopy(kept), copy.deepcopy(kept)
    for facts, factor in ((worse, 0.1), (better, 100.0)):
        seconds = facts["steps"]["table1_speed"]["result"]["seconds"]
        seconds["tools"] = {name: factor * value for name, value in seconds["tools"].items()}
    verdicts = [dict((row[0], row[3]) for row in page.aims(each["steps"])) for each in (worse, better)]
    exact = "Table 1 by exact protocols, tools in turn over ours"
    assert [each[exact] for each in verdicts] == ["missed", "met"]
    assert exact in page.block(worse) and exact not in page.block(better)
    assert page.page(worse) != page.page(kept)


def test_a_step_is_measured_again_alone_and_keeps_what_it_had_if_it_fails(bench):
    suite, _ = bench
    here, there = {"processor": "a"}, {"processor": "b"}
    first = suite.merged({}, "sync_speed", {"status": "ok", "result": 1}, here)
    both = suite.merged(first, "table1_speed", {"status": "failed", "said": "why"}, here)
    assert list(both["steps"]) == ["table1_speed", "sync_speed"], "in the order of the suite"
    failed = suite.merged(both, "sync_speed", {"status": "over its 1 s", "said": "late"}, here)
    assert failed["steps"]["sync_speed"] == {"status": "ok", "result": 1}
    elsewhere = suite.merged(both, "sync_speed", {"status": "ok", "result": 2}, there)
    assert elsewhere["machine"] == here and elsewhere["steps"]["sync_speed"]["machine"] == there
    assert "machine" not in both["steps"]["sync_speed"]


def test_a_step_that_fails_or_is_late_or_cannot_run_is_a_reason(bench, monkeypatch, tmp_path):
    suite, _ = bench
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    (tmp_path / "bench").mkdir()
    scripts = {
        "good": "import sys, pathlib; pathlib.Path(sys.argv[-1]).write_text('{\"rows\": [1]}')",
        "bad": "raise SystemExit('no such thing')", "slow": "import time; time.sleep(60)",
    }  # fmt: skip
    for name, text in scripts.items():
        (tmp_path / "bench" / f"{name}.py").write_text(text)
    good, bad, slow = (
        suite.run(suite.Step(name, limit=limit)) for name, limit in (("good", 30), ("bad", 30), ("slow", 1))
    )
    assert (good["status"], good["result"], good["command"]) == ("ok", {"rows": [1]}, "python bench/good.py")
    assert (bad["status"], bad["said"].strip()) == ("failed", "no such thing") and "result" not in bad
    assert slow["status"] == "over its 1 s"
    absent, without = suite.run(suite.Step("absent")), suite.run(suite.Step("good", needs="no_such_package"))
    assert absent["status"] == without["status"] == "skipped"
    assert absent["said"] == "there is no bench/absent.py" and "no no_such_package here" in without["said"]
