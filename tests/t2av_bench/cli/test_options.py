"""One model is the command's options, the file's keys and Python's keywords; and what the shell completes."""

import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from evaluate_factory import make_clips
from typer.main import get_command
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.cli.main import app
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.experiment.config import RunConfig

ROOT = Path(__file__).resolve().parents[3]
# What a run is about stands in its file alone; an option says where and how.
ABOUT = {"benchmark", "metrics", "tables", "seed", "options", "resources", "rows"}
FACES = [("evaluate", EvaluateConfig, set()), ("run", RunConfig, ABOUT)]


@pytest.mark.parametrize("name", ["evaluate", "run", "validity"])
def test_the_help_shows_types_that_people_read(name):
    said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
    assert set(re.findall(r"<(\S+)>", said)) <= {"str", "int", "float", "bool", "path", "list[str]", "list[Path]"}


@pytest.mark.parametrize(("name", "model", "about"), FACES, ids=[name for name, *_ in FACES])
def test_options_keys_and_keywords_are_one_set_with_one_default(name, model, about):
    options = {each.name: each for each in get_command(app).commands[name].params}
    keywords = inspect.signature(getattr(tb, name)).parameters
    for key, field in model.model_fields.items():
        assert (key in options, key in keywords) == (key not in about, key not in about), key
        if key in about:
            continue
        # The default is the model's: a file's value must hold where neither option nor keyword is given.
        assert options[key].default is None and keywords[key].default is None
        assert field.description and options[key].help.startswith(field.description)
        default = field.default
        if not (field.is_required() or default is None or default is False or isinstance(default, dict)):
            shown = ",".join(default) if isinstance(default, tuple) else str(default).removesuffix(".0")
            assert options[key].help.endswith(f"[default: {shown}]")


@pytest.fixture
def clips(tmp_path, fake_metrics, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_clips(tmp_path / "made", ["a", "b"])


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--metrics", "fake/level", "--workers", "1"])


def test_the_folder_needs_no_option_and_the_run_no_folder(clips, tmp_path):
    done = evaluate(clips)
    assert done.exit_code == 0, done.stderr
    said = re.search(r"the run folder: (.*)", done.stderr)[1]
    assert said.startswith(str(tmp_path / "cache" / "t2av-bench" / "runs" / "made-"))
    assert list(tb.open_run(said).clips) == ["a", "b"] and sorted(path.name for path in clips.iterdir()) == [
        "a.wav", "b.wav"
    ]  # fmt: skip
    same = evaluate("--generated", clips, "--json")
    assert f'"run": "{said}"' in same.stdout
    assert tb.evaluate(clips, metrics="fake/level").path == tb.open_run(said).path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{made}", "--generated", "{real}"], "two folders of clips: .*made, and --generated .*real; give one"),
        (["{made}", "--out", "{made}"], "--out .*made is the folder of clips of --generated.*such as --out .*made.run"),
        (["{made}", "--reference", "{real}", "--out", "{real}/../real"], "--out .* is the folder of clips of --refer"),
        (["{made}", "--limit", "0"], "--limit: Input should be greater than or equal to 1, got 0"),
        (["{made}", "--batch-size", "5000"], "--batch-size: Input should be less than or equal to 4096"),
        ([], "--generated is missing: Folder of generated clips"),
        (["{made}", "--device", "tpu"], "--device: String should match pattern .*, got 'tpu'"),
        (["{made}", "--timeout", "0"], "--timeout: Input should be greater than 0, got 0.0"),
        (["{made}", "--option", "gain=1"], "--option 'gain=1': expected METRIC.OPTION=VALUE"),
    ],
)
def test_what_cannot_be_says_what_to_type(clips, tmp_path, arguments, said):
    make_clips(tmp_path / "real", ["a"])
    done = evaluate(*(each.format(made=clips, real=tmp_path / "real") for each in arguments))
    assert done.exit_code == 2 and re.search(said, done.stderr), done.stderr
    assert not list(tmp_path.rglob("results.db"))


def completed(words: str) -> list[str]:
    code = "import sys; from t2av_bench.cli.main import main; sys.argv[0] = 't2av-bench'\ntry: main()\nfinally: " \
        "assert 'torch' not in sys.modules"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env=os.environ | {
            "PYTHONPATH": str(ROOT), "_T2AV_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
    )  # fmt: skip
    assert "AssertionError" not in done.stderr
    return done.stdout.split()


def test_the_shell_completes_commands_options_metrics_and_systems():
    assert "evaluate" in completed("t2av-bench eval")
    assert completed("t2av-bench evaluate --metrics dns") == ["dnsmos", "dnsmos/p835"]
    assert completed("t2av-bench evaluate --metrics psnr,dns") == ["psnr,dnsmos", "psnr,dnsmos/p835"]
    assert completed("t2av-bench generate --system casc") == ["cascaded"]
    shown = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m t2av_bench.cli.main --show-completion; exit $?"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert shown.returncode == 0 and "COMP_WORDS" in shown.stdout, shown.stderr


@pytest.mark.parametrize("command", ["attest", "budget", "list"])
def test_a_command_that_goes_on_after_an_interruption_says_so(command, monkeypatch, capsys):
    from t2av_bench.cli import main

    monkeypatch.setattr(sys, "argv", ["t2av-bench", command])
    monkeypatch.setattr(main, "app", lambda: os.kill(os.getpid(), signal.SIGTERM))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as ended:
            main.main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.value.code == 128 + signal.SIGTERM
    assert ("the same command continues" in capsys.readouterr().err) == (command != "list")
