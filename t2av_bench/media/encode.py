"""Writing clips: H.264 + AAC in mp4 for people, FFV1 + PCM or FLAC in mkv for measuring.

Files appear under their name only when complete (temporary name in the same folder, then a rename), so an interrupted
run leaves no half clip that looks finished. The same input gives the same bytes.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

# x264's bytes depend on the number of its threads, and with several differ now and then from run to run.
_ENCODER_THREADS = 1


def write_mp4(
    path: Path | str,
    frames: Iterable[np.ndarray],
    audio: np.ndarray | None = None,
    *,
    frame_rate: int | Fraction = 25,
    audio_rate: int = 16000,
    crf: int = 18,
    preset: str = "medium",
    audio_bit_rate: int = 128_000,
    fit_audio: bool = False,
) -> int:
    """Write H.264 (yuv420p, BT.601 limited range, declared) and AAC; returns the number of frames written.

    frames: (H, W, 3) uint8 RGB frames, or (n, H, W, 3) batches of them, H and W even; may be a generator.
    audio: (n,) mono or (n, channels), float in [-1, 1] or int16, or ``None`` for a silent video.
    crf: 0 (best) to 51; audio_bit_rate: bits per second.
    fit_audio: cut or zero-pad the audio to exactly as many samples as the frames last.

    BT.601 is declared because decoders that ignore the declaration assume it, so all readers see the same colours.
    """
    options = {"crf": str(crf), "preset": preset}

    def prepare(container: Any, height: int, width: int) -> Any:
        if height % 2 or width % 2:
            raise ValueError(
                f"H.264 with 4:2:0 chroma needs even picture sizes, got {width}x{height}: crop or pad by one pixel, or "
                "use write_lossless"
            )
        stream = container.add_stream("libx264", rate=Fraction(frame_rate), options=options)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1
        return stream

    def prepare_audio(container: Any, channels: int, is_integer: bool) -> tuple[Any, str]:
        stream = container.add_stream("aac", rate=audio_rate, layout=_layout(channels))
        stream.bit_rate = audio_bit_rate
        return stream, "fltp"

    muxer = {"movflags": "+faststart", "fflags": "+bitexact"}
    return _write(Path(path), "mp4", muxer, frames, audio, frame_rate, audio_rate, fit_audio, prepare, prepare_audio)


def write_lossless(
    path: Path | str,
    frames: Iterable[np.ndarray],
    audio: np.ndarray | None = None,
    *,
    frame_rate: int | Fraction = 25,
    audio_rate: int = 16000,
    fit_audio: bool = False,
) -> int:
    """Write an mkv that gives back the same bits: FFV1 in RGB, FLAC for int16 audio, 32-bit float PCM for float audio.

    Arguments and result as ``write_mp4``; any picture size.
    """

    def prepare(container: Any, height: int, width: int) -> Any:
        stream = container.add_stream("ffv1", rate=Fraction(frame_rate), options={"level": "3", "slicecrc": "1"})
        stream.pix_fmt = "bgr0"
        return stream

    def prepare_audio(container: Any, channels: int, is_integer: bool) -> tuple[Any, str]:
        codec, kind = ("flac", "s16") if is_integer else ("pcm_f32le", "flt")
        return container.add_stream(codec, rate=audio_rate, layout=_layout(channels), format=kind), kind

    muxer = {"fflags": "+bitexact"}
    return _write(
        Path(path), "matroska", muxer, frames, audio, frame_rate, audio_rate, fit_audio, prepare, prepare_audio
    )


def fit(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut ``audio`` (first axis) to ``samples``, or pad it with zeros at its end."""
    if len(audio) >= samples:
        return audio[:samples]
    return np.concatenate([audio, np.zeros((samples - len(audio), *audio.shape[1:]), audio.dtype)])


def samples_for(frame_count: int, frame_rate: int | Fraction, audio_rate: int) -> int:
    """Audio samples that last as long as ``frame_count`` frames (nearest)."""
    return round(frame_count * audio_rate / Fraction(frame_rate))


def _write(
    path: Path,
    kind: str,
    muxer: dict[str, str],
    frames: Iterable[np.ndarray],
    audio: np.ndarray | None,
    frame_rate: int | Fraction,
    audio_rate: int,
    fit_audio: bool,
    prepare: Any,
    prepare_audio: Any,
) -> int:
    import av

    if audio is not None:
        audio = _checked_audio(audio)
    pictures = _single(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("a clip needs at least one frame")
    height, width = first.shape[:2]
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    count, sent = 0, 0
    try:
        with av.open(str(partial), "w", format=kind, container_options=muxer) as container:
            video = prepare(container, height, width)
            video.width, video.height = width, height
            base = 1 / Fraction(frame_rate)
            video.time_base = video.codec_context.time_base = base
            video.codec_context.thread_count = _ENCODER_THREADS
            sound: Any = None
            sample_format = ""
            if audio is not None:
                sound, sample_format = prepare_audio(container, audio.shape[1], audio.dtype == np.int16)
            picture: np.ndarray | None = first
            while picture is not None:
                if picture.shape != (height, width, 3):
                    raise ValueError(f"frame {count} has shape {picture.shape}, the first one {(height, width, 3)}")
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame = frame.reformat(
                    format=video.pix_fmt, dst_colorspace="ITU601", interpolation="BICUBIC", threads=1
                )
                frame.pts, frame.time_base = count, base
                container.mux(video.encode(frame))
                count += 1
                if audio is not None:
                    # In step with the pictures, so that the muxer never has to hold much of one stream.
                    until = min(samples_for(count, frame_rate, audio_rate), len(audio))
                    _send(container, sound, audio[sent:until], sent, audio_rate, sample_format)
                    sent = until
                picture = next(pictures, None)
            container.mux(video.encode(None))
            if audio is not None:
                total = fit(audio, samples_for(count, frame_rate, audio_rate)) if fit_audio else audio
                _send(container, sound, total[sent:], sent, audio_rate, sample_format)
                container.mux(sound.encode(None))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _send(container: Any, stream: Any, samples: np.ndarray, position: int, rate: int, kind: str) -> None:
    import av

    if not len(samples):
        return
    if kind == "fltp":
        data = np.ascontiguousarray(_as_float(samples).T)
    else:
        data = np.ascontiguousarray(samples if kind == "s16" else samples.astype(np.float32)).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(data, format=kind, layout=_layout(samples.shape[1]))
    frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
    container.mux(stream.encode(frame))


def _single(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for item in frames:
        array = np.asarray(item)
        if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3:
            raise ValueError(
                f"frames are (H, W, 3) or (n, H, W, 3) uint8 RGB arrays, got shape {array.shape}, {array.dtype}"
            )
        yield from array if array.ndim == 4 else (array,)


def _checked_audio(audio: np.ndarray) -> np.ndarray:
    array = np.asarray(audio)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not 1 <= array.shape[1] <= 2 or not (array.dtype == np.int16 or array.dtype.kind == "f"):
        raise ValueError(
            f"audio is (n,) or (n, 1 or 2), float in [-1, 1] or int16, got shape {audio.shape}, {array.dtype}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("the audio holds NaN or infinite samples")
    return array


def _as_float(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.float32) / 32768 if samples.dtype == np.int16 else samples.astype(np.float32)


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]
