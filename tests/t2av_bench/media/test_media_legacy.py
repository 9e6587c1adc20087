"""The reference tools' lossy intermediates: the measured shifts of pictures against sound."""

import shutil
import statistics

import media_factory as factory
import numpy as np
import pytest

from t2av_bench.errors import MediaError, NotApplicable
from t2av_bench.media import legacy
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16

pytest.importorskip("cv2", reason="the reference tools read their images with OpenCV")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program")


@pytest.fixture(scope="module")
def pattern():
    return factory.moving_pattern(132)


def sounds(rate: int) -> np.ndarray:
    """Noise below 3 kHz, which MP3 keeps, so that its delay can be read from a correlation."""
    slow = np.random.default_rng(0).standard_normal(round(5.28 * 6000))
    grid = np.arange(round(5.28 * rate)) * 6000 / rate
    return (0.1 * np.interp(grid, np.arange(len(slow)), slow)).astype(np.float32)


def delay(heard: np.ndarray, original: np.ndarray) -> int:
    """Samples by which ``heard`` is later than ``original`` (16 kHz), between -2000 and 2000."""
    piece = original[20000:50000].astype(float)
    return int(np.argmax(np.correlate(heard[18000:52000].astype(float), piece, "valid"))) - 2000


def shift(media: legacy.LegacyMedia) -> int:
    numbers = [factory.frame_number(frame) for batch in media.frames() for frame in batch]
    return statistics.mode(slot - number for slot, number in enumerate(numbers))


@needs_ffmpeg
@pytest.mark.parametrize(
    ("rate", "images", "video_later", "audio_later_ms"),
    [(16000, 134, 2, 69), (24000, 134, 2, 46), (44100, 133, 1, 25), (48000, 133, 1, 23)],
)
def test_transcoding_shifts_the_streams_as_measured(tmp_path, pattern, rate, images, video_later, audio_later_ms):
    path = factory.write_clip(tmp_path / "a.mkv", pattern, sounds(rate), audio_rate=rate, audio_codec="pcm_s16le")
    clip = Clip(path)
    original = to_int16(clip.audio())
    media = legacy.joonson(clip)
    assert media.frame_count == images
    assert shift(media) == video_later
    assert media.audio.dtype == np.int16
    assert delay(media.audio, original) / 16 == pytest.approx(audio_later_ms, abs=1.0)
    if rate == 24000:
        assert delay(media.audio, original) == pytest.approx(737, abs=2)


@needs_ffmpeg
def test_sound_from_the_clip_itself_is_not_shifted_but_the_pictures_are(tmp_path, pattern):
    path = factory.write_clip(tmp_path / "a.mkv", pattern, sounds(24000), audio_rate=24000, audio_codec="pcm_s16le")
    clip = Clip(path)
    media = legacy.syncnet_python(clip)
    original = to_int16(clip.audio())
    assert (media.frame_count, shift(media), delay(media.audio, original)) == (134, 2, 0)
    # Another resampler (swr) than ours (soxr), the same signal.
    common = min(len(media.audio), len(original))
    assert np.abs(media.audio[100 : common - 100] - original[100 : common - 100].astype(int)).mean() < 30


@needs_ffmpeg
def test_images_are_the_clip_with_small_losses(tmp_path, pattern):
    path = factory.write_clip(tmp_path / "a.mkv", pattern[:20], sounds(48000)[:38400], audio_rate=48000,
                              audio_codec="pcm_s16le")  # fmt: skip
    media = legacy.joonson(Clip(path))
    pictures = np.concatenate(list(media.frames(7)))
    assert pictures.shape == (21, 96, 128, 3) and pictures.dtype == np.uint8
    error = np.abs(pictures[1:].astype(int) - pattern[:20])
    assert 0.5 < error.mean() < 8  # lossy, but the same picture in the same channel order
    np.testing.assert_array_equal(media.frames_at([3, 1]), pictures[[3, 1]])


@needs_ffmpeg
def test_a_crop_is_encoded_and_cut_to_its_track(pattern):
    audio = to_int16(sounds(16000))
    media = legacy.crop_round_trip(pattern[30:80], audio, first_frame=30)
    assert media.frame_count == 50 and shift(media) == -30
    assert len(media.audio) == 50 * 640
    np.testing.assert_array_equal(media.audio, audio[30 * 640 : 80 * 640])
    with pytest.raises(ValueError, match="int16"):
        legacy.crop_round_trip(pattern[:5], audio.astype(np.float32), 0)


@needs_ffmpeg
def test_nothing_stays_behind(tmp_path, pattern, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = factory.tone_clip(tmp_path / "a.mp4", 0.4)
    media = legacy.joonson(Clip(path))
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    media.close()
    legacy.joonson(Clip(path))
    assert not list((tmp_path / "temporary").iterdir())


@needs_ffmpeg
def test_damaged_and_incomplete_clips_are_refused_with_our_reason(tmp_path):
    with pytest.raises(MediaError, match="is truncated"):
        legacy.joonson(Clip(factory.truncated_clip(tmp_path / "a.mp4")))
    with pytest.raises(MediaError, match="no audio stream"):
        legacy.syncnet_python(Clip(factory.clip_without_audio(tmp_path / "b.mp4", 0.4)))
    with pytest.raises(MediaError, match="no video stream"):
        legacy.joonson(Clip(factory.audio_only(tmp_path / "c.wav", 0.4)))


@needs_ffmpeg
def test_the_version_is_the_programs():
    assert legacy.ffmpeg_version()[0].isdigit() or legacy.ffmpeg_version()[0] in "nN"


def test_without_the_program_the_protocol_is_not_applicable(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    clip = Clip(factory.tone_clip(tmp_path / "a.mp4", 0.4))
    crops = np.zeros((2, 224, 224, 3), np.uint8)
    for ask in (
        lambda: legacy.joonson(clip),
        lambda: legacy.syncnet_python(clip),
        lambda: legacy.crop_round_trip(crops, np.zeros(1280, np.int16), 0),
        legacy.ffmpeg_version,
    ):
        with pytest.raises(NotApplicable, match="install it.*'exact' protocol"):
            ask()


def test_a_program_without_an_option_is_not_applicable(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text(
        '#!/bin/sh\nif [ "$1" = "-version" ]; then echo "ffmpeg version 9.0 Copyright"; exit 0; fi\n'
        "echo \"Unrecognized option 'async'.\" >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(NotApplicable, match=r"9\.0.*Unrecognized option 'async'"):
        legacy.joonson(Clip(factory.tone_clip(tmp_path / "a.mp4", 0.4)))
