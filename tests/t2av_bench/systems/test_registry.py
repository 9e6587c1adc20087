"""Systems are found by id, describe themselves, and cost nothing until they are used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from t2av_bench import systems
from t2av_bench.errors import NotApplicable
from t2av_bench.systems.base import TASKS, GeneratedClip, GenerationFailed, NativeFormat, Request, System
from t2av_bench.utils.registry import PluginError
from t2av_bench.weights import entry


class Echo(System):
    """A plugged-in system that serves one task, and breaks on one text."""

    id, title, paper = "echo", "Echo", "none"
    needs = {"tts": ("text",)}
    native = NativeFormat(25, 64, 64, 24_000, "one second")
    seed_support = "none"

    def __init__(self, device: str, loudness: float) -> None:
        self.device, self.loudness = device, loudness

    @classmethod
    def load(cls, *, device: str = "cpu", loudness: float = 1.0) -> "Echo":
        return cls(device, loudness)

    def generate(self, request, on_progress=None):
        self.check(request)
        if request.text == "break":
            raise GenerationFailed("broken")
        return GeneratedClip(request.id, None, request.out, request.out, 25, 25, 24_000, 24_000, 0, "limit", 1.0)


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """``Echo`` as an installed plug-in."""

    def plug(id: str = "echo") -> None:
        described = tmp_path / "echo-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: echo\nVersion: 1.0\n")
        (described / "entry_points.txt").write_text(f"[t2av_bench.systems]\n{id} = echo_system:Echo\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setitem(sys.modules, "echo_system", sys.modules[__name__])
        systems.registry.forget()

    yield plug
    systems.registry.forget()


@pytest.mark.parametrize("id", systems.system_ids())
def test_a_system_describes_itself(id):
    system = systems.system_class(id)
    assert system.id == id and system.title and system.paper and system.__doc__
    assert set(system.needs) <= set(TASKS)
    for needed in system.needs.values():
        assert set(needed) <= set(Request.__dataclass_fields__)


def test_the_licence_is_the_most_restrictive_of_the_weights():
    order = ["free", "research", "non-commercial", "gated"]
    for id in systems.system_ids():
        system = systems.system_class(id)
        groups = [order.index(entry(name).group) for name in system.weights]
        assert order.index(system.licence) >= max(groups, default=0)


def test_unknown_systems_and_options_are_refused_with_what_there_is(plugged):
    plugged()
    with pytest.raises(ValueError, match="unknown system 'talker'; did you mean talker-t2av"):
        systems.system_class("talker")
    with pytest.raises(ValueError, match="system echo has no option 'volume'; there are loudness"):
        systems.load("echo", volume=2)
    with pytest.raises(ValueError, match="system echo has no option 'loundess'; did you mean loudness"):
        systems.load("echo", loundess=2)
    with pytest.raises(ValueError, match="options of system echo: loudness: Input should be a valid number, got '2'"):
        systems.load("echo", loudness="2")
    assert systems.load("echo", device="cuda:1", loudness=2.0).device == "cuda:1"


def test_a_name_that_is_taken_is_reported_and_the_others_work(plugged):
    plugged("talker-t2av")
    assert systems.system_class("talker-t2av").__module__ == "t2av_bench.systems.talker_t2av.system"
    (reason,) = systems.broken().values()
    assert "echo_system:Echo is left out: its id 'talker-t2av' is taken by t2av_bench.systems" in reason


def test_a_plug_in_that_cannot_be_used_is_broken_alone(plugged, monkeypatch, capsys):
    from t2av_bench.cli.list import list_

    plugged()
    monkeypatch.delattr(Echo, "title")
    with pytest.raises(PluginError, match=r"the plug-in echo \(echo_system:Echo\) is broken: .*'title'"):
        systems.system_class("echo")
    list_("systems", as_json=True)
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert "'title'" in rows["echo"]["broken"] and rows["talker-t2av"]["broken"] is None


def test_a_plugged_in_system_gets_batches_and_checks_for_free(plugged):
    plugged()
    echo = systems.load("echo")
    requests = [Request(name, Path("x.wav"), "tts", text) for name, text in (("a", "hi"), ("b", "break"), ("c", "ho"))]
    a, broken, c = echo.generate_batch([*requests])
    assert (a.id, str(broken), c.id, a.seconds) == ("a", "broken", "c", 1.0)
    (refused,) = echo.generate_batch([Request("d", Path("x.mp4"), "t2av", "hi")])
    assert isinstance(refused, NotApplicable)
    assert "echo does not serve the task t2av (text to speech and picture); it serves tts" in str(refused)


def test_importing_systems_loads_no_network_library():
    code = """
import sys
from t2av_bench import systems
from t2av_bench.cli import generate
from t2av_bench.systems import inputs, output
from t2av_bench.systems.latent import portrait
[systems.system_class(id) for id in systems.system_ids()]
heavy = {"torch", "torchvision", "cv2", "transformers", "PIL", "scipy", "av"} & sys.modules.keys()
sys.exit(", ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
