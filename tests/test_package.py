"""What surrounds the code says the same as the code: versions, constraints, citation, image, CI examples."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from t2av_bench.version import __version__

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
CI = sorted((ROOT / "docs" / "ci").iterdir())


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_everywhere():
    cited = yaml.safe_load(text("CITATION.cff"))
    newest = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.M)[1]
    assert {PROJECT["version"], str(cited["version"]), newest} == {__version__}


def test_the_citation_names_what_the_package_is():
    cited = yaml.safe_load(text("CITATION.cff"))
    assert cited["license"] == PROJECT["license"] and cited["title"].endswith(PROJECT["description"].lower())
    assert [each["name"] for each in cited["authors"]] == [each["name"] for each in PROJECT["authors"]]
    identifiers = [each["value"] for paper in cited["references"] for each in paper.get("identifiers", ())]
    assert "arXiv:2604.23586" in identifiers
    assert all(paper["title"] and paper["authors"] and paper["year"] for paper in cited["references"])


def test_the_text_for_an_index_needs_no_repository_beside_it():
    assert PROJECT["readme"] == "PACKAGE.md"
    assert re.findall(r"!?\[[^\]]*\]\((?!https?:)", text("PACKAGE.md")) == []
    assert "<img" not in text("PACKAGE.md")


def test_every_requirement_has_a_version_that_was_tested():
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", text("constraints.txt"), re.M))
    versions = {canonicalize_name(name): version for name, version in pinned.items()}
    # torchaudio fits a torch for CUDA alone; who builds a package has its setuptools.
    for line in {line for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines}:
        asked = Requirement(line)
        name = canonicalize_name(asked.name)
        if name in ("t2av-bench", "torchaudio", "setuptools"):
            continue
        assert name in versions, f"constraints.txt has no {asked.name}"
        assert asked.specifier.contains(versions[name]), f"{asked} and {versions[name]}"


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, what follows) of each line, continued lines as one."""
    lines = re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.M).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def test_the_image_is_made_of_files_and_extras_that_there_are():
    instructions = dockerfile()
    defaults = dict(value.split("=") for word, value in instructions if word == "ARG")
    assert defaults["EXTRA"] in EXTRAS and PROJECT["requires-python"] == f">={defaults['PYTHON']}"
    kept = set(re.findall(r"^!(\S+)$", text(".dockerignore"), re.M))
    copied = {name for word, value in instructions if word == "COPY" and "--from" not in value
              for name in value.split()[:-1]} - {"."}  # fmt: skip
    assert copied <= kept and all((ROOT / name).exists() for name in kept)
    packages = {name.rstrip("*") for name in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert kept >= packages | {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "constraints.txt"}


def test_the_image_runs_the_command_as_somebody_who_is_not_root():
    last = {word: value for word, value in dockerfile()}
    assert last["ENTRYPOINT"] == f'["{next(iter(PROJECT["scripts"]))}"]'
    assert last["USER"] not in ("root", "0")


def commands(file: Path) -> list[str]:
    """Shell lines of a CI file, in their order."""
    read = yaml.safe_load(file.read_text(encoding="utf-8"))
    if file.name == "github.yml":
        lines = [step["run"] for job in read["jobs"].values() for step in job["steps"] if "run" in step]
    else:
        lines = [line for name in ("before_script", "script") for line in read["gate"][name]]
    return [line for each in lines for line in each.splitlines()]


def test_there_is_an_example_for_each_service():
    assert [file.name for file in CI] == ["github.yml", "gitlab-ci.yml"]
    page = text("docs/tutorials/checkpoints_in_ci.md")
    assert all(f"(../ci/{file.name})" in page for file in CI)


@pytest.mark.parametrize("file", CI, ids=lambda file: file.name)
def test_ci_examples_run_the_commands_of_the_tutorial(file):
    """Whose blocks are carried out."""
    ours = [shlex.split(line) for line in commands(file) if line.startswith("t2av-bench ")]
    page = text("docs/tutorials/checkpoints_in_ci.md")
    block = re.search(r"## Every time: the candidate\n.*?```console\n(.*?)```", page, re.S)[1]
    assert ours == [shlex.split(line.removeprefix("$ ")) for line in block.splitlines()]
    for line in commands(file):
        for named in re.findall(r"\[([\w,]+)\]", line):
            assert set(named.split(",")) <= EXTRAS.keys()


def test_ci_examples_keep_the_verdict_also_where_the_gate_fails():
    github, gitlab = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in CI)
    upload = github["jobs"]["gate"]["steps"][-1]
    assert "always()" in upload["if"] and "gate.xml" in upload["with"]["path"]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in github["jobs"]["gate"]["steps"]
               if "uses" in step)  # fmt: skip
    kept = gitlab["gate"]["artifacts"]
    assert kept["when"] == "always" and kept["reports"]["junit"] == "gate.xml"
