"""Whisper base as published, on real speech with known words, on speech that was synthesised, and on none."""

import subprocess
import sys

import numpy as np
import pytest
from speech_factory import RATE, pair

from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import resample
from t2av_bench.metrics import create

pytestmark = pytest.mark.slow

# Default text of the script that made talker_output.mp4 (infer.py of zhenye234/Talker-T2AV): it ends within a word.
TALKER_TEXT = "对方是不是在拖着自己，或者说是不是对方你已经变心了啊，或者说对方他根本就是不"
# Without compounds that are written in two ways, numbers and names.
SENTENCES = """\
The old farmer walked slowly across the frozen field before the sun came up.
She opened the window and listened to the rain falling on the quiet street.
We should leave early tomorrow if we want to catch the first train to the city.
My brother plays the piano every evening after dinner with the door closed.
The children built a small boat out of paper and put it in the river.
He forgot his keys again and had to wait outside until his wife came home.
A cold wind blew from the north and the leaves began to fall from the trees.
Please bring me a glass of water and a slice of bread with cheese.
The doctor told him to rest for a week and to drink plenty of tea.
Nobody knew why the music stopped in the middle of the second song.""".splitlines()
SYNTHESISER = "hibari-tts==0.2.1 --hash=sha256:49f2abbbe451c988e7448b5afa08c8a56410535ebb855c0e7d174275df5ca1f3\n"


@pytest.fixture(autouse=True)
def whisper_base(real_weights):
    return real_weights("whisper_base")


@pytest.fixture(scope="module")
def synthesise(tmp_path_factory):
    """Text -> (n,) at 16 kHz, by a published voice that is installed into a folder of this test's own."""
    folder = tmp_path_factory.mktemp("hibari")
    (folder / "requirements.txt").write_text(SYNTHESISER)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target"]
    done = subprocess.run(
        [*command, str(folder / "site"), "-r", str(folder / "requirements.txt")], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"the package registry gave no hibari-tts 0.2.1: {done.stderr.strip()[-200:]}")
    sys.path.append(str(folder / "site"))
    try:
        import hibari
    finally:
        sys.path.pop()
    voice = hibari.Hibari()
    return lambda text: resample(np.asarray(voice(text, seed=0), np.float32), 24000, RATE)


def heard(id, folder, audio, text, language):
    return create(id).measure(pair(folder, np.asarray(audio, np.float32), text=text, language=language))


def test_the_released_model_says_its_text(clips_folder, tmp_path):
    audio = Clip(clips_folder / "talker_output.mp4").audio(RATE)
    found = heard("cer/whisper-base", tmp_path, audio, TALKER_TEXT, "zh")
    assert found.values["cer"] <= 0.10 and found.weight == 36 and found.detail["language"] == "zh"
    assert found.detail["flags"] == []


def test_its_reference_says_nearly_the_same(clips_folder, tmp_path):
    audio = Clip(clips_folder / "talker_reference.wav").audio(RATE)
    found = heard("cer/whisper-base", tmp_path, audio, TALKER_TEXT, "zh")
    assert found.values["cer"] <= 0.20 and found.detail["flags"] == []


def test_ten_english_sentences_are_understood(synthesise, tmp_path):
    rows = [heard("wer/whisper-base", tmp_path, synthesise(text), text, "en") for text in SENTENCES]
    assert np.average([row.values["wer"] for row in rows], weights=[row.weight for row in rows]) <= 0.05
    assert sum(row.weight for row in rows) > 125 and not any(row.detail["flags"] for row in rows)


def test_sound_of_more_than_a_window_is_heard_to_its_end(synthesise, tmp_path):
    pause = np.zeros(RATE // 2, np.float32)
    spoken = np.concatenate([part for text in SENTENCES for part in (synthesise(text), pause)])
    assert len(spoken) > 35 * RATE
    found = heard("wer/whisper-base", tmp_path, spoken, " ".join(SENTENCES), "en")
    assert found.values["wer"] <= 0.05 and found.detail["flags"] == []


def chords():
    """Four broken triads, two octaves of partials, no voice; 8 s."""
    time = np.arange(RATE // 2) / RATE
    triads = ((261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7))
    notes = [sum(np.sin(2 * np.pi * f * k * time) / k for f in triad for k in (1, 2, 3)) for triad in triads]
    music = np.concatenate([note * np.exp(-3 * time) for note in notes for _ in range(4)])
    return 0.3 * music / np.abs(music).max()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_heard_in_silence_and_in_noise(tmp_path, language):
    id, text = ("wer/whisper-base", "Hello there.") if language == "en" else ("cer/whisper-base", "今天天气很好")
    silent = heard(id, tmp_path, np.zeros(3 * RATE), text, language)
    assert silent.detail["hypothesis"] == "" and silent.detail["silent"] is True
    noise = heard(id, tmp_path, 0.1 * np.random.default_rng(0).standard_normal(5 * RATE), text, language)
    assert noise.detail["hypothesis"] == "" and noise.detail["flags"][0].startswith("no speech from 0 s on")
    assert set(silent.values.values()) == set(noise.values.values()) == {1.0}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_heard_in_music(tmp_path, language):
    id, text = ("wer/whisper-base", "Hello there.") if language == "en" else ("cer/whisper-base", "今天天气很好")
    found = heard(id, tmp_path, chords(), text, language)
    assert found.detail["hypothesis"] == "" and found.detail["flags"]


def test_a_loop_is_flagged(tmp_path):
    """Eight seconds of the same noise make the decoder sure of a sentence that it repeats."""
    noise = 0.1 * np.random.default_rng(1).standard_normal(8 * RATE)
    found = heard("wer/whisper-base", tmp_path, noise, "Hello there.", "en")
    assert found.values["wer"] > 2 and any("is repeated" in flag for flag in found.detail["flags"])


def test_the_checkpoint_suppresses_what_whisper_always_does(whisper_base):
    """The list lies in a file beside the weights; transformers has it as well, without the names of tasks."""
    from transformers import GenerationConfig
    from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS_MULTI

    config = GenerationConfig.from_pretrained(whisper_base)
    assert set(config.suppress_tokens) == {*NON_SPEECH_TOKENS_MULTI, *config.task_to_id.values()}
    assert (config.max_initial_timestamp_index, config.max_length) == (50, 448)
