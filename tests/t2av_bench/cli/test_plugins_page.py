"""docs/plugins.md: its classes are plug-ins that measure and generate, and its example of a test passes."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from media_factory import tone
from plugin_factory import install
from scipy.io import wavfile
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench import metrics, systems
from t2av_bench.api.clip import _pool
from t2av_bench.cli.main import app
from t2av_bench.metrics.base import Metric, SetMetric
from t2av_bench.systems.base import System

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """The page's metrics and system as an installed package."""
    *classes, _test = BLOCKS
    ids = {"pauses/share": "plugins_page:PauseShare", "pauses/gap": "plugins_page:PauseGap"}
    install(tmp_path / "metrics", monkeypatch, ids, {"plugins_page": "\n\n".join(classes)})
    install(tmp_path / "systems", monkeypatch, {"beeper": "plugins_page:Beeper"}, group="t2av_bench.systems")
    systems.registry.forget()
    yield
    metrics.registry.forget()
    systems.registry.forget()


def test_the_pages_metrics_measure(plugged, tmp_path):
    assert metrics.broken() == {}
    for folder, sounding in (("clips", 1), ("real", 3)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            sound = np.concatenate([tone(sounding, amplitude=0.5), np.zeros(16000)]).astype(np.float32)
            wavfile.write(tmp_path / folder / f"{name}.wav", 16000, sound)
    run = tb.evaluate(
        tmp_path / "clips", reference=tmp_path / "real", metrics=["silence ratio", "Pauses/Gap"], out=tmp_path / "run",
        options={"pause-share": {"depth": 30.0}},
    )  # fmt: skip
    values = run.summary.set_index("quantity").value
    assert values["pause_share"] == pytest.approx(0.5, abs=0.01)
    assert values["pause_share_error"] == values["pause_gap"] == pytest.approx(0.25, abs=0.01)
    _pool(os.getpid())[0].close()  # a process that began before the plug-in was installed does not know it
    alone = tb.score(tmp_path / "clips" / "a.wav", ["pause share"])
    assert "no reference" in alone["pause_share_error"].reason


def test_the_pages_system_makes_clips(plugged, tmp_path):
    asked = [
        "generate",
        "--system",
        "Beeper",
        "--task",
        "tts",
        "--text",
        "one two three",
        "--out",
        tmp_path / "clip.wav",
    ]
    done = CliRunner().invoke(app, [str(word) for word in [*asked, "--option", "pitch=220", "--json"]])
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["seconds"] == pytest.approx(0.6) and record["settings"] == {"pitch": 220}
    rate, sound = wavfile.read(tmp_path / "clip.wav")
    assert np.argmax(np.abs(np.fft.rfft(sound[:3200]))) * rate / 3200 == pytest.approx(220, abs=5)


def test_the_pages_test_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known: dict = {"__name__": "plugins_page"}
    for block in BLOCKS:
        exec(compile(block, "docs/plugins.md", "exec"), known)
    assert (tmp_path / "half.wav").is_file() and len(BLOCKS) == 4


def test_the_page_says_all_that_can_be_declared():
    declared = {name for kind in (Metric, SetMetric) for name in kind.__annotations__} | {"protocol", "measure"}
    declared |= {name for name, value in vars(SetMetric).items() if callable(value)}
    declared |= set(System.__annotations__) | {"load", "checkpoint_files", "generate", "generate_batch"}
    assert {name for name in declared if f"`{name}`" not in PAGE and f"**{name}**" not in PAGE} <= {"native"}
