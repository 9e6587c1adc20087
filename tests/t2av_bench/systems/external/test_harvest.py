"""What shims pass exists: in the stored facts of the pinned commits, and in the fakes that stand for them."""

import argparse
import inspect
import json
from pathlib import Path

import pytest

from t2av_bench.systems.external.harvest import difference, harvest, harvest_file, name_of
from t2av_bench.systems.external.spec import Spec, Use, spec, spec_ids

FAKES = Path(__file__).parent / "fakes"
FACTS = Path(__file__).resolve().parents[5] / "shared" / "design" / "external"
SOURCE = """
import argparse

class Model:
    def __init__(self, device=0): ...
    async def run(self, image, /, audio, *rest, size: int = (512, 512), seed, **more): ...

try:
    import fast
except ImportError:
    def fallback(a, b=None): ...

def main():
    parser = argparse.ArgumentParser()
    group = parser.add_argument_group("more")
    parser.add_argument("image")
    group.add_argument("-s", "--seed", type=int, default=15)
    parser.add_argument("--audio", required=True)
    parser.add_argument("--flag", action="store_true")
    return parser
"""


def with_uses(*uses: Use) -> Spec:
    return Spec(id="x", title="X", paper="x", carrier="worker", tasks={"a2v": ()}, seed_support="full",
                commit="51a74aec29", uses=uses)  # fmt: skip


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "model.py").write_text(SOURCE)
    return tmp_path


def test_signatures_are_those_that_python_sees(tree):
    namespace: dict = {}
    exec(compile(SOURCE, "model.py", "exec"), namespace)
    found = harvest_file(tree, "model.py", ["Model", "Model.__init__", "Model.run", "fallback"])
    assert found.callables["Model"] == found.callables["Model.__init__"]
    for name, what in {"Model.run": namespace["Model"].run, "fallback": namespace["fallback"]}.items():
        seen = inspect.signature(what).parameters
        assert [name_of(fact).lstrip("*") for fact in found.callables[name]] == list(seen)
        for fact, each in zip(found.callables[name], seen.values(), strict=True):
            assert ("=" in fact) == (each.default is not inspect.Parameter.empty)


def test_options_are_those_that_argparse_sees(tree):
    namespace: dict = {}
    exec(compile(SOURCE, "model.py", "exec"), namespace)
    parser: argparse.ArgumentParser = namespace["main"]()
    seen = {flag for action in parser._actions for flag in action.option_strings or [action.dest]} - {"-h", "--help"}
    facts = harvest_file(tree, "model.py", []).options
    assert {name_of(fact) for fact in facts} == seen
    assert "--audio!" in facts and "--seed=15" in facts and "--flag" in facts


def test_differences_name_what_is_lost_and_what_is_newly_needed(tree):
    fits = with_uses(
        Use(file="model.py", callable="fallback", names=("a", "b")),
        Use(file="model.py", names=("image", "--audio", "--seed")),
    )
    assert difference(fits, tree) == []
    (tree / "model.py").write_text(SOURCE.replace("b=None", "new").replace('"-s", "--seed"', '"--seeds"'))
    said = difference(fits, tree)
    assert len(said) == 3 and all("written for 51a74ae" in each for each in said)
    assert "fallback() lost the parameter b" in said[0] and "needs the parameter new" in said[1]
    assert "lost the option --seed" in said[2] and "--seeds" in said[2]
    gone = with_uses(Use(file="model.py", callable="Model.stop"), Use(file="other.py"))
    assert ["no Model.stop()" in said or "other.py cannot be read" in said for said in difference(gone, tree)] == [
        True, True,
    ]  # fmt: skip
    (tree / "other.py").write_text("print 'Python 2'")
    assert "other.py is no Python" in difference(gone, tree)[1]


def fakes():
    return sorted(path.name for path in FAKES.iterdir() if path.is_dir() and path.name in spec_ids())


@pytest.mark.parametrize("id", fakes())
def test_a_fake_has_what_its_shim_passes(id):
    assert spec(id).uses and difference(spec(id), FAKES / id) == []


@pytest.mark.skipif(not FACTS.is_dir(), reason="the harvested facts (../shared/design/external) are not there")
@pytest.mark.parametrize("id", fakes())
def test_what_a_shim_passes_is_in_the_facts_of_the_pinned_commit(id):
    scripts = json.loads((FACTS / "cli-specs.json").read_text(encoding="utf-8"))
    callables = [each for each in json.loads((FACTS / "api-specs.json").read_text(encoding="utf-8"))]
    compared = 0
    for use, fact in ((use, fact) for use in spec(id).uses for fact in callables):
        if (fact["system"], fact["path"]) == (id, use.file) and use.callable in fact["callables"]:
            parameters = {each["name"] for each in fact["callables"][use.callable]["params"]}
            assert set(use.names) <= parameters and fact["commit"] == spec(id).commit
            compared += 1
    files = {file["path"]: file["commit"] for file in scripts.get(id, {"files": ()})["files"]}
    flags = {flag for each in scripts.get(id, {"options": ()})["options"] for flag in each["flags"]}
    for use in spec(id).uses:
        if not use.callable and use.file in files:
            assert set(use.names) <= flags and files[use.file] == spec(id).commit
            compared += 1
    if not compared:
        pytest.skip(f"the facts say nothing of {id}")


@pytest.mark.skipif(not FACTS.is_dir(), reason="the harvested facts (../shared/design/external) are not there")
@pytest.mark.parametrize("id", fakes())
def test_a_fake_has_every_parameter_of_what_it_stands_for(id):
    """So that a shim which passes more than before is caught too."""
    for fact in json.loads((FACTS / "api-specs.json").read_text(encoding="utf-8")):
        used = {use.callable for use in spec(id).uses if use.file == fact.get("path")}
        if fact["system"] != id or not used:
            continue
        found = harvest_file(FAKES / id, fact["path"], used)
        for name in used & fact["callables"].keys():
            assert [name_of(each) for each in found.callables[name]] == [
                each["name"] for each in fact["callables"][name]["params"]
            ]


def test_harvest_reads_each_file_once_for_all_its_uses(tree):
    found = harvest(tree, with_uses(
        Use(file="model.py", callable="fallback"), Use(file="model.py", callable="Model.run"), Use(file="model.py"),
    ))  # fmt: skip
    assert len(found) == 1 and set(found[0].callables) == {"fallback", "Model.run"} and found[0].options


@pytest.mark.slow
@pytest.mark.parametrize("id", fakes())
def test_a_whole_check_of_each_fake_is_green(id, tmp_path):
    from typer.testing import CliRunner

    from t2av_bench.cli.main import app

    done = CliRunner().invoke(app, ["systems", "check", id, "--fake", str(FAKES / id), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
