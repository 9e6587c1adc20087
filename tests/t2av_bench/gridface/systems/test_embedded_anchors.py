"""Rows that no system makes: the real clip, its reconstruction, a stranger's sound; and espeak-ng."""

import json
import os

import numpy as np
import pytest
from media_factory import write_lossless
from scipy.io import wavfile
from tiny_talker import PixelMotionCodec, speech

from t2av_bench import systems
from t2av_bench.errors import NotApplicable
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.gridface.speech.synthesizer import Synthesizer
from t2av_bench.gridface.systems.anchors import EmbeddedCodec, EmbeddedReal, EmbeddedStranger
from t2av_bench.gridface.systems.espeak import EmbeddedEspeak
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.latent.parts import Parts

FRAMES = 20
RATE = 16_000


class HalvingAudioCodec:
    """A codec whose latents are mean levels and whose sound is theirs at half the level: easy to predict."""

    sample_rate, frame_rate, latent_dim = RATE, 25, 640

    def encode(self, audio):
        return audio.reshape(len(audio), -1, 640)

    def decode(self, latents):
        return latents.flatten(1) / 2


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """reference and stranger, 128x128, of 20 and 12 frames; and one that is too large."""
    folder = tmp_path_factory.mktemp("clips")
    motion = np.zeros((FRAMES, 16), np.float32)
    motion[:, 0] = np.sin(np.arange(FRAMES) / 3) ** 2
    found = {}
    for name, identity, frames, size in (("reference", 4, FRAMES, 128), ("stranger", 9, 12, 128), ("large", 4, 8, 192)):
        found[name] = folder / f"{name}.mp4"
        sound = speech(frames / 25, RATE, seed=identity)
        write_mp4(found[name], Portrait(identity, size).render(motion[:frames]), sound, audio_rate=RATE)
    return found


@pytest.fixture
def ask(tmp_path, clips):
    def build(task: str = "t2av", **changes) -> Request:
        fields = {"reference": clips["reference"], "stranger": clips["stranger"], "out": tmp_path / "out" / "clip.mp4"}
        return Request(id="clip", task=task, **(fields | changes))

    return build


def codecs() -> Parts:
    return Parts(prompt=str, audio_codec=HalvingAudioCodec(), motion_codec=PixelMotionCodec(128), speaker_encoder=None)


def shown(path, count=FRAMES):
    return next(Clip(path).frames(count)).astype(int)


def check_files(clip, rate=RATE):
    stored, samples = wavfile.read(clip.audio)
    assert stored == rate and len(samples) == clip.audio_samples == clip.frame_count * rate // 25
    record = json.loads(clip.record.read_text())
    assert record == json.loads(json.dumps(clip.details)) and record["frames"] == clip.frame_count
    assert sorted(os.listdir(clip.audio.parent)) == sorted(record["files"] + [clip.record.name])
    if clip.video:
        film = Clip(clip.video)
        assert film.frame_count == clip.frame_count and len(film.audio(rate)) == clip.audio_samples


@pytest.mark.parametrize("task", ["t2av", "a2v", "v2a"])
def test_the_real_row_is_the_clip_itself(task, ask, clips):
    clip = EmbeddedReal.load().generate(ask(task))
    check_files(clip)
    assert clip.video.read_bytes() == clips["reference"].read_bytes() and clip.frame_count == FRAMES
    assert np.array_equal(wavfile.read(clip.audio)[1], Clip(clips["reference"]).audio(RATE))


def test_a_real_clip_of_another_format_is_converted(ask, tmp_path, clips):
    other = tmp_path / "reference.mkv"
    pictures = shown(clips["reference"]).astype(np.uint8)
    write_lossless(other, pictures, speech(FRAMES / 25, RATE), audio_rate=RATE)
    clip = EmbeddedReal.load().generate(ask(reference=other))
    check_files(clip)
    assert np.abs(shown(clip.video) - pictures).mean() < 3


def test_a_stranger_is_heard_and_the_person_is_seen(ask, clips):
    clip = EmbeddedStranger.load().generate(ask())
    check_files(clip)
    assert np.abs(shown(clip.video) - shown(clips["reference"])).mean() < 3
    heard, other = wavfile.read(clip.audio)[1], Clip(clips["stranger"]).audio(RATE)
    assert np.array_equal(heard[: len(other)], other) and not heard[len(other) :].any()
    swapped = EmbeddedStranger.load().generate(ask(reference=clips["stranger"], stranger=clips["reference"]))
    check_files(swapped)
    assert swapped.frame_count == 12, "a longer sound is cut to the picture"


def test_a_stranger_must_be_another_one(ask, clips, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clips["reference"].read_bytes())
    with pytest.raises(GenerationFailed, match="copy.mp4 is the item's own clip"):
        EmbeddedStranger.load().generate(ask(stranger=copy))
    with pytest.raises(NotApplicable, match="task t2av of embedded-stranger needs another item's reference clip"):
        EmbeddedStranger.load().generate(ask(stranger=None))


def test_the_codec_row_is_what_the_codecs_give_back(ask, clips):
    """The tests' motion codec gives the source at 0.8 plus a brightness; the audio codec half the level."""
    system = EmbeddedCodec(codecs())
    reference, sound = shown(clips["reference"]), Clip(clips["reference"]).audio(RATE)
    clip = system.generate(ask("t2av"))
    check_files(clip)
    assert np.allclose(wavfile.read(clip.audio)[1], sound / 2)
    pictures = shown(clip.video)
    spread = pictures[0].std() / reference[0].std()
    assert spread == pytest.approx(0.8, abs=0.02)
    assert np.abs((pictures[12] - pictures[12].mean()) - (pictures[0] - pictures[0].mean())).mean() < 2, (
        "every frame shows the first one's portrait"
    )
    clip = system.generate(ask("v2a"))
    assert np.abs(shown(clip.video) - reference).mean() < 3, "in v2a the picture is given"
    assert np.allclose(wavfile.read(clip.audio)[1], sound / 2)
    clip = system.generate(ask("a2v"))
    assert np.array_equal(wavfile.read(clip.audio)[1], sound), "in a2v the sound is given"


def test_what_cannot_be_used_leaves_nothing(ask, clips, tmp_path):
    silent = tmp_path / "silent.mp4"
    write_mp4(silent, shown(clips["reference"]).astype(np.uint8))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clips["reference"].read_bytes()[:2000])
    codec = EmbeddedCodec(codecs())
    refused = [
        (EmbeddedReal.load(), {"reference": silent}, "reference: .*audio"),
        (EmbeddedReal.load(), {"reference": broken}, "reference: "),
        (EmbeddedReal.load(), {"reference": tmp_path / "absent.mp4"}, "reference: .*absent.mp4"),
        (EmbeddedStranger.load(), {"stranger": silent}, "stranger: .*audio"),
        (codec, {"reference": clips["large"]}, "large.mp4 is 192x192, and the motion codec takes 128x128"),
        (codec, {"out": clips["reference"]}, "would be replaced"),
    ]
    for system, changes, message in refused:
        with pytest.raises(GenerationFailed, match=message):
            system.generate(ask(**changes))
        assert not (tmp_path / "out").exists(), "nothing was written"
    with pytest.raises(NotApplicable, match="does not serve the task tts"):
        codec.generate(ask("tts"))


@pytest.fixture(scope="module")
def espeak():
    return EmbeddedEspeak.load()


def say(tmp_path, text, **changes):
    return Request("said", tmp_path / "out" / "said.wav", "tts", text, **changes)


def test_espeak_says_a_sentence_as_the_benchmark_does(tmp_path):
    for utterance in (corpus.utterances("test-en", 1)[0], corpus.utterances("test-zh", 1)[0]):
        with Synthesizer() as synthesizer:
            expected = corpus.record(utterance, synthesizer).audio
        system = EmbeddedEspeak.load(voice=utterance.voice, rate=utterance.rate, pitch=utterance.pitch)
        clip = system.generate(say(tmp_path, utterance.text, language=utterance.language))
        check_files(clip)
        assert np.array_equal(wavfile.read(clip.audio)[1], expected) and clip.video is None


def test_espeak_takes_the_voice_of_the_language(espeak, tmp_path, inputs):
    for language, text, voice in (
        ("en", "Any words at all, 12 of them.", "en-us"), ("zh", "今天天气很好", "cmn"), (None, "今天", "cmn"),
        (None, "today", "en-us"), ("en-GB", "today", "en-us"),
    ):  # fmt: skip
        clip = espeak.generate(say(tmp_path, text, language=language))
        assert clip.details["settings"]["voice"] == voice and clip.notes == ()
    clip = espeak.generate(say(tmp_path, "today", voice=inputs["voice"]))
    assert "cannot clone" in clip.notes[0]
    other = EmbeddedEspeak.load(voice="en-us+f2").generate(say(tmp_path, "today"))
    assert other.details["settings"]["voice"] == "en-us+f2"


def test_espeak_stops_at_the_limit_and_never_depends_on_the_seed(espeak, tmp_path):
    whole = wavfile.read(espeak.generate(say(tmp_path, "one two three four five six")).audio)[1]
    clip = espeak.generate(say(tmp_path, "one two three four five six", max_seconds=1.0, seed=5))
    check_files(clip)
    assert clip.stop_reason == "limit" and clip.audio_samples == 6 * 4 * 640 and "cut at 1 s" in clip.notes[0]
    assert np.array_equal(wavfile.read(clip.audio)[1], whole[: clip.audio_samples])


def test_espeak_refuses_what_it_cannot_say(espeak, tmp_path):
    for text, changes, error, message in (
        (" ", {}, GenerationFailed, "the text is empty"),
        ("привет", {}, GenerationFailed, "cannot say 'п'"),
        ("今天", {"language": "en"}, GenerationFailed, "cannot say"),
        ("word " * 300, {}, GenerationFailed, "at most 1000"),
        ("bonjour", {"language": "fr"}, NotApplicable, "speaks en and zh, not 'fr'"),
        ("today", {"max_seconds": 0.1}, GenerationFailed, "less than one patch of 0.16 s"),
    ):
        with pytest.raises(error, match=message):
            espeak.generate(say(tmp_path, text, **changes))
        assert not (tmp_path / "out").exists()
    for options, message in (
        ({"voice": "en-us+nobody"}, "unknown voice variant 'en-us\\+nobody'"),
        ({"voice": "fr"}, "unknown voice language 'fr'"),
        ({"rate": 10}, "rate must be a whole number from 80 to 400"),
        ({"pitch": 100}, "pitch must be a whole number from 0 to 99"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            systems.load("embedded-espeak", **options)


def test_the_codecs_in_the_box_fit_the_row(ask, clips):
    """The real codecs: the same person in whole frames, and a sound of about the same loudness over time."""
    try:
        system = systems.load("embedded-codec")
    except (NotApplicable, ValueError) as reason:
        pytest.skip(f"the codecs are not bundled: {reason}")
    clip = system.generate(ask())
    check_files(clip)
    assert np.abs(shown(clip.video) - shown(clips["reference"])).mean() < 12
    assert clip.details["weights"].keys() == {"audio_codec", "motion_encoder", "identity_gallery"}
