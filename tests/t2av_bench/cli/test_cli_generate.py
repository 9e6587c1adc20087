"""``t2av-bench generate`` as a user types it."""

import json

import pytest
import typer
from typer.testing import CliRunner

from t2av_bench.cli.generate import generate
from t2av_bench.systems.talker_t2av.system import TalkerT2AV


@pytest.fixture
def run(monkeypatch, components):
    """The command with tiny parts behind the published name; records the options it was loaded with."""
    loaded = []

    def load(
        cls, *, device="cpu", recipe="paper", prefix_seconds=0.0, precision=None, checkpoint=None, dtype=None,
        long=False,
    ):  # fmt: skip
        loaded.append((device, recipe, prefix_seconds, precision or dtype, checkpoint))
        return cls(components, recipe=recipe, prefix_seconds=prefix_seconds, long=long)

    monkeypatch.setattr(TalkerT2AV, "load", classmethod(load))
    app = typer.Typer()
    app.command()(generate)

    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    invoke.loaded = loaded
    return invoke


@pytest.fixture
def typed(inputs, tmp_path):
    """A complete command for each task, without the seed."""
    common = ["--text", "hello world", "--max-seconds", 0.7]
    return {
        "t2av": [*common, "--identity", inputs["image"], "--voice", inputs["voice"], "--out", tmp_path / "new/a.mp4"],
        "a2v": [*common, "--identity", inputs["image"], "--driving-audio", inputs["speech"],
                "--out", tmp_path / "new/a.mp4"],
        "v2a": [*common, "--voice", inputs["voice"], "--driving-video", inputs["video"],
                "--out", tmp_path / "new/a.mp4"],
        "tts": [*common, "--voice", inputs["voice"], "--out", tmp_path / "new/a.wav"],
    }  # fmt: skip


@pytest.mark.parametrize("task", ["t2av", "a2v", "v2a", "tts"])
def test_each_task_writes_its_files_and_prints_the_name(run, typed, tmp_path, task):
    done = run("--task", task, "--seed", 5, "--recipe", "release", *typed[task])
    assert done.exit_code == 0, done.output
    out = typed[task][-1]
    assert done.stdout == f"{out}\n" and out.is_file()
    record = json.loads((tmp_path / "new" / "a.json").read_text())
    assert (record["task"], record["seed"], record["frames"]) == (task, 5, 16)
    assert "reading: 0/" in done.stderr and "rendering:" in done.stderr and "real-time factor" in done.stderr


def test_a_long_text_has_ten_minutes_where_others_have_half_a_one(run, inputs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(TalkerT2AV, "check", classmethod(lambda cls, request: asked.append(request.max_seconds)))
    common = ["--task", "tts", "--text", "hello. world", "--voice", inputs["voice"], "--out", tmp_path / "a.wav"]
    assert run(*common, "--long", "--max-seconds", 2).exit_code == 0
    assert len(json.loads((tmp_path / "a.json").read_text())["passages"]) == 1, "two short sentences are one passage"
    for option in ([], ["--long"]):
        run("--recipe", "paper", *common, *option)
    assert list(dict.fromkeys(asked)) == [2, 30, 600]


def test_json_is_the_record_on_stdout_and_nothing_else(run, typed, tmp_path):
    done = run("--json", "--recipe", "paper", *typed["t2av"])
    printed = json.loads(done.stdout)
    record = json.loads((tmp_path / "new" / "a.json").read_text())
    assert printed.items() >= record.items()
    assert printed["video"] == str(typed["t2av"][-1]) and printed["recipe"]["name"] == "paper"


@pytest.mark.parametrize("name", ["--precision", "--dtype"])
def test_options_reach_the_system_and_unset_ones_do_not(run, typed, inputs, name):
    done = run(*typed["t2av"], "--prefix-seconds", 0.5, name, "bfloat16", "--device", "cpu",
               "--identity", inputs["video"], "--voice", inputs["video"])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert run.loaded == [("cpu", "paper", 0.5, "bfloat16", None)]
    assert ("--dtype is deprecated" in done.stderr and "write --precision" in done.stderr) is (name == "--dtype")


def test_what_a_user_can_get_wrong_is_refused_before_weights_are_loaded(run, typed, tmp_path):
    without_voice = [value for value in typed["t2av"] if value not in ("--voice", typed["t2av"][7])]
    cases = [
        (without_voice, 2, "needs --voice FILE"),
        ([*typed["t2av"], "--system", "talker"], 2, "did you mean talker-t2av"),
        ([*typed["t2av"], "--voice", tmp_path / "absent.wav"], 1, "absent.wav does not exist"),
        ([*typed["t2av"], "--text", ""], 1, "the text is empty"),
        ([*typed["t2av"], "--out", "x.avi"], 1, "name it x.mp4"),
        ([*typed["t2av"], "--task", "dub"], 2, "'dub' is not one of"),
    ]
    for arguments, status, message in cases:
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (status, ""), arguments
        assert message in " ".join(done.stderr.replace("│", " ").split())
    assert not run.loaded and not (tmp_path / "new").exists()


def test_a_request_that_fails_says_why(run, typed, inputs, tmp_path):
    done = run(*typed["t2av"], "--identity", inputs["voice"])
    assert done.exit_code == 1 and "t2av-bench: identity: " in done.stderr and "no video stream" in done.stderr
    assert not (tmp_path / "new").exists()


def test_missing_weights_name_the_command_and_the_licences(typed):
    app = typer.Typer()
    app.command()(generate)
    done = CliRunner().invoke(app, [str(argument) for argument in typed["t2av"]])
    assert done.exit_code == 2 and done.stdout == ""
    assert "weights fetch talker_t2av" in done.stderr and "--accept non-commercial --accept research" in done.stderr
    assert "lia_x (LIA-X, motion latent <-> 512x512 video): licence CC BY-NC 4.0" in done.stderr


DEFECTS = {
    "raise": ("1 / 0", "unexpected ZeroDivisionError: division by zero (", 1),
    "leave": ("raise SystemExit(0)", "unexpected SystemExit: 0", 1),
    "boast": ("return None", "wrote no a.mp4", 1),
    "full": ("import os; os.write(os.open('/dev/full', os.O_WRONLY), b'x')", "No space left on device", 2),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_a_system_is_a_sentence_and_stdout_stays_clean(run, typed, tmp_path, monkeypatch, defect):
    code, said, status = DEFECTS[defect]

    def generate(self, request, on_progress=None):
        print("hello")
        exec(code.replace("return None", "pass"))

    monkeypatch.setattr(TalkerT2AV, "generate", generate)
    done = run("--json", *typed["t2av"])
    assert done.exit_code == status, done.output
    assert done.stdout == "" and said in done.stderr and "Traceback" not in done.stderr


def test_a_system_that_cannot_be_loaded_for_whatever_reason_is_a_sentence(run, typed, monkeypatch):
    for error, said in ((KeyError("device"), "unexpected KeyError"), (SystemExit(0), "unexpected SystemExit: 0")):

        def load(cls, error=error, **options):
            raise error

        monkeypatch.setattr(TalkerT2AV, "load", classmethod(load))
        done = run(*typed["t2av"])
        assert done.exit_code == 2 and "talker-t2av cannot be loaded: " in done.stderr and said in done.stderr


def test_names_and_texts_that_are_not_utf8(run, typed, tmp_path):
    name = tmp_path / "new" / "caf\udce9.mp4"  # as Python names a file of Latin-1
    done = run(*[name if argument == tmp_path / "new/a.mp4" else argument for argument in typed["t2av"]])
    assert done.exit_code == 0, done.output
    assert name.is_file() and done.stdout_bytes == str(name).encode("utf-8", "surrogateescape") + b"\n"
    assert json.loads(name.with_suffix(".json").read_text())["id"] == "caf\udce9"
    refused = run(*["caf\udce9" if argument == "hello world" else argument for argument in typed["t2av"]])
    assert refused.exit_code == 1 and "not UTF-8" in refused.stderr
