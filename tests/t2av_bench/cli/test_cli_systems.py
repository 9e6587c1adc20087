"""``t2av-bench systems`` on the specifications of the package and on that of docs/systems.md."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from t2av_bench.cli.main import app
from t2av_bench.systems.external import attestations
from t2av_bench.systems.external.spec import spec, spec_ids

PAGE = Path(__file__).resolve().parents[3] / "docs" / "systems.md"

# Looks like the repository of the page: silent where the real one would think.
FAKE = """
import wave
from fractions import Fraction

import av
import numpy as np


class Nodder:
    def __init__(self, checkpoint, device):
        print("loading", checkpoint)

    def animate(self, image, audio, output, seed=0):
        with wave.open(audio) as file:
            rate, count = file.getframerate(), file.getnframes()
            sound = np.frombuffer(file.readframes(count), "<i2")
        picture = av.open(image).decode(video=0).__next__().to_ndarray(format="rgb24")
        frames = count * 25 // rate
        if picture.std(axis=(0, 2)).max() < 60 and picture[0].std() == 0:
            raise ValueError("no face")
        with av.open(output, "w") as out:
            video = out.add_stream("libx264", rate=25)
            video.width = video.height = 256
            voice = out.add_stream("aac", rate=rate, layout="mono")
            for number in range(frames):
                still = np.full((256, 256, 3), (seed * 7 + number * 3) % 200 + 20, np.uint8)
                out.mux(video.encode(av.VideoFrame.from_ndarray(still)))
            out.mux(video.encode())
            for start in range(0, count, 1024):
                block = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], "s16", "mono")
                block.rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
                out.mux(voice.encode(block))
            out.mux(voice.encode())
"""


def run(*words: str, exit_code: int = 0):
    result = CliRunner().invoke(app, ["systems", *words])
    assert result.exit_code == exit_code, result.output
    return result


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)


@pytest.fixture
def adapters(tmp_path, monkeypatch):
    """The two files of the page, in a folder that counts; nothing of the user's does."""
    folder = tmp_path / "adapters"
    folder.mkdir()
    (toml,) = [text for text in blocks("toml") if 'id = "nodder"' in text]
    (shim,) = blocks("python")
    (folder / "nodder.toml").write_text(toml, encoding="utf-8")
    (folder / "nodder.py").write_text(shim, encoding="utf-8")
    monkeypatch.setenv("T2AV_BENCH_SPECS", str(folder))
    monkeypatch.setattr(attestations, "user_data", lambda: tmp_path / "data")
    return folder


def test_show_says_what_becomes_of_each_field(adapters):
    text = run("show", "nodder").stdout
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "identity, driving_audio, seed" in rows["honoured"]
    assert rows["ignored"].split()[1:] == ["text"]
    assert "never run with weights" in rows["nodder"]
    assert "256x256 at 25/s, 16000 Hz" in rows["native format"]
    assert "checkpoints/nodder.pth: the network, from the link of its README" in rows["weights"]


def test_show_without_an_id_lists_all_of_them(adapters):
    found = json.loads(run("show", "--json").stdout)
    assert [each["id"] for each in found] == spec_ids()
    assert {each["status"] for each in found if each["carrier"] != "folder"} == {"never run with weights"}
    assert "nodder" in run("show").stdout


def test_every_specification_can_be_shown_and_set_up(adapters):
    for id in spec_ids():
        shown = run("show", id).stdout
        assert spec(id).title in shown
        for kind in ("uv", "conda", "docker"):
            text = run("recipe", id, "--kind", kind).stdout
            assert spec(id).commit in text, (id, kind)
            assert all(weight.path in text for weight in spec(id).weights), (id, kind)


def test_an_unknown_system_is_an_error_of_use(adapters):
    for command in ("show", "recipe", "doctor", "check"):
        result = run(command, "noder", exit_code=2)
        assert "nodder" in result.stderr, "the nearest is named"


def test_an_attestation_ends_never_run(adapters, tmp_path):
    facts = {"id": "nodder", "date": "2030-01-02T03:04:05+00:00", "spec": "of another day",
             "results": [{"name": "item a2v", "status": "ok", "words": ""}]}  # fmt: skip
    for wrong in ({"fake": True}, {"results": []}, {"results": [*facts["results"],
                  {"name": "resume", "status": "failed", "words": ""}]}):  # fmt: skip
        with pytest.raises(ValueError, match="nothing to attest"):
            attestations.write(tmp_path / "no.json", facts | wrong)
    assert attestations.never_run("nodder") and not (tmp_path / "no.json").exists()
    attestations.write(tmp_path / "yes.json", facts)
    assert not attestations.never_run("nodder")
    assert "passed its check with weights on 2030-01-02" in run("show", "nodder").stdout
    assert "spec and shim changed since" in run("show", "nodder").stdout


def test_the_systems_of_the_page_become_rows(adapters):
    """Ids are looked up when the program starts, so it is started."""
    listed = subprocess.run(
        [sys.executable, "-c", "from t2av_bench.systems import system_ids; print(*system_ids())"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(PAGE.parents[1])},
    )  # fmt: skip
    assert "nodder" in listed.stdout.split()


def test_the_shim_of_the_page_passes_its_check_on_a_fake_tree(adapters, tmp_path):
    for module in ("worker", "harvest"):
        pytest.importorskip(f"t2av_bench.systems.external.{module}")
    tree = tmp_path / "fake_nodder"
    tree.mkdir()
    (tree / "inference.py").write_text(FAKE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", "systems", "check", "nodder", "--fake", str(tree), "--json"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(PAGE.parents[1])}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each["status"] for each in json.loads(done.stdout)}
    assert {found[name] for name in (
        "interface", "item a2v", "format a2v", "length a2v", "seed_effective", "no face", "kill", "resume",
    )} == {"ok"}, done.stderr  # fmt: skip
    # A renamed parameter is found before anything is loaded.
    (tree / "inference.py").write_text(FAKE.replace("output, seed=0", "output, noise=0"), encoding="utf-8")
    from t2av_bench.systems.external.doctor import checkout_findings

    lost = [finding for finding in checkout_findings(spec("nodder"), tree) if finding.status == "failed"]
    assert lost and "seed" in lost[0].words


def test_doctor_asks_the_interpreter_of_the_settings(adapters, tmp_path, monkeypatch):
    for module in ("settings", "process", "harvest"):
        pytest.importorskip(f"t2av_bench.systems.external.{module}")
    python, tree, settings = tmp_path / "python", tmp_path / "nodder", tmp_path / "systems.toml"
    monkeypatch.setenv("T2AV_BENCH_SYSTEMS", str(settings))
    monkeypatch.setenv("PYTHONPATH", "of this program")
    settings.write_text("")
    assert "recipe nodder" in run("doctor", "nodder", exit_code=2).stderr, "it is not set up"
    assert "names no system" in run("doctor", exit_code=2).stderr
    (tree / "checkpoints").mkdir(parents=True)
    (tree / "inference.py").write_text(FAKE, encoding="utf-8")
    (tree / "requirements.txt").write_text("numpy\n")
    (tree / "checkpoints" / "nodder.pth").write_text("weights")
    about = {"python": "3.10.1", "platform": "linux", "cuda": "12.1", "gpus": ["a GPU"],
             "packages": {"torch": "2.2.1", "numpy": "1.26.4"}}  # fmt: skip
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ffmpeg").write_text("#!/bin/sh\n")
    (programs / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def install(about: dict) -> None:
        python.write_text(f"#!/bin/sh\n[ -z \"$PYTHONPATH\" ] || exit 9\nprintf '\\036%s' '{json.dumps(about)}'\n")
        python.chmod(0o755)

    install(about)
    settings.write_text(f'[nodder]\npython = "{python}"\ncheckout = "{tree}"\n')
    found = json.loads(run("doctor", "nodder", "--json").stdout)["nodder"]
    assert {each["status"] for each in found if each["name"] != "commit"} == {"ok"}
    install(about | {"packages": {"torch": "2.3.0", "numpy": "1.26.4"}})
    text = run("doctor", exit_code=1).stdout
    assert "failed   package torch: 2.3.0, expected ==2.2.1; next: t2av-bench systems recipe nodder" in text
    settings.write_text(f'[nodder]\ncommand = ["env", "PLACE={{checkout}}", "{python}"]\ncheckout = "{tree}"\n')
    python.write_text(python.read_text().replace("[ -z", f'[ "$PLACE" = "{tree}" ] || exit 8\n[ -z'))
    assert "failed   package torch: 2.3.0" in run("doctor", exit_code=1).stdout, "a command is asked like a program"


def test_harvest_prints_what_a_specification_holds_and_says_what_is_missing(adapters, tmp_path):
    tree = tmp_path / "fake_nodder"
    tree.mkdir()
    (tree / "inference.py").write_text(FAKE, encoding="utf-8")
    printed = run("harvest", "nodder", str(tree))
    assert printed.stdout.startswith("# Harvested from fake_nodder: names") and not printed.stderr
    (tail,) = tomllib.loads(printed.stdout)["harvest"]
    assert tail["callables"] == {"Nodder.animate": ["self", "image", "audio", "output", "seed=0"]}
    # The specification of the page goes on with it in place of its own.
    page = (adapters / "nodder.toml").read_text(encoding="utf-8")
    (adapters / "nodder.toml").write_text(re.sub(r"\[\[harvest\]\].*?\n\n", "", page, flags=re.S), encoding="utf-8")
    (adapters / "nodder.harvest.toml").write_text(printed.stdout, encoding="utf-8")
    assert spec("nodder").harvest[0].callables == {name: tuple(each) for name, each in tail["callables"].items()}
    (tree / "inference.py").write_text(FAKE.replace("output, seed=0", "output, noise=0"), encoding="utf-8")
    assert "lost the parameter seed" in run("harvest", "nodder", str(tree), exit_code=1).stderr
    assert "inference.py cannot be read" in run("harvest", "nodder", str(tmp_path), exit_code=2).stderr
    assert "CHECKOUT is a folder" in run("harvest", "nodder", str(tmp_path / "none"), exit_code=2).stderr
