"""LTX-2 on a pipeline of 0.2 million random weights: every part is the real one, only small."""

import inspect
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from t2av_bench.errors import NotApplicable
from t2av_bench.media.clip import Clip
from t2av_bench.systems import load
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.external.ltx2 import LTX2, frames_asked
from t2av_bench.systems.external.spec import spec

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2ImageToVideoPipeline,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, PreTrainedTokenizerFast

    signs = ["<pad>", "<eos>", "<bos>", "<unk>", *map(chr, range(32, 127))]
    tokens = Tokenizer(models.WordLevel({sign: number for number, sign in enumerate(signs)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    text = {
        "vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 32,
        "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    }  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = {
            "scheduler": FlowMatchEulerDiscreteScheduler(),
            "tokenizer": PreTrainedTokenizerFast(
                tokenizer_object=tokens, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>",
                padding_side="left",
            ),
            "text_encoder": Gemma3ForConditionalGeneration(Gemma3Config(
                text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=120,
                boi_token_index=121, eoi_token_index=122,
            )),
            "transformer": LTX2VideoTransformer3DModel(
                in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
                audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2, audio_attention_head_dim=4,
                audio_cross_attention_dim=8, num_layers=30, caption_channels=32, rope_double_precision=False,
                rope_type="split",
            ),
            "connectors": LTX2TextConnectors(
                caption_channels=32, text_proj_in_factor=3, video_connector_num_attention_heads=4,
                video_connector_attention_head_dim=8, video_connector_num_layers=1,
                video_connector_num_learnable_registers=None, audio_connector_num_attention_heads=4,
                audio_connector_attention_head_dim=8, audio_connector_num_layers=1,
                audio_connector_num_learnable_registers=None, connector_rope_base_seq_len=32, rope_theta=10000.0,
                rope_double_precision=False, causal_temporal_positioning=False, rope_type="split",
            ),
            "vae": AutoencoderKLLTX2Video(
                latent_channels=4, block_out_channels=(8,), decoder_block_out_channels=(8,), layers_per_block=(1,),
                decoder_layers_per_block=(1, 1), spatio_temporal_scaling=(True,),
                decoder_spatio_temporal_scaling=(True,), decoder_inject_noise=(False, False),
                downsample_type=("spatial",), upsample_residual=(False,), upsample_factor=(1,),
                timestep_conditioning=False, patch_size=1, patch_size_t=1, encoder_causal=True, decoder_causal=False,
            ),
            "audio_vae": AutoencoderKLLTX2Audio(
                base_channels=4, output_channels=2, ch_mult=(1,), num_res_blocks=1, attn_resolutions=None,
                in_channels=2, resolution=32, latent_channels=2, norm_type="pixel", causality_axis="height",
                dropout=0.0, mid_block_add_attention=False, sample_rate=16000, mel_hop_length=160, is_causal=True,
                mel_bins=8,
            ),
            "vocoder": LTX2Vocoder(
                in_channels=16, hidden_channels=32, out_channels=2, upsample_kernel_sizes=[20, 32],
                upsample_factors=[10, 16], resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],
                leaky_relu_negative_slope=0.1, output_sampling_rate=16000,
            ),
        }  # fmt: skip
    optional = [name for name in inspect.signature(LTX2ImageToVideoPipeline.__init__).parameters
                if name not in parts and name != "self"]  # fmt: skip
    place = tmp_path_factory.mktemp("ltx") / "tiny"
    LTX2ImageToVideoPipeline(**parts, **dict.fromkeys(optional)).save_pretrained(place)
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
    def make(name: str, seed: int) -> tuple[bytes, bytes]:
        clip = system.generate(Request(
            name, tmp_path / f"{name}.mp4", text="bin blue", identity=face, seed=seed, target_seconds=0.36
        ))  # fmt: skip
        assert clip.video is not None
        return clip.video.read_bytes(), clip.audio.read_bytes()

    first = make("first", 5)
    torch.manual_seed(99)
    assert make("again", 5) == first
    other = make("other", 6)
    assert other[0] != first[0] and other[1] != first[1]

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


def test_lengths_are_the_least_of_the_grid_that_suffice() -> None:
    for rate in (Fraction(24), Fraction(25), Fraction(30000, 1001)):
        for seconds in np.linspace(0.05, 12, 97):
            count = frames_asked(float(seconds), rate, 30)
            assert count % 8 == 1 and count >= 9
            assert count >= float(rate) * seconds - 1e-6
            assert count == 9 or count - 8 < float(rate) * seconds
            if count > 9:
                assert spec("ltx-2").length.expected(float(seconds), rate) == count
    assert frames_asked(10, Fraction(24), 1) == 17
    with pytest.raises(GenerationFailed, match="9 frames"):
        frames_asked(1, Fraction(24), 0.3)


def test_what_is_missing_or_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotApplicable, match="hf download Lightricks/LTX-2"):
        load("ltx-2", model=str(tmp_path))
    for wrong in ({"variant": "ltx-3"}, {"offload": "disk"}, {"height": 500}, {"steps": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            load("ltx-2", **wrong)
    monkeypatch.setattr("t2av_bench.weights.needs.find_spec", lambda name: None if name == "diffusers" else name)
    with pytest.raises(NotApplicable, match=r"pip install 't2av-bench\[ltx\]'"):
        load("ltx-2")
