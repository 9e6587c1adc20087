"""What shims pass exists: in the stored facts of the pinned commits, and in the fakes that stand for them."""

import argparse
import ast
import inspect
import json
import subprocess
import tomllib
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from t2av_bench.systems.external import spec as specs
from t2av_bench.systems.external.doctor import library_findings
from t2av_bench.systems.external.harvest import (
    Option,
    Unharvestable,
    as_toml,
    difference,
    harvest,
    harvest_file,
    names_of,
    option_of,
)
from t2av_bench.systems.external.spec import FOLDER, HARVESTED, Harvest, Spec, Use, spec, spec_ids

TYPES = {"int": int, "float": float, "str": str}
NO_VALUE = {"store_true", "store_false", "store_const", "append_const", "count", "BooleanOptionalAction", "help",
            "version"}  # fmt: skip
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
    parser.add_argument("--tiling", action="store_true", default=True)
    parser.add_argument("--quiet", action="store_false")
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--out", dest="folder", default="./a=b {c}")
    parser.add_argument("--mode", type=str, choices=["fast", "slow"], default="fast")
    parser.add_argument("--steps", type=int, choices=(1, 2), required=True)
    parser.add_argument("--rate", default=1e-05, type=float)
    parser.add_argument("--names", action="append")
    parser.add_argument("-v", action="count", default=0)
    parser.add_argument("--fast", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--prose", default="PROSE")
    return parser

class Options:
    def initialise(self, parser):
        parser.add_argument("--inside", type=lambda text: text, default=None, help="of a method")
""".replace("PROSE", "words " * 20)


def takes_value(option: Option) -> bool:
    bare = option.names[0].startswith("-") and option.default is None and not option.required and not option.kind
    return not bare and option.kind not in NO_VALUE


def parser_of(facts: tuple[str, ...]) -> argparse.ArgumentParser:
    """A parser with these options, which takes what the script's own would take; types other than numbers are text."""
    options = [option_of(fact) for fact in facts]
    own_help = any({"-h", "--help"} & {*option.names} for option in options)
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=not own_help)
    for option in options:
        more: dict[str, Any] = {"dest": option.dest} if option.dest else {}
        if option.names[0].startswith("-"):
            more["required"] = option.required
        if takes_value(option):
            more["type"] = kind = TYPES.get(option.kind, str)
            if option.kind in ("append", "extend"):
                more["action"] = option.kind
            if option.choices:
                more["choices"] = [kind(choice) for choice in option.choices]
            if option.nargs:
                more["nargs"] = int(option.nargs) if option.nargs.isdigit() else option.nargs
        else:
            special: dict[str, Any] = {"BooleanOptionalAction": argparse.BooleanOptionalAction}
            special |= {name: name for name in ("count", "store_false")}
            more["action"] = special.get(option.kind, "store_true")
        if option.default is not None:  # a flag has a default of its own
            try:
                more["default"] = ast.literal_eval(option.default)
            except (ValueError, SyntaxError):
                more["default"] = option.default
        parser.add_argument(*option.names, **more)
    return parser


def with_uses(*uses: Use, harvest: tuple[Harvest, ...] = ()) -> Spec:
    return Spec(harvest=harvest, id="x", title="X", paper="x", carrier="worker", tasks={"a2v": ()}, seed_support="full",
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
        names = [names_of(fact, "parameter")[0].lstrip("*") for fact in found.callables[name]]
        assert names == list(seen)
        for fact, each in zip(found.callables[name], seen.values(), strict=True):
            assert ("=" in fact) == (each.default is not inspect.Parameter.empty)


def test_options_are_those_that_argparse_sees(tree):
    namespace: dict = {}
    exec(compile(SOURCE, "model.py", "exec"), namespace)
    parser: argparse.ArgumentParser = namespace["main"]()
    namespace["Options"]().initialise(parser)
    # The negation of a BooleanOptionalAction is the parser's own.
    seen = {tuple(name for name in action.option_strings or [action.dest] if not name.startswith("--no-")): action
            for action in parser._actions if action.dest != "help"}  # fmt: skip
    facts = harvest_file(tree, "model.py", []).options
    assert [option_of(fact).names for fact in facts] == list(seen)
    for option, action in zip(map(option_of, facts), seen.values(), strict=True):
        assert option.required == (action.required and bool(action.option_strings))
        assert takes_value(option) == (action.nargs != 0)
        assert option.choices == tuple(str(choice) for choice in action.choices or ())
        assert option.dest in ("", action.dest) and option.nargs in ("", str(action.nargs))
        if option.kind in ("int", "float", "str"):
            assert action.type.__name__ == option.kind
        if option.default is None:
            assert action.default is (None if takes_value(option) else option.kind == "store_false")
        elif option.names != ("--prose",):
            assert action.default == ast.literal_eval(option.default)
    assert set(facts) >= {"image", "--audio!", "-s/--seed:int=15", "--flag", "--tiling:store_true=True",
                          "--sizes:int[+]=None", "--steps!:int {1|2}", "--mode:str='fast' {fast|slow}",
                          "--prose=<text of 120 characters>", "--inside:callable=None"}  # fmt: skip


@pytest.mark.parametrize("given", [
    [], ["--flag", "yes"], ["--mode", "slower"], ["--see", "3"], ["--sizes"], ["--steps", "3"], ["--seed", "many"],
    ["--sizes", "1", "2"], ["--flag", "--tiling"], ["-s", "4", "--out", "x"], ["--names", "a", "--names", "b"], ["-v"],
    ["--quiet", "--fast"], ["--no-fast"],
])  # fmt: skip
def test_a_rebuilt_parser_takes_what_the_own_one_takes(tree, given):
    namespace: dict = {}
    exec(compile(SOURCE, "model.py", "exec"), namespace)
    own, rebuilt = namespace["main"](), parser_of(harvest_file(tree, "model.py", []).options)
    own.allow_abbrev = False
    argv = ["i.png", *(["--audio", "a.wav", "--steps", "2"] if given else []), *given]
    results = []
    for parser in (own, rebuilt):
        try:
            found = vars(parser.parse_args(argv))
            results.append({key: value for key, value in found.items() if key not in ("prose", "inside")})
        except SystemExit:
            results.append(None)
    assert results[0] == results[1]


def test_sources_are_read_as_python_reads_them(tree):
    (tree / "bom.py").write_bytes(b"\xef\xbb\xbfdef f(a): ...\n")
    (tree / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\ndef f(a='\xe9'): ...\n")
    (tree / "escapes.py").write_bytes(b"def f(a='\\d'): ...\n")
    (tree / "undeclared.py").write_bytes(b"name = '\xe9'\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert harvest_file(tree, "bom.py", ["f"]).callables["f"] == ("a",)
        assert harvest_file(tree, "latin.py", ["f"]).callables["f"] == ("a=<text of 1 characters>",)
        assert ast.literal_eval(harvest_file(tree, "escapes.py", ["f"]).callables["f"][0][2:]) == "\\d"
    with pytest.raises(Unharvestable, match=r"undeclared.py is no Python"):
        harvest_file(tree, "undeclared.py", [])
    with pytest.raises(Unharvestable, match=r"absent.py cannot be read: No such file"):
        harvest_file(tree, "absent.py", [])


def test_a_default_that_changed_is_told(tree):
    uses = (Use(file="model.py", callable="fallback", names=("a", "b")),
            Use(file="model.py", names=("image", "--audio", "--seed", "--rate", "--steps")))  # fmt: skip
    pinned = tuple(harvest(tree, with_uses(*uses)))
    assert difference(with_uses(*uses, harvest=pinned), tree) == []
    # The same number in other words is no change.
    changed = SOURCE.replace("default=15", "default=42").replace("b=None", "b=2").replace("1e-05", "0.00001")
    (tree / "model.py").write_text(changed)
    assert difference(with_uses(*uses, harvest=pinned), tree) == [
        "model.py: fallback() gives the parameter b the default 2, which was None; the shim was written for 51a74ae",
        "model.py gives the option --seed the default 42, which was 15; the shim was written for 51a74ae",
    ]


def test_differences_name_what_is_lost_and_what_is_newly_needed(tree):
    fits = with_uses(
        Use(file="model.py", callable="fallback", names=("a", "b")),
        Use(file="model.py", names=("image", "--audio", "--seed", "--steps")),
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


HELD = sorted(path.name.removesuffix(HARVESTED) for path in FOLDER.glob(f"*{HARVESTED}"))


@pytest.mark.skipif(not FACTS.is_dir(), reason="the harvested facts (../shared/design/external) are not there")
@pytest.mark.parametrize("id", HELD)
def test_the_facts_of_the_package_are_those_that_were_harvested(id):
    """Against the files of facts, which another program wrote, entry by entry."""
    route = {"mova": "mova-diffsynth"}.get(id, id)
    none: dict[str, list[Any]] = {"files": [], "options": []}
    scripts = json.loads((FACTS / "cli-specs.json").read_text(encoding="utf-8")).get(route, none)
    modules = [each for each in json.loads((FACTS / "api-specs.json").read_text(encoding="utf-8"))
               if each["system"] == route]  # fmt: skip
    if not any("git_blob" in each for each in [*modules, *scripts["files"]]):
        pytest.skip("the other program did not read it from a commit")
    text = (FOLDER / f"{id}{HARVESTED}").read_text(encoding="utf-8")
    held = {each["file"]: Harvest.model_validate(each) for each in tomllib.loads(text)["harvest"]}
    files = {each["path"]: each for each in [*modules, *scripts["files"]]}
    assert {file: each.git_blob for file, each in held.items()} == {
        path: each["git_blob"] for path, each in files.items()
    }
    assert all(f"{each['repository']} at {each['commit']}" in text for each in files.values())
    for module in modules:
        assert held[module["path"]].callables == {
            name: tuple("=".join(each[key] for key in ("name", "default") if key in each) for each in about["params"])
            for name, about in module["callables"].items()
        }
    for file, each in held.items():
        told = [about for about in scripts["options"] if about["file"] == file]
        assert len(told) == len(each.options)
        for about, option in zip(told, map(option_of, each.options), strict=True):
            assert [*option.names] == about["flags"] and option.required == about.get("required", False)
            assert takes_value(option) == (about.get("action") != "store_true")
            assert not takes_value(option) or option.kind == about.get("type", "")
            choices = about.get("choices", [])
            assert isinstance(choices, dict) or [*option.choices] == choices
            default = about.get("default")
            if isinstance(default, dict) and "expr" in default:
                assert option.default == default["expr"]
            elif isinstance(default, dict):
                assert option.default == f"<text of {default['text_of_characters']} characters>"
            elif isinstance(default, str) and not default.isascii():
                assert option.default == f"<text of {len(default)} characters>"
            else:
                assert ast.literal_eval(option.default or "None") == default


@pytest.mark.parametrize("id", sorted({*HELD} & {*spec_ids()}))
def test_what_a_shim_passes_is_in_the_facts_of_the_pinned_commit(id):
    found = spec(id)
    assert found.harvest and found.commit in (FOLDER / f"{id}{HARVESTED}").read_text(encoding="utf-8")
    for use in found.uses:
        (facts,) = [each for each in found.harvest if each.file == use.file]
        if use.callable:
            known = {name for fact in facts.callables[use.callable] for name in names_of(fact, "parameter")}
            assert {*use.names} <= known
            continue
        options = {name: option_of(fact) for fact in facts.options for name in names_of(fact)}
        words = {name: {"int": "3", "float": "3.0"}.get(options[name].kind, "x") for name in use.names}
        argv = [word for name in use.names for word in ([name, words[name]] if takes_value(options[name]) else [name])]
        parser_of(facts.options).parse_args(argv)  # leaves the program where an option is unknown or missing


def test_a_tail_of_a_specification_is_read_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv(specs.VARIABLE, str(tmp_path))
    (tmp_path / "mine.toml").write_text(
        'id = "mine"\ntitle = "M"\npaper = "p"\ncarrier = "worker"\nseed_support = "full"\n[tasks]\na2v = []'
    )
    (tmp_path / f"mine{HARVESTED}").write_text('[[harvest]]\nfile = "m.py"\noptions = ["--seed:int=15"]')
    assert spec("mine").harvest == (Harvest(file="m.py", options=("--seed:int=15",)),)
    assert "mine" in spec_ids() and not [id for id in spec_ids() if "harvest" in id]


@pytest.mark.parametrize("id", fakes())
def test_a_fake_has_every_parameter_of_what_it_stands_for(id):
    """So that a shim which passes more than before is caught too."""
    for use in spec(id).uses:
        for facts in spec(id).harvest:
            if facts.file != use.file or not use.callable:
                continue
            found = harvest_file(FAKES / id, use.file, [use.callable]).callables[use.callable]
            assert [names_of(each, "parameter") for each in found] == [
                names_of(each, "parameter") for each in facts.callables[use.callable]
            ]


def test_a_fact_of_a_file_is_that_of_git_and_toml_gives_the_same_facts(tree):
    found = harvest(tree, with_uses(Use(file="model.py"), Use(file="model.py", callable="Model.run")))
    told = tomllib.loads(as_toml([*found, *found]))["harvest"]
    assert [Harvest.model_validate(each) for each in told] == [*found, *found]
    assert max(map(len, as_toml(found).splitlines())) <= 120
    blob = subprocess.run(["git", "hash-object", tree / "model.py"], capture_output=True, text=True, check=True)
    assert found[0].git_blob == blob.stdout.strip()


@pytest.mark.parametrize("id", [id for id in spec_ids() if spec(id).carrier == "lib" and spec(id).uses])
def test_a_library_that_is_installed_has_what_its_class_passes(id):
    if find_spec(spec(id).uses[0].file.partition("/")[0]) is None:
        pytest.skip(f"the extra {spec(id).environment.extra} is not installed")
    (found,) = library_findings(spec(id))
    assert found.status == "ok", found.words
    wrong = spec(id).model_copy(
        update={"uses": (*spec(id).uses, spec(id).uses[0].model_copy(update={"names": ("x",)}))}
    )
    assert any("lost the parameter x" in each.words and "pip install" in each.remedy
               for each in library_findings(wrong))  # fmt: skip


def test_harvest_reads_each_file_once_for_all_its_uses(tree):
    found = harvest(tree, with_uses(
        Use(file="model.py", callable="fallback"), Use(file="model.py", callable="Model.run"), Use(file="model.py"),
    ))  # fmt: skip
    assert len(found) == 1 and set(found[0].callables) == {"fallback", "Model.run"} and found[0].options


@pytest.fixture(scope="module")
def item(tmp_path_factory):
    """The one that checks make clips of. To draw it takes longer than the rest of a check of most fakes."""
    from t2av_bench.cli.short_item import short_item

    return short_item(tmp_path_factory.mktemp("item"))


@pytest.mark.slow
@pytest.mark.parametrize("id", fakes())
def test_a_whole_check_of_each_fake_is_green(id, item, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from t2av_bench.cli.main import app

    monkeypatch.setattr("t2av_bench.cli.short_item.short_item", lambda *_: item)
    done = CliRunner().invoke(app, ["systems", "check", id, "--fake", str(FAKES / id), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
