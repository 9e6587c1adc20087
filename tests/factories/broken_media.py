"""Makers of broken media files: each writes one into ``folder``, given the intact clips in ``whole``.

``FRAME_CASES`` and ``AUDIO_CASES`` pair them with the reason that must be given when frames or audio are asked for.
"""

import os
import shutil
import socket
import struct
import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import av
import media_factory as factory
import numpy as np
import pytest

FASTSTART = {"movflags": "+faststart"}


def write_whole(folder: Path) -> Path:
    """Intact clips, by name, that the makers below damage."""
    frames, audio = factory.moving_pattern(50), factory.tone(2.0)
    every = {"g": "12"}
    factory.write_clip(folder / "end.mp4", frames, audio, video_options=every)
    factory.write_clip(folder / "front.mp4", frames, audio, video_options=every, container_options=FASTSTART)
    factory.write_clip(folder / "a.mkv", frames, audio, video_options=every)
    factory.write_clip(folder / "a.avi", frames, audio, video_codec="mpeg4", audio_codec="libmp3lame")
    factory.write_clip(folder / "a.wav", None, audio, audio_codec="pcm_s16le")
    factory.write_clip(folder / "f.wav", None, audio, audio_codec="pcm_f32le")
    factory.write_clip(folder / "flac.mkv", frames, audio, audio_codec="flac")
    return folder


def cut(source: Path, target: Path, keep: float) -> Path:
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * keep)])
    return target


def overwrite(source: Path, target: Path, where: float, length: int, seed: int | None = None) -> Path:
    data = bytearray(source.read_bytes())
    start = int(len(data) * where)
    noise = bytes(length) if seed is None else np.random.default_rng(seed).bytes(length)
    data[start : start + length] = noise
    target.write_bytes(data)
    return target


def missing(folder, whole):
    return folder / "nowhere.mp4"


def directory(folder, whole):
    (folder / "dir.mp4").mkdir()
    return folder / "dir.mp4"


def empty(folder, whole):
    (folder / "a.mp4").touch()
    return folder / "a.mp4"


def text(folder, whole):
    (folder / "a.mp4").write_text("This is not a video. " * 200)
    return folder / "a.mp4"


def playlist(folder, whole):
    (folder / "a.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + str(whole / "front.mp4") + "\n")
    return folder / "a.mp4"


def concat_script(folder, whole):
    (folder / "a.mp4").write_text(f"ffconcat version 1.0\nfile '{whole / 'front.mp4'}'\n")
    return folder / "a.mp4"


def zeros(folder, whole):
    (folder / "a.mp4").write_bytes(bytes(5000))
    return folder / "a.mp4"


def random_bytes(folder, whole):
    (folder / "a.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    return folder / "a.mp4"


def one_byte(folder, whole):
    (folder / "a.mp4").write_bytes(b"\x00\x01")
    return folder / "a.mp4"


def no_moov(folder, whole):
    return cut(whole / "end.mp4", folder / "a.mp4", 0.7)


def only_ftyp(folder, whole):
    (folder / "a.mp4").write_bytes((whole / "end.mp4").read_bytes()[:32])
    return folder / "a.mp4"


def mdat_cut(folder, whole):
    return cut(whole / "front.mp4", folder / "a.mp4", 0.6)


def last_byte_missing(folder, whole):
    data = (whole / "front.mp4").read_bytes()
    (folder / "a.mp4").write_bytes(data[:-1])
    return folder / "a.mp4"


def mkv_cut(folder, whole):
    return cut(whole / "a.mkv", folder / "a.mkv", 0.6)


def avi_cut(folder, whole):
    return cut(whole / "a.avi", folder / "a.avi", 0.6)


def middle_zeroed(folder, whole):
    return overwrite(whole / "front.mp4", folder / "a.mp4", 0.5, 400)


def middle_garbled_avi(folder, whole):
    return overwrite(whole / "a.avi", folder / "a.avi", 0.5, 3000, seed=1)


def subtitles_only(folder, whole):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg program to write the subtitles with")
    (folder / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    subprocess.run(["ffmpeg", "-v", "error", "-i", folder / "a.srt", folder / "a.mkv"], check=True)
    return folder / "a.mkv"


def no_tracks(folder, whole):
    ftyp = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")
    mvhd = struct.pack(">I4s", 108, b"mvhd") + bytes(12) + struct.pack(">II", 1000, 0) + bytes(80)
    (folder / "a.mp4").write_bytes(ftyp + struct.pack(">I4s", 8 + len(mvhd), b"moov") + mvhd)
    return folder / "a.mp4"


def zero_frames(folder, whole):
    """A complete mp4 with a video track in which no frame stands."""
    with av.open(str(folder / "a.mp4"), "w", container_options={"movflags": "+empty_moov+frag_keyframe"}) as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        output.start_encoding()
    return folder / "a.mp4"


def huge_header(folder, whole):
    """A PNG header that announces 10000 x 9000 pixels, in a file of a few bytes."""
    return _png(folder / "a.png", 10000, 9000)


def impossible_header(folder, whole):
    """More pixels than the decoder library can address."""
    return _png(folder / "a.png", 60000, 60000)


def wide_header(folder, whole):
    return _png(folder / "a.png", 8193, 2)


def _png(path, width, height):
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


def symlink_loop(folder, whole):
    (folder / "a.mp4").symlink_to(folder / "b.mp4")
    (folder / "b.mp4").symlink_to(folder / "a.mp4")
    return folder / "a.mp4"


def dangling_link(folder, whole):
    (folder / "a.mp4").symlink_to(folder / "gone.mp4")
    return folder / "a.mp4"


def named_pipe(folder, whole):
    os.mkfifo(folder / "a.mp4")
    return folder / "a.mp4"


def unix_socket(folder, whole):
    os.chdir(folder)  # socket paths are short
    socket.socket(socket.AF_UNIX).bind("a.mp4")
    return folder / "a.mp4"


def file_as_folder(folder, whole):
    (folder / "file").write_text("x")
    return folder / "file" / "a.mp4"


def null_in_name(folder, whole):
    return folder / "a\0.mp4"


def long_name(folder, whole):
    return folder / ("a" * 300 + ".mp4")


def size_change(folder, whole):
    """Two concatenated bare H.264 streams (no container, no timestamps) of different picture sizes."""
    parts = []
    for index, size in enumerate(((96, 128), (64, 96))):
        part = factory.write_clip(folder / f"{index}.h264", factory.moving_pattern(10, *size), container="h264")
        parts.append(part.read_bytes())
    (folder / "a.h264").write_bytes(b"".join(parts))
    return folder / "a.h264"


def time_jump(folder, whole):
    times = [Fraction(index, 25) + (3600 if index > 10 else 0) for index in range(20)]
    return factory.write_clip(folder / "a.mp4", factory.moving_pattern(20), frame_times=times)


def audio_only(folder, whole):
    return factory.audio_only(folder / "a.m4a", 0.5)


def cover_art(folder, whole):
    """Music with a picture attached is audio, not video."""
    path = folder / "a.mp3"
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg program to attach the picture with")
    factory.audio_only(folder / "plain.mp3", 0.5)
    factory.write_clip(folder / "p.png", factory.moving_pattern(1), video_codec="png", pixel_format="rgb24",
                       container="image2", container_options={"update": "1"})  # fmt: skip
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", folder / "plain.mp3", "-i", folder / "p.png", "-map", "0", "-map", "1", "-c",
         "copy", "-disposition:v", "attached_pic", path], check=True,
    )  # fmt: skip
    return path


def no_audio(folder, whole):
    return factory.clip_without_audio(folder / "a.mp4", 0.2)


def nan_audio(folder, whole):
    audio = factory.tone(1.0)
    audio[[4000, 4001]] = np.nan
    return _float_wav(folder / "a.wav", audio)


def infinite_audio(folder, whole):
    audio = factory.tone(1.0)
    audio[8000] = np.inf
    return _float_wav(folder / "a.wav", audio)


def _float_wav(path, audio):
    data = audio.astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 16000, 64000, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def no_samples(folder, whole):
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    return folder / "a.wav"


def wav_cut(folder, whole):
    return cut(whole / "a.wav", folder / "a.wav", 0.5)


def flac_garbled(folder, whole):
    data = bytearray((whole / "flac.mkv").read_bytes())
    # A FLAC frame begins with fff8; damage the body of one in the middle.
    where = data.index(b"\xff\xf8", len(data) // 2) + 40
    data[where : where + 4] = b"\x55\xaa\x55\xaa"
    (folder / "a.mkv").write_bytes(data)
    return folder / "a.mkv"


def one_sample_at_48k(folder, whole):
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 48000, 1, "NONE", ""))
        file.writeframes(b"\x01\x00")
    return folder / "a.wav"


FRAME_CASES = [
    (missing, "does not exist"),
    (directory, "is a folder, expected a media file"),
    (empty, r"is empty \(0 bytes\)"),
    (text, "is text, not a media file"),
    (playlist, "is text, not a media file"),
    (concat_script, "is text, not a media file"),
    (zeros, r"holds only zero bytes \(5000\)"),
    (random_bytes, "is not a media file that can be read"),
    (one_byte, "is not a media file"),
    (no_moov, "an mp4 without its index.*truncated"),
    (only_ftyp, "an mp4 without its index.*truncated"),
    (mdat_cut, r"is truncated: \d+ of 50 indexed video packets, up to [01]\.\d\d of 2\.00 s"),
    (last_byte_missing, r"is truncated: \d+ of \d+ indexed (video|audio) packets"),
    (mkv_cut, r"breaks off after \d\d frames, [01]\.\d\d of 2\.\d\d s"),
    (avi_cut, r"breaks off after \d\d frames, [01]\.\d\d of 2\.\d\d s: "),
    (middle_zeroed, r"is damaged: frame \d\d \([01]\.\d\d s\)|breaks off after \d\d frames"),
    (middle_garbled_avi, r"is damaged: frame \d\d|breaks off after \d\d frames"),
    (subtitles_only, r"neither a video nor an audio stream \(streams: subtitle\)"),
    (no_tracks, r"neither a video nor an audio stream \(streams: none\)|without its index"),
    (zero_frames, "without a single decodable frame|without its index|neither a video"),
    (huge_header, "10000x9000 pixels, at most 8192x8192"),
    (impossible_header, "no picture size up to 8192x8192 is known"),
    (wide_header, "8193x2 pixels, at most 8192x8192"),
    (symlink_loop, "symbolic link that leads back to itself"),
    (dangling_link, "link to a file that does not exist"),
    (named_pipe, "not a regular file"),
    (unix_socket, "not a regular file"),
    (file_as_folder, "cannot be read: Not a directory|does not exist"),
    (null_in_name, "cannot be read: embedded null"),
    (long_name, "cannot be read: File name too long"),
    (size_change, r"changes its picture size from \(128, 96\) to \(96, 64\)"),
    (time_jump, r"timestamps jump from \d\.\d\d s to 36\d\d\.\d\d s"),
    (audio_only, "has no video stream"),
    (cover_art, "has no video stream"),
]


AUDIO_CASES = [
    (no_audio, "has no audio stream"),
    (nan_audio, r"2 of 16000 audio samples are NaN or infinite, the first at 0\.250 s"),
    (infinite_audio, r"1 of 16000 audio samples are NaN or infinite, the first at 0\.500 s"),
    (no_samples, "holds no samples|is not a media file|no packet"),
    (wav_cut, r"breaks off after [01]\.\d\d s: the data of a packet is cut short"),
    (mdat_cut, "is truncated"),
    (mkv_cut, r"breaks off after 1\.\d\d of 2\.\d\d s"),
    (flac_garbled, r"the audio breaks off after [01]\.\d\d of 2\.\d\d s"),
]
