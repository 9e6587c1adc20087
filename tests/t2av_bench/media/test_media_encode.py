"""Writing clips, and the resampler and 16-bit rules."""

import hashlib
from fractions import Fraction

import av
import media_factory as factory
import numpy as np
import pytest
from media_factory import write_lossless

from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import fit, samples_for, write_mp4
from t2av_bench.media.resample import resample, to_int16


def read(path, rate):
    clip = Clip(path)
    return np.concatenate(list(clip.frames())), clip.audio(rate)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (64, 65)])
@pytest.mark.parametrize("kind", ["int16", "float32"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_lossless_gives_back_the_same_bits(tmp_path, height, width, kind, rate):
    frames = factory.moving_pattern(12, height, width)
    audio = factory.noise(0.48, rate)
    audio = to_int16(audio) if kind == "int16" else audio
    write_lossless(tmp_path / "a.mkv", iter(frames), audio, audio_rate=rate)
    decoded, heard = read(tmp_path / "a.mkv", rate)
    np.testing.assert_array_equal(decoded, frames)
    np.testing.assert_array_equal(to_int16(heard) if kind == "int16" else heard, audio)


def test_lossless_keeps_samples_above_full_scale(tmp_path):
    audio = np.array([0.5, 1.5, -2.0, 0.0] * 2000, np.float32)
    write_lossless(tmp_path / "a.mkv", factory.moving_pattern(3), audio)
    np.testing.assert_array_equal(Clip(tmp_path / "a.mkv").audio(), audio)


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.7, 1.32, 3.0])
def test_mp4_has_exactly_as_many_samples_as_the_frames_last(tmp_path, rate, seconds):
    frames = factory.moving_pattern(33)
    audio = factory.tone(seconds, rate)
    write_mp4(tmp_path / "a.mp4", frames, audio, audio_rate=rate, fit_audio=True)
    decoded, heard = read(tmp_path / "a.mp4", rate)
    assert len(decoded) == 33 and len(heard) == 33 * rate // 25
    common = min(len(audio), len(heard)) - 2048
    noise = heard[2048:common] - audio[2048:common]
    # Aligned to the sample: a lag of one is 3 to 30 times more.
    assert np.mean(noise**2) < 1e-3 * np.mean(audio**2)


def test_without_fitting_the_audio_keeps_its_length(tmp_path):
    write_mp4(tmp_path / "a.mp4", factory.moving_pattern(10), factory.tone(1.0))
    decoded, heard = read(tmp_path / "a.mp4", 16000)
    assert len(decoded) == 10 and len(heard) == 16000


def test_mp4_pictures_are_close_and_declare_their_colours(tmp_path):
    frames = factory.moving_pattern(10)
    write_mp4(tmp_path / "a.mp4", [frames[:4], frames[4:]], None, crf=8)
    decoded = np.concatenate(list(Clip(tmp_path / "a.mp4").frames()))
    assert [factory.frame_number(frame) for frame in decoded] == list(range(10))
    assert np.abs(decoded.astype(int) - frames).mean() < 4
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.pix_fmt) == (6, 1, "yuv420p")
    assert not Clip(tmp_path / "a.mp4").info.has_audio


@pytest.mark.parametrize("rate", [24, 25, 30, Fraction(30000, 1001)])
def test_the_frame_rate_is_written(tmp_path, rate):
    write_mp4(tmp_path / "a.mp4", factory.moving_pattern(20), frame_rate=rate)
    assert float(Clip(tmp_path / "a.mp4").info.frame_rate) == pytest.approx(float(rate), rel=1e-3)
    assert Clip(tmp_path / "a.mp4", frame_rate=rate).frame_count == 20


def test_the_same_input_gives_the_same_bytes(tmp_path):
    frames, audio = factory.moving_pattern(15), factory.noise(0.6)
    digests = set()
    for name in ("one", "two"):
        write_mp4(tmp_path / name, frames, audio)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_narrow_pictures_have_the_same_bytes_whatever_lay_in_memory(tmp_path):
    y, x = np.mgrid[:64, :64] - 32
    away = [np.hypot(x - 4 * np.sin(number / 3), y - 4 * np.cos(number / 4)) for number in range(60)]
    frames = np.repeat(np.clip(235 - 6 * np.array(away), 40, 235).astype(np.uint8)[..., None], 3, axis=3)
    digests = set()
    for seed in range(8):
        random = np.random.default_rng(seed)
        litter = [random.integers(0, 255, size, dtype=np.uint8) for size in random.integers(1000, 300_000, 100)]
        del litter
        write_mp4(tmp_path / "a.mp4", frames, crf=12)
        digests.add(hashlib.sha256((tmp_path / "a.mp4").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_stereo_is_written_and_read_as_its_average(tmp_path):
    audio = np.stack([factory.noise(0.4, seed=1), factory.noise(0.4, seed=2)], axis=1)
    write_lossless(tmp_path / "a.mkv", factory.moving_pattern(10), audio)
    assert Clip(tmp_path / "a.mkv").info.audio_channels == 2
    np.testing.assert_allclose(Clip(tmp_path / "a.mkv").audio(), audio.mean(axis=1), atol=1e-7)


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def frames():
        yield from factory.moving_pattern(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mp4(path, frames(), factory.tone(0.2))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "audio", "message"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), None, "at least one frame"),
        (np.zeros((2, 8, 8, 3), np.float32), None, "uint8 RGB"),
        (np.zeros((2, 8, 8), np.uint8), None, "uint8 RGB"),
        (np.zeros((2, 97, 128, 3), np.uint8), None, "even picture sizes, got 128x97"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 10, 3), np.uint8)], None, "frame 1 has shape"),
        (np.zeros((2, 16, 16, 3), np.uint8), np.full(100, np.nan), "NaN"),
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros((10, 3)), "audio is"),
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros(10, np.int32), "audio is"),
    ],
)
def test_what_cannot_be_written_is_explained(tmp_path, frames, audio, message):
    with pytest.raises(ValueError, match=message):
        write_mp4(tmp_path / "a.mp4", frames, audio)
    assert not list(tmp_path.iterdir())


def test_fit_cuts_and_pads_the_end():
    np.testing.assert_array_equal(fit(np.arange(5), 3), [0, 1, 2])
    np.testing.assert_array_equal(fit(np.ones((2, 2)), 3), [[1, 1], [1, 1], [0, 0]])
    assert samples_for(132, 25, 24000) == 126720 and samples_for(100, Fraction(30000, 1001), 48000) == 160160


@pytest.mark.parametrize(("rate", "new_rate"), [(48000, 16000), (44100, 16000), (16000, 24000), (24000, 16000)])
def test_resampling_moves_a_tone_to_the_same_tone(rate, new_rate):
    heard = resample(factory.tone(2.0, rate, 1000), rate, new_rate)
    assert abs(len(heard) - 2 * new_rate) <= 1 and heard.dtype == np.float32
    inner = slice(new_rate // 10, -new_rate // 10)
    error = heard[: 2 * new_rate][inner] - factory.tone(2.0, new_rate, 1000)[: len(heard)][inner]
    assert np.abs(error).max() < 1e-4


def test_resampling_removes_what_the_new_rate_cannot_hold():
    assert np.abs(resample(factory.tone(1.0, 48000, 12000), 48000, 16000)[800:-800]).max() < 1e-4


def test_equal_rates_and_too_short_signals():
    audio = factory.noise(0.1)
    assert resample(audio, 16000, 16000) is audio
    with pytest.raises(MediaError, match="too short to be resampled: 1 sample"):
        resample(audio[:1], 48000, 8000)
    with pytest.raises(ValueError, match="positive"):
        resample(audio, 0, 16000)


def test_the_sixteen_bit_rule():
    values = np.array([0.0, 1.0, -1.0, 2.0, 0.5 / 32768, 1.5 / 32768, -0.5 / 32768, 0.25])
    np.testing.assert_array_equal(to_int16(values), [0, 32767, -32768, 32767, 0, 2, 0, 8192])
    everything = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(to_int16(everything.astype(np.float32) / 32768), everything)
