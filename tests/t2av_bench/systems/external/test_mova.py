"""MOVA: what is asked of diffsynth, with something that only takes it; and diffsynth itself on small random weights."""

import functools
import importlib
import json
import shlex
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile
from seeded_clips import check_seeds

from t2av_bench.errors import NotApplicable
from t2av_bench.media.clip import Clip
from t2av_bench.systems import load
from t2av_bench.systems.base import GenerationFailed, Progress, Request
from t2av_bench.systems.external.mova import MOVA, VARIANTS, commands, parts, placement
from t2av_bench.systems.external.spec import spec

torch = pytest.importorskip("torch")
HOP = 960  # samples a step of the sound's autoencoder


class Library:
    """Takes what a MovaAudioVideoPipeline takes. Its pictures show the first frame, its sound is of whole hops."""

    audio_vae = SimpleNamespace(sample_rate=48000)

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def tokenizer(self, text: str, **_: Any) -> tuple[np.ndarray, None]:
        return np.zeros((1, len(text.split()))), None

    def __call__(self, **asked: Any) -> tuple[list[Any], Any]:
        self.asked.append(asked)
        assert [*asked["progress_bar_cmd"](range(asked["num_inference_steps"]))]
        generator = torch.Generator(asked["rand_device"]).manual_seed(asked["seed"])
        steps = -(-48000 * asked["num_frames"] // 24 // HOP)
        return [asked["input_image"]] * asked["num_frames"], torch.rand(1, steps * HOP, generator=generator) - 0.5


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def face(tmp_path: Path) -> Path:
    from PIL import Image

    pixels = np.full((48, 96, 3), 255, dtype=np.uint8)  # white left and right of a dark square
    pixels[:, 24:72] = 20
    Image.fromarray(pixels).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def test_a_clip_is_asked_for_by_the_rules_and_delivered_with_both_lengths(
    library: Library, face: Path, tmp_path: Path
) -> None:  # fmt: skip
    told: list[Progress] = []
    system = MOVA(library, size=32, steps=3)
    request = Request(
        "a", tmp_path / "a.mp4", text='say "blue"', language="en", identity=face, voice=face, seed=5, target_seconds=0.4
    )
    clip = system.generate(request, told.append)
    [asked] = library.asked
    [call] = [use for use in spec("mova").uses if use.callable.endswith("__call__")]
    assert {*asked} == {*call.names}
    assert (asked["num_frames"], asked["frame_rate"], asked["rand_device"]) == (13, 24, "cpu")  # 9.6 frames, 4 k + 1
    assert (asked["cfg_scale"], asked["sigma_shift"], asked["num_inference_steps"]) == (5.0, 5.0, 3)
    assert asked["input_image"].size == (32, 32) and np.asarray(asked["input_image"]).max() < 40  # the middle alone
    assert "in English, \"say 'blue'\"" in asked["prompt"]
    assert [each.done for each in told] == [1, 2, 3] and {each.total for each in told} == {3}

    rate, sound = wavfile.read(clip.audio)
    assert clip.video is not None
    assert clip.frame_count == sum(map(len, Clip(clip.video, frame_rate=24).frames())) == 13
    assert rate == 48000 and len(sound) == clip.audio_samples == 28 * HOP
    assert 0 < len(sound) / rate - 13 / 24 < HOP / rate  # nothing is cut or padded
    assert any("voice is not heard" in note for note in clip.notes)
    record = json.loads(clip.record.read_text())
    assert record["prompt"] == asked["prompt"] and record["native_seed"] == asked["seed"] == 6
    assert record["settings"]["negative_prompt"] == asked["negative_prompt"] and record["settings"]["variant"] == "360p"


def test_the_size_is_that_of_the_variant(library: Library) -> None:
    assert [(MOVA(library, variant=name).height, MOVA(library, variant=name).width) for name in VARIANTS] == [
        (480, 480), (960, 960),
    ]  # fmt: skip


def test_what_cannot_be_served_is_refused(library: Library, face: Path, tmp_path: Path) -> None:
    system, out = MOVA(library, size=32, steps=1), tmp_path / "a.mp4"
    with pytest.raises(NotApplicable, match="needs --identity"):
        system.generate(Request("a", out, text="bin blue"))
    with pytest.raises(GenerationFailed, match="tokens, of which the model reads 512"):
        system.generate(Request("a", out, text="word " * 600, identity=face))
    with pytest.raises(GenerationFailed, match="less than 5 frames"):
        system.generate(Request("a", out, text="bin blue", identity=face, max_seconds=0.2))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(GenerationFailed, match="identity"):
        system.generate(Request("a", out, text="bin blue", identity=tmp_path / "broken.png"))
    assert not library.asked and not out.exists()


def test_a_library_that_breaks_down_is_a_reason(library: Library, face: Path, tmp_path: Path) -> None:
    def broken(text: str, **_: Any) -> None:
        raise RuntimeError("CUDA out of memory\nand more")

    library.tokenizer = broken  # type: ignore[assignment]
    with pytest.raises(GenerationFailed, match=r"diffsynth: CUDA out of memory$"):
        MOVA(library, size=32).generate(Request("a", tmp_path / "a.mp4", text="bin blue", identity=face))


@pytest.mark.parametrize(
    "wrong", [{"variant": "1080p"}, {"size": 100}, {"steps": 0}, {"offload": "disk"}, {"offload": "model"},
              {"vram_limit": 10.0}],
    ids=str,
)  # fmt: skip
def test_wrong_options_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MOVA.load(**wrong)


def test_idle_models_wait_in_main_memory_with_offload_alone() -> None:
    assert placement("none", "cuda", "bfloat16") == {}
    places = placement("model", "cuda", "bfloat16")
    assert places.pop("offload_device") == "cpu" and {*places.values()} == {"cuda", "bfloat16"} and len(places) == 7


def fill(folder: Path, variant: str) -> None:
    for part in parts(variant):
        name = part.files.replace("-*", "-00001-of-00001").replace("*", "tokenizer.json")
        file = folder / part.repository / part.place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_missing_weights_are_named_with_what_brings_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFFSYNTH_MODEL_BASE_PATH", raising=False)
    with pytest.raises(NotApplicable, match="no folder of weights is named") as all_missing:
        MOVA.load()
    assert all(part.path in str(all_missing.value) for part in parts("360p"))
    assert "DiffusionPipeline.from_pretrained" in str(all_missing.value)

    fill(tmp_path, "360p")
    (tmp_path / "openmoss/MOVA-720p/tokenizer/tokenizer.json").unlink()
    (tmp_path / "openmoss/MOVA-360p/video_dit_2/diffusion_pytorch_model-00001-of-00001.safetensors").unlink()
    for given in ({"weights": str(tmp_path)}, {}):
        monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(tmp_path))
        with pytest.raises(NotApplicable) as error:
            MOVA.load(**given)
        why = str(error.value)
        assert "openmoss/MOVA-360p/video_dit_2, openmoss/MOVA-720p/tokenizer" in why and "audio_dit" not in why
        first, second = why.partition(": modelscope ")[2].partition(", and give")[0].split(" && modelscope ")
        assert [*map(shlex.split, (first, second))] == [
            ["download", "--model", "openmoss/MOVA-360p", "--include",
             "video_dit_2/diffusion_pytorch_model-*.safetensors", "--local_dir", f"{tmp_path}/openmoss/MOVA-360p"],
            ["download", "--model", "openmoss/MOVA-720p", "--include", "tokenizer/*", "--local_dir",
             f"{tmp_path}/openmoss/MOVA-720p"],
        ]  # fmt: skip


def test_all_files_that_are_read_count_for_the_next_run(tmp_path: Path) -> None:
    for variant in VARIANTS:
        fill(tmp_path, variant)
        (tmp_path / "openmoss/MOVA-360p/model_index.json").touch()  # which nobody reads
        files = MOVA.state(weights=str(tmp_path), variant=variant)
        assert len(files) == len(parts(variant)) == 8
        assert any("MOVA-360p" in file for file in files) == (variant == "360p")
    assert MOVA.state(weights=str(tmp_path / "elsewhere")) == {}


def test_the_specification_lists_the_parts_and_what_brings_them() -> None:
    assert [(each.path, each.source) for each in spec("mova").weights] == [
        (part.path, f"ModelScope: {commands([part], Path('FOLDER'))[0]}") for part in parts("360p")
    ]


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Path:
    """All parts with a million random weights in the layout of the real ones, which diffsynth is told to know."""
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    import transformers  # before torchaudio, whose presence it asks for
    import transformers.models.auto

    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):  # not here, or built for another torch; nothing of it is called
        for name in ("torchaudio", "torchaudio.functional", "torchaudio.transforms"):
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None)
            patch.setitem(sys.modules, name, module)
    pytest.importorskip("diffsynth", reason="diffsynth is not installed: pip install 't2av-bench[mova]'")
    from diffsynth import configs
    from diffsynth.core.loader import hash_model_file
    from diffsynth.models import model_loader, wan_video_vae
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    small = functools.partial(wan_video_vae.VideoVAE_, dim=8, num_res_blocks=1)
    patch.setattr(wan_video_vae, "VideoVAE_", small)
    both = {"dim": 24, "ffn_dim": 32, "freq_dim": 16, "text_dim": 16, "eps": 1e-6, "num_heads": 2, "num_layers": 2,
            "has_image_input": False}  # fmt: skip
    classes: dict[str, tuple[str, dict[str, Any]]] = {
        "wan_video_dit": ("wan_video_dit.WanModel", {
            **both, "in_dim": 36, "out_dim": 16, "patch_size": (1, 2, 2), "require_clip_embedding": False,
        }),
        "mova_audio_dit": ("mova_audio_dit.MovaAudioDit", {**both, "in_dim": 8, "out_dim": 8, "patch_size": [1]}),
        "mova_dual_tower_bridge": ("mova_dual_tower_bridge.DualTowerConditionalBridge", {
            "visual_layers": 2, "audio_layers": 2, "visual_hidden_dim": 24, "audio_hidden_dim": 24, "head_dim": 12,
        }),
        "mova_audio_vae": ("mova_audio_vae.DacVAE", {"encoder_dim": 4, "latent_dim": 8, "decoder_dim": 32}),
        "wan_video_vae": ("wan_video_vae.WanVideoVAE", {}),
        "wan_video_text_encoder": ("wan_video_text_encoder.WanTextEncoder", {
            "vocab": 128, "dim": 16, "dim_attn": 16, "dim_ffn": 16, "num_heads": 2, "num_layers": 1,
        }),
    }  # fmt: skip
    place = tmp_path_factory.mktemp("mova")
    fill(place, "360p")
    known: list[dict[str, Any]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for part in parts("360p"):
            found = part.found(place)
            if not part.model:
                signs = ["<pad>", "<unk>", *map(chr, range(32, 127))]
                tokens = Tokenizer(models.WordLevel({sign: number for number, sign in enumerate(signs)}, "<unk>"))
                tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
                found[0].unlink()
                transformers.PreTrainedTokenizerFast(
                    tokenizer_object=tokens, pad_token="<pad>", unk_token="<unk>"
                ).save_pretrained(found[0].parent)
                continue
            name, arguments = classes[part.model]
            module, _, wanted = f"diffsynth.models.{name}".rpartition(".")
            state = getattr(importlib.import_module(module), wanted)(**arguments).state_dict()
            save_file({key: value.contiguous().clone() for key, value in state.items()}, found[0])
            known.append({"model_hash": hash_model_file([str(found[0])]), "model_name": part.model,
                          "model_class": f"{module}.{wanted}", "extra_kwargs": arguments})  # fmt: skip
    # Both video transformers are of one kind, as the real ones are.
    assert known[0]["model_hash"] == known[1]["model_hash"]
    for module_with_it in (configs, model_loader):
        patch.setattr(module_with_it, "MODEL_CONFIGS", known[1:])
    return place


@pytest.mark.slow
def test_diffsynth_makes_clips_that_depend_on_their_seed_alone(
    weights: Path, face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    import socket

    import t2av_bench as tb

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it goes to the network"))
    system = load("mova", weights=str(weights), size=32, steps=2)
    assert not capsys.readouterr().out
    clips = tmp_path / "clips"

    check_seeds(system, face, clips, 0.3)

    record = json.loads((clips / "first.json").read_text())
    assert sum(map(len, Clip(clips / "first.mp4", frame_rate=24).frames())) == record["frames"] == 9
    rate, sound = wavfile.read(clips / "first.wav")
    assert (rate, sound.ndim, len(sound)) == (48000, 1, record["audio_samples"])
    assert 0 <= len(sound) / rate - 9 / 24 < HOP / rate and len(sound) % HOP == 0

    run = tb.evaluate(clips, metrics=["frozen_pixels"], out=tmp_path / "run")
    assert run.exit_status == 0
    assert "frozen" in str(tb.table(run)).lower()


@pytest.mark.slow
def test_files_that_diffsynth_does_not_know_are_named_before_any_weight_is_read(weights: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(weights, tmp_path / "copy")
    file = copy / "openmoss/MOVA-720p/audio_vae/diffusion_pytorch_model.safetensors"
    whole = load_file(file)
    save_file(dict(list(whole.items())[1:]), file)
    with pytest.raises(NotApplicable, match="tensors of openmoss/MOVA-720p/audio_vae are not those of diffsynth's"):
        MOVA.load(weights=str(copy))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(NotApplicable, match="audio_vae cannot be read"):
        MOVA.load(weights=str(copy))
