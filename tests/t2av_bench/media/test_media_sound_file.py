"""Pictures in one file and their sound in another are one clip, the same as in one file."""

import hashlib
import shutil
import subprocess

import numpy as np
import pytest
from media_factory import moving_pattern, noise, write_clip

from t2av_bench.errors import MediaError
from t2av_bench.media import legacy
from t2av_bench.media.clip import Clip

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program")


def ffmpeg(*arguments) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def split(whole, suffix=".wav", *encoding):
    """The pictures and the sound of a clip as two files of one name."""
    pictures, sound = whole.with_name("split.mp4"), whole.with_name(f"split{suffix}")
    ffmpeg("-i", whole, "-an", "-c", "copy", pictures)
    ffmpeg("-i", whole, "-vn", *(encoding or ("-c", "copy")), sound)
    return Clip(pictures, sound_path=sound)


def lag(heard, meant) -> int:
    """Samples by which ``heard`` is late: the peak of the cross-correlation."""
    size = len(heard) + len(meant)
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(meant, size)), size)
    peak = int(np.argmax(products))
    return peak if peak < size // 2 else peak - size


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".wav", ".mka", ".w64", ".caf"])
def test_a_split_clip_is_the_clip(tmp_path, suffix):
    whole = Clip(write_clip(tmp_path / "a.mov", moving_pattern(20), noise(0.9, 48000), audio_rate=48000,
                            audio_codec="pcm_s16le"))  # fmt: skip
    parts = split(whole.path, suffix)
    np.testing.assert_array_equal(parts.audio(), whole.audio())
    np.testing.assert_array_equal(next(parts.frames()), next(whole.frames()))
    assert (parts.info.has_audio, parts.info.audio_codec, parts.info.audio_rate) == (True, "pcm_s16le", 48000)
    assert parts.info.duration == pytest.approx(0.9) and parts.info.frame_rate == 25


@needs_ffmpeg
@pytest.mark.parametrize("codec", [".m4a aac", ".mp3 libmp3lame", ".ogg libopus", ".flac flac"])
def test_priming_is_no_delay(tmp_path, codec):
    suffix, encoder = codec.split()
    whole = Clip(write_clip(tmp_path / "a.mov", moving_pattern(50), noise(2.0), audio_codec="pcm_s16le"))
    assert abs(lag(split(whole.path, suffix, "-c:a", encoder).audio(), whole.audio())) <= 1


@needs_ffmpeg
@pytest.mark.parametrize("codec", [".m4a aac", ".mka copy", ".ogg libopus"])
def test_a_late_start_that_the_sound_file_states_is_kept(tmp_path, codec):
    suffix, encoder = codec.split()
    whole = Clip(write_clip(tmp_path / "a.mov", moving_pattern(50), noise(2.0), audio_codec="pcm_s16le",
                            audio_start=0.5))  # fmt: skip
    assert not whole.audio()[:8000].any() and len(whole.audio()) == 40000
    assert abs(lag(split(whole.path, suffix, "-c:a", encoder).audio(), whole.audio())) <= 1


def test_sound_begins_with_the_first_picture_wherever_the_container_puts_that(tmp_path):
    """A container's own zero means nothing to two files: the first picture and the first sample are one moment."""
    late = write_clip(tmp_path / "a.mkv", moving_pattern(20), video_start=0.4)
    sound = write_clip(tmp_path / "b.wav", None, noise(0.5), audio_codec="pcm_s16le")
    np.testing.assert_array_equal(Clip(late, sound_path=sound).audio(), Clip(sound).audio())


def test_a_sound_file_with_pictures_keeps_its_own_clock(tmp_path):
    seen = write_clip(tmp_path / "a.mp4", moving_pattern(20))
    other = write_clip(tmp_path / "b.mov", moving_pattern(20), noise(0.6), audio_codec="pcm_s16le", audio_start=0.2)
    np.testing.assert_array_equal(Clip(seen, sound_path=other).audio(), Clip(other).audio())


def test_the_sound_may_be_shorter_or_longer_than_the_pictures_and_replaces_the_own_one(tmp_path):
    seen = write_clip(tmp_path / "a.mov", moving_pattern(25), noise(1.0, seed=1), audio_codec="pcm_s16le")
    for seconds in (0.5, 2.0):
        sound = write_clip(tmp_path / f"{seconds}.wav", None, noise(seconds, seed=2), audio_codec="pcm_s16le")
        clip = Clip(seen, sound_path=sound)
        assert clip.frame_count == 25 and len(clip.audio()) == seconds * 16000
        np.testing.assert_array_equal(clip.audio(), Clip(sound).audio())
        assert clip.info.duration == pytest.approx(max(1.0, seconds))


def test_both_files_are_the_contents(tmp_path):
    seen = write_clip(tmp_path / "a.mp4", moving_pattern(5))
    sound = write_clip(tmp_path / "a.wav", None, noise(0.2), audio_codec="pcm_s16le")
    alone = hashlib.sha256(seen.read_bytes()).hexdigest()
    assert Clip(seen).digest == alone
    digests = {alone, Clip(sound).digest, Clip(seen, sound_path=sound).digest}
    sound.write_bytes(sound.read_bytes()[:-2] + b"\x01\x02")
    digests.add(Clip(seen, sound_path=sound).digest)
    sound.unlink()
    digests.add(Clip(seen, sound_path=sound).digest)
    assert len(digests) == 5


@pytest.mark.parametrize(("contents", "reason"), [(b"", "is empty"), (b"no sound", "is text"), (None, "not exist")])
def test_a_broken_sound_file_costs_the_sound_alone(tmp_path, contents, reason):
    seen, sound = write_clip(tmp_path / "a.mp4", moving_pattern(5)), tmp_path / "a.wav"
    if contents is not None:
        sound.write_bytes(contents)
    clip = Clip(seen, sound_path=sound)
    assert clip.info.has_audio and clip.frame_count == 5
    with pytest.raises(MediaError, match=reason):
        clip.audio()


@needs_ffmpeg
def test_the_reference_tools_get_both_files(tmp_path):
    whole = Clip(write_clip(tmp_path / "a.mov", moving_pattern(30), noise(1.2), audio_codec="pcm_s16le"))
    parts = split(whole.path)
    for tool in (legacy.joonson, legacy.syncnet_python):
        one, two = tool(whole), tool(parts)
        assert len(one.audio) > 16000
        np.testing.assert_array_equal(one.audio, two.audio)
        np.testing.assert_array_equal(one.frames_at([0, 29]), two.frames_at([0, 29]))
