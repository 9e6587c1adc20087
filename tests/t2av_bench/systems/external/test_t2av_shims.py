"""Shims of joint models and of speech, each in a process of its own against a tree with the same names and habits."""

import ast
import json
import re
import shutil
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from shim_bench import check_shim, frames, mean_colours, needs_ffmpeg, of, samples, sound

from t2av_bench.systems.external.spec import spec

IDS = ("ovi", "universe-1", "talker-t2av-release", "f5-tts", "cosyvoice")


@pytest.mark.parametrize("id", IDS)
def test_shims_are_python_3_8_import_the_standard_library_alone_and_read_every_option(id):
    check_shim(id)


@pytest.mark.parametrize("id", IDS)
def test_tasks_need_nothing_that_is_not_honoured(id):
    found = spec(id)
    for names in found.tasks.values():
        assert all(found.honours[name] == "yes" for name in names)


@of("ovi")
def test_ovi_writes_what_the_arrays_hold(bench):
    made = bench.make()
    truth = np.random.default_rng(7)
    colours = truth.uniform(-1, 1, (3, 121, 1, 1))[..., 0, 0].T
    found = mean_colours(made["video"])
    assert found.shape == (121, 3)
    assert np.abs(found - (colours + 1) * 127.5).mean() < 8  # H.264 in YUV
    sounds = truth.uniform(-0.5, 0.5, round(121 / 24 * 16000))
    assert np.abs(samples(made["audio"]) - sounds * 32767).max() < 1
    with wave.open(made["audio"]) as file:
        assert file.getframerate() == 16000
    with av.open(made["video"]) as file:
        assert file.streams.video[0].average_rate == 24
    assert made["notes"] == []


@of("ovi")
def test_ovi_is_given_every_value(bench):
    bench.make(slg_layer=3, audio_negative_prompt="hiss")
    given = dict(ast.literal_eval(bench.given()))
    assert given == {
        "text_prompt": "Someone says <S>Good morning<E>", "image_path": bench.identity,
        "video_frame_height_width": None, "seed": 7, "solver_name": "unipc", "sample_steps": 50, "shift": 5.0,
        "video_guidance_scale": 4.0, "audio_guidance_scale": 3.0, "slg_layer": 3,
        "video_negative_prompt": "jitter, bad hands, blur, distortion", "audio_negative_prompt": "hiss",
    }  # fmt: skip


@of("ovi")
def test_ovi_none_becomes_the_reason_that_it_logged(bench):
    missing = bench.request(identity=str(bench.folder / "none.png"))
    memory, fine = bench.request("out of memory"), bench.request()
    found = bench.ask(missing, memory, fine)
    assert [each["status"] for each in found] == ["failed", "failed", "ok"]
    assert re.match("FileNotFoundError: .*none.png", found[0]["message"])
    assert found[1]["message"] == "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"


@of("ovi")
def test_ovi_counts_clipped_samples(bench):
    made = bench.make("loud")
    assert made["notes"] == [f"7 of {len(samples(made['audio']))} samples lay beyond full scale and were clipped"]
    assert (samples(made["audio"])[:7] == 32767).all()


@of("ovi")
def test_ovi_numbers_that_are_none_and_wrong_lengths_are_no_clip(bench):
    nan, short = bench.ask(bench.request("nan"), bench.request("short"))
    assert "no numbers" in nan["message"]
    assert short["message"] == "120 frames came, 960x960_5s makes 121"


@of("ovi")
def test_ovi_checkpoint_is_an_option(bench):
    assert len(frames(bench.make(checkpoint="960x960_10s")["video"])) == 241
    assert "720x720_5s, 960x960_5s, 960x960_10s, got '5s'" in bench.broken(checkpoint="5s")
    assert "fp8 is for checkpoint 720x720_5s alone" in bench.broken(fp8=True)
    assert "REQUIRED fusion checkpoint not found" in bench.broken(fp8=True, checkpoint="720x720_5s")


@of("ovi")
def test_ovi_without_a_picture_is_refused(bench):
    (done,) = bench.ask(bench.request(identity=None))
    assert done["status"] == "refused"


@of("universe-1")
def test_universe_makes_a_clip_and_is_given_seed_and_frames(bench):
    made = bench.make('He said "no". {x}', num_frames=25)
    given = json.loads(bench.given())
    assert (given["seed"], given["num_frames"], given["num_inference_steps"]) == (7, 25, 35)
    assert (given["guidance_scale_vid"], given["guidance_scale_aud"], given["cpu_offload"]) == (1.2, 5.0, False)
    prompt = json.loads(bench.said.split("PROMPT ")[1].splitlines()[0])
    assert prompt["speech_prompt"] == {"speaker": "the person", "text": 'He said "no". {x}'}
    assert prompt["audio_prompt"] == ["speech"] and prompt["video_prompt"].startswith("Someone says")
    assert Path(made["video"]).name == "i000001_i000001_h512_w512.mp4"  # not the one with sound
    assert len(frames(made["video"])) == 25 and len(samples(made["audio"])) == 16000


@of("universe-1")
def test_universe_seeds(bench):
    one, other = (bench.make(fields={"seed": seed}, num_frames=1) for seed in (7, 8))
    again = bench.make(num_frames=1)
    assert np.array_equal(samples(one["audio"]), samples(again["audio"]))
    assert not np.array_equal(samples(one["audio"]), samples(other["audio"]))


@of("universe-1")
def test_universe_ends_with_0_and_no_file(bench):
    (bench.weights / "UniVerse-1-Base" / "gone").touch()
    (done,) = bench.ask(bench.request())
    assert done["message"] == "the script ended with 0 and left no file; it said: no model path provided, exit"


@of("universe-1")
def test_universe_a_failed_clip_costs_the_next_nothing(bench):
    failed, fine = bench.ask(bench.request("fails"), bench.request(id="i000002"), num_frames=1)
    assert failed["message"].startswith("the script ended with 1") and "CUDA out of memory" in failed["message"]
    assert fine["status"] == "ok" and "i000001_i000002_h" in fine["made"]["video"]


@of("universe-1")
def test_universe_names(bench):
    dots = shutil.copy(bench.identity, bench.folder / "i000001.v2.png")
    spaces = bench.folder / "a b"
    spaces.mkdir()
    dotted, spaced = bench.ask(bench.request(identity=str(dots)), bench.request(out_dir=str(spaces)))
    assert "exactly one dot, got 'i000001.v2.png'" in dotted["message"]
    assert "the path has a space" in spaced["message"]


@of("universe-1")
def test_universe_missing_weights_are_told_before_anything_starts(bench):
    shutil.rmtree(bench.weights / "ACE-Step-v1-3.5B")
    assert "the folder of ace_path is missing" in bench.broken()


@needs_ffmpeg
@of("talker-t2av-release")
def test_talker_is_given_a_reference_film_and_no_prefix(bench):
    made = bench.make("Good morning", cfm_temperature=0.7, liax="lia.pt", ref_motion="m.pt")
    given = json.loads(bench.given())
    assert given["gt_prefix_seconds"] == 0 and given["fps"] == 25 and given["cfm_temperature"] == 0.7
    assert given["reference"] == [512, 512, 50]  # two seconds
    assert given["ref_audio"] == bench.voice and given["ref_motion"] == str(bench.weights / "m.pt")
    assert given["variables"] == {"CHECKPOINT_DIR": str(bench.weights), "LIAX_CKPT": str(bench.weights / "lia.pt"),
                                  "WHISPERVAE_CKPT": None, "WAVLM_CKPT": None}  # fmt: skip
    assert np.abs(mean_colours(str(Path(made["video"]).parent / "reference.mp4"))[0] - (160, 80, 40)).max() < 4
    assert len(frames(made["video"])) == 48 and made["notes"] == []


@needs_ffmpeg
@of("talker-t2av-release")
def test_talker_is_seeded_although_it_has_no_seed(bench):
    one, again, other = (Path(bench.make(fields={"seed": seed})["audio"]).read_bytes() for seed in (7, 7, 8))
    assert one == again != other


@needs_ffmpeg
@of("talker-t2av-release")
def test_talker_says_where_the_reference_bounds_the_clip(bench):
    made = bench.make("x" * 100)
    assert len(frames(made["video"])) <= (2.0 + 2.4 + 0.16) * 25
    assert made["notes"] == ["the clip is as long as the reference allows (2.00 s + 2.4 s): words may be missing"]


@needs_ffmpeg
@of("talker-t2av-release")
def test_talker_failures_are_told(bench):
    failed, nothing = bench.ask(bench.request("fails"), bench.request("leaves nothing"))
    assert "ended with 1: RuntimeError: shape mismatch" in failed["message"]
    assert nothing["message"] == "infer.py left no i000001.mp4; it said: nothing to do"


@of("talker-t2av-release")
def test_talker_refuses_other_tasks_and_long_voices(bench):
    long = sound(bench.folder / "long.wav", 30.5)
    found = bench.ask(bench.request(task="a2v"), bench.request(task="v2a"), bench.request(voice=long))
    assert [each["status"] for each in found] == ["refused"] * 3
    assert "no entry for the task a2v" in found[0]["message"] and "lasts 30.5 s" in found[2]["message"]


@of("f5-tts")
def test_f5_makes_speech_with_the_reference_in_its_length(bench):
    made = bench.make(fields={"target_seconds": 1.5})
    assert len(samples(made["audio"])) == 1.5 * 24000
    truth = np.random.default_rng(7).uniform(-0.5, 0.5, 36000)
    assert np.abs(samples(made["audio"]) - truth * 32767).max() < 1
    assert ast.literal_eval(bench.given()) == [-1.0, 2.0, 32, 1.0]
    assert len(samples(bench.make("x" * 22, speed=2.0)["audio"])) == 2 * 24000  # by the reference's rate


@of("f5-tts")
@pytest.mark.parametrize("words", [None, "", " "])
def test_f5_without_the_words_of_the_voice_is_refused(bench, words):
    (done,) = bench.ask(bench.request(voice_text=words))
    assert done["status"] == "refused" and "voice_text" in done["message"]


@of("f5-tts")
def test_f5_refuses_what_it_would_cut(bench):
    (done,) = bench.ask(bench.request(voice=sound(bench.folder / "long.wav", 12.5)))
    assert done["status"] == "refused" and "cuts it at 12 s" in done["message"]


@of("f5-tts")
def test_f5_silence_clipping_and_missing_weights(bench):
    silent, loud = bench.ask(bench.request("silent"), bench.request("loud"))
    assert silent["message"] == "infer() gave no sound"
    assert loud["made"]["notes"] == ["5 samples lay beyond full scale and were clipped"]
    assert "vocab_file is missing" in bench.broken(vocab_file="")


@of("cosyvoice")
def test_cosyvoice_puts_pieces_together(bench):
    made = bench.make("One.Three.")
    found = samples(made["audio"])
    assert len(found) == 8000 and made["notes"] == ["2 pieces were put together"]
    assert len(set(found[:3000])) == len(set(found[3000:])) == 1 and found[0] != found[-1]
    assert ast.literal_eval(bench.given())[1:] == [False, 1.0, False]


@of("cosyvoice")
def test_cosyvoice_3_alone_gets_its_sentence(bench):
    bench.make()
    assert ast.literal_eval(bench.given())[0] == "You are a helpful assistant.<|endofprompt|>Eleven sign"
    bench.make(model_dir="CosyVoice2-0.5B")
    assert ast.literal_eval(bench.given())[0] == "Eleven sign"


@of("cosyvoice")
def test_cosyvoice_seeds_do_not_depend_on_the_order(bench):
    first, second, again = bench.ask(bench.request(), bench.request(seed=8), bench.request())
    one, other, same = (samples(each["made"]["audio"]) for each in (first, second, again))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@of("cosyvoice")
def test_cosyvoice_refusals_and_failures(bench):
    long = sound(bench.folder / "long.wav", 30.5)
    wordless, cut, empty = bench.ask(bench.request(voice_text=None), bench.request(voice=long), bench.request("."))
    assert wordless["status"] == cut["status"] == "refused"
    assert empty["message"] == "inference_zero_shot() gave no sound"
    assert "the folder of the model is missing" in bench.broken(model_dir="none")
