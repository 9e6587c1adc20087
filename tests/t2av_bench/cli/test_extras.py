"""With the base install alone every command names the extra that it needs, at once and without a traceback."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from media_factory import tone_clip

from t2av_bench.cli import demo, document
from t2av_bench.cli.document_install import COMMANDS, EXTRAS, requirements
from t2av_bench.experiment.config import load
from t2av_bench.metrics import metric_class, resolve
from t2av_bench.systems import system_class

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Import names of what extras install; the base's requirements need none of them.
OPTIONAL = (
    "PIL", "accelerate", "cleanfid", "cv2", "diffsynth", "diffusers", "dlib", "espeakng_loader", "fastdtw", "jiwer",
    "librosa", "lpips", "matplotlib", "onnxruntime", "pesq", "pocketsphinx", "pyarrow", "pystoi",
    "python_speech_features", "pyworld", "rapidfuzz", "ray", "resemblyzer", "scenedetect", "speechmos", "starlette",
    "syncnet_python", "tensorboard", "torch", "torchaudio", "torchvision", "transformers", "uvicorn",
    "whisper_normalizer", "zhconv",
)  # fmt: skip
# Commands in one process, each as a user types it, with the packages of the extras hidden.
_BASE_ALONE = """
import contextlib, io, json, sys, traceback
from importlib.machinery import PathFinder

hidden, commands = json.load(sys.stdin)
found = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] in hidden else found(name, *rest)
)
from t2av_bench.cli.main import app

told = []
for words in commands:
    out, status = io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            app(words)
        except SystemExit as end:
            status = end.code
        except BaseException:
            status = traceback.format_exc()
    told.append((status, out.getvalue()))
json.dump(told, sys.stdout)
"""


def base_alone(folder: Path, *commands: list[str]) -> list[tuple[object, str]]:
    """(exit status or traceback, what was printed) of each command, carried out in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-c", _BASE_ALONE], input=json.dumps([OPTIONAL, commands]), cwd=folder, text=True,
        capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("base")
    for name in ("clips/a.mp4", "real/a.mp4"):
        (place / name).parent.mkdir()
        tone_clip(place / name)
    (place / "clips" / "a.txt").write_text("Hello.")
    return place


REFUSED = {
    "demo": (["demo"], "demo"),
    "generate": (
        ["generate", "--system", "embedded-espeak", "--task", "tts", "--text", "bin", "--out", "a.wav"], "demo"
    ),
    "validity": (["validity", "clips", "--metrics", "psnr,dnsmos"], "speech,video"),
    "attest": (["attest", "mochabench", "--source", "clips", "--out", "certificate"], "sync"),
    "serve": (["serve", "page"], "page"),
    "data build": (["data", "build", "embedded", "--out", "gridface"], "demo"),
    "train prepare": (["train", "prepare", "clips", "--codec", "gridface", "--out", "shards"], "demo"),
    "train embedded": (["train", "embedded", "dual_branch-seed0"], "demo,train"),
    "train sync-mesh": (["train", "sync-mesh", "--data", "clips", "--out", "made"], "sync"),
    "data prepare": (["data", "prepare", "hdtf-first15", "--source", "clips", "--out", "prepared"], "speech,sync"),
}  # fmt: skip


def test_commands_that_cannot_work_with_the_base_are_refused_by_the_extra_that_they_need(folder):
    told = base_alone(folder, *(words for words, _ in REFUSED.values()))
    for (name, (_, extra)), (status, text) in zip(REFUSED.items(), told, strict=True):
        assert status == 2, f"{name}: {status} {text}"
        assert f"pip install 't2av-bench[{extra}]'" in text, f"{name}: {text}"
    assert {name for name, (_, without) in COMMANDS.items() if without == "refused"} - REFUSED.keys() == {
        "scores", "systems check",  # which have tests of their own
    }  # fmt: skip
    assert not any((folder / made).exists() for made in ("demo-run", "validity-run", "training-runs", "shards"))


def test_what_is_missing_is_said_before_anything_is_measured(folder):
    commands = [
        ["evaluate", "clips", "--reference", "real", "--metrics", "psnr,dnsmos", "--out", "run", "--workers", "1"],
        ["evaluate", "clips", "--out", "everything", "--workers", "1", "--allow-missing"],
        ["budget", "clips", "--metrics", "psnr", "--out", "budget.json"],
        ["report", "run", "--out", "page"],
    ]
    (named, all_of_them, budget, report) = base_alone(folder, *commands)
    assert named[0] == 1
    for (_, text), extra in ((named, "speech,video"), (all_of_them, "speech,sync,video"), (budget, "video")):
        command = f"pip install 't2av-bench[{extra}]'"
        assert command in text.partition("scoring:")[0], text
    assert "weights" not in all_of_them[1].partition("scoring:")[0]
    assert report[0] == 0 and "no plots are drawn: missing: Python packages matplotlib" in report[1]


def test_a_package_that_no_check_has_foreseen_is_no_traceback(capsys):
    import typer

    from t2av_bench.cli.errors import usage_errors

    with pytest.raises(typer.Exit), usage_errors():
        raise ModuleNotFoundError("No module named 'soundfile'", name="soundfile")
    assert "'soundfile' is missing: pip install 't2av-bench[all]'" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError), usage_errors():  # a fault of ours stays one
        raise ModuleNotFoundError("No module named 't2av_bench.gone'", name="t2av_bench.gone")


def test_the_trainer_of_the_reference_says_it_too(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from reference_model.train import main; sys.exit(main(['tiny']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr == "error: training needs torch: pip install 't2av-bench[train]'\n"


def test_the_demo_looks_for_all_that_its_rows_import(tmp_path):
    rows = load(demo.FULL, {"out": tmp_path / "out", "items": 3}).rows
    users = {system_class(row.system) for row in rows} | {
        metric_class(id) for row in rows for id in resolve(row.metrics)
    }
    assert {name for user in users for name in user.packages} <= set(demo.PACKAGES)


def test_the_page_on_installing_names_commands_and_extras_that_there_are():
    assert COMMANDS.keys() <= set(document.command_names())
    assert EXTRAS.keys() == PROJECT["optional-dependencies"].keys()
    named = {name for extra, _ in COMMANDS.values() for name in re.findall(r"`([a-z]+)`", extra)}
    assert named <= EXTRAS.keys()


def test_an_extra_has_what_the_extras_in_it_have():
    assert requirements(PROJECT, "demo") >= {"pesq", "starlette", "clean-fid", "syncnet-python"}
    assert requirements(PROJECT, "page") == {"matplotlib", "starlette", "uvicorn"}
