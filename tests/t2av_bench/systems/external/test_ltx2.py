"""LTX-2 on a pipeline of 0.2 million random weights: every part is the real one, only small."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from seeded_clips import check_seeds
from tiny_networks import save_ltx2

from t2av_bench.errors import NotApplicable
from t2av_bench.media.clip import Clip
from t2av_bench.systems import load
from t2av_bench.systems.base import Request
from t2av_bench.systems.external.ltx2 import LTX2

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ltx") / "tiny"
    save_ltx2(place)
    return place


@pytest.fixture(scope="module")
def system(folder: Path) -> LTX2:
    made = load("ltx-2", model=str(folder), height=32, width=32, frame_rate="25", steps=1, image_crf=0)
    assert isinstance(made, LTX2)
    return made


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("face") / "face.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(path)
    return path


def test_a_clip_is_delivered_with_both_lengths_and_depends_on_its_seed_alone(
    system: LTX2, face: Path, tmp_path: Path
) -> None:  # fmt: skip
    check_seeds(system, face, tmp_path, 0.36)

    record = json.loads((tmp_path / "first.json").read_text())
    decoded = Clip(tmp_path / "first.mp4", frame_rate=25)
    assert sum(len(batch) for batch in decoded.frames()) == record["frames"] == 9
    from scipy.io import wavfile

    rate, sound = wavfile.read(tmp_path / "first.wav")
    assert (rate, sound.ndim, len(sound)) == (16000, 1, record["audio_samples"])
    assert 0 < len(sound) / rate < 9 / 25  # nothing is padded
    assert record["settings"]["spatio_temporal_guidance_blocks"] == [29]
    assert "distort" in record["settings"]["negative_prompt"] and '"bin blue"' in record["prompt"]
    assert record["settings"]["model"] == "tiny"


def test_text_alone_is_served_by_the_same_networks(system: LTX2, tmp_path: Path) -> None:
    clip = system.generate(Request("text", tmp_path / "text.mp4", text="bin blue", max_seconds=0.5))
    assert clip.frame_count == 9  # 0.6 s and more are planned, 9 of 12.5 frames are allowed
    assert any("max_seconds" in note for note in clip.notes)


def test_what_is_missing_or_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotApplicable, match="hf download Lightricks/LTX-2"):
        load("ltx-2", model=str(tmp_path))
    for wrong in ({"variant": "ltx-3"}, {"offload": "disk"}, {"height": 500}, {"steps": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            load("ltx-2", **wrong)
    monkeypatch.setattr("t2av_bench.weights.needs.find_spec", lambda name: None if name == "diffusers" else name)
    with pytest.raises(NotApplicable, match=r"pip install 't2av-bench\[ltx\]'"):
        load("ltx-2")
