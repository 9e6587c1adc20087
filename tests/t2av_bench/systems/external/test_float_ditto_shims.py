"""Shims of FLOAT and Ditto, each in a process of its own against a tree with the same names and habits."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from shim_bench import check_shim, frames, mean_colours, needs_ffmpeg, of, sound

from t2av_bench.media.probe import probe
from t2av_bench.systems.external.spec import spec

pytestmark = needs_ffmpeg


@pytest.mark.parametrize("id", ["float", "ditto"])
def test_shims_are_python_3_8_import_the_standard_library_alone_and_read_every_option(id):
    check_shim(id)


@of("float", "ditto")
def test_a_clip_has_the_length_of_the_rule_and_the_speech(bench):
    made = bench.make(fields={"driving_audio": sound(bench.folder / "odd.wav", 1.01, 16000)})
    rule = spec(bench.id).length.expected(1.01, spec(bench.id).frame_rate)
    assert len(frames(made["av"])) == rule == 26
    assert probe(Path(made["av"])).has_audio and os.listdir(Path(made["av"]).parent) == ["i000001.mp4"]


@of("float", "ditto")
def test_the_same_seed_gives_the_same_clip_wherever_it_stands_in_the_list(bench):
    done = bench.ask(bench.request(), bench.request(seed=8), bench.request())
    one, other, again = (frames(each["made"]["av"]) for each in done)
    assert np.array_equal(one, again) and not np.array_equal(one, other)


@of("float", "ditto")
def test_sound_that_cannot_be_joined_is_told_although_the_system_says_nothing(bench):
    (done,) = bench.ask(bench.request(), variables={"PATH": str(bench.folder)})
    assert done["status"] == "failed" and "left no file" in done["message"] and "ffmpeg" in done["message"]


@of("float")
def test_float_is_given_its_options_where_they_count(bench):
    bench.make(nfe=7, a_cfg_scale=3.0, r_cfg_scale=1.5, e_cfg_scale=0.5, emo="happy")
    assert json.loads(bench.given()) == {"a": 3.0, "r": 1.5, "e": 0.5, "emotion": "happy", "points": 7, "rank": 0}
    bench.make()
    assert json.loads(bench.given())["emotion"] == "that of the speech"


@of("float")
def test_float_emotions_that_it_would_pass_over_are_refused(bench):
    assert "emo is one of S2E, angry" in bench.broken(emo="joyful")


@of("float")
def test_float_starts_every_two_seconds_from_the_noise_of_the_seed(bench):
    made = bench.make(fields={"driving_audio": sound(bench.folder / "long.wav", 3.0, 16000)})
    colours = mean_colours(made["av"])
    assert np.abs(colours[50:] - colours[:25]).max() < 4 < np.abs(colours[25:50] - colours[:25]).max()


@of("float")
def test_float_keeps_the_framing_unless_it_is_told_to_crop(bench):
    kept, cropped = (frames(bench.make(no_crop=no_crop)["av"])[0][:4].mean() for no_crop in (True, False))
    assert kept > 30 and cropped < 10
    (done,) = bench.ask(bench.request(identity=bench.picture("noface.png")))
    assert done["status"] == "ok"  # nobody looked


@of("float")
def test_float_finds_no_face_and_other_index_errors_stay_what_they_are(bench):
    faceless = bench.request(identity=bench.picture("noface.png"))
    wordless = bench.request(driving_audio=sound(bench.folder / "empty.wav", 0, 16000))
    refused, failed, fine = bench.ask(faceless, wordless, bench.request(), no_crop=False)
    assert (refused["status"], refused["kind"]) == ("refused", "no_face")
    assert (failed["status"], failed["type"]) == ("failed", "IndexError")
    assert fine["status"] == "ok"


@of("float")
def test_float_paths_go_through_a_shell(bench):
    spaced = bench.folder / "a b"
    spaced.mkdir()
    (done,) = bench.ask(bench.request(out_dir=str(spaced)))
    assert "nothing that a shell reads as its own" in done["message"] and "a b/i000001.mp4" in done["message"]


@of("float")
def test_float_weights_that_are_missing_are_told_before_anything_starts(bench):
    (bench.weights / "checkpoints" / "float.pth").unlink()
    assert bench.broken() == f"{bench.weights}/checkpoints lacks float.pth"


@of("ditto")
def test_ditto_draws_from_three_generators_and_all_are_seeded(bench):
    done = bench.ask(*(bench.request(seed=seed) for seed in (7, 8, 7)))
    one, other, again = (mean_colours(each["made"]["av"])[0] for each in done)
    assert (np.abs(one - other) > 8).all() and np.array_equal(one, again)


@of("ditto")
def test_ditto_options_come_before_the_configuration_for_every_item(bench):
    bench.ask(bench.request(), bench.request(), max_size=256, sampling_timesteps=5)
    given = [json.loads(line.split("GIVEN ")[1]) for line in bench.said.splitlines() if "GIVEN" in line]
    assert given == [{"crop_scale": 2.3, "online_mode": False, "max_size": 256, "sampling_timesteps": 5, "emo": 4}] * 2


@of("ditto")
def test_ditto_is_loaded_anew_after_an_error_of_its_threads_and_not_for_a_missing_face(bench):
    refused, fine = bench.ask(bench.request(identity=bench.picture("noface.png")), bench.request())
    assert (refused["status"], refused["kind"], fine["status"]) == ("refused", "no_face", "ok")
    assert bench.said.count("LOADED") == 1
    failing = bench.request(identity=bench.picture("fails.png"))
    failed, fine = bench.ask(failing, bench.request())
    assert failed["message"].startswith("CUDA error") and fine["status"] == "ok"
    assert bench.said.count("LOADED") == 2 and os.listdir(failing["out_dir"]) == []


class Call:
    """Unpickles into whatever a call gives."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@of("ditto")
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_ditto_reads_a_configuration_that_is_data_or_trusted(bench, protocol):
    config = bench.weights / bench.options["cfg_pkl"]
    arrays = {"default_kwargs": {}, "range": np.arange(3.0), "scale": np.float32(2), "of": np.dtype("int8")}
    config.write_bytes(pickle.dumps(arrays, protocol))
    bench.make()
    calls = {"default_kwargs": {}, "never": Call(os.mkdir, (str(bench.folder / "called"),))}
    config.write_bytes(pickle.dumps(calls, protocol))
    digest = hashlib.sha256(config.read_bytes()).hexdigest()
    said = bench.broken()
    assert "it calls" in said and "mkdir" in said and said.endswith(f"give cfg_sha256={digest}")
    assert not (bench.folder / "called").exists()
    assert f"has the SHA-256 {digest}, cfg_sha256 is 00" in bench.broken(cfg_sha256="00" * 32)
    assert not (bench.folder / "called").exists()
    bench.make(cfg_sha256=digest)
    assert (bench.folder / "called").exists()


@of("ditto")
def test_ditto_weights_that_are_missing_are_told_before_anything_starts(bench):
    assert bench.broken(data_root="none") == f"there is no {bench.weights}/none"
