"""Talker-T2AV with tiny random parts, from files to files."""

import dataclasses
import itertools
import json
import os

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from tiny_talker import PixelMotionCodec, tiny_components, tiny_speaker_encoder

from t2av_bench.errors import NotApplicable
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request
from t2av_bench.systems.latent.portrait import cut
from t2av_bench.systems.talker_t2av.system import TalkerT2AV

SECONDS = 1.0  # six whole patches


@pytest.fixture(scope="module")
def system(components) -> TalkerT2AV:
    """The recipe whose clips last: random weights vote to stop at once, and it asks them from patch 7 on."""
    return TalkerT2AV(components, recipe="release")


@pytest.fixture
def ask(tmp_path, inputs):
    """A request of a task with everything it needs, into an empty folder."""
    (tmp_path / "out").mkdir()

    def build(task: str = "t2av", **changes) -> Request:
        fields = {
            "t2av": {"identity": inputs["image"], "voice": inputs["voice"]},
            "a2v": {"identity": inputs["image"], "driving_audio": inputs["speech"]},
            "v2a": {"voice": inputs["voice"], "driving_video": inputs["video"]},
            "tts": {"voice": inputs["voice"]},
        }[task]
        name = "clip.wav" if task == "tts" else "clip.mp4"
        fields = {"text": "hello world", "seed": 3, "max_seconds": SECONDS, "out": tmp_path / "out" / name} | fields
        return Request(id="clip", task=task, **(fields | changes))

    return build


def files(request: Request) -> list[str]:
    return sorted(os.listdir(request.out.parent)) if request.out.parent.is_dir() else []


def check_files(clip: GeneratedClip) -> None:
    """What was promised is on disk, and decodes to the promised counts."""
    rate, samples = wavfile.read(clip.audio)
    assert rate == 24_000 and samples.dtype == np.float32 and len(samples) == clip.audio_samples
    assert clip.audio_samples == 960 * clip.frame_count and np.abs(samples).max() <= 1
    assert len(Clip(clip.audio).audio(24_000)) == clip.audio_samples
    if clip.video:
        video = Clip(clip.video)
        assert video.frame_count == clip.frame_count and video.info.frame_rate == 25
        assert (video.info.video_codec, video.info.audio_codec) == ("h264", "aac")
        assert len(video.audio(24_000)) == clip.audio_samples
    record = json.loads(clip.record.read_text())
    assert record == json.loads(json.dumps(clip.details))
    assert (record["frames"], record["audio_samples"]) == (clip.frame_count, clip.audio_samples)


def test_text_becomes_picture_and_sound(system, ask):
    request = ask()
    seen = []
    clip = system.generate(request, seen.append)
    check_files(clip)
    assert files(request) == ["clip.json", "clip.mp4", "clip.wav"]
    assert clip.frame_count == 24 and clip.stop_reason == "limit", "six patches are too few for the stop predictor"
    first = Clip(clip.video).frames_at([0])[0]
    assert first.shape == (64, 64, 3)
    assert clip.details["seed"] == 3 and clip.details["recipe"]["name"] == "release"
    assert clip.details["precision"] == "float32"
    assert clip.details["weights"]["talker_t2av"] == "0" * 64
    assert clip.details["inputs"]["voice"]["speech_seconds"] == pytest.approx(2.0, abs=0.05)
    assert clip.details["seconds_taken"].keys() == {"reading", "sampling", "rendering"}
    stages = [progress.stage for progress in seen]
    assert stages == sorted(stages, key=["reading", "generating", "rendering"].index)
    made = [progress for progress in seen if progress.stage == "generating"]
    assert [progress.done for progress in made] == [1, 2, 3, 4, 5, 6] and made[-1].seconds == pytest.approx(0.96)
    assert seen[-1].done == seen[-1].total == 24


def test_the_stop_predictor_ends_a_clip(system, ask):
    clip = system.generate(ask(max_seconds=6.0))
    check_files(clip)
    assert clip.stop_reason == "predictor" and 24 < clip.frame_count < 150


def test_a_picture_to_given_speech(system, ask, inputs):
    clip = system.generate(ask("a2v", max_seconds=30.0))
    check_files(clip)
    assert clip.frame_count == 31 and clip.stop_reason == "given", "1.25 s are 31 whole frames"
    given = Clip(inputs["speech"]).audio(24_000)
    assert np.array_equal(wavfile.read(clip.audio)[1], given[: 31 * 960]), "the driving audio itself"


def test_given_speech_is_cut_at_the_limit_and_that_is_said(system, ask):
    clip = system.generate(ask("a2v"))
    check_files(clip)
    assert clip.frame_count == 24 and clip.stop_reason == "limit" and "first 0.96 s" in clip.notes[0]


def test_sound_to_a_given_picture(system, ask, inputs):
    clip = system.generate(ask("v2a", max_seconds=30.0))
    check_files(clip)
    assert clip.frame_count == 30 and clip.stop_reason == "given"
    box = clip.details["inputs"]["driving_video"]["square"]
    square = dataclasses.make_dataclass("Square", box)(**box)
    driving = next(Clip(inputs["video"]).frames(30))
    shown = next(Clip(clip.video).frames(30))
    for index in (0, 29):
        assert np.abs(shown[index].astype(int) - cut(driving[index], square, 64)).mean() < 4


def test_speech_alone(system, ask):
    request = ask("tts")
    clip = system.generate(request)
    check_files(clip)
    assert clip.video is None and files(request) == ["clip.json", "clip.wav"]


@pytest.mark.parametrize("arrangement", ["interleaved_av", "delay(1)"])
def test_every_token_arrangement_keeps_sound_and_picture_together(ask, arrangement):
    system = TalkerT2AV(tiny_components(arrangement), recipe="paper")
    for task in ("t2av", "a2v", "v2a"):
        check_files(system.generate(ask(task)))


def test_motion_codes_of_a_video_are_those_of_its_frames(ask):
    codec = PixelMotionCodec()
    TalkerT2AV(tiny_components(motion_codec=codec)).generate(ask("v2a"))
    seen = torch.cat([frames[0] for frames in codec.encoded])
    assert seen.shape == (24, 3, 64, 64)
    assert seen.std() > 0.1 and (seen[0] != seen[10]).any(), "a face that moves"


def test_the_release_rounds_reference_motion_and_the_paper_does_not(components, ask, monkeypatch):
    from reference_model.inference.batched import sampling

    given, stream = [], sampling.stream
    monkeypatch.setattr(
        sampling, "stream", lambda model, items, *rest: given.append(items[0]) or stream(model, items, *rest)
    )
    for recipe in ("release", "paper"):
        TalkerT2AV(components, recipe=recipe).generate(ask())
    rounded, exact = (item.first_motion for item in given)
    assert torch.equal(rounded, exact.bfloat16().float()) and not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, rtol=2**-8)


@pytest.mark.parametrize(("trims", "seconds"), [(False, None), (True, 2.2)])
def test_the_whole_voice_conditions_unless_it_is_to_be_trimmed(ask, inputs, trims, seconds):
    parts, heard = dataclasses.replace(tiny_components(), trims_voice=trims), []
    encoder = tiny_speaker_encoder()
    parts.speaker_encoder = lambda audio: heard.append(audio) or encoder(audio)
    TalkerT2AV(parts).generate(ask("tts"))
    whole = Clip(inputs["voice"]).audio(16_000)
    assert len(whole) > 2.5 * 16_000, "silence surrounds it"
    assert heard[0].shape[1] == (len(whole) if seconds is None else pytest.approx(seconds * 16_000, abs=700))


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(system, ask):
    sound, pictures = [], []
    for seed in (3, 3, 4):
        clip = system.generate(ask(seed=seed))
        sound.append(clip.audio.read_bytes())
        pictures.append(next(Clip(clip.video).frames(24)).astype(int))
    assert sound[0] == sound[1] != sound[2]
    same, other = (np.abs(pictures[0] - pictures[index]).mean() for index in (1, 2))
    assert same < 0.3 < other, "of 255; the video encoder may decide differently"


def test_a_batch_gives_each_item_what_it_gets_alone(system, ask, inputs, tmp_path):
    requests = [
        ask(seed=1),
        ask("a2v", seed=2, text="good day hello there world", out=tmp_path / "out" / "b.mp4"),
        ask("v2a", seed=3, out=tmp_path / "out" / "c.mp4"),
        ask("tts", seed=4, out=tmp_path / "out" / "d.wav", max_seconds=0.5),
    ]
    alone = [wavfile.read(system.generate(request).audio)[1] for request in requests]
    together = system.generate_batch(requests)
    for clip, expected in zip(together, alone, strict=True):
        check_files(clip)
        assert np.allclose(wavfile.read(clip.audio)[1], expected, atol=1e-4)
        assert clip.details["batch_size"] == 4


def test_one_bad_request_costs_the_others_nothing(system, ask, tmp_path):
    good = ask()
    bad = ask(text=" ", out=tmp_path / "out" / "bad.mp4")
    twin = ask()
    clip, reason, clash = system.generate_batch([good, bad, twin])
    check_files(clip)
    assert isinstance(reason, GenerationFailed) and isinstance(clash, GenerationFailed)
    assert "another request" in str(clash)
    assert files(good) == ["clip.json", "clip.mp4", "clip.wav"]


def test_a_continued_reference_is_kept_apart(components, ask, inputs, monkeypatch):
    decode, heard = components.audio_codec.decode, []
    monkeypatch.setattr(components.audio_codec, "decode", lambda latents: heard.append(decode(latents)) or heard[-1])
    plain = TalkerT2AV(components, recipe="release")
    system = TalkerT2AV(components, recipe="release", prefix_seconds=0.5)
    request = ask(identity=inputs["video"], voice=inputs["video"], seed=5)
    clip = system.generate(request)
    check_files(clip)
    assert clip.frame_count == 24 and clip.prefix_seconds == pytest.approx(12 / 25), "0.5 s are three whole patches"
    prefix = clip.details["prefix"]
    assert prefix["frames"] == 12 and prefix["files"] == [".prefix/clip.mp4", ".prefix/clip.wav"]
    folder = request.out.parent
    assert Clip(folder / prefix["files"][0]).frame_count == 12
    before = wavfile.read(folder / prefix["files"][1])[1]
    assert len(before) == 12 * 960
    joined = np.concatenate([before, wavfile.read(clip.audio)[1]])
    assert np.array_equal(joined, heard[0][0].numpy()), "one decoding, cut where the prefix ends"
    from t2av_bench.benchmarks.pairing import survey

    assert list(survey(folder).files) == ["clip"], "scoring a folder does not meet the prefixes"
    again = plain.generate(request)
    assert again.details["prefix"] is None and not (folder / ".prefix" / "clip.mp4").exists()
    assert not np.array_equal(wavfile.read(again.audio)[1], joined[12 * 960 :])


def test_a_prefix_needs_a_moving_reference_and_a_free_half(components, ask, inputs):
    system = TalkerT2AV(components, recipe="release", prefix_seconds=0.5)
    with pytest.raises(GenerationFailed, match="identity: image.png is a still image.*--prefix-seconds 0"):
        system.generate(ask())
    with pytest.raises(NotApplicable, match="prefix cannot be continued in task a2v"):
        system.generate(ask("a2v"))
    clip = system.generate(ask("tts"))
    assert clip.prefix_seconds == pytest.approx(0.48)
    check_files(clip)


def test_what_is_wrong_is_said_and_nothing_is_left_behind(system, ask, inputs, tmp_path):
    quiet = tmp_path / "quiet.wav"
    wavfile.write(quiet, 16_000, np.zeros(48_000, np.float32))
    grey = tmp_path / "grey.png"
    from PIL import Image

    Image.fromarray(np.full((300, 300, 3), 90, np.uint8)).save(grey)
    (tmp_path / "file").write_text("in the way")
    cases = [
        (ask(voice=quiet), GenerationFailed, "^voice: there is no half second .* silent"),
        (ask(identity=grey), GenerationFailed, "^identity: no face found in grey.png"),
        (ask(identity=tmp_path / "absent.png"), GenerationFailed, "^identity: .*absent.png does not exist"),
        (ask("a2v", driving_audio=inputs["image"]), GenerationFailed, "^driving audio: .*no audio"),
        (ask("v2a", driving_video=inputs["voice"]), GenerationFailed, "^driving video: .*no video"),
        (ask(text=" \n"), GenerationFailed, "the text is empty: give the words"),
        (ask("a2v", text=""), GenerationFailed, "give what the driving audio says"),
        (ask(text="hello <|im_end|>"), GenerationFailed, "reserves"),
        (ask(text="hello " * 990), GenerationFailed, r"too long: 99\d tokens, and 994 fit .*--long"),
        (ask(max_seconds=0.1), GenerationFailed, "less than one patch"),
        (ask(max_seconds=0), GenerationFailed, "positive"),
        (ask(seed=-1), GenerationFailed, "seed"),
        (ask(voice=None), NotApplicable, "needs --voice FILE$"),
        (ask(identity=None, voice=None), NotApplicable, "--identity FILE and --voice FILE"),
        (ask(out=tmp_path / "out" / "clip.avi"), GenerationFailed, "name it clip.mp4"),
        (ask(out=tmp_path / "file" / "clip.mp4"), GenerationFailed, "cannot write in .*file"),
        (ask(out=tmp_path / "new" / "deep" / "clip.mp4", voice=quiet), GenerationFailed, "silent"),
    ]
    for request, kind, message in cases:
        with pytest.raises(kind, match=message):
            system.generate(request)
    assert os.listdir(tmp_path / "out") == [] and not (tmp_path / "new").exists()
    with pytest.raises(NotApplicable, match="unknown task 'codec'"):
        system.generate(dataclasses.replace(ask(), task="codec"))


def test_inputs_are_never_replaced(system, ask, inputs, tmp_path):
    voice = tmp_path / "out" / "clip.wav"
    voice.write_bytes(inputs["voice"].read_bytes())
    with pytest.raises(GenerationFailed, match="clip.wav would be replaced, but it is one of the inputs"):
        system.generate(ask(voice=voice))
    assert voice.read_bytes() == inputs["voice"].read_bytes()


def test_a_failure_half_way_leaves_the_old_clip_as_it_was(ask):
    codec = PixelMotionCodec()
    system = TalkerT2AV(tiny_components(motion_codec=codec))
    request = ask()
    system.generate(request)
    before = {name: (request.out.parent / name).read_bytes() for name in files(request)}

    def interrupted(source):
        raise KeyboardInterrupt

    codec.source = interrupted
    with pytest.raises(KeyboardInterrupt):
        system.generate(request)
    assert {name: (request.out.parent / name).read_bytes() for name in files(request)} == before


def test_latents_that_are_not_numbers_fail_the_request(ask):
    parts = tiny_components()
    with torch.no_grad():
        parts.model.speech_head.output_projection.bias.fill_(float("nan"))
    request = ask()
    with pytest.raises(GenerationFailed, match="NaN or infinite"):
        TalkerT2AV(parts).generate(request)
    assert files(request) == []


def test_running_out_of_memory_is_a_reason(system, ask, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("reference_model.inference.batched.sampling.stream", full)
    requests = [ask(), ask(text="", out=tmp_path / "out" / "b.mp4"), ask(out=tmp_path / "out" / "c.mp4")]
    reasons = [str(reason) for reason in system.generate_batch(requests)]
    assert "fewer than 2 requests" in reasons[0] and "text is empty" in reasons[1] and reasons[2] == reasons[0]
    assert files(requests[0]) == []


def test_every_recipe_samples_differently(components, ask):
    sounds = [
        wavfile.read(TalkerT2AV(components, recipe=recipe).generate(ask()).audio)[1][:3840]
        for recipe in ("paper", "release", "release_script")
    ]
    assert TalkerT2AV(components).recipe_name == "paper" and {len(sound) for sound in sounds} == {3840}
    assert all(not np.array_equal(left, right) for left, right in itertools.combinations(sounds, 2))
    with pytest.raises(ValueError, match="unknown recipe 'papers'; there are paper, release, release_script"):
        TalkerT2AV(components, recipe="papers")


def test_the_letter_of_the_script_bounds_a_clip_by_its_reference(components, ask, inputs):
    system = TalkerT2AV(components, recipe="release_script")
    system.recipe = dataclasses.replace(system.recipe, use_stop=False)
    clip = system.generate(ask("tts", max_seconds=30.0))
    frames = len(Clip(inputs["voice"]).audio(24_000)) // 960
    assert clip.frame_count == 4 * (-(-frames // 4) + 15) and clip.stop_reason == "limit"
    assert f"at most {clip.seconds:g} s: the released script's bound" in clip.notes[-1]
    assert system.generate(ask("tts")).frame_count == 24, "a shorter bound of the caller counts"


def test_parts_that_do_not_fit_are_refused(components):
    codec = PixelMotionCodec()
    codec.latent_dim = 40
    with pytest.raises(ValueError, match="motion latents are 10 for the generator and 40 for its codec"):
        dataclasses.replace(components, motion_codec=codec)


def test_a_long_text_is_spoken_in_passages_and_joined(components, ask, monkeypatch):
    """One decoding of latents in which each passage continues the one before; picture and sound end together."""
    from reference_model.inference.batched import sampling

    given, run = [], sampling.stream
    monkeypatch.setattr(
        "reference_model.inference.long_form.stream", lambda *inputs: given.append(inputs[1][0]) or run(*inputs)
    )
    decode, heard = components.audio_codec.decode, []
    monkeypatch.setattr(components.audio_codec, "decode", lambda latents: heard.append(latents) or decode(latents))
    parts = dataclasses.replace(components, passage_tokens=len(components.prompt("three words fit")))
    system = TalkerT2AV(parts, recipe="release", long=True)
    text, seen = "hello there world. good day. world.\nhello day", []
    clip = system.generate(ask(text=text, max_seconds=20.0), seen.append)
    check_files(clip)
    spoken = clip.details["passages"]
    assert [passage["text"] for passage in spoken] == ["hello there world.", "good day. world.", "hello day"]
    assert [len(item.text_ids) for item in given] == [len(parts.prompt(passage["text"])) for passage in spoken]
    assert sum(passage["seconds"] for passage in spoken) == pytest.approx(clip.seconds)
    assert len(heard) == 1 and heard[0].shape[1] == clip.frame_count, "one decoding: nothing is joined in the sound"
    start = 0
    for passage, (item, after) in zip(spoken, itertools.pairwise(given), strict=False):
        start += round(passage["seconds"] * 25)
        assert item.speech is None or len(item.speech) == 4
        assert torch.equal(after.speech, heard[0][0, start - 4 : start]) and len(after.motion) == 4
    made = [progress.done for progress in seen if progress.stage == "generating"]
    assert made == list(range(1, clip.frame_count // 4 + 1))

    cut = system.generate(ask(text=text, max_seconds=1.3, out=clip.video.with_name("cut.mp4")))
    check_files(cut)
    assert cut.frame_count == 32 and cut.stop_reason == "limit"
    assert system.generate(ask("tts", text=text, max_seconds=20.0)).details["passages"]


def test_passages_are_for_texts_that_lead(components, ask):
    system = TalkerT2AV(components, long=True)
    with pytest.raises(NotApplicable, match=r"--long.*in the tasks t2av and tts; a2v follows what is given"):
        system.generate(ask("a2v"))
    with pytest.raises(GenerationFailed, match="too long: .*shorten its sentences"):
        system.generate(ask(text="hello world. " + "hello " * 990))
    assert "passages" not in TalkerT2AV(components, recipe="release").generate(ask()).details
