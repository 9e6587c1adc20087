"""The published layout, at tiny sizes: every part is found by id, loaded strictly, and makes a clip."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from tiny_talker import tiny_tokenizer

from t2av_bench import systems
from t2av_bench.errors import NotApplicable
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import Request


def test_a_clip_from_files_in_the_published_layout(published, inputs, tmp_path):
    system = systems.load("talker-t2av", recipe="paper")
    assert system.components.motion_codec.image_size == 512
    request = Request(
        "clip",
        tmp_path / "out" / "clip.mp4",
        text="hello world",
        identity=inputs["image"],
        voice=inputs["voice"],
        seed=1,
        max_seconds=0.04,
    )
    clip = system.generate(request)
    assert (clip.frame_count, clip.audio_samples) == (1, 960)
    video = Clip(clip.video)
    assert video.frame_count == 1 and (video.info.width, video.info.height) == (512, 512)
    expected = hashlib.sha256((published / "lia-x.pt").read_bytes()).hexdigest()
    assert clip.details["weights"]["lia_x"] == expected and None not in clip.details["weights"].values()

    from reference_model.checkpoints import load_model

    own = published.parent / "own.safetensors"
    own.write_bytes((published / "talker-t2av" / "model.safetensors").read_bytes())
    (published / "talker-t2av" / "model.safetensors").rename(published / "gone")
    mixed = systems.load("talker-t2av", precision="release", checkpoint=own, trim_voice=True)
    assert mixed.components.trims_voice and not system.components.trims_voice
    kinds = {name: p.dtype for name, p in mixed.components.model.named_parameters()}
    assert {name for name, kind in kinds.items() if kind is torch.bfloat16} == {n for n in kinds if "backbone." in n}
    mine = systems.load("talker-t2av", recipe="paper", checkpoint=own)
    assert own.name in mine.components.digests
    plain = load_model(own, dtype=torch.float32)
    mine.components.model = plain  # not packed for the CPU: the same numbers, by other kernels
    spoken = dataclasses.replace(request, task="tts", out=tmp_path / "out" / "speech.wav", max_seconds=0.4)
    assert mixed.generate(spoken).details["precision"] == "release"
    again, packed = (part.generate(spoken) for part in (mine, system))
    assert np.allclose(wavfile.read(again.audio)[1], wavfile.read(packed.audio)[1], atol=1e-4)
    assert again.frame_count >= 1


def test_everything_that_is_missing_is_named_at_once_with_one_command(published):
    (published / "lia-x.pt").unlink()
    (published / "motion_std.npy").unlink()
    with pytest.raises(NotApplicable) as reason:
        systems.load("talker-t2av")
    message = str(reason.value)
    assert "lia_x (part lia_x): licence terms of lia_x" in message and "whisperx_vae" not in message
    assert message.endswith("t2av-bench weights fetch lia_x talker_t2av_motion_std --accept non-commercial")


def test_without_a_tokenizer_of_its_own_the_backbones_serves(published):
    from reference_model.inference.prompt import text_prompt
    from t2av_bench.systems.talker_t2av.weights import _tokenizer

    with_own = text_prompt(_tokenizer(), "hello world")
    for file in (published / "talker-t2av").glob("tokenizer*"):
        file.unlink()
    with pytest.raises(NotApplicable, match="qwen3_0_6b .part qwen3_0_6b.: licence"):
        systems.load("talker-t2av")
    tiny_tokenizer().save_pretrained(published / "Qwen3-0.6B")
    assert torch.equal(text_prompt(_tokenizer(), "hello world"), with_own)


def test_files_that_do_not_fit_are_named(published):
    from safetensors.torch import load_file, save_file

    path = published / "talker-t2av" / "model.safetensors"
    state = load_file(path)
    state["stop_predictor.extra"] = torch.zeros(1)
    save_file(state, path)
    with pytest.raises(NotApplicable, match="talker-t2av does not load: .*"):
        systems.load("talker-t2av")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "papers"}, "unknown recipe 'papers'"),
        ({"precision": "float16"}, "unknown precision 'float16'; there are float32, bfloat16, release"),
        ({"dtype": "float16"}, "unknown precision 'float16'"),
        ({"dtype": "bfloat16", "precision": "release"}, "earlier name of precision: give precision alone"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"checkpoint": Path("absent.safetensors")}, "no checkpoint at absent.safetensors"),
        (
            {"guidance": 3.0},
            "has no option 'guidance'; there are recipe, prefix_seconds, precision, checkpoint, trim_voice, long",
        ),
    ],
)
def test_options_are_checked_before_anything_is_loaded(options, message):
    with pytest.raises(ValueError, match=message):
        systems.load("talker-t2av", **options)
