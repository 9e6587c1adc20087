"""The diffusion baselines as systems: from files to files, with random networks and the embedded words and voices."""

import dataclasses
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from tiny_talker import PixelMotionCodec

from baselines.checkpoints import save_network
from baselines.diffusion.config import NetworkConfig
from baselines.families import random_network
from reference_model.modules.flow_matching import SamplerSettings
from t2av_bench import systems
from t2av_bench.errors import NotApplicable
from t2av_bench.faces.detect import haar
from t2av_bench.gridface.data.tokens import WordTokenizer
from t2av_bench.gridface.models.voice_encoder import VoiceEncoder
from t2av_bench.gridface.systems import parts as embedded_parts
from t2av_bench.gridface.systems.diffusion import EmbeddedAudioDriven, EmbeddedDualBranch, EmbeddedLengthMatchedTTS
from t2av_bench.gridface.systems.parts import WHOLE_PICTURE, EnlargedHaar, RememberingVoiceEncoder
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request
from t2av_bench.systems.latent.parts import Parts

KINDS = {kind.family: kind for kind in (EmbeddedDualBranch, EmbeddedAudioDriven, EmbeddedLengthMatchedTTS)}
TEXT = "bin blue at alpha one now"


class LevelCodec:
    """An audio codec for tests: a latent is the mean of 20 samples, and sounds as 20 equal ones."""

    sample_rate, frame_rate, latent_dim = 16_000, 25, 32

    def encode(self, audio):
        whole = audio[:, : audio.shape[1] // 640 * 640]
        return whole.reshape(len(audio), -1, 32, 20).mean(-1)

    def decode(self, latents):
        return latents.flatten(1).repeat_interleave(20, 1)


class WideMotionCodec(PixelMotionCodec):
    latent_dim = 16

    def encode(self, frames):
        return self.normalize(torch.nn.functional.adaptive_avg_pool2d(frames[:, :, 0], (2, 8)).flatten(2))


@pytest.fixture(scope="module")
def parts() -> Parts:
    codec = LevelCodec()
    return Parts(
        prompt=WordTokenizer().encode, audio_codec=codec, motion_codec=WideMotionCodec(),
        speaker_encoder=RememberingVoiceEncoder(VoiceEncoder(codec)), digests={"net": "0" * 64},
        detector=EnlargedHaar(haar()), framing=WHOLE_PICTURE, trims_voice=False, longest_seconds=12.0,
        renders_at_once=True,
    )  # fmt: skip


def network(family: str, **changes):
    return random_network(NetworkConfig(family, width=32, layers=1, heads=2, **changes))


@pytest.fixture(scope="module")
def made(parts):
    """A system of each family."""
    return {family: kind(network(family), parts) for family, kind in KINDS.items()}


@pytest.fixture
def ask(tmp_path, inputs):
    """A request of a family's task with everything it needs, and a bound of 2 s."""

    def build(family: str, **changes) -> Request:
        task, fields = {
            "dual_branch": ("t2av", {"identity": inputs["image"], "voice": inputs["voice"]}),
            "audio_driven": ("a2v", {"identity": inputs["image"], "driving_audio": inputs["speech"]}),
            "length_matched_tts": ("v2a", {"voice": inputs["voice"], "driving_video": inputs["video"]}),
        }[family]
        fields = {"text": TEXT, "seed": 3, "max_seconds": 2.0, "out": tmp_path / "out" / "clip.mp4"} | fields
        return Request(id="clip", task=task, **(fields | changes))

    return build


def left(tmp_path) -> list[str]:
    return sorted(os.listdir(tmp_path / "out")) if (tmp_path / "out").exists() else []


def sound(clip: GeneratedClip) -> np.ndarray:
    return wavfile.read(clip.audio)[1]


def check_files(clip: GeneratedClip) -> None:
    assert len(sound(clip)) == clip.audio_samples == 640 * clip.frame_count
    film = Clip(clip.video)
    assert film.frame_count == clip.frame_count and len(film.audio(16_000)) == clip.audio_samples
    record = json.loads(clip.record.read_text())
    assert record == json.loads(json.dumps(clip.details)) and record["frames"] == clip.frame_count
    assert record["sampler"]["steps"] == 10 and record["weights"] == {"net": "0" * 64}


def test_dual_branch_makes_picture_and_sound_of_a_predicted_length(made, ask, tmp_path):
    system = made["dual_branch"]
    clip = system.generate(ask("dual_branch", max_seconds=12.0))
    check_files(clip)
    assert left(tmp_path) == ["clip.json", "clip.mp4", "clip.wav"] and clip.stop_reason == "predictor"
    assert clip.frame_count % 4 == 0 and sound(clip).any() and clip.details["patches"] == clip.frame_count // 4
    bounded = system.generate(ask("dual_branch", max_seconds=0.5))
    assert bounded.stop_reason == "limit" and bounded.frame_count == 12 and "and got 0.48 s" in bounded.notes[0]
    assert clip.frame_count > 12, "or the bound would not have been one"


def test_audio_driven_moves_to_the_speech_that_it_carries(made, ask, inputs):
    clip = made["audio_driven"].generate(ask("audio_driven", text=""))
    check_files(clip)
    given = Clip(inputs["speech"]).audio(16_000)
    assert clip.stop_reason == "given" and clip.frame_count == 31, "1.25 s are 31 whole frames"
    assert np.array_equal(sound(clip), given[: 31 * 640])
    cut = made["audio_driven"].generate(ask("audio_driven", max_seconds=0.5))
    assert cut.stop_reason == "limit" and cut.frame_count == 12
    any_text = made["audio_driven"].generate(ask("audio_driven", text="words beyond its vocabulary"))
    assert any_text.frame_count == 31, "its text is not read"


def test_length_matched_speech_lasts_as_long_as_the_picture_that_it_keeps(made, ask, inputs):
    clip = made["length_matched_tts"].generate(ask("length_matched_tts"))
    check_files(clip)
    assert clip.stop_reason == "given" and clip.frame_count == 30 == Clip(inputs["video"]).frame_count
    heard = Clip(inputs["video"]).audio(16_000)[: clip.audio_samples]
    assert abs(np.corrcoef(sound(clip), heard)[0, 1]) < 0.2, "a new sound"


def test_what_is_drawn_is_what_the_network_draws(made, ask, parts, inputs):
    """The sound is the decoded latents of the baseline's own sampler."""
    from baselines.diffusion.items import Item
    from baselines.diffusion.sampling import sample

    voice = Clip(inputs["voice"]).audio(16_000)
    embedding = VoiceEncoder(LevelCodec()).embed(np.array(voice))
    item = Item(WordTokenizer().encode(TEXT), embedding, frames=30, seed=3)
    settings = SamplerSettings(steps=3, guidance=1.0)
    (expected,) = sample(made["length_matched_tts"].network, [item], settings)
    system = EmbeddedLengthMatchedTTS(made["length_matched_tts"].network, parts, settings)
    clip = system.generate(ask("length_matched_tts"))
    assert np.allclose(sound(clip), parts.decode_audio(expected.speech), atol=1e-5)
    assert clip.details["sampler"]["steps"] == 3


@pytest.mark.parametrize("family", KINDS)
def test_the_seed_decides_whatever_the_batch(made, ask, tmp_path, family):
    """A batch of clips of different lengths gives each what it gets alone; another seed gives another clip."""
    system, out = made[family], tmp_path / "out"
    longer = {"text": f"{TEXT} {TEXT}"} if family == "dual_branch" else {"max_seconds": 0.9}
    requests = [
        ask(family, seed=1), ask(family, seed=2, out=out / "b.mp4"),
        ask(family, seed=1, out=out / "c.mp4", **longer),
    ]  # fmt: skip
    alone = [contents(system.generate(request)) for request in requests]
    assert contents(system.generate(requests[0]))[1] == alone[0][1], "the same bytes again"
    assert different(alone[0], alone[1])
    together = [contents(clip) for clip in system.generate_batch(requests)]
    for one, other in zip(together, alone, strict=True):
        assert one[0].shape == other[0].shape and np.allclose(one[0], other[0], atol=1e-4)
        # Of 255. Rounding moves the encoder's decisions by up to 0.8 here; another seed's pictures differ by 1.4.
        assert np.abs(one[2] - other[2]).mean() < 1.2


def contents(clip) -> tuple[np.ndarray, bytes, np.ndarray]:
    return sound(clip), clip.audio.read_bytes(), next(Clip(clip.video).frames(99)).astype(float)


def different(one, other) -> bool:
    return one[1] != other[1] or np.abs(one[2] - other[2]).mean() > 0.5


def test_bad_input_is_refused_and_leaves_nothing(made, ask, inputs, tmp_path):
    from PIL import Image

    nobody = tmp_path / "nobody.png"
    Image.fromarray(np.full((128, 128, 3), 90, np.uint8)).save(nobody)
    for family, changes, error, message in (
        ("dual_branch", {"text": "bin blue at alpha eleven now"}, GenerationFailed, "do not know the word 'eleven'"),
        ("dual_branch", {"text": " "}, GenerationFailed, "the text is empty"),
        ("dual_branch", {"text": "now " * 25}, GenerationFailed, "at most 24"),
        ("dual_branch", {"identity": nobody}, GenerationFailed, "identity: .*no face"),
        ("dual_branch", {"identity": tmp_path / "absent.png"}, GenerationFailed, "identity: .*absent.png"),
        ("dual_branch", {"voice": None}, NotApplicable, "needs --voice FILE"),
        ("dual_branch", {"task": "a2v"}, NotApplicable, "does not serve the task a2v"),
        ("dual_branch", {"max_seconds": 0.1}, GenerationFailed, "less than one patch"),
        ("audio_driven", {"driving_audio": inputs["image"]}, GenerationFailed, "driving audio: "),
        ("length_matched_tts", {"driving_video": inputs["speech"]}, GenerationFailed, "driving video: "),
        ("length_matched_tts", {"text": "words"}, GenerationFailed, "do not know the word 'words'"),
    ):
        request = replace(ask(family), **changes)
        with pytest.raises(error, match=message):
            made[family].generate(request)
        assert left(tmp_path) == []
    good, bad = ask("dual_branch"), ask("dual_branch", text="eleven", out=tmp_path / "out" / "b.mp4")
    clip, reason = made["dual_branch"].generate_batch([good, bad])
    assert isinstance(clip, GeneratedClip) and isinstance(reason, GenerationFailed)
    assert left(tmp_path) == ["clip.json", "clip.mp4", "clip.wav"]


def test_latents_that_are_not_finite_are_a_reason(parts, ask, tmp_path):
    broken = network("audio_driven")
    with torch.no_grad():
        next(iter(broken.motion.parameters())).fill_(float("nan"))
    with pytest.raises(GenerationFailed, match="NaN"):
        EmbeddedAudioDriven(broken, parts).generate(ask("audio_driven"))
    assert left(tmp_path) == []


@pytest.fixture
def boxed(parts, monkeypatch):
    """``load`` with the tests' codecs around a checkpoint of one's own."""
    monkeypatch.setattr(
        embedded_parts, "load_parts", lambda device, digests: dataclasses.replace(parts, digests=digests)
    )


@pytest.mark.parametrize("family", KINDS)
def test_a_checkpoint_of_ones_own(boxed, made, ask, tmp_path, family):
    path = tmp_path / "own.safetensors"
    save_network(made[family].network, path)
    system = systems.load(KINDS[family].id, checkpoint=path, steps=4, temperature=0.5, classifier_free_guidance=1.0)
    assert system.settings == SamplerSettings(4, 0.5, 1.0)
    clip = system.generate(ask(family))
    assert clip.details["weights"].keys() == {"own.safetensors"} and clip.details["sampler"]["temperature"] == 0.5


def test_checkpoints_that_do_not_fit_are_refused(boxed, parts, tmp_path):
    files = {name: tmp_path / f"{name}.safetensors" for name in ("other", "few", "wide", "cut")}
    save_network(network("audio_driven"), files["other"])
    save_network(network("dual_branch", vocab_size=10), files["few"])
    save_network(network("dual_branch", speech_dim=48), files["wide"])
    files["cut"].write_bytes(files["other"].read_bytes()[:999])
    for checkpoint, message in (
        (files["other"], "holds a audio_driven network, not dual_branch"),
        (files["few"], "it knows 10 tokens, GridFace has 80"),
        (files["wide"], "audio latents are 48 for the generator and 32 for its codec"),
        (files["cut"], "cannot be read as safetensors"),
        (tmp_path / "absent.safetensors", "no checkpoint at .*absent.safetensors"),
        ("dual_brunch-seed0", "unknown weights id 'dual_brunch-seed0'; did you mean dual_branch-seed0"),
    ):
        with pytest.raises(ValueError, match=message):
            systems.load("embedded-dual-branch", checkpoint=checkpoint)
    for options, message in (
        ({"steps": 0}, "steps is a positive number, got 0"), ({"temperature": -1.0}, "temperature is a positive"),
        ({"speed": 1}, "has no option 'speed'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            systems.load("embedded-dual-branch", checkpoint=files["other"], **options)
    with pytest.raises(ValueError, match="embedded-audio-driven needs a audio_driven network, not dual_branch"):
        EmbeddedAudioDriven(network("dual_branch"), parts)


def test_the_files_that_move_a_clip_are_named(tmp_path, monkeypatch):
    """With bundled names and with files; what is missing is left out."""
    from t2av_bench.gridface.models import checkpoints

    box, own = tmp_path / "box", tmp_path / "own.safetensors"
    own.write_bytes(b"own")
    facts = dict.fromkeys(checkpoints.REQUIRED, 1)
    place = {name: checkpoints.add(name, own, facts, box) for name in ("motion_encoder", "dual_branch-seed1")}
    for function in ("names", "facts"):
        real = getattr(checkpoints, function)
        monkeypatch.setattr(checkpoints, function, lambda *name, real=real: real(*name, folder=box))
    monkeypatch.setattr(checkpoints, "FOLDER", box)
    codecs = [place["motion_encoder"]]
    assert EmbeddedDualBranch.checkpoint_files() == codecs
    assert EmbeddedDualBranch.checkpoint_files(checkpoint="dual_branch-seed1") == [*codecs, place["dual_branch-seed1"]]
    assert EmbeddedDualBranch.checkpoint_files(checkpoint=own, steps=2) == [own, *codecs]
    (box / "audio_codec.safetensors").write_bytes(b"codec")
    assert len(systems.system_class("embedded-codec").checkpoint_files()) == 2
    assert systems.system_class("embedded-espeak").checkpoint_files() == []
