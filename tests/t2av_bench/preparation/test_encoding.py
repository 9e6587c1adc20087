"""One clip to one sample, with the networks of the release at tiny sizes; and why clips are left out."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import wavfile
from tiny_talker import PixelMotionCodec, speech, tiny_tokenizer

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.preparation import encoding
from t2av_bench.preparation.clips import ClipFiles
from t2av_bench.preparation.encoding import ClipEncoder, Limits

RATE = 24_000


@pytest.fixture
def encoder(components, monkeypatch):
    from reference_model.inference.prompt import chat_ids

    parts = dataclasses.replace(components, motion_codec=PixelMotionCodec(),
                                suffix_ids=chat_ids(tiny_tokenizer(), "x")[1])  # fmt: skip

    class Tiny:
        @staticmethod
        def load(device):
            return parts

    monkeypatch.setattr(encoding.registry, "class_of", lambda id: Tiny)
    return ClipEncoder("tiny", "cpu", Limits())


@pytest.fixture(scope="module")
def wavs(tmp_path_factory):
    """Sound of 40 frames and of 3, silence, and bytes that are none."""
    folder = tmp_path_factory.mktemp("wavs")
    for name, audio in (("long", speech(1.6, RATE)), ("short", speech(0.14, RATE)), ("brief", speech(0.6, RATE)),
                        ("silent", np.zeros(RATE, np.float32))):  # fmt: skip
        wavfile.write(folder / f"{name}.wav", RATE, audio)
    (folder / "broken.wav").write_bytes(b"RIFF no sound")
    return folder


def test_a_video_becomes_its_codecs_latents(encoder, inputs):
    heard = []
    sample = encoder(ClipFiles("a", "hello there", inputs["video"]), lambda: heard.append(1))
    parts, audio = encoder.parts, Clip(inputs["video"]).audio(RATE)
    assert sample.speech.shape == (30, 6) and sample.motion.shape == (30, 10) and len(heard) > 3
    assert torch.equal(sample.speech, parts.audio_codec.encode(torch.from_numpy(audio.copy())[None])[0])
    # What the motion codec saw: the whole clip, the pictures of one square.
    seen = torch.cat(parts.motion_codec.encoded, 1)[0]
    assert seen.shape == (30, 3, 64, 64)
    expected = torch.nn.functional.adaptive_avg_pool2d(seen[:, 0], (2, 5)).flatten(1)
    assert torch.allclose(sample.motion, (expected - 0.1) / 0.5)
    whole = torch.from_numpy(Clip(inputs["video"]).audio(16_000).copy())[None]
    assert torch.equal(sample.speaker_embedding, parts.speaker_encoder(whole)[0])
    # Before and after the patches, the chat of a tokenizer that nobody cut: the placeholder stands in between.
    tokenizer = tiny_tokenizer()
    words = tokenizer.convert_ids_to_tokens([*sample.text_ids.tolist(), *sample.suffix_ids.tolist()])
    assert words == ["<|im_start|>", "user", "hello", "there", "<|im_end|>", "<|im_start|>", "assistant", "<think>",
                     "</think>", "<|im_end|>"]  # fmt: skip
    assert len(sample.suffix_ids) == 1


def save_motion(path, codes):
    if path.suffix == ".npy":
        np.save(path, codes.numpy())
    elif path.suffix == ".safetensors":
        save_file({"motion": codes}, path)
    else:
        torch.save(codes if path.stem == "plain" else {"motion": codes}, path)
    return path


@pytest.mark.parametrize("name", ["plain.pt", "table.pth", "a.npy", "a.safetensors"])
def test_motion_files_are_normalised_and_cut_to_the_sound(name, encoder, wavs, tmp_path):
    codes = torch.randn(43, 10, generator=torch.Generator().manual_seed(1)).half()
    motion = save_motion(tmp_path / name, codes)
    sample = encoder(ClipFiles("a", "hello", wavs / "long.wav", motion=motion, motion_frames=43, motion_rate=25.0))
    assert sample.speech.shape == (40, 6)
    assert torch.equal(sample.motion, (codes[:40].float() - 0.1) / 0.5)


def test_sound_alone_is_a_sample_without_motion(encoder, wavs, inputs):
    sample = encoder(ClipFiles("a", "hello", wavs / "long.wav", voice=inputs["voice"]))
    assert sample.motion is None and sample.speech.shape == (40, 6)
    other = encoder(ClipFiles("a", "hello", wavs / "long.wav"))
    assert torch.equal(other.speech, sample.speech)
    assert not torch.allclose(other.speaker_embedding, sample.speaker_embedding)


@pytest.mark.parametrize(("files", "told"), [
    ({"media": "short.wav"}, "it lasts 3 frames of 0.04 s, less than a patch of 4"),
    ({"media": "brief.wav"}, "its voice: brief.wav holds .* s of speech, at least 1 s are needed"),
    ({"media": "silent.wav"}, "counts as silent"), ({"media": "broken.wav"}, "broken.wav"),
    ({"media": "absent.wav"}, "absent.wav.*(does not exist|No such file)"),
    ({"media": "long.wav", "text": "<|im_start|>"}, "which the prompt reserves"),
    ({"media": "long.wav", "text": "hello " * 1000}, "its text has 1007 tokens, which leaves no room in sequences of "
                                                     "1000 .--max-tokens"),
    ({"media": "long.wav", "voice": "silent.wav"}, "its voice: .*counts as silent"),
])  # fmt: skip
def test_clips_that_cannot_be_used_have_their_reason(files, told, encoder, wavs):
    files = {"text": "hello", **{key: wavs / name if key != "text" else name for key, name in files.items()}}
    with pytest.raises(Unscorable, match=told):
        encoder(ClipFiles("a", **files))


@pytest.mark.parametrize(("codes", "said", "told"), [
    (torch.zeros(34, 10), {}, "its sound lasts 40 frames and its motion 34: they differ by more than 5 .--difference"),
    (torch.zeros(40, 9), {}, r"motion of shape \(40, 9\), expected \(frames, 10\)"),
    (torch.zeros(40, 10), {"motion_rate": 30.0}, r"30 frames a second \(fps\), expected 25"),
    (torch.zeros(40, 10), {"motion_frames": 41}, r"has 40 frames, the list says 41 \(pt_length\)"),
    (torch.zeros(40, 10, dtype=torch.long), {}, "holds a tensor of torch.int64, expected one tensor of motion codes"),
    ([1, 2], {}, "holds list, expected one tensor"),
    (b"nothing", {}, "m.pt cannot be read as motion"),
])  # fmt: skip
def test_motion_that_cannot_be_used_has_its_reason(codes, said, told, encoder, wavs, tmp_path):
    path = tmp_path / "m.pt"
    if isinstance(codes, bytes):
        path.write_bytes(codes)
    else:
        torch.save(codes, path)
    with pytest.raises(Unscorable, match=told):
        encoder(ClipFiles("a", "hello", wavs / "long.wav", motion=path, **said))


def test_a_motion_file_runs_no_code(encoder, wavs, tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Runs(), tmp_path / "m.pt")
    with pytest.raises(Unscorable, match="m.pt cannot be read as motion"):
        encoder(ClipFiles("a", "hello", wavs / "long.wav", motion=tmp_path / "m.pt"))
    assert not (tmp_path / "ran").exists()


def test_a_video_without_a_face_is_left_out(encoder, tmp_path):
    grey = np.full((40, 128, 128, 3), 127, np.uint8)
    write_mp4(tmp_path / "grey.mp4", grey, speech(1.6, RATE), audio_rate=RATE, preset="ultrafast")
    with pytest.raises(Unscorable, match="no face of 8 frames looked at in grey.mp4"):
        encoder(ClipFiles("a", "hello", tmp_path / "grey.mp4"))
