"""What makes clips of other people's systems again: what lies at their places, and not where it lies."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from t2av_bench.generation.generate import _jobs
from t2av_bench.generation.records import Standing, counted, finalize_record, fingerprint, made_from, standing
from t2av_bench.generation.worker import GenerationTask
from t2av_bench.systems.base import GeneratedClip, Request
from t2av_bench.systems.external import worker
from t2av_bench.systems.external.ltx2 import source_of
from t2av_bench.utils.worker_engine import Needs


def git(folder, *words):
    named = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", *named, "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def sonic(tmp_path):
    """A checkout with two commits, at the second, and weights of which one file and one folder are listed."""
    checkout = tmp_path / "Sonic"
    (checkout / "checkpoints" / "RIFE").mkdir(parents=True)
    (checkout / "checkpoints" / "RIFE" / "flownet.pkl").write_bytes(b"large")
    (checkout / "checkpoints" / "yoloface_v5m.pt").write_bytes(b"small")
    git(tmp_path, "init", "-q", str(checkout))
    for text in ("first", "second"):
        (checkout / "sonic.py").write_text(f"# {text}\n")
        git(checkout, "add", "sonic.py")
        git(checkout, "commit", "-qm", text)
    return checkout


def read_by(id, options):
    """What a system's clips are made from, and the files that were read whole for it."""
    read = []

    def digest(path):
        read.append(path)
        return "sha256"

    return made_from(id, options, digest), read


@pytest.mark.parametrize("wrap", [
    lambda options: ("sonic", options),
    lambda options: ("cascaded", {"tts": "embedded-espeak", "a2v": "sonic", "a2v_options": options}),
])  # fmt: skip
def test_where_a_system_is_moves_no_clip_and_nothing_below_it_is_read(sonic, wrap, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(sonic)
    request = Request("a", tmp_path / "a.mp4", task="a2v")
    found = []
    for options in (
        {"checkout": str(sonic), "python": sys.executable},
        {"checkout": str(tmp_path / "link"), "weights": str(sonic), "python": "python3", "gpus": [1]},
    ):
        id, given = wrap({**options, "inference_steps": 20})
        made, read = read_by(id, given)
        assert not [path for path in read if sonic.name in str(path) or "link" in str(path) or "python3" in str(path)]
        found.append((fingerprint(request, id, counted(id, given), {}, str), made))
    assert found[0] == found[1]
    id, given = wrap({"checkout": str(sonic), "python": sys.executable, "inference_steps": 30})
    assert fingerprint(request, id, counted(id, given), {}, str) != found[0][0]


def test_another_commit_changes_and_listed_weights_make_clips_again(sonic):
    options = {"checkout": str(sonic), "python": sys.executable}
    seen = [worker.sonic.state(**options)]
    assert set(seen[0]) == {"checkout", "weights: checkpoints/yoloface_v5m.pt"}, "a folder is not walked"
    weights = sonic / "checkpoints" / "yoloface_v5m.pt"
    weights.write_bytes(b"other")
    seen.append(worker.sonic.state(**options))
    for text in ("# mine\n", "# mine, again\n"):
        (sonic / "sonic.py").write_text(text)
        seen.append(worker.sonic.state(**options))
    git(sonic, "checkout", "-q", "--", "sonic.py")
    assert worker.sonic.state(**options) == seen[1]
    git(sonic, "checkout", "-q", "HEAD~1")
    seen.append(worker.sonic.state(**options))
    assert len({str(each) for each in seen}) == len(seen)


def test_a_listed_weight_is_read_once_as_long_as_it_is_untouched(sonic, monkeypatch):
    from t2av_bench.weights import digests

    read, real = [], digests.hash_file
    monkeypatch.setattr(digests, "hash_file", lambda path, *rest: (read.append(path), real(path, *rest))[1])
    options = {"checkout": str(sonic), "python": sys.executable}
    assert worker.sonic.state(**options) == worker.sonic.state(**options)
    assert len(read) <= 1
    os.utime(sonic / "checkpoints" / "yoloface_v5m.pt", (1, 1))
    worker.sonic.state(**options)
    assert len(read) <= 2 and set(read) == {sonic / "checkpoints" / "yoloface_v5m.pt"}


def test_clips_without_their_system_stay_and_say_why_they_do_not_where_it_moved_on(sonic, tmp_path):
    out = tmp_path / "clips" / "a.mp4"
    out.parent.mkdir()
    out.write_bytes(b"a clip")
    record = out.with_suffix(".json")
    record.write_text("{}")
    request = Request("a", out, task="a2v")
    made = GeneratedClip("a", out, out, record, 1, 25, 640, 16000, 0, "given", 1.0)
    source, _ = read_by("sonic", {"checkout": str(sonic), "python": sys.executable})
    finalize_record(request, made, "wanted", source)
    without, _ = read_by("sonic", {"checkout": str(Path("nowhere")), "python": sys.executable})
    for same in (source, without):
        assert standing(request, "wanted", same) == Standing(None)
    git(sonic, "checkout", "-q", "HEAD~1")
    later, _ = read_by("sonic", {"checkout": str(sonic), "python": sys.executable})
    assert standing(request, "wanted", later).reason == "what the system stands on has changed (checkout)"


def repositories(root):
    """Weights of the libraries below a folder, with files beside them that nobody reads; the options' name for each."""
    mova = root / "openmoss" / "MOVA-360p"
    ltx = root / "Lightricks" / "LTX-2"
    for file in (
        mova / "audio_dit" / "diffusion_pytorch_model.safetensors",
        mova / "video_dit" / "notes.txt",
        ltx / "model_index.json",
        ltx / "vae" / "model.safetensors",
        root / "another" / "model.safetensors",
    ):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"one")
    return {
        "mova": mova / "audio_dit" / "diffusion_pytorch_model.safetensors",
        "ltx-2": ltx / "vae" / "model.safetensors",
    }


@pytest.mark.parametrize("id", ["mova", "ltx-2"])
def test_weights_of_a_library_count_by_content_wherever_they_are_and_nothing_beside_them_is_read(
    id, tmp_path, monkeypatch
):  # fmt: skip
    monkeypatch.delenv("DIFFSYNTH_MODEL_BASE_PATH", raising=False)
    monkeypatch.setenv("T2AV_BENCH_SYSTEMS", str(tmp_path / "systems.toml"))
    (tmp_path / "systems.toml").write_text("")
    one = repositories(tmp_path / "one")[id]
    file = repositories(tmp_path / "two")[id]
    made, read = read_by(id, {"weights": str(tmp_path / "one")})
    assert not [path for path in read if path.is_relative_to(tmp_path)], "not as a whole"
    assert len(made["state"]) == 1 and one.as_posix().endswith(next(iter(made["state"])).removeprefix("weights: "))
    assert made == read_by(id, {"weights": str(tmp_path / "two")})[0]
    assert counted(id, {"weights": str(tmp_path / "one"), "steps": 3}) == {"steps": 3}
    file.write_bytes(b"other")
    assert read_by(id, {"weights": str(tmp_path / "two")})[0]["state"] != made["state"]
    # The user's file names the folder for those that name none.
    (tmp_path / "systems.toml").write_text(f'[{id}]\nweights = "one"\n')
    assert read_by(id, {})[0]["state"] == made["state"]


def test_the_pipeline_of_a_variant_is_below_the_folder_of_weights_or_else_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_SYSTEMS", str(tmp_path / "systems.toml"))
    (tmp_path / "systems.toml").write_text('[ltx-2]\nweights = "models"\n')
    repositories(tmp_path / "models")
    assert source_of(None, None, "ltx-2") == str(tmp_path / "models" / "Lightricks" / "LTX-2")
    assert source_of(None, None, "ltx-2.3") == "diffusers/LTX-2.3-Diffusers", "never the other variant's"
    assert source_of("mine", None, "ltx-2") == "mine"


@pytest.mark.parametrize(("id", "clips"), [("ovi", 1), ("sonic", 1), ("echomimic", 4)])
def test_a_kill_costs_no_clips_that_a_shim_had_made_one_by_one(id, clips, tmp_path):
    asked = [GenerationTask(id, Request(str(each), tmp_path / f"{each}.mp4"), "", {}) for each in range(4)]
    plan = SimpleNamespace(to_make=asked, row=SimpleNamespace(system=id, options={}))
    assert [len(job.parts) for job in _jobs([plan], "cpu", 8, lambda id: Needs())] == [clips] * (4 // clips)
