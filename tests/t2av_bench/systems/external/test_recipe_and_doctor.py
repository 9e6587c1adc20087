"""Recipes name what a specification names; the doctor finds what differs from it."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from t2av_bench.systems.external import doctor as doctors
from t2av_bench.systems.external.doctor import Finding, probe, program_findings, python_findings, weight_findings
from t2av_bench.systems.external.process import filled
from t2av_bench.systems.external.recipe import KINDS, recipe
from t2av_bench.systems.external.spec import Spec, spec, spec_ids

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ABOUT = {"python": "3.10.4", "platform": "linux", "cuda": "12.1", "gpus": ["a GPU"],
         "packages": {"Torch": "2.2.1+cu121", "numpy": "1.26.0", "flash_attn": "2.7.0.post2"}}  # fmt: skip


def make(**changes) -> Spec:
    return Spec.model_validate({
        "id": "nodder", "title": "Nodder", "paper": "Someone", "carrier": "worker", "repository": "someone/nodder",
        "commit": COMMIT, "tasks": {"a2v": ["identity", "driving_audio"]}, "seed_support": "full",
        "environment": {
            "python": ">=3.9,<3.12", "python_version": "3.10", "torch": ["torch==2.2.1"], "index": "cu121",
            "packages": ["numpy<2"], "after": ["--no-build-isolation flash-attn==2.7.0.post2"],
            "requirements": ["requirements.txt"], "programs": ["ffmpeg"],
        },
        "weights": [{"role": "the network", "path": "checkpoints/net.pth", "bytes": 5, "source": "its README",
                     "sha256": hashlib.sha256(b"12345").hexdigest()}],
        **changes,
    })  # fmt: skip


def bad(findings) -> list[Finding]:
    return [finding for finding in findings if finding.status == "failed"]


@pytest.mark.parametrize("kind", ["uv", "conda"])
def test_a_recipe_is_a_shell_script_in_the_order_in_which_packages_stand_upon_each_other(kind):
    text = recipe(make(), kind)
    assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0
    commands = [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]
    installs = [words[words.index("install") + 1 :] for words in commands if "install" in words]
    wanted = ["torch==2.2.1", "requirements.txt", "numpy<2", "setuptools", "flash-attn==2.7.0.post2"]
    assert [next(word for word in wanted if word in words) for words in installs] == wanted
    assert any(words[-1] == COMMIT for words in commands), "the commit is checked out"
    assert "whl/cu121" in text and "ffmpeg" in text and "checkpoints/net.pth (5 bytes)" in text


def test_a_dockerfile_holds_the_environment_and_the_settings_start_it():
    text = recipe(make(), "docker")
    assert "FROM nvidia/cuda:12.1.1-devel" in text
    words = {line.split()[0] for line in text.splitlines() if line and not line.startswith("#")}
    assert words <= {"FROM", "RUN", "COPY", "WORKDIR", "ENV"}
    assert "--python .venv/bin/python torch==2.2.1" in text and "git clone" in text
    table = text[text.index("# [nodder]") :].split("\n\n")[0].replace("# ", "")
    settings = tomllib.loads(table)["nodder"]
    assert "python" not in settings and settings["weights"] != settings["checkout"], "no volume is named twice"
    assert f"#   {shlex.join(settings['command'])}\n" in text
    command = filled(settings["command"], Path("/tmp/t2av_x"), Path("/c"), Path("/w"))
    volumes = [value for option, value in zip(command, command[1:], strict=False) if option == "-v"]
    assert volumes == ["/tmp/t2av_x:/tmp/t2av_x", "/c:/c:ro", "/w:/w:ro"]
    assert command[-2:] == ["t2av-bench-nodder", "/opt/nodder/.venv/bin/python"] and "WORKDIR /opt/nodder\n" in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("id", spec_ids())
def test_pip_reads_each_word_of_a_recipe_as_one_package_or_option(id, kind):
    for line in recipe(spec(id), kind).splitlines():
        if line.startswith("#") or " pip install " not in line:
            continue
        for word in shlex.split(line.partition(" pip install ")[2]):
            assert " " not in word, line


def test_a_library_has_the_harness_in_its_image():
    text = recipe(make(carrier="lib", environment={"extra": "ltx"}), "docker")
    assert "'/opt/t2av-bench[demo,ltx]'" in text and text.count("ENTRYPOINT") == 1 and "git clone" not in text


def test_a_library_is_an_extra_and_a_folder_needs_nothing():
    library = make(carrier="lib", environment={"extra": "ltx"})
    assert "uv pip install 't2av-bench[ltx]'" in recipe(library) and "git clone" not in recipe(library)
    assert "# [nodder]\n# weights = " in recipe(library) and "python = " not in recipe(library)
    folder = recipe(make(carrier="folder"))
    assert all(line.startswith("#") for line in folder.splitlines() if line)
    with pytest.raises(ValueError, match="uv, conda, docker"):
        recipe(make(), "pip")  # type: ignore[arg-type]


def test_an_environment_as_the_specification_says_is_well(tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "# what it needs\nnumpy>=1.20\n-e .\ngit+https://example.org/a.git\n--index-url https://example.org\n"
        "flash_attn ; python_version < '3.9'\npywin32 ; sys_platform == 'win32'\n"
    )
    findings = list(python_findings(make(), ABOUT, tmp_path))
    assert bad(findings) == []
    words = {finding.name: finding.words for finding in findings}
    assert words["python"] == "3.10.4" and "torch 2.2.1+cu121" in words["packages"] and "a GPU" in words["gpu"]


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"python": "3.12.1"}, "python", "3.12.1, expected"),
        ({"packages": {**ABOUT["packages"], "numpy": "2.0.1"}}, "package numpy", "2.0.1, expected <2"),
        ({"packages": {"torch": "2.2.1", "numpy": "1.26.0"}}, "package flash-attn", "not installed"),
        ({"packages": {**ABOUT["packages"], "Torch": "2.1.0"}}, "package torch", "2.1.0, expected ==2.2.1"),
        ({"gpus": []}, "gpu", "built for CUDA 12.1) sees none"),
        ({"gpus": [], "torch_error": "ImportError: libcudart"}, "gpu", "libcudart"),
    ],
)
def test_what_differs_is_named_with_what_to_type_next(tmp_path, change, name, words):
    (tmp_path / "requirements.txt").write_text("")
    (found,) = bad(python_findings(make(), {**ABOUT, **change}, tmp_path))
    assert found.name == name and words in found.words and found.remedy


def test_requirements_that_the_checkout_lacks_are_named(tmp_path):
    (found,) = bad(python_findings(make(), ABOUT, tmp_path))
    assert found.name == "requirements requirements.txt" and COMMIT in found.remedy


def test_weights_are_compared_by_name_size_and_digest(tmp_path):
    file = tmp_path / "checkpoints" / "net.pth"
    (missing,) = weight_findings(make(), tmp_path)
    assert (missing.status, missing.remedy) == ("failed", "get it from its README")
    file.parent.mkdir()
    for content, words in ((b"1234", "4 bytes, expected 5"), (b"54321", "SHA-256")):
        file.write_bytes(content)
        (found,) = weight_findings(make(), tmp_path)
        assert found.status == "failed" and words in found.words
    file.write_bytes(b"12345")
    (found,) = weight_findings(make(), tmp_path)
    assert found.status == "ok" and str(file) in found.words


def test_programs_are_looked_for_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = program_findings(make())
    assert found.status == "failed" and found.remedy
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    assert [each.status for each in program_findings(make())] == ["ok"]


def test_an_interpreter_says_what_it_is():
    found = probe([sys.executable], {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": ""})
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    from importlib.metadata import version

    assert found["packages"]["numpy"] == version("numpy")


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo no Python here >&2; exit 3", "exit status 3: no Python here"), ("echo hello", "exit status 0")],
)
def test_what_is_no_interpreter_is_said(tmp_path, script, words):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (found,) = python_findings(make(), probe([str(program)], dict(os.environ)))
    assert found.status == "failed" and words in found.words
    assert "cannot be started" in probe([str(tmp_path / "none")], {})["error"]


def test_prints_before_the_answer_do_no_harm(tmp_path):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nprintf 'a library says {{}}\\n\\036%s' '{json.dumps(ABOUT)}'\n")
    program.chmod(0o755)
    assert probe([str(program)], dict(os.environ)) == ABOUT


def test_the_commit_is_that_of_the_folder_itself(tmp_path):
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True, text=True).stdout

    assert doctors.commit_of(tmp_path) == (None, [])
    git("init", "-q")
    (tmp_path / "a.py").write_text("a = 1\n")
    git("add", "a.py")
    git("commit", "-qm", "one")
    head = git("rev-parse", "HEAD").strip()
    assert doctors.commit_of(tmp_path) == (head, [])
    (tmp_path / "a.py").write_text("a = 2\n")
    (tmp_path / "inside").mkdir()
    assert doctors.commit_of(tmp_path) == (head, ["a.py"])
    assert doctors.commit_of(tmp_path / "inside") == (None, [])
