"""Synthetic clips for tests: nothing recorded, nothing downloaded, each made in a fraction of a second.

``write_clip`` writes any combination of streams, codecs, rates and start times with PyAV; the makers below it are the
cases that most tests need. Every frame of ``moving_pattern`` carries its number as a bar code that survives lossy
compression (``frame_number``), so tests can ask *which* frame came out.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from t2av_bench.media.encode import fit, samples_for

_BITS = 12


def moving_pattern(count: int, height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """(count, H, W, 3) uint8 RGB: a coloured gradient, a moving square, and the frame's number as a bar code on top."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, 3)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    frames = np.empty((count, height, width, 3), np.uint8)
    cell, bar = width // _BITS, height // 4
    for index in range(count):
        for channel in range(3):
            wave = np.sin(2 * np.pi * (x + (channel + 1) * y) + phase[channel] + 0.2 * index)
            frames[index, :, :, channel] = np.rint(127 + 90 * wave)
        left = (7 * index) % max(width - height // 4, 1)
        frames[index, height // 2 : 3 * height // 4, left : left + height // 4] = (250, 40, 20)
        for bit in range(_BITS):
            frames[index, :bar, bit * cell : (bit + 1) * cell] = 235 if index >> bit & 1 else 20
    return frames


def frame_number(frame: np.ndarray) -> int:
    """The number that ``moving_pattern`` drew on a frame."""
    cell, bar = frame.shape[1] // _BITS, frame.shape[0] // 4
    number = 0
    for bit in range(_BITS):
        left = bit * cell
        number |= int(frame[bar // 4 : 3 * bar // 4, left + cell // 4 : left + 3 * cell // 4].mean() > 127) << bit
    return number


def tone(seconds: float, rate: int = 16000, frequency: float = 440.0, amplitude: float = 0.3) -> np.ndarray:
    """(n,) float32 sine wave."""
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, rate: int = 16000, seed: int = 0, amplitude: float = 0.1) -> np.ndarray:
    """(n,) float32 white noise: unlike a tone it shows every shift."""
    return (amplitude * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def write_clip(
    path: Path,
    frames: np.ndarray | None = None,
    audio: np.ndarray | None = None,
    *,
    frame_rate: int | Fraction = 25,
    audio_rate: int = 16000,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    pixel_format: str = "yuv420p",
    frame_times: Sequence[Fraction] | None = None,
    video_start: Fraction | float = 0,
    audio_start: Fraction | float = 0,
    rotation: int | None = None,
    display_matrix: Sequence[int] | None = None,
    sample_aspect_ratio: Fraction | None = None,
    colour: tuple[int, int] | None = None,
    video_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Write a clip and return its path.

    frames: (n, H, W, 3) uint8 RGB, or None for audio only. audio: (n,) or (n, channels) float or int16, or None.
    frame_times: time of each frame in seconds, for variable frame rates (milliseconds are kept).
    video_start, audio_start: seconds by which a stream begins later than zero.
    rotation: display rotation in degrees. colour: (ITU colour space, range) numbers to declare and use.
    """
    options = {"preset": "ultrafast", "crf": "12"} if video_codec.startswith("libx264") else {}
    options |= video_options or {}
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as output:
        video = sound = None
        if frames is not None:
            video = output.add_stream(video_codec, rate=Fraction(frame_rate), options=options)
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = pixel_format
            base = Fraction(1, 12800) if frame_times is not None or video_start else 1 / Fraction(frame_rate)
            video.time_base = video.codec_context.time_base = base
            if video_codec == "mpeg4":
                video.bit_rate = 4_000_000
            if rotation is not None:
                video.set_display_rotation(rotation)
            if display_matrix is not None:
                video.set_display_matrix(display_matrix)
            if sample_aspect_ratio is not None:
                video.codec_context.sample_aspect_ratio = sample_aspect_ratio
            if colour is not None:
                video.codec_context.colorspace, video.codec_context.color_range = colour
        if audio is not None:
            samples = audio[:, None] if audio.ndim == 1 else audio
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
            sound = output.add_stream(audio_codec, rate=audio_rate, layout=layout)
        if video is not None and frames is not None:
            for index, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                if colour is not None:
                    matrix = 5 if colour[0] == 6 else colour[0]
                    frame = frame.reformat(format=pixel_format, dst_colorspace=matrix, dst_color_range=colour[1])
                time = frame_times[index] if frame_times is not None else Fraction(index) / Fraction(frame_rate)
                frame.pts, frame.time_base = round((time + Fraction(video_start)) / base), base
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
        if sound is not None:
            kind = "s16" if samples.dtype == np.int16 else "flt"
            data = np.ascontiguousarray(samples if kind == "s16" else samples.astype(np.float32))
            for start in range(0, len(data), 4096):
                piece = data[start : start + 4096]
                frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format=kind, layout=layout)
                frame.sample_rate, frame.time_base = audio_rate, Fraction(1, audio_rate)
                frame.pts = start + round(audio_start * audio_rate)
                output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
    return path


def write_lossless(
    path: Path, frames: Iterable[np.ndarray], audio: np.ndarray | None = None, *, frame_rate: int | Fraction = 25,
    audio_rate: int = 16000, fit_audio: bool = False,
) -> Path:  # fmt: skip
    """An mkv that gives back the same bits: FFV1 in RGB, FLAC for int16 audio, 32-bit float PCM for float audio.

    fit_audio: cut or zero-pad the audio to as many samples as the frames last.
    """
    frames = np.stack(list(frames))
    if audio is not None and fit_audio:
        audio = fit(audio, samples_for(len(frames), frame_rate, audio_rate))
    codec = "flac" if audio is not None and audio.dtype == np.int16 else "pcm_f32le"
    return write_clip(path, frames, audio, frame_rate=frame_rate, audio_rate=audio_rate, video_codec="ffv1",
                      audio_codec=codec, pixel_format="bgr0", container="matroska")  # fmt: skip


def tone_clip(path: Path, seconds: float = 2.0, frame_rate: int | Fraction = 25, audio_rate: int = 16000) -> Path:
    """A moving pattern with a tone beside it."""
    frames = moving_pattern(round(seconds * frame_rate))
    return write_clip(path, frames, tone(seconds, audio_rate), frame_rate=frame_rate, audio_rate=audio_rate)


def silent_clip(path: Path, seconds: float = 2.0) -> Path:
    """Pictures and an audio stream of zeros."""
    return write_clip(path, moving_pattern(round(seconds * 25)), np.zeros(round(seconds * 16000), np.float32))


def clip_without_audio(path: Path, seconds: float = 2.0, frame_rate: int | Fraction = 25) -> Path:
    """Pictures only."""
    return write_clip(path, moving_pattern(round(seconds * frame_rate)), frame_rate=frame_rate)


def audio_only(path: Path, seconds: float = 2.0, audio_rate: int = 16000) -> Path:
    """A tone without pictures (``.wav``, ``.m4a``, ``.mp3``, ``.flac``: the name decides)."""
    codec = {".wav": "pcm_s16le", ".mp3": "libmp3lame", ".flac": "flac"}.get(path.suffix, "aac")
    return write_clip(path, None, tone(seconds, audio_rate), audio_rate=audio_rate, audio_codec=codec)


def one_frame_clip(path: Path) -> Path:
    """A single picture and 40 ms of tone."""
    return write_clip(path, moving_pattern(1), tone(0.04))


def variable_rate_clip(path: Path, count: int = 60, seed: int = 0) -> Path:
    """Frame distances between 20 and 80 ms, in an mkv or mp4."""
    steps = np.random.default_rng(seed).integers(20, 80, count - 1)
    times = [Fraction(int(ms), 1000) for ms in np.concatenate([[0], np.cumsum(steps)])]
    return write_clip(path, moving_pattern(count), tone(float(times[-1]) + 0.04), frame_times=times, frame_rate=25)


def cut_clip(source: Path, target: Path, seconds: float) -> Path:
    """The first seconds of a clip as they are coded, in the same container."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        streams = {each.index: written.add_stream_from_template(each) for each in read.streams}
        for packet in read.demux():
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    return target


def truncated_clip(path: Path, keep: float = 0.6, seconds: float = 2.0) -> Path:
    """The first part of a clip whose index stands at its beginning: it opens, and breaks off in the middle."""
    whole = path.with_name(f"whole_{path.name}")
    faststart = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov", ".m4v") else {}
    write_clip(
        whole, moving_pattern(round(seconds * 25)), tone(seconds), container_options=faststart,
        video_options={"g": "12"},
    )  # fmt: skip
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    whole.unlink()
    return path
