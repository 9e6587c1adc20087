"""The reference model with the embedded codecs, from files to files; its weights are random."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_codec import PERSONS, TwoPersonsCodec, picture
from PIL import Image
from scipy.io import wavfile
from tiny_talker import speech

from reference_model.checkpoints import random_model, save_model
from reference_model.config import ModelConfig
from reference_model.inference.batched.plan import make_plan
from reference_model.inference.batched.slot_tokens import prompt_embeddings
from reference_model.inference.recipes import RECIPES
from reference_model.training.collate import collate
from reference_model.training.config import AidsConfig
from reference_model.training.forward import sequence_embeddings
from reference_model.training.layout import layout, totals
from reference_model.training.samples import Sample
from t2av_bench import systems
from t2av_bench.errors import NotApplicable
from t2av_bench.faces.detect import haar
from t2av_bench.gridface.data.tokens import WordTokenizer
from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.models.voice_encoder import VoiceEncoder
from t2av_bench.gridface.models.world_codec import WorldCodec
from t2av_bench.gridface.systems import parts as embedded_parts
from t2av_bench.gridface.systems.parts import EnlargedHaar, RememberingVoiceEncoder, whole_picture
from t2av_bench.gridface.systems.talker import EmbeddedTalkerT2AV
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request

TEXT = "bin blue at alpha one now"
CONFIG = dataclasses.replace(ModelConfig.named("tiny"), speech_dim=32, motion_dim=16, speaker_dim=64)


def save(folder: Path, name: str = "model", **changes) -> Path:
    """Random weights, but for the stop predictor: it says 0.5, and ``paper`` ends above that."""
    file = folder / f"{name}.safetensors"
    model = random_model(dataclasses.replace(CONFIG, **changes))
    torch.nn.init.zeros_(model.stop_predictor.output.weight)
    save_model(model, file)
    return file


@pytest.fixture(scope="module")
def codec() -> TwoPersonsCodec:
    return TwoPersonsCodec()


@pytest.fixture(autouse=True)
def motion_codec(codec, monkeypatch) -> None:
    """The trained motion codec's stand-in, so that these tests are about the system."""
    audio = WorldCodec.load()
    voice = RememberingVoiceEncoder(VoiceEncoder(audio))
    monkeypatch.setattr(embedded_parts, "_codecs", lambda device: (audio, codec, voice))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def system(weights) -> EmbeddedTalkerT2AV:
    return systems.load("embedded-talker-t2av", checkpoint=weights)


@pytest.fixture(scope="module")
def files(tmp_path_factory, codec) -> dict[str, Path]:
    """identity (png), voice (2 s between silences), driving audio (1.25 s) and video (1.2 s, 30 frames)."""
    folder = tmp_path_factory.mktemp("files")
    Image.fromarray(picture(PERSONS[0])).save(folder / "identity.png")
    quiet = np.zeros(8_000, np.float32)
    wavfile.write(folder / "voice.wav", 16_000, np.concatenate([quiet, speech(2.0, 16_000), quiet]))
    wavfile.write(folder / "speech.wav", 16_000, speech(1.25, 16_000, seed=1))
    motion = np.zeros((30, 16))
    motion[:, 0] = np.sin(np.arange(30) / 3) ** 2
    frames = codec.portraits[1].render(motion)
    write_mp4(folder / "film.mp4", frames, speech(1.2, 16_000, seed=2), preset="ultrafast", crf=8)
    return {"identity": folder / "identity.png", "voice": folder / "voice.wav", "driving_audio": folder / "speech.wav",
            "driving_video": folder / "film.mp4"}  # fmt: skip


@pytest.fixture
def ask(files, tmp_path):
    def build(task: str = "t2av", name: str = "clip", **changes) -> Request:
        needs = EmbeddedTalkerT2AV.needs[task]
        out = tmp_path / "out" / f"{name}{'.wav' if task == 'tts' else '.mp4'}"
        fields = {"text": TEXT, "seed": 3, "max_seconds": 0.5, "out": out}
        fields |= {key: files[key] for key in needs if key != "text"}
        return Request(id=name, task=task, **(fields | changes))

    return build


def check_files(clip: GeneratedClip) -> None:
    """What was promised is on disk at the embedded rates, and decodes to the promised counts."""
    rate, samples = wavfile.read(clip.audio)
    assert rate == 16_000 and samples.dtype == np.float32 and np.abs(samples).max() <= 1
    assert len(samples) == clip.audio_samples == 640 * clip.frame_count and clip.audio_rate == 16_000
    if clip.video:
        film = Clip(clip.video)
        assert film.frame_count == clip.frame_count and film.info.frame_rate == 25
        assert (film.info.width, film.info.height, film.info.audio_rate) == (128, 128, 16_000)
    assert json.loads(clip.record.read_text())["frames"] == clip.frame_count


def test_each_task_writes_its_clip(system, ask, files, codec):
    joint = system.generate(ask())
    check_files(joint)
    assert joint.frame_count == 12 and joint.stop_reason == "limit"
    sung = system.generate(ask("tts", "tts"))
    check_files(sung)
    assert sung.video is None

    given = Clip(files["driving_audio"]).audio(16_000)
    follows = system.generate(ask("a2v", "a2v", max_seconds=30.0))
    check_files(follows)
    assert follows.frame_count == 31 and follows.stop_reason == "given", "1.25 s are 31 whole frames"
    assert np.array_equal(wavfile.read(follows.audio)[1], given[: 31 * 640]), "the driving audio itself"

    dubbed = system.generate(ask("v2a", "v2a", max_seconds=30.0))
    check_files(dubbed)
    assert dubbed.frame_count == 30 and dubbed.stop_reason == "given"
    shown, driving = (Clip(path).frames_at([0, 12, 29]).astype(int) for path in (dubbed.video, files["driving_video"]))
    assert np.abs(shown - driving).mean() < 2, "the driving video itself, the whole picture of it"

    drawn = Clip(joint.video).frames_at([0])[0].astype(int)
    others = [np.abs(drawn - picture(person)).mean() for person in PERSONS]
    assert others[0] < others[1] / 2, "the person of the identity picture"


def test_the_record_names_everything_that_decides_the_clip(system, ask, weights):
    record = system.generate(ask()).details
    assert {weights.name, "audio_codec", "motion_encoder", "identity_gallery"} <= record["weights"].keys()
    assert len(record["weights"][weights.name]) == 64
    assert record["recipe"]["name"] == "paper" and record["recipe"]["sampler"]["temperature"] == 0.7
    square = {"left": 0, "top": 0, "side": 128}
    assert record["inputs"]["identity"]["square"] == square
    assert record["inputs"]["identity"]["detector"] == "haar_enlarged"
    assert record["inputs"]["voice"]["start"] == 0 and record["inputs"]["voice"]["end"] == 3.0


def test_the_model_is_given_what_it_was_trained_on(system, ask, files, codec, monkeypatch):
    from reference_model.inference.batched import sampling

    given, stream = [], sampling.stream
    monkeypatch.setattr(
        sampling, "stream", lambda model, items, recipe: given.extend(items) or stream(model, items, recipe)
    )
    for task in ("t2av", "a2v", "v2a"):
        system.generate(ask(task, task))
    joint, follows, dubbed = given
    assert torch.equal(joint.text_ids, WordTokenizer().encode(TEXT))
    # As gridface.training.latents writes training samples: the whole voice, the codec's own latents.
    voice = wavfile.read(files["voice"])[1]
    assert torch.allclose(joint.speaker_embedding, VoiceEncoder(WorldCodec.load()).embed(voice), atol=1e-5)
    driving = torch.from_numpy(wavfile.read(files["driving_audio"])[1])[None, : 12 * 640]
    assert torch.allclose(follows.speech, WorldCodec.load().encode(driving)[0], atol=0.02)
    seen = torch.from_numpy(picture(PERSONS[0])).permute(2, 0, 1)[None, None] / 127.5 - 1
    assert torch.allclose(joint.first_motion, codec.encode(seen)[0, 0], atol=1e-6)
    assert dubbed.motion.shape == (12, 16) and dubbed.motion.std(dim=0).max() > 0.005, "a face that moves"


def test_the_paper_recipe_builds_the_prompt_of_training(system, ask, tmp_path):
    """Task embedding, then word ids: the same embeddings as the training forward pass has before its patches."""
    from reference_model.inference.types import GenerationItem

    model = system.components.model
    ids = WordTokenizer().encode(TEXT)
    item = GenerationItem(ids, 2, speaker_embedding=torch.zeros(64), first_motion=torch.zeros(16))
    for task, motion in (("t2av", torch.zeros(4, 16)), ("tts", None)):
        sample = Sample(ids, torch.zeros(4, 32), torch.zeros(64), motion)
        place = [layout(sample.lengths, model.config, 100)]
        part = collate([sample], place, [0], totals(place, model.config, 1.0), model.config, AidsConfig(), 1)
        trained = sequence_embeddings(model, part)[0, : 1 + len(ids)]
        item.task = task
        prompts = {
            name: prompt_embeddings(model, RECIPES[name], make_plan(item, model.config, RECIPES[name], 0))
            for name in ("paper", "release", "release_script")
        }
        assert torch.equal(prompts["paper"], trained) and torch.equal(prompts["release"], trained)
        assert torch.equal(prompts["release_script"], trained[1:]), "the script has no task embedding without a prefix"


def test_a_long_text_is_spoken_sentence_by_sentence(weights, ask):
    text = f"{TEXT}. " * 5
    assert len(text.split()) == 30, "more than the model takes at a time"
    system = systems.load("embedded-talker-t2av", checkpoint=weights, long=True)
    clip = system.generate(ask(text=text, max_seconds=0.7))
    check_files(clip)
    assert [passage["text"] for passage in clip.details["passages"]] == [f"{TEXT}."]
    assert clip.frame_count == 16 and clip.stop_reason == "limit"


def test_a_batch_gives_each_item_what_it_gets_alone(system, ask):
    requests = [ask(seed=1), ask("a2v", "b", seed=2), ask("v2a", "c", seed=3), ask("tts", "d", seed=4)]
    alone = [wavfile.read(system.generate(request).audio)[1] for request in requests]
    for clip, expected in zip(system.generate_batch(requests), alone, strict=True):
        check_files(clip)
        assert np.allclose(wavfile.read(clip.audio)[1], expected, atol=2e-3), "16 bits and the vocoder's rounding"


def test_the_same_seed_gives_the_same_sound_and_another_one_another(system, ask):
    sounds = [system.generate(ask(seed=seed)).audio.read_bytes() for seed in (3, 3, 4)]
    assert sounds[0] == sounds[1] != sounds[2]


def test_options_replace_the_recipes_sampler(weights, ask):
    load = lambda **options: systems.load("embedded-talker-t2av", checkpoint=weights, **options)  # noqa: E731
    changed = load(temperature=0.4, classifier_free_guidance=3, steps=4).recipe.sampler
    assert (changed.temperature, changed.guidance, changed.steps) == (0.4, 3, 4)
    plain = load().recipe.sampler
    assert plain == RECIPES["paper"].sampler, "the stated defaults"
    assert (plain.temperature, plain.guidance, plain.steps) == (0.7, 2.0, 10)
    assert load(recipe="release").recipe.stop_votes == 3
    with pytest.raises(ValueError, match="guidance is a positive number, got -1"):
        load(classifier_free_guidance=-1)
    with pytest.raises(ValueError, match="has no option 'guidance'; there are checkpoint, recipe, temperature"):
        load(guidance=2)


def test_pictures_of_any_size_are_taken(system, ask, tmp_path):
    large, wide = tmp_path / "large.png", tmp_path / "wide.png"
    Image.fromarray(picture(PERSONS[0], 256)).save(large)
    canvas = np.full((128, 200, 3), 90, np.uint8)
    canvas[:, 36:164] = picture(PERSONS[0])
    Image.fromarray(canvas).save(wide)
    assert system.generate(ask(identity=large)).details["inputs"]["identity"]["square"]["side"] == 256
    square = system.generate(ask("t2av", "w", identity=wide)).details["inputs"]["identity"]["square"]
    assert square == {"left": 36, "top": 0, "side": 128}, "the middle of an oblong picture"


def test_small_faces_are_found_enlarged_and_reported_in_the_pictures_own_pixels():
    persons = range(220, 228)
    small = np.stack([picture(person) for person in persons])
    assert not all(len(boxes) for boxes in haar().detect(small)), "why pictures are enlarged"
    detector = EnlargedHaar(haar())
    for boxes, person in zip(detector.detect(small), persons, strict=True):
        twice = haar().detect(picture(person, 256)[None])[0]
        assert len(boxes) == 1 and np.allclose(boxes[0, :4], twice[0, :4] / 2, atol=6)
    assert not len(detector.detect(np.full((1, 128, 128, 3), 120, np.uint8))[0])
    assert whole_picture(None, 300, 200).side == 200


def test_long_generations_end_at_the_generators_own_bound(system, ask, tmp_path, monkeypatch):
    monkeypatch.setattr(system.components, "longest_seconds", 0.33)
    assert system.generate(ask("tts", max_seconds=30.0)).frame_count == 8
    cut = system.generate(ask("a2v", "a", max_seconds=30.0))
    assert cut.frame_count == 8 and cut.stop_reason == "limit"
    assert cut.notes == ("speech.wav: only its first 0.32 s are used (the longest clip that this generator makes)",)


def test_what_is_wrong_is_said_and_nothing_is_left_behind(system, ask, files, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    grey, stranger, quiet = tmp_path / "grey.png", tmp_path / "stranger.png", tmp_path / "quiet.wav"
    Image.fromarray(np.full((128, 128, 3), 90, np.uint8)).save(grey)
    Image.fromarray(255 - picture(PERSONS[0])[:, :, ::-1] // 2).save(stranger)
    wavfile.write(quiet, 16_000, np.zeros(48_000, np.float32))
    Image.fromarray(picture(27)).save(tmp_path / "nobody.png")
    cases = [
        (ask(text="bin blue at alphq one now"), "do not know the word 'alphq'; nearest: alpha.*each slot"),
        (ask(text=" "), "the text is empty: give the words"),
        (ask(text=" , ."), "the text is empty: give the words to be spoken, such as"),
        (ask(text="blue " * 25), "25 words, at most 24"),
        (ask("a2v", text="good day"), "do not know the word 'good'"),
        (ask(identity=grey), "^identity: no face found in grey.png; .*GridFace's drawn portraits"),
        (ask(identity=tmp_path / "nobody.png"), "^identity: shows none of the two persons"),
        (ask(identity=tmp_path / "absent.png"), "^identity: .*absent.png does not exist"),
        (ask(voice=quiet), "^voice: .*silent"),
        (ask("v2a", driving_video=files["voice"]), "^driving video: .*no video"),
        (ask("a2v", driving_audio=quiet), "^driving audio: .*silent"),
        (ask(max_seconds=0.1), "less than one patch of 0.16 s"),
    ]
    for request, message in cases:
        with pytest.raises(GenerationFailed, match=message):
            system.generate(request)
    with pytest.raises(NotApplicable, match="needs --identity FILE and --voice FILE"):
        system.generate(ask(identity=None, voice=None))
    assert os.listdir(out) == []


def test_checkpoints_that_do_not_fit_are_refused(weights, tmp_path, monkeypatch):
    load = lambda checkpoint: systems.load("embedded-talker-t2av", checkpoint=checkpoint)  # noqa: E731
    with pytest.raises(ValueError, match="no embedded Talker-T2AV: .*motion latents are 40 for the generator and 16"):
        load(save(tmp_path, "published", motion_dim=40))
    backbone = dataclasses.replace(CONFIG.backbone, vocab_size=50)
    with pytest.raises(ValueError, match="knows 50 tokens, GridFace has 80"):
        load(save(tmp_path, "words", backbone=backbone))
    half = tmp_path / "half.safetensors"
    half.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="half.safetensors is no embedded.*truncated"):
        load(half)
    with pytest.raises(ValueError, match="no checkpoint at .*absent.safetensors: expected a safetensors file, or one"):
        load(tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="unknown weights id 'talker'; did you mean talker_t2av-seed"):
        load("talker")


def test_half_precision_checkpoints_are_run_in_single_precision(weights, tmp_path):
    from safetensors.torch import load_file, save_file

    from reference_model.checkpoints import CONFIG_KEY

    state = {name: tensor.half() for name, tensor in load_file(weights).items()}
    save_file(state, tmp_path / "half.safetensors", metadata={CONFIG_KEY: json.dumps(CONFIG.to_dict())})
    model = systems.load("embedded-talker-t2av", checkpoint=tmp_path / "half.safetensors").components.model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_named_checkpoint_comes_from_the_box(weights, tmp_path, monkeypatch):
    details = {"command": "none", "seed": 0, "data_version": "1", "updates": 0, "parameters": 1}
    checkpoints.add("talker_t2av-seed0", weights, details, tmp_path)
    for codec in ("audio_codec", "motion_encoder", "identity_gallery"):
        checkpoints.add(codec, checkpoints.path(codec), details, tmp_path)
    monkeypatch.setattr(checkpoints.path, "__defaults__", (tmp_path,))
    monkeypatch.setattr(checkpoints.facts, "__defaults__", (tmp_path,))
    monkeypatch.setattr(checkpoints.digest, "__defaults__", (tmp_path,))
    loaded = systems.load("embedded-talker-t2av")
    assert loaded.components.digests["talker_t2av-seed0"] == checkpoints.digest("talker_t2av-seed0", tmp_path)
