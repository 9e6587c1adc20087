"""Shims of audio-driven systems, each in a process of its own against a tree with the same names and habits."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from pathlib import Path

import av
import pytest

from t2av_bench.systems.external.spec import SHIMS, spec

FAKES = Path(__file__).parent / "fakes"
DRIVER = """
import importlib.util, json, sys, types
class Refused(Exception):
    def __init__(self, kind, message): super().__init__(message); self.kind = kind
path, settings, requests = json.loads(sys.argv[1])
sys.path.append(path.rpartition("/")[0])
import _shared
sys.path.pop()
sys.modules["_worker"] = types.SimpleNamespace(Refused=Refused, Cases=_shared.Cases, link=_shared.link)
sys.path.insert(0, settings["checkout"])
place = importlib.util.spec_from_file_location("shim", path)
shim = importlib.util.module_from_spec(place); place.loader.exec_module(shim)
model, out = shim.load(settings), {}
def one(request):
    try: return shim.make(model, request)
    except Exception as error: return error
made = shim.make_many(model, requests) if hasattr(shim, "make_many") else ((r["id"], one(r)) for r in requests)
for id, found in made:
    print("MADE", id, flush=True)
    out[id] = found if isinstance(found, dict) else [getattr(found, "kind", type(found).__name__), str(found)]
print("RESULT" + json.dumps(out))
"""


def prepared(tmp_path: Path, id: str, names: list[str], seed: int = 7, seconds: float = 1.0) -> tuple[Path, str]:
    """A checkout, and what the driver is told: shim, settings and requests."""
    checkout = tmp_path / "checkout"
    shutil.copytree(FAKES / id, checkout)
    for weight in spec(id).weights:
        place = checkout / weight.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch() if place.suffix else place.mkdir()
    requests = []
    for index, name in enumerate(names):
        out = tmp_path / f"out{index}"
        out.mkdir()
        (tmp_path / f"{name}.png").touch()
        with wave.open(str(tmp_path / "a.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes(2 * int(16000 * seconds)))
        requests.append({"id": f"i{index:06d}", "seed": seed, "identity": str(tmp_path / f"{name}.png"),
                         "driving_audio": str(tmp_path / "a.wav"), "out_dir": str(out)})  # fmt: skip
    settings = {"checkout": str(checkout), "weights": str(checkout), "device": "cpu", "options": spec(id).defaults}
    return checkout, json.dumps([str(SHIMS / f"{id}.py"), settings, requests])


def run(tmp_path: Path, id: str, names: list[str], seed: int = 7, seconds: float = 1.0) -> dict:
    checkout, given = prepared(tmp_path, id, names, seed, seconds)
    (tmp_path / "tmp").mkdir()
    done = subprocess.run([sys.executable, "-c", DRIVER, given], cwd=checkout, capture_output=True, text=True,
                          env=os.environ | {"TMPDIR": str(tmp_path / "tmp")})  # fmt: skip
    assert "RESULT" in done.stdout, done.stderr
    assert not (checkout / "output").exists()
    return json.loads(done.stdout.split("RESULT")[1])


def frames(path: str) -> tuple[int, int, int]:
    with av.open(path) as file:
        found = list(file.decode(video=0))
    return len(found), found[0].width, found[0].height


@pytest.mark.parametrize("id", ["sonic", "echomimic", "aniportrait"])
def test_shims_are_python_3_8(id: str) -> None:
    ast.parse((SHIMS / f"{id}.py").read_text(encoding="utf-8"), feature_version=(3, 8))


def test_sonic_gives_an_odd_number_of_frames_and_says_where_no_face_is(tmp_path: Path) -> None:
    found = run(tmp_path, "sonic", ["good", "noface"])
    assert frames(found["i000000"]["av"])[0] == spec("sonic").length.expected(1.0, spec("sonic").frame_rate) == 23
    assert found["i000001"][0] == "no_face"


def test_sonic_is_never_given_seed_0(tmp_path: Path) -> None:
    assert "at least 1" in run(tmp_path, "sonic", ["good"], seed=0)["i000000"][1]


@pytest.mark.parametrize(("id", "expected"), [("echomimic", (24, 512, 512)), ("aniportrait", (30, 1544, 516))])
def test_commands_write_into_a_private_folder_and_files_are_found_by_stem(tmp_path: Path, id: str, expected) -> None:
    found = run(tmp_path, id, ["good", "bad", "other"])
    assert frames(found["i000000"]["av"]) == frames(found["i000002"]["av"]) == expected
    assert "wrote no file and ended with 0" in found["i000001"][1]
    assert found["i000002"].get("edits") == ([{"crop": [1030, 2, 512, 512]}] if id == "aniportrait" else None)


def test_a_command_that_crashes_costs_what_it_had_not_finished(tmp_path: Path) -> None:
    found = run(tmp_path, "echomimic", ["good", "torn", "other"])
    assert frames(found["i000000"]["av"])[0] == 24
    assert all("wrote no file and ended with -6" in found[id][1] for id in ("i000001", "i000002"))


def test_what_a_command_finished_is_told_while_it_hangs_at_the_next(tmp_path: Path) -> None:
    checkout, given = prepared(tmp_path, "echomimic", ["good", "stuck"])
    process = subprocess.Popen([sys.executable, "-c", DRIVER, given], cwd=checkout, text=True, start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        assert any(line == "MADE i000000\n" for line in process.stdout)
        assert frames(str(tmp_path / "out0" / "i000000.mp4"))[0] == 24
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
